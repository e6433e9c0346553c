"""A short, seeded part of the fuzzing of decoder and device; ten minutes of it by name (`pytest -m soak`)."""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from harness.wire import messages as m
from tests.firmware import selftest
from tests.firmware.builds import build, require

pytestmark = pytest.mark.interop

VECTORS = Path(__file__).resolve().parents[1] / "vectors/bench-v2.json"
ACTIONS_BYTES = 512
"""Of the input of fuzz_device, before the bytes that are in flash."""

EFFORT = pytest.mark.parametrize(
    "effort",
    [
        pytest.param("-runs=10000", id="sample"),
        pytest.param("-max_total_time=600", id="ten-minutes", marks=pytest.mark.soak),
    ],
)


@pytest.fixture(scope="module")
def fuzzers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("clang")
    return build("fuzz", tmp_path_factory) / "tests"


def fuzz(program: Path, seeds: list[bytes], directory: Path, effort: str) -> None:
    for number, seed in enumerate(seeds):
        (directory / f"seed{number:03}").write_bytes(seed)
    done = subprocess.run(
        [program, effort, "-seed=1", "-max_len=4096", "-timeout=10", directory],
        cwd=directory,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    print(done.stderr[-200:])  # for `pytest -rP`: executions and coverage counters


def decoder_seeds() -> list[bytes]:
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    lines = [bytes.fromhex(vector["line"]) for vector in vectors["messages"] + vectors["streams"]]
    return [*lines, b"".join(lines), b"name%db load 10%db 0102%infer 1 0%\r\n%%"]


IDLE = struct.pack("<BB", 0xFE, 0)
"""The action of saying nothing: in an invoke the device's look at the line ends with it."""


def device_seeds(data: bytes, between: bytes = b"") -> list[bytes]:
    """Return a conversation with a model in flash that `data` is loaded into, cut into ever longer parts."""
    conversation: list[m.Message | bytes] = [
        *(
            m.Identify(),
            m.GetModel(0),
            m.GetModel(1),
            m.Digest(0x400000, 400),
            m.Select(0x400000),
            m.GetTensor(0, 0),
            m.GetTensor(1, 0),
        ),
        m.Open(1, 0, 0, 0, 0, len(data), 8, zlib.crc32(data)),
        *(m.Data(1, 0, 8, data[8:]), m.Data(1, 0, 0, data[:8]), m.Probe()),
        *(
            m.StartRun(1, 1, 1, 3, 1),
            m.GetRun(),
            m.SamplesAck(1, 1, 0),
            m.GetOutput(0, 0, 1, 9),
            m.GetLayer(0),
            m.GetRun(),
            m.Digest(0x400000, 400),
            b"name%infer 1%",
            m.Open(2, 1, 0, 0, 0, 8, 8, 0),
        ),
        *(m.GetMemory(), m.GetOperators(0), m.GetClock(), m.StartRun(2, 0, 0, 200, 1), m.Abort()),
        *(
            b"infer 2 1%",
            m.GetRun(),
            b"db load 4%db 0102%db 0304%",
            b"db print%infer 2 1%results%",
            b"timestamp%help%name%profile%",
        ),
    ]
    actions = [
        bytes([0xFF, len(step)]) + step
        if isinstance(step, bytes)
        else bytes([step.TYPE, len(step.pack())]) + step.pack()
        for step in conversation
    ]
    flash = selftest.two_inputs()
    seeds = []
    for count in range(2, len(actions) + 1, 3):
        said = between.join(actions[:count])
        assert len(said) <= ACTIONS_BYTES
        said += IDLE * ((ACTIONS_BYTES - len(said)) // 2)
        seeds.append(said.ljust(ACTIONS_BYTES, b"\0") + flash)
    return seeds


@EFFORT
def test_any_bytes_can_come_to_the_decoder(fuzzers: Path, tmp_path: Path, effort: str) -> None:
    fuzz(fuzzers / "fuzz_decoder", decoder_seeds(), tmp_path, effort)


@EFFORT
def test_any_sequence_of_messages_can_come_to_a_device(fuzzers: Path, tmp_path: Path, effort: str) -> None:
    # Invokes of 30 ms in 6 operators: what follows the start of a run comes in the middle of one.
    seeds = device_seeds(selftest.asking_to("w", 5000, 6))
    seeds += device_seeds(selftest.asking_to("s", 30000, 9), IDLE)
    # An engine that is told to hang, or to wait for an hour, does neither here: a fuzzer would find no end.
    seeds += [
        device_seeds(data)[-1]
        for data in (
            selftest.asking_to("h"),
            selftest.asking_to("w", 0xFFFFFFFF),
            selftest.asking_to("s", 0xFFFFFFFF, 0xFFFF),
        )
    ]
    fuzz(fuzzers / "fuzz_device", seeds, tmp_path, effort)
