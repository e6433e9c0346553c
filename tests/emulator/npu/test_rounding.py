"""Fixed-point scaling against the reference's definitions, in exact integers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.emulator.npu.rounding import Rounding, Scaler, rescale, saturate, shift_right

VALUES = st.integers(-(1 << 39), (1 << 39) - 1)
SCALES = st.integers(0, (1 << 32) - 1)


def _away(value: int, power: int) -> int:
    """Divide by 2**power, to nearest, ties away from zero."""
    half = (1 << power) // 2
    return (value + half) >> power if value >= 0 else -((-value + half) >> power)


def _half_up(value: int, power: int) -> int:
    return (value + ((1 << power) >> 1)) >> power


def _expected(value: int, scale: int, shift: int, mode: Rounding) -> int:
    exact = value * scale
    if mode is Rounding.TRUNCATE:
        result = abs(exact) >> shift
        result = -result if exact < 0 else result
    elif mode is Rounding.NATURAL or shift <= 31:
        result = _half_up(exact, shift)
    else:
        result = _away(_half_up(exact, 31), shift - 31)
    return max(-(1 << 31), min((1 << 31) - 1, result))


@given(st.lists(VALUES, min_size=1, max_size=8), SCALES, st.integers(0, 63), st.sampled_from(Rounding))
def test_one_scale_for_all_rounds_as_defined(
    values: list[int], scale: int, shift: int, mode: Rounding
) -> None:
    found = rescale(np.array(values, np.int64), scale, shift, mode)
    assert found.tolist() == [_expected(value, scale, shift, mode) for value in values]


@given(
    st.lists(st.tuples(VALUES, SCALES, st.integers(0, 63)), min_size=1, max_size=8), st.sampled_from(Rounding)
)
def test_a_scale_per_channel_rounds_as_defined(records: list[tuple[int, int, int]], mode: Rounding) -> None:
    values, scales, shifts = (np.array(column, np.int64) for column in zip(*records, strict=True))
    found = rescale(values[None], scales, shifts, mode)
    assert found[0].tolist() == [_expected(*record, mode) for record in records]


@given(
    st.lists(
        st.tuples(
            st.integers(-(1 << 26), 1 << 26), st.integers(-(1 << 33), 1 << 33), SCALES, st.integers(0, 63)
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(Rounding),
    st.booleans(),
)
def test_a_bias_is_added_before_scaling_whether_or_not_a_bound_is_known(
    records: list[tuple[int, int, int, int]], mode: Rounding, bounded: bool
) -> None:
    sums, bias, scales, shifts = (np.array(column, np.int64) for column in zip(*records, strict=True))
    largest = int(np.abs(sums).max() + np.abs(bias).max()) if bounded else None
    scaler = Scaler(scales, shifts, mode, bias=bias, largest=largest)
    wanted = [_expected(value + extra, scale, shift, mode) for value, extra, scale, shift in records]
    for _ in range(2):
        assert scaler(np.tile(sums, (3, 1))).tolist() == [wanted] * 3


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(0, 40), st.sampled_from(Rounding))
def test_shifting_right_by_an_element_rounds_as_defined(value: int, amount: int, mode: Rounding) -> None:
    found = int(shift_right(np.array([value]), np.array([amount]), mode)[0])
    if mode is Rounding.TFL:
        assert found == _away(value, amount)
    elif mode is Rounding.NATURAL:
        assert found == _half_up(value, amount)
    else:
        assert found == int(value / (1 << amount))


def test_saturation_keeps_to_32_bits() -> None:
    assert saturate(np.array([1 << 40, -(1 << 40), 5])).tolist() == [(1 << 31) - 1, -(1 << 31), 5]
