"""A trace from a file, as other programs export it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.meters.energy import Energy, NoEnergy, of_run
from harness.meters.meter import parse
from harness.meters.recorder import Recorder

RATE_HZ = 10_000
SECONDS, PULSES = 0.0153, 30
TRUE_UJ = 3.3 * 0.080 * SECONDS * 1e6


def trace() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half a second of rest, pulses of 80 mA with 5 ms between them, and rest again; 20 mA otherwise."""
    times = np.arange(0, 1.7, 1 / RATE_HZ)
    begins = 0.5037 + np.arange(PULSES) * (SECONDS + 0.005)
    high = ((times[:, None] >= begins) & (times[:, None] < begins + SECONDS)).any(axis=1)
    noise = np.random.default_rng(2).normal(1, 0.01, len(times))
    return times, np.where(high, 0.080, 0.020) * noise, high


def energy(file: Path, options: str = "volts=3.3,input=0") -> Energy:
    spec = parse(f"file:{file},{options}")
    with Recorder(spec.open(), spec.input) as recorder:
        recorder.rest()
        recorder.rest()
        recording = recorder.end()
    return of_run(recording, [SECONDS] * PULSES, 0)


def test_columns_are_known_by_their_names_and_units(tmp_path: Path) -> None:
    times, amperes, high = trace()
    file = tmp_path / "trace.csv"
    rows = [f"{t:.4f},{a:.6f},3.3,{int(h)}" for t, a, h in zip(times, amperes, high, strict=True)]
    file.write_text("time_s,current_a,voltage_v,d0\n" + "\n".join(rows))
    found = energy(file, "input=0")
    assert np.median(found.gross_uj) == pytest.approx(TRUE_UJ, rel=0.005)
    assert np.median(found.net_uj) == pytest.approx(TRUE_UJ * 0.75, rel=0.005)
    assert len(found.gross_uj) == PULSES


def test_an_export_of_nordics_power_profiler_is_read(tmp_path: Path) -> None:
    """Header and columns as pc-nrfconnect-ppk 8da7626 writes them (src/actions/exportChartAction.ts)."""
    times, amperes, high = trace()
    file = tmp_path / "ppk.csv"
    rows = [
        f"{t * 1e3:.3f},{a * 1e6:.3f},{int(h)}0000000" for t, a, h in zip(times, amperes, high, strict=True)
    ]
    file.write_text("Timestamp(ms),Current(uA),D0-D7\n" + "\n".join(rows))
    assert np.median(energy(file).gross_uj) == pytest.approx(TRUE_UJ, rel=0.005)


def test_without_a_pin_a_recording_gives_no_energy_and_says_why(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("time_s,current_a\n" + "\n".join(f"{i / 1000},{0.02}" for i in range(3000)))
    with pytest.raises(NoEnergy):
        energy(file, "volts=3.3,input=none")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no time and current"),
        ("time_s,volts\n0,1\n1,1\n", "names no time and current"),
        ("time_s,current_a\n", "has no samples"),
        ("time_s,current_a\n0,1\n0,1\n", "its times do not rise"),
        ("time_s,current_a\n0,1\n1,x\n", "lines 2 to 3: a number is missing or damaged"),
        ("time_s,current_a\n0,1\n1\n", "lines 2 to 3: a number is missing or damaged"),
    ],
)
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)
    with pytest.raises(HarnessError, match=says):
        parse(f"file:{file},volts=3.3").open()


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="No such file"):
        parse(f"file:{tmp_path / 'none.csv'},volts=3").open()
    (tmp_path / "x.csv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(HarnessError, match="is no CSV file"):
        parse(f"file:{tmp_path / 'x.csv'},volts=3").open()


def test_a_trace_without_a_voltage_needs_one(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("time_s,current_a\n0,1\n1,1\n")
    with pytest.raises(HarnessError, match="has no voltage; give the board's supply"):
        parse(f"file:{file}").open()
