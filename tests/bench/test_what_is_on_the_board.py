"""Whatever has happened to a board, a record's figures are those of the model and the input asked for.

A random sequence of benches, in every protocol, with things done to the boards between them that no bench is
told of: another model flashed by another tool, the power cut, a restart, a bare reset. Right values come from
outside of what is tested: outputs from the desktop TFLite runtime, times from the model's own estimate.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, get_state_machine_test, initialize, rule

import harness
from harness import boards
from harness.boards import Profile
from harness.check import forecast
from harness.chips import uf2file
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.process import BoardProcess
from harness.flash.method import Target
from harness.flash.xmodem import preamble
from harness.models import reference, tensors, tflite
from harness.models.build import Builder, Scale
from harness.runner import greet
from harness.runner.api import flash_board
from harness.runner.deploy import deploy
from harness.runner.reach import Reach
from tests.flash.lrzsz import send

BOARDS = ("xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2")
PROTOCOLS = ("bench", "mlperf-tiny", "sscma")
CHANNELS = (8, 24, 40)
"""Of the models: each takes another time, by more than a millisecond on the boards without an NPU."""


def model(channels: int) -> bytes:
    """Return a small network of one input: convolution, average, softmax."""
    rng = np.random.default_rng(channels)
    out = Builder(f"{channels} channels")
    main = out.subgraph("main")
    image = main.input("image", (1, 12, 12, 3), "int8", Scale(1 / 255, -128))
    features = main.tensor("features", (1, 12, 12, channels), "int8", Scale(0.02, -128))
    kernel = main.constant(
        "kernel",
        rng.integers(-127, 128, (channels, 5, 5, 3), np.int8),
        Scale((0.004,) * channels, (0,) * channels, axis=0),
    )
    bias = main.constant(
        "bias", np.zeros(channels, np.int32), Scale((0.004 / 255,) * channels, (0,) * channels)
    )
    main.operator(
        "CONV_2D",
        [image, kernel, bias],
        [features],
        version=3,
        padding="SAME",
        stride_h=1,
        stride_w=1,
        fused_activation="RELU",
    )
    axes = main.constant("axes", np.array([1, 2], np.int32))
    mean = main.tensor("mean", (1, channels), "int8", Scale(0.01, -128))
    main.operator("MEAN", [features, axes], [mean], version=2, keep_dims=False)
    scores = main.constant("scores", rng.integers(-127, 128, (4, channels), np.int8), Scale(0.02))
    logits = main.tensor("logits", (1, 4), "int8", Scale(0.1, 3))
    main.operator("FULLY_CONNECTED", [mean, scores, -1], [logits], version=4)
    classes = main.output("classes", (1, 4), "int8", Scale(1 / 256, -128))
    main.operator("SOFTMAX", [logits], [classes], version=2, beta=1.0)
    return out.finish()


WHAT: dict[str, Any] = {"channels": st.sampled_from(CHANNELS), "seed": st.integers(0, 1)}


@dataclass(frozen=True)
class Right:
    """What a record of a model has to hold: the file, the device's time in seconds, the output's bytes."""

    deployed: str
    seconds: float
    output: bytes


@cache
def right(channels: int, board: str, seed: int) -> Right:
    profile, source = boards.load(board), tflite.parse(model(channels), "m")
    made = deploy(source, profile)
    seconds = forecast.time(made.file, profile, made.compiled).seconds
    assert seconds is not None
    (output,) = reference.run(source.data, tensors.load([f"random:{seed}"], source))
    return Right(made.file.sha256, seconds, output.tobytes())


class Shelf:
    """Virtual boards at ports of their own, and a person beside them who presses what is asked for."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._running: dict[str, BoardProcess] = {}
        for channels in CHANNELS:
            (place / str(channels)).mkdir()
            # All of one name: a model is what is in its file.
            (place / str(channels) / "model.tflite").write_bytes(model(channels))

    def file(self, channels: int) -> Path:
        return self.place / str(channels) / "model.tflite"

    def drives(self, id: str) -> Path:
        return self.place / f"{id}-drives"

    def drive(self, id: str) -> Path | None:
        """Where the drive of a board appears that has one."""
        return self.drives(id) if boards.load(id).flash.uf2 else None

    def board(self, id: str) -> BoardProcess:
        """Return the running board, switched on if it is not."""
        process = self._running.get(id)
        if process is None or process.exit_code is not None:
            listen = "rfc2217://127.0.0.1:0" if boards.load(id).flash.enter == "dtr_rts" else None
            options = ["--flash", str(self.place / id), "--drive", str(self.drives(id))]
            self._running[id] = process = BoardProcess(id, options, listen=listen)
        return process

    def cut_the_power(self, id: str) -> None:
        process = self._running.pop(id, None)
        if process is not None:
            os.kill(process.pid, signal.SIGKILL)
            process.__exit__(None, None, None)

    def as_new(self, id: str) -> None:
        """Erase the first of each of the board's regions, which is all that is written here, and reset it."""
        process, flash = self.board(id), BoardFlash(boards.load(id), self.place / id)
        for region in flash_regions(id):
            flash.chip(region).erase(region, 64 << 10)
        process.press("reset")

    def close(self) -> None:
        for id in list(self._running):
            self.cut_the_power(id)


def flash_regions(id: str) -> list[int]:
    return [region.offset for region in boards.load(id).flash.regions if region.size_bytes >= 64 << 10]


class Boards(RuleBasedStateMachine):
    """What people do to the boards of a shelf, in any order; each bench has to bring right figures."""

    shelf: Shelf

    @initialize()
    def new_boards(self) -> None:
        for id in BOARDS:
            self.shelf.as_new(id)

    @rule(id=st.sampled_from(BOARDS), protocol=st.sampled_from(PROTOCOLS), **WHAT)
    def bench(self, id: str, protocol: str, channels: int, seed: int) -> None:
        self.right_or_an_error(id, protocol, channels, seed, self.shelf.board(id).url)

    @rule(id=st.sampled_from(BOARDS), protocol=st.sampled_from(PROTOCOLS), **WHAT)
    def bench_once_more(self, id: str, protocol: str, channels: int, seed: int) -> None:
        for _ in range(2):
            self.bench(id, protocol, channels, seed)

    @rule(id=st.sampled_from(BOARDS), protocol=st.sampled_from(PROTOCOLS), **WHAT)
    def bench_on_a_board_of_the_harness(self, id: str, protocol: str, channels: int, seed: int) -> None:
        self.right_or_an_error(id, protocol, channels, seed, "emulated")

    @rule(id=st.sampled_from(BOARDS), channels=st.sampled_from(CHANNELS))
    def flash_another_by_hand(self, id: str, channels: int) -> None:
        """With the tool that people use for that board."""
        data = deploy(tflite.read(self.shelf.file(channels)), boards.load(id)).file.data
        BY_HAND[id](self.shelf, boards.load(id), data)

    @rule(id=st.sampled_from(BOARDS), protocol=st.sampled_from(PROTOCOLS), channels=st.sampled_from(CHANNELS))
    def flash_with_the_harness(self, id: str, protocol: str, channels: int) -> None:
        flash_board(
            id,
            self.shelf.board(id).url,
            firmware=protocol,
            models=[str(self.shelf.file(channels))],
            drive=self.shelf.drive(id),
        )

    @rule(id=st.sampled_from(BOARDS))
    def cut_the_power(self, id: str) -> None:
        self.shelf.cut_the_power(id)

    @rule(id=st.sampled_from(BOARDS))
    def press_reset(self, id: str) -> None:
        self.shelf.board(id).press("reset")

    def right_or_an_error(self, id: str, protocol: str, channels: int, seed: int, port: str) -> None:
        """Bench, and hold what comes against the model and the input; nothing here is a reason to fail."""
        result = harness.bench(
            self.shelf.file(channels),
            id,
            protocol=protocol,
            port=port,
            drive=None if port == "emulated" else self.shelf.drive(id),
            invokes=2,
            warmup=0,
            inputs=f"random:{seed}",
            out=self.shelf.place / "results",
        )
        assert not result.failures, (id, protocol, result.failures)
        [record] = result.records
        wanted = right(channels, id, seed)
        assert record.firmware.protocol == protocol
        assert record.model.sha256 == wanted.deployed
        assert record.complete
        for ticks in record.invoke.ticks:
            seconds, step = ticks / record.invoke.tick_hz, record.invoke.resolution_us / 1e6
            assert abs(seconds - wanted.seconds) <= step, (id, protocol, channels, seconds, wanted.seconds)
        if protocol == "bench":
            assert record.outputs.sha256 == [hashlib.sha256(wanted.output).hexdigest()]
            assert record.verification.verdict == "exact"
        elif protocol == "mlperf-tiny":
            assert record.verification.verdict == "within_tolerance"


def by_esptool(shelf: Shelf, board: Profile, data: bytes) -> None:
    file = shelf.place / "other.bin"
    file.write_bytes(data)
    at = hex(board.flash.model_region.offset)
    arguments = ["--chip", "esp32s3", "--port", shelf.board(board.id).url, "write-flash", at, str(file)]
    done = subprocess.run([sys.executable, "-m", "esptool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def by_copy(shelf: Shelf, board: Profile, data: bytes) -> None:
    """Press the button twice, copy a UF2 file to the drive."""
    assert board.flash.uf2
    process = shelf.board(board.id)
    process.press("boot")
    while not (found := list(shelf.drives(board.id).glob("*/INFO_UF2.TXT"))):
        assert process.exit_code is None
        time.sleep(0.01)
    at = board.flash.model_region.offset
    content = uf2file.build(uf2file.swap_words(data), at, board.flash.uf2.family_id)
    (found[0].parent / "other.uf2").write_bytes(content)
    while found[0].exists():
        assert process.exit_code is None
        time.sleep(0.01)


def by_sx(shelf: Shelf, board: Profile, data: bytes) -> None:
    process = shelf.board(board.id)
    send(process, [(preamble(board.flash.model_region.offset).ljust(128, b"\xff"), []), (data, ["-k"])])


BY_HAND: dict[str, Callable[[Shelf, Profile, bytes], None]] = {
    "xiao_esp32s3": by_esptool,
    "grove_vision_ai": by_copy,
    "grove_vision_ai_we2": by_sx,
}


@pytest.fixture
def shelf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_cache: Callable[[Path], Path]
) -> Iterator[Shelf]:
    """A shelf, and a harness that keeps its own boards apart from those of other tests."""
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(new_cache(tmp_path / "cache")))
    made = Shelf(tmp_path)
    by_default = Reach.target

    def with_a_person(reached: Reach, options: dict[str, object] | None = None) -> Target:
        target = by_default(reached, options)
        return (
            target
            if reached.emulated
            else replace(target, ask=lambda _: made.board(reached.board.id).press("reset"))
        )

    monkeypatch.setattr(Reach, "target", with_a_person)
    # A board that is given up too soon is flashed once more, which is what it would be without an answer.
    monkeypatch.setattr(greet, "MAY_HOLD_NOTHING_S", 0.3)
    yield made
    made.close()


def play(shelf: Shelf, sequences: int, number: int = 0) -> None:
    """Play random sequences; another `number` has others."""
    rules = settings(
        max_examples=sequences,
        stateful_step_count=4,
        database=None,
        phases=[Phase.generate],  # a board is no function of what is done to it: nothing to shrink
        suppress_health_check=list(HealthCheck),
    )
    played = get_state_machine_test(type("Played", (Boards,), {"shelf": shelf}), settings=rules)
    seed(number)(played)()


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("sx") is None, reason="needs lrzsz")
def test_a_record_is_right_whatever_was_done_to_the_board_before(shelf: Shelf) -> None:
    play(shelf, 4)


PARTS = 20


@pytest.mark.interop
@pytest.mark.soak
@pytest.mark.skipif(shutil.which("sx") is None, reason="needs lrzsz")
@pytest.mark.parametrize("part", range(PARTS))
def test_two_thousand_sequences(shelf: Shelf, part: int) -> None:
    play(shelf, 2000 // PARTS, part)
