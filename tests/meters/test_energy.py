"""Energy of invokes whose integral is known, since the current was made up: within 0.5 %."""

from __future__ import annotations

import numpy as np
import pytest

from harness.meters.energy import Energy, NoEnergy, of_run
from harness.meters.recorder import Recorder
from tests.meters.circuits import Board, Playing, Pulse

PIN = 3
VOLTS = 3.3
WARMUP = 2


def constant(amperes: float):  # type: ignore[no-untyped-def]
    return lambda times: np.full(len(times), amperes)


def measured(meter: Playing, pulses: list[Pulse], input: int | None = PIN, skew_ppm: float = 0.0) -> Energy:
    """Bench pulses, the first of which are the warm-up; `skew_ppm` is of the device's clock."""
    with Recorder(meter, input) as recorder:
        recorder.rest()
        meter.board.invoke(pulses)
        recorder.rest()
        recording = recorder.end()
    said = [pulse.seconds * (1 + skew_ppm * 1e-6) for pulse in pulses[WARMUP:]]
    return of_run(recording, said, WARMUP)


def median_uj(values: tuple[float, ...]) -> float:
    return float(np.median(values))


@pytest.mark.parametrize("rate_hz", [10_000, 31_250, 100_000])
def test_the_integral_of_each_invoke_is_found(rate_hz: float) -> None:
    board = Board(rate_hz, constant(0.020), ripple=0.02)
    pulses = [Pulse(0.0153, 0.080) for _ in range(60)]
    energy = measured(Playing(board), pulses)
    assert median_uj(energy.gross_uj) == pytest.approx(VOLTS * 0.080 * 0.0153 * 1e6, rel=0.005)
    assert median_uj(energy.net_uj) == pytest.approx(VOLTS * 0.060 * 0.0153 * 1e6, rel=0.005)
    assert energy.mean_w == pytest.approx(VOLTS * 0.080, rel=0.005)
    assert energy.idle_w == pytest.approx(VOLTS * 0.020, rel=0.005)
    assert len(energy.gross_uj) == 58
    assert energy.by == "pin"


@pytest.mark.parametrize("skew_ppm", [-200, 200])
def test_a_device_whose_clock_is_off_changes_nothing_beyond_that(skew_ppm: float) -> None:
    board = Board(100_000, constant(0.020), ripple=0.02)
    energy = measured(Playing(board), [Pulse(0.0153, 0.080) for _ in range(60)], skew_ppm=skew_ppm)
    assert median_uj(energy.gross_uj) == pytest.approx(VOLTS * 0.080 * 0.0153 * 1e6, rel=0.005)
    assert len(energy.gross_uj) == 58


def test_lost_samples_leave_out_an_invoke_that_lost_many_and_no_other() -> None:
    board = Board(100_000, constant(0.020), ripple=0.02)
    # From 1.4 s on pulses come: 30 gaps of 0.1 ms, and two of 5 ms.
    lost = [(140_000 + 7_001 * i, 10) for i in range(12)] + [(160_000, 500), (195_000, 500)]
    energy = measured(Playing(board, lost=sorted(lost)), [Pulse(0.0153, 0.080) for _ in range(60)])
    assert median_uj(energy.gross_uj) == pytest.approx(VOLTS * 0.080 * 0.0153 * 1e6, rel=0.005)
    assert 1 <= energy.left_out <= 6
    assert all(value == pytest.approx(VOLTS * 0.080 * 0.0153 * 1e6, rel=0.02) for value in energy.gross_uj)


def test_a_bouncing_edge_is_one_edge() -> None:
    board = Board(100_000, constant(0.020), ripple=0.02)
    energy = measured(Playing(board), [Pulse(0.0153, 0.080, bounces=1) for _ in range(40)])
    assert median_uj(energy.gross_uj) == pytest.approx(VOLTS * 0.080 * 0.0153 * 1e6, rel=0.005)
    assert energy.left_out == 0


def test_missed_pulses_are_told_and_the_rest_is_right() -> None:
    board = Board(100_000, constant(0.020), ripple=0.02)
    pulses = [Pulse(0.0153, 0.080, pinned=i % 9 != 5) for i in range(60)]
    energy = measured(Playing(board), pulses)
    assert median_uj(energy.gross_uj) == pytest.approx(VOLTS * 0.080 * 0.0153 * 1e6, rel=0.005)
    assert energy.left_out > 0
    assert any("pulses for 2 + 58 invokes" in note for note in energy.notes)


def test_pulses_of_unlike_length_are_not_mixed_up_if_some_are_missing() -> None:
    """Without a count that fits, which pulse is which invoke is not known: each counts by its own length."""
    board = Board(100_000, constant(0.020), ripple=0.02)
    pulses = [Pulse(0.010 if i % 2 else 0.020, 0.080, pinned=i not in (7, 12)) for i in range(60)]
    energy = measured(Playing(board), pulses)
    ends = VOLTS * 0.080 * 1e4, VOLTS * 0.080 * 2e4
    assert all(min(abs(value / end - 1) for end in ends) < 0.01 for value in energy.gross_uj)


def test_an_idle_that_drifts_is_taken_off_as_it_was_at_each_invoke() -> None:
    def rest(times):  # type: ignore[no-untyped-def]
        return 0.020 + 0.004 * times / 3.0

    board = Board(50_000, rest, ripple=0.02)
    pulses = [Pulse(0.0153, 0.080) for _ in range(60)]
    energy = measured(Playing(board), pulses)
    # The run lasts from 1.3 s to 2.4 s: idle is 0.0225 A at its middle.
    assert energy.idle_w == pytest.approx(VOLTS * 0.0225, rel=0.03)
    assert median_uj(energy.net_uj) == pytest.approx(VOLTS * (0.080 - 0.0225) * 0.0153 * 1e6, rel=0.01)


@pytest.mark.parametrize("samples", [1.6, 3.3, 7.7])
def test_an_invoke_of_few_samples_has_a_wide_uncertainty_and_says_so(samples: float) -> None:
    board = Board(10_000, constant(0.020), ripple=0.02)
    seconds = samples / 10_000
    energy = measured(Playing(board), [Pulse(seconds, 0.080) for _ in range(200)])
    true = VOLTS * 0.080 * seconds * 1e6
    assert energy.uncertainty_percent > 3
    assert median_uj(energy.gross_uj) == pytest.approx(true, rel=energy.uncertainty_percent / 100)
    assert any("samples long at 10000 a second" in note for note in energy.notes)


def test_without_a_pin_the_run_as_a_whole_is_measured_and_says_so() -> None:
    board = Board(50_000, constant(0.020), ripple=0.02, gap_s=0.0)
    pulses = [Pulse(0.0153, 0.080) for _ in range(100)]
    energy = measured(Playing(board), pulses, input=None)
    assert energy.by == "bracket"
    assert energy.gross_uj[0] == pytest.approx(VOLTS * 0.080 * 0.0153 * 1e6, rel=0.005)
    assert energy.net_uj[0] == pytest.approx(VOLTS * 0.060 * 0.0153 * 1e6, rel=0.005)
    assert any("no pin" in note for note in energy.notes)


def test_a_meter_that_goes_in_mid_run_leaves_no_figure_and_says_why() -> None:
    board = Board(100_000, constant(0.020))
    meter = Playing(board, goes_at=160_000)
    with Recorder(meter, PIN) as recorder:
        recorder.rest()
        recorder.rest()
        recording = recorder.end()
    with pytest.raises(NoEnergy, match="playing has gone"):
        of_run(recording, [0.01], WARMUP)
    assert meter.closed


def test_a_pin_that_is_not_wired_leaves_no_figure_and_says_what_to_look_at() -> None:
    board = Board(100_000, constant(0.020))
    with pytest.raises(NoEnergy, match="input 3 never went high: is it wired"):
        measured(Playing(board), [Pulse(0.01, 0.08, pinned=False) for _ in range(10)])


def test_a_signal_that_is_not_the_invokes_leaves_no_figure() -> None:
    board = Board(100_000, constant(0.020))
    meter = Playing(board)
    with Recorder(meter, PIN) as recorder:
        recorder.rest()
        board.invoke([Pulse(0.004, 0.080) for _ in range(12)])
        recorder.rest()
        recording = recorder.end()
    with pytest.raises(NoEnergy, match="none of the 12 pulses"):
        of_run(recording, [0.0153] * 10, WARMUP)
