"""Distances in units of the last place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.models.compare import max_ulp


def floats(*values: float) -> list[np.ndarray]:
    return [np.array(values, np.float32)]


def test_integers_differ_by_their_difference_without_wrapping_round() -> None:
    assert max_ulp([np.array([-128, 5], np.int8)], [np.array([127, 5], np.int8)]) == 255
    low, high = np.array([-(2**63)], np.int64), np.array([2**63 - 1], np.int64)
    assert max_ulp([low], [high]) == 2**64 - 1


def test_the_largest_difference_of_all_outputs_counts() -> None:
    a = [np.array([1, 2], np.int16), np.array([3], np.int8)]
    b = [np.array([1, 5], np.int16), np.array([4], np.int8)]
    assert max_ulp(a, b) == 3


@given(st.floats(width=32, min_value=-(2.0**127), max_value=2.0**127))
def test_a_float_is_one_from_its_neighbour_and_two_from_the_next(value: float) -> None:
    up = np.nextafter(np.float32(value), np.float32(math.inf))
    upper = np.nextafter(up, np.float32(math.inf))
    assert max_ulp(floats(value), floats(value)) == 0
    assert max_ulp(floats(value), floats(up)) == 1
    assert max_ulp(floats(upper), floats(value)) == 2


def test_zeros_are_equal_and_tiny_numbers_of_both_signs_are_near() -> None:
    assert max_ulp(floats(0.0), floats(-0.0)) == 0
    tiny = float(np.finfo(np.float32).smallest_subnormal)
    assert max_ulp(floats(tiny), floats(-tiny)) == 2


def test_nan_equals_nan_and_is_far_from_every_number() -> None:
    assert max_ulp(floats(math.nan, 1.0), floats(math.nan, 1.0)) == 0
    assert max_ulp(floats(math.nan), floats(math.inf)) == 2**32


@pytest.mark.parametrize(
    "other", [[], [np.zeros((2, 1), np.int8)], [np.zeros(2, np.uint8)], [np.zeros(2, np.int8)] * 2]
)
def test_outputs_of_another_form_are_not_compared(other: list[np.ndarray]) -> None:
    with pytest.raises(HarnessError, match="cannot compare"):
        max_ulp([np.zeros(2, np.int8)], other)
