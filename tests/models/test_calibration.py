"""The fit of the time estimate: it finds what is there, and does not run off where little is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.calibration import Residual, Sample, band, estimate, fit, median_error, residuals

_factor = st.floats(0.2, 5)


@given(_factor, _factor)
def test_factors_that_times_tell_apart_are_found(conv: float, add: float) -> None:
    samples = [
        Sample(f"{a} {b}", {"conv": a, "add": b}, conv * a + add * b)
        for a, b in ((100.0, 1.0), (1.0, 100.0), (50.0, 50.0), (20.0, 80.0), (90.0, 30.0))
    ]
    found = fit(samples)
    for sample in samples:
        assert estimate(sample, found) == pytest.approx(sample.known, rel=0.05)


def test_a_part_that_no_time_speaks_of_keeps_its_size() -> None:
    found = fit([Sample("a", {"conv": 10.0}, 20.0)])
    assert found["conv"] == pytest.approx(2, rel=0.05)
    assert estimate(Sample("b", {"add": 7.0}, 1.0), found) == 7


def test_no_times_change_nothing() -> None:
    assert fit([]) == {}


def test_only_what_others_speak_of_is_held_out() -> None:
    found = residuals(
        [
            Sample("a", {"conv": 10.0}, 20.0),
            Sample("b", {"conv": 20.0, "add": 1.0}, 41.0),
            Sample("c", {"softmax": 5.0}, 5.0),
        ]
    )
    assert [r.held_out for r in found] == [True, True, False]


def test_the_band_holds_two_thirds_of_the_held_out_errors_and_ignores_the_fitted() -> None:
    found = [Residual("", 100 + i, 100, held_out=True) for i in (1, -2, 3, 4)]
    found.append(Residual("", 900, 100, held_out=False))
    assert median_error(found) == pytest.approx(0.025, abs=0.001)
    assert band(found) == pytest.approx(0.03)
    assert band([Residual("", 1, 2, held_out=False)]) is None
