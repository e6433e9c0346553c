"""The fit of the time estimate: it finds what is there, and does not run off where little is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.calibration import (
    Band,
    Residual,
    Sample,
    band,
    coverage,
    estimate,
    fit,
    median_factor,
    residuals,
    worst_factor,
)

_factor = st.floats(0.2, 5)
LOOSE = {"default": 10.0}


def held_out(*ratios: float) -> list[Residual]:
    """Residuals whose known times are so many times their estimates."""
    return [Residual("", 100 * ratio, 100, held_out=True) for ratio in ratios]


@given(_factor, _factor)
def test_factors_that_times_tell_apart_are_found(conv: float, add: float) -> None:
    samples = [
        Sample(f"{a} {b}", {"conv": a, "add": b}, conv * a + add * b)
        for a, b in ((100.0, 1.0), (1.0, 100.0), (50.0, 50.0), (20.0, 80.0), (90.0, 30.0))
    ]
    found = fit(samples, LOOSE)
    for sample in samples:
        assert estimate(sample, found) == pytest.approx(sample.known, rel=0.05)


def test_a_part_that_is_known_well_moves_less_than_one_that_is_not() -> None:
    found = fit([Sample("a", {"npu": 10.0, "job": 10.0}, 40.0)], {"npu": 1.1, "job": 3.0})
    assert found["npu"] < 1.1 < 2 < found["job"]


def test_a_part_that_no_time_speaks_of_keeps_its_size() -> None:
    found = fit([Sample("a", {"conv": 10.0}, 20.0)], LOOSE)
    assert found["conv"] == pytest.approx(2, rel=0.05)
    assert estimate(Sample("b", {"add": 7.0}, 1.0), found) == 7


def test_a_release_of_the_kernel_library_has_one_factor_for_all_its_times() -> None:
    both = [Sample(n, {n: 10.0}, 10.0) for n in "ab"]
    newer = [Sample(n, {n: 10.0}, 8.0, release="2026") for n in "ab"]
    found = fit([*both, *newer], LOOSE)
    assert found["2026"] == pytest.approx(0.8, rel=0.02)
    assert estimate(newer[0], found) == pytest.approx(8, rel=0.02)
    assert estimate(Sample("c", {"a": 10.0}, 1.0, release="1999"), found) == pytest.approx(10, rel=0.02)


def test_a_coarse_clock_counts_for_less() -> None:
    fine, coarse = Sample("a", {"x": 10.0}, 10.0), Sample("b", {"x": 10.0}, 20.0, resolution=20.0)
    assert fit([fine, coarse])["x"] < 1.1 < fit([fine, Sample("b", {"x": 10.0}, 20.0)])["x"]


def test_no_times_change_nothing() -> None:
    assert fit([]) == {}


def test_a_whole_model_is_held_out_with_all_of_its_architecture() -> None:
    small, large = (Sample(f"{s}", {"conv": s}, 3 * s, architecture="net") for s in (10.0, 100.0))
    kernel = Sample("kernel", {"conv": 10.0}, 10.0)
    found = residuals([small, large, kernel], LOOSE)
    assert [r.held_out for r in found] == [True, True, False]
    assert found[0].estimated == pytest.approx(10, rel=0.02)  # the other size of it did not help
    assert found[1].factor == pytest.approx(3, rel=0.02)


def test_a_part_of_a_model_goes_with_it_and_judges_nothing() -> None:
    whole = Sample("whole", {"conv": 10.0}, 30.0, architecture="net")
    part = Sample("part", {"conv": 10.0}, 30.0, architecture="net", whole=False)
    found = residuals([whole, part])
    assert [r.held_out for r in found] == [True, False]
    assert found[0].estimated == 10


def test_errors_are_factors_whichever_way() -> None:
    found = [*held_out(0.5, 1.25, 1.0), Residual("", 900, 100, held_out=False)]
    assert median_factor(found) == pytest.approx(1.25)
    assert worst_factor(found) == pytest.approx(2)
    assert median_factor([]) is None


@given(st.lists(st.floats(0.3, 3), min_size=1, max_size=18))
def test_the_band_holds_all_of_few_times(ratios: list[float]) -> None:
    found = held_out(*ratios)
    within = band(found)
    assert within is not None
    assert within.low <= min(ratios) * 1.000001
    assert within.high >= max(ratios) * 0.999999
    assert coverage(found, Band(within.low * 0.999999, within.high * 1.000001)) == 1


@given(st.integers(19, 60), st.integers(0, 2**32))
def test_the_band_covers_nine_of_ten_of_many(count: int, seed: int) -> None:
    import random

    draw = random.Random(seed)
    found = held_out(*(math.exp(draw.gauss(0, 0.2)) for _ in range(count)))
    within = band(found)
    assert within is not None
    assert coverage(found, within) >= 0.9


def test_two_near_hits_do_not_make_a_narrow_band() -> None:
    within = band(held_out(1.01, 0.99))
    assert within is not None
    assert within.high > 1.4
    assert within.low < 0.75


def test_the_band_is_where_the_times_are() -> None:
    within = band(held_out(*[1.3, 1.2, 1.25, 1.35, 1.3, 1.2, 1.3, 1.25]))
    assert within is not None
    assert within.high - 1 > 2 * (1 - within.low)


def test_no_held_out_time_gives_no_band() -> None:
    assert band([Residual("", 1, 2, held_out=False)]) is None


def test_a_band_widens_beyond_what_was_known() -> None:
    within = Band(0.8, 1.3)
    assert within.widened(1, 0) == within
    larger = within.widened(16, 0)
    assert (larger.low, larger.high) == (pytest.approx(0.4), pytest.approx(2.6))
    unknown = within.widened(1, 0.5)
    assert (unknown.low, unknown.high) == (pytest.approx(0.4), pytest.approx(2.6))
