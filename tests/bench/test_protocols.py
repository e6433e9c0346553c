"""The same job over each protocol, and over a line that is slow and does harm."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.emulator.process import BoardProcess
from harness.errors import BoardError
from harness.results import store
from harness.results.record import Record

SMALL = "cifar10_mbv2_035_32_int8"


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
    assert any("not checked" in note for note in text.notes)
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
    assert any("by its size alone" in note for note in record.notes)


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
