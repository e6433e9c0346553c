"""The same job over each protocol, and over a line that is slow and does harm."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import harness
from harness import boards
from harness.emulator.bench_firmware import BenchFirmware
from harness.emulator.engine import DeviceInfo, Invoked, Loaded, ModelEntry
from harness.emulator.firmware import Firmware
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.model_flash import ModelFlash
from harness.emulator.process import BoardProcess
from harness.emulator.tflm_engine import TflmRuntime
from harness.errors import BoardError
from harness.models.build import Builder, Scale
from harness.models.resolve import resolve
from harness.results import store
from harness.results.record import Record
from harness.runner.api import Observer
from tests.results.running import harness as in_process
from tests.wire.serving import toy_board
from tests.wire.tampering import Talker
from tests.wire.toy import BlockingEngine

SMALL = "cifar10_mbv2_035_32_int8"
XIAO = boards.load("xiao_esp32s3")


def bench_one(out: Path, **options: object) -> Record:
    result = harness.bench([SMALL], ["xiao_esp32s3"], out=out, **options)  # type: ignore[arg-type]
    assert not result.failures
    [path] = [path.parent for path in out.glob("*/record.json")]
    return store.read(path)


def test_mlperf_tiny_brings_a_record_like_any_other(tmp_path: Path) -> None:
    binary = bench_one(tmp_path / "a", protocol="bench", port="emulated", invokes=20)
    text = bench_one(tmp_path / "b", protocol="mlperf-tiny", port="emulated", invokes=20)
    assert text.firmware.protocol == "mlperf-tiny"
    assert text.inputs == binary.inputs
    assert text.invoke.origin == "estimated"
    mean = sum(binary.invoke.ticks) / len(binary.invoke.ticks) / binary.invoke.tick_hz
    assert len(text.invoke.ticks) == 10
    for ticks in text.invoke.ticks:
        assert ticks / text.invoke.tick_hz == pytest.approx(mean, abs=1e-6)
    assert text.ram.arena_used_bytes is None
    assert text.ram.method == "not reported by this protocol"
    assert text.outputs.reason == "the protocol mlperf-tiny has no outputs"
    assert any("cannot tell which model runs" in note for note in text.notes)
    assert any("the mean of 2 invokes" in note for note in text.notes)
    assert text.complete


def test_the_stock_firmware_brings_whole_milliseconds_of_what_the_camera_saw(tmp_path: Path) -> None:
    record = bench_one(tmp_path, protocol="sscma", port="emulated", invokes=4)
    assert record.firmware.protocol == "sscma"
    assert record.firmware.name == "SSCMA-Micro"
    assert (record.invoke.tick_hz, record.invoke.resolution_us) == (1000, 1000.0)
    assert len(record.invoke.ticks) == 4
    assert record.invoke.origin == "estimated"
    assert record.inputs.spec == ["the board's camera"]
    assert record.ram.arena_used_bytes is None
    assert any("cannot tell which model runs" in note for note in record.notes)


def test_a_run_over_a_slow_bad_line_with_a_reset_in_it_is_whole_and_says_so(tmp_path: Path) -> None:
    options = ["--firmware", "bench", "--model", SMALL, "--baud", "921600", "--latency", "2"]
    options += ["--faults", "flip=1/5000,drop=1/5000,reset@9000,seed=4"]
    with BoardProcess("xiao_esp32s3", options) as board:
        record = bench_one(tmp_path, port=board.url, invokes=300)
    assert len(record.invoke.ticks) == 300
    assert record.complete
    assert record.verification.verdict == "exact"
    assert [incident.kind for incident in record.incidents] == ["reset"]


def test_a_port_that_goes_away_and_comes_back_costs_no_sample(tmp_path: Path) -> None:
    options = ["--firmware", "bench", "--model", SMALL, "--faults", "vanish@9000:0.5"]
    with BoardProcess("xiao_esp32s3", options, listen="socket://127.0.0.1:0") as board:
        record = bench_one(tmp_path, port=board.url, invokes=1000)
    assert len(record.invoke.ticks) == 1000
    assert record.complete
    assert [incident.kind for incident in record.incidents] == ["port-lost", "reconnected"]


def test_a_pseudo_terminal_cannot_vanish_and_says_what_can() -> None:
    with pytest.raises(BoardError, match="vanish needs --listen socket://HOST:PORT"):
        BoardProcess("xiao_esp32s3", ["--faults", "vanish@100"])


class CutsShort(Observer):
    """The user, who presses Ctrl-C when so many samples are there."""

    def __init__(self, samples: int) -> None:
        self._samples = samples

    def progress(self, step: str, done: int, total: int) -> None:
        if step == "invoke" and done == self._samples:
            raise KeyboardInterrupt


@pytest.mark.parametrize("protocol", ["bench", "mlperf-tiny", "sscma"])
def test_a_run_that_is_cut_short_records_the_same_times(tmp_path: Path, protocol: str) -> None:
    options = ["--firmware", protocol, "--model", SMALL]
    job: dict[str, object] = {"protocol": protocol, "invokes": 40}
    with BoardProcess("xiao_esp32s3", options) as board:
        whole = bench_one(tmp_path / "whole", port=board.url, **job)
        result = harness.bench(
            [SMALL], ["xiao_esp32s3"], port=board.url, out=tmp_path / "cut", observer=CutsShort(3), **job
        )  # type: ignore[arg-type]
    [cut] = result.records
    assert result.interrupted
    assert not cut.complete
    assert 3 <= len(cut.invoke.ticks) < len(whole.invoke.ticks)
    assert cut.invoke.requested == whole.invoke.requested == len(whole.invoke.ticks)
    assert cut.invoke.tick_hz == whole.invoke.tick_hz
    for ticks in cut.invoke.ticks:
        assert ticks == pytest.approx(whole.invoke.ticks[0], abs=1)
    assert "interrupted by the user" in cut.notes
    assert set(whole.notes) <= set(cut.notes)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (b"", "it sent nothing"),
        (b"\r\nm-ready\r\n", "use --protocol mlperf-tiny"),
    ],
)
def test_what_answered_is_told_where_the_board_cannot_be_flashed_either(
    tmp_path: Path, words: bytes, hint: str
) -> None:
    with toy_board(boot=lambda boots: Talker(words)) as board:
        result = harness.bench([SMALL], ["xiao_esp32s3"], port=board.url, out=tmp_path)
    [failure] = result.failures
    assert failure.message.startswith(f"no board that speaks the bench protocol at {board.url}")
    assert hint in failure.message
    assert "nor can it be flashed" in failure.message
    assert "\n" not in failure.message


class Clocked(BlockingEngine):
    """An engine whose clock runs at `rate`, and whose invokes take their time."""

    def __init__(self, flash: BoardFlash, rate: float) -> None:
        self._models = ModelFlash(XIAO, flash)
        self._runtime = TflmRuntime(XIAO, flash)
        self._rate = rate

    def models(self) -> Sequence[ModelEntry]:
        return self._models.models()

    def read(self, address: int, length: int) -> bytes:
        return self._models.read(address, length)

    def load(self, address: int) -> Loaded:
        return self._runtime.load(address)

    def invoke(self, inputs: Sequence[bytes], profile: bool) -> Invoked:
        time.sleep(0.01)
        return self._runtime.invoke(inputs, profile)

    def ticks(self) -> int:
        return int(time.monotonic() * XIAO.clock_hz * self._rate)


@pytest.mark.parametrize(("rate", "wrong"), [(1.01, False), (0.667, True)])
def test_the_record_of_a_measured_run_holds_how_the_clocks_compare(
    tmp_path: Path, rate: float, wrong: bool
) -> None:
    flash = BoardFlash(XIAO, None)
    flash.program_for_core(XIAO.flash.model_region.offset, resolve(SMALL).data)

    def boot(boots: int) -> Firmware:
        engine = Clocked(flash, rate)
        info = DeviceInfo(
            XIAO.id, "a firmware of one's own", "1", "", "", "TFLite-Micro", XIAO.clock_hz, XIAO.clock_hz
        )
        return BenchFirmware(info, engine, boot=boots)

    with toy_board(boot=boot) as board:
        record = bench_one(tmp_path, port=board.url, invokes=50)
    assert record.invoke.origin == "measured"
    assert record.clock_drift_ppm == pytest.approx((rate - 1) * 1e6, abs=5000)
    [note] = [note for note in record.notes if "clock" in note]
    assert "known to within" in note
    assert ("tick rate is not what its firmware says" in note) == wrong


def test_a_timer_of_milliseconds_never_shows_as_no_time(tmp_path: Path) -> None:
    small = Builder()
    main = small.subgraph("main")
    pixels = main.input("x", (1, 8, 8, 3), "int8", Scale(1 / 255, -128))
    weights = main.constant("w", np.ones((4, 1, 1, 3), np.int8), Scale([0.01] * 4, [0] * 4))
    main.operator(
        "CONV_2D",
        [pixels, weights, main.constant("b", np.zeros(4, np.int32), Scale([0.01 / 255] * 4, [0] * 4))],
        [main.output("y", (1, 8, 8, 4), "int8", Scale(1 / 255, -128))],
        padding="VALID",
        stride_h=1,
        stride_w=1,
    )
    (tmp_path / "small.tflite").write_bytes(small.finish())
    done = in_process(*("bench", "small.tflite", "-b", "xiao_esp32s3", "--protocol", "sscma"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert " < 1 ms " in done.stdout
    assert "0.000 ms" not in done.stdout
    assert "note: small on xiao_esp32s3: sscma takes no tensors" in done.stdout
