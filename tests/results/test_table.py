"""How figures are written: with their unit, and no more digits than are known."""

from __future__ import annotations

import pytest

from harness.results.group import group
from harness.results.table import band, decimals, milliseconds, origin_of_time
from tests.results.making import record


@pytest.mark.parametrize(
    ("time_us", "resolution_us", "text"),
    [
        (None, 0.0, "–"),
        (310.7, 0.0025, "0.311 ms"),
        (310.7, 1.0, "0.311 ms"),
        (54_213.0, 0.01, "54.21 ms"),
        (11_000.0, 1000.0, "11 ms"),
        (11_040.0, 100.0, "11.0 ms"),
        (0.0, 1000.0, "< 1 ms"),
        (0.0, 1.0, "< 0.001 ms"),
        (0.0, 0.0, "0.000 ms"),
        (2_345_678.0, 1.0, "2,346 ms"),
    ],
)
def test_a_time_has_the_digits_that_its_timer_bears_out(
    time_us: float | None, resolution_us: float, text: str
) -> None:
    assert milliseconds(time_us, resolution_us) == text


def test_decimals_of_milliseconds_by_the_step_of_the_timer() -> None:
    assert [decimals(step, 3) for step in (0.0, 0.5, 1, 10, 50, 100, 1000, 20_000)] == [
        3,
        3,
        3,
        2,
        2,
        1,
        0,
        0,
    ]


def test_an_estimate_is_written_with_its_error_band() -> None:
    assert origin_of_time("measured") == "measured"
    assert origin_of_time("estimated", 5.6) == "estimated ±6 %"
    assert origin_of_time("estimated", 35.3, 18.4) == "estimated -18/+35 %"
    assert origin_of_time("estimated", 398.0, 60.0) == "estimated, up to ×5.0"


@pytest.mark.parametrize(
    ("longer", "shorter", "text"),
    [
        (5.6, None, "±6 %"),
        (5.6, 5.9, "±6 %"),
        (35.3, 18.4, "-18/+35 %"),
        (10.0, 40.0, "-40/+10 %"),
        (99.4, 99.4, "±99 %"),
        (152.0, 60.0, "up to ×2.5"),
    ],
)
def test_a_band_is_as_lopsided_as_the_errors(longer: float, shorter: float | None, text: str) -> None:
    assert band(longer, shorter) == text


def test_a_group_is_as_fine_as_its_typical_timer_and_as_wrong_as_its_worst_estimate() -> None:
    coarse = {"tick_hz": 1000, "resolution_us": 1000.0, "error_percent": 9.0}
    fine = {"resolution_us": 1.0, "error_percent": 5.0, "error_below_percent": 12.0}
    made = [
        record([11], origin="estimated", invoke={**coarse, "origin": "estimated", "ticks": [11]}),
        record([10_790], origin="estimated", invoke=fine),
        record([10_790], origin="estimated", invoke=fine),
    ]
    [one] = group(made)
    assert one.median_time == "10.79 ms"
    assert one.time_is == "estimated -12/+9 %"
    [alone] = group(made[:1])
    assert (alone.median_time, alone.time_is) == ("11 ms", "estimated ±9 %")


def test_the_arena_of_a_group_has_the_origin_of_the_run_that_it_is_from() -> None:
    made = [
        record(origin="measured", arena=130_000, ram={"origin": "emulated"}),
        record(origin="measured", arena=120_000, day=1),
        record(origin="measured", arena=None, day=2),
    ]
    [one] = group(made)
    assert (one.arena_used_bytes, one.ram.origin) == (130_000, "emulated")
    assert group(made[2:])[0].arena_used_bytes is None
