"""A bench with a meter: a virtual Power Profiler Kit II that supplies a virtual board, in step with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness.emulator.process import BoardProcess
from harness.errors import HarnessError

MODEL = "mnist_mbv2_035_32_int8"
# What harness/emulator/run.py makes up.
REST_W, INVOKE_W = 3.3 * 0.025, 3.3 * 0.080


@pytest.fixture(scope="module")
def board() -> Iterator[tuple[str, str]]:
    """A board that holds the model, and its meter."""
    with BoardProcess("xiao_esp32s3", ["--firmware", "bench", "-m", MODEL, "--meter"]) as process:
        yield process.url, process.next_line()


def bench(board: tuple[str, str], out: Path, options: str = "", **more: object) -> harness.Record:
    port, meter = board
    result = harness.bench(MODEL, "xiao_esp32s3", port=port, meter=meter + options, out=out, **more)
    assert not result.failures
    return result.records[0]


def test_a_record_has_the_energy_of_each_invoke(board: tuple[str, str], tmp_path: Path) -> None:
    record = bench(board, tmp_path, invokes=8, warmup=2)
    energy = record.energy
    assert energy is not None
    seconds = record.invoke.ticks[0] / record.invoke.tick_hz
    assert energy.gross_uj == pytest.approx([INVOKE_W * seconds * 1e6] * 8, rel=0.005)
    assert energy.net_uj == pytest.approx([(INVOKE_W - REST_W) * seconds * 1e6] * 8, rel=0.005)
    assert energy.mean_w == pytest.approx(INVOKE_W, rel=0.005)
    assert energy.idle_w == pytest.approx(REST_W, rel=0.005)
    assert (energy.by, energy.left_out) == ("pin", 0)
    assert energy.meter.name == "Power Profiler Kit II"
    assert energy.trace is not None
    assert any(energy.trace.high)


def test_what_a_virtual_meter_says_is_emulated_and_never_measured(
    board: tuple[str, str], tmp_path: Path
) -> None:
    energy = bench(board, tmp_path, invokes=3).energy
    assert energy is not None
    assert energy.origin == "emulated"


def test_a_wire_that_is_not_there_costs_the_energy_and_not_the_times(
    board: tuple[str, str], tmp_path: Path
) -> None:
    record = bench(board, tmp_path, options=",input=5", invokes=3)
    assert record.energy is None
    assert len(record.invoke.ticks) == 3
    assert any("no energy: digital input 5 never went high" in note for note in record.notes)


def test_without_a_wire_the_run_is_measured_as_a_whole(board: tuple[str, str], tmp_path: Path) -> None:
    energy = bench(board, tmp_path, options=",input=none", invokes=3).energy
    assert energy is not None
    assert energy.by == "bracket"
    assert len(energy.gross_uj) == 1


def test_a_board_that_the_harness_emulates_has_no_energy_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="an emulated board draws no current"):
        harness.bench(
            MODEL, "xiao_esp32s3", port="emulated", meter="ppk2:/dev/nowhere,source=3", out=tmp_path
        )


def test_a_meter_that_is_not_there_is_named_before_anything_is_flashed(tmp_path: Path) -> None:
    kept = tmp_path / "flash"
    options = ["--firmware", "none", "--flash", str(kept)]
    with (
        BoardProcess("xiao_esp32s3", options) as blank,
        pytest.raises(HarnessError, match="/dev/nowhere: the PPK2 cannot be opened"),
    ):
        harness.bench(
            MODEL, "xiao_esp32s3", port=blank.url, meter="ppk2:/dev/nowhere,source=3", out=tmp_path / "out"
        )
    flash = next(path for path in kept.iterdir() if path.stat().st_size > 1_000_000)
    assert set(flash.read_bytes()) == {0xFF}


def test_a_meter_is_wired_to_one_board(tmp_path: Path) -> None:
    boards = ("xiao_esp32s3", "grove_vision_ai_we2")
    with pytest.raises(HarnessError, match="a meter supplies one board; name the one with --board"):
        harness.bench(MODEL, boards, meter="ppk2:/dev/nowhere,source=3", out=tmp_path)


def test_the_command_prints_the_energy_in_a_line(board: tuple[str, str], tmp_path: Path) -> None:
    port, meter = board
    call = ["bench", MODEL, "-b", "xiao_esp32s3", "--port", port, "--meter", meter, "-o", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "harness", *call], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("energy: ")]
    assert f"{MODEL} on xiao_esp32s3: " in line
    assert " an invoke (" in line
    assert line.endswith("3.3 V, emulated with Power Profiler Kit II")
