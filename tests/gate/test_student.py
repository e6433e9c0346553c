"""Quantiles of Student's t, held against SciPy's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit

from harness.gate.student import quantile


@given(st.floats(0.001, 0.9999), st.floats(1, 1e6))
def test_a_quantile_is_scipys(p: float, degrees: float) -> None:
    assert quantile(p, degrees) == pytest.approx(float(stdtrit(degrees, p)), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(("degrees", "published"), [(1, 6.314), (2, 2.920), (10, 1.812), (120, 1.658)])
def test_the_95_percent_column_of_the_printed_tables(degrees: int, published: float) -> None:
    assert round(quantile(0.95, degrees), 3) == published


def test_beyond_ten_million_degrees_it_is_the_normal_distributions() -> None:
    assert quantile(0.975, 1e9) == pytest.approx(1.959963985)
