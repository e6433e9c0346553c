"""Fixed-point scaling as the NPU's output unit does it.

A value is multiplied by a 32-bit scale and shifted right by up to 63 bits. The three rounding modes are
those of `rounding` in ethos-u-vela's register definitions; TFL is the double rounding of the TFLite
reference kernels (gemmlowp's SaturatingRoundingDoublingHighMul, then RoundingDivideByPOT).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.models.npu.operations import Rounding

Int64 = NDArray[np.int64]

INT32_MIN = -(1 << 31)
INT32_MAX = (1 << 31) - 1
_SAFE = 1 << 62


def _magnitude(values: NDArray[Any]) -> int:
    if values.size == 0:
        return 0
    return max(int(values.max()), -int(values.min()))


def divide_by_power(values: NDArray[Any], exponent: int | NDArray[Any]) -> NDArray[Any]:
    """Divide by 2**exponent, to nearest, ties away from zero."""
    mask = (1 << exponent) - 1 if isinstance(exponent, int) else (np.int64(1) << exponent) - 1
    remainder = values & mask
    threshold = (mask >> 1) + (values < 0)
    return (values >> exponent) + (remainder > threshold)


class Scaler:
    """Multiplies by a scale and shifts right, saturating to 32 bits, with what stays worked out once.

    `scale` (unsigned, up to 32 bits) and `shift` (0-63) are numbers, or arrays that broadcast along the
    last axis of the values for scaling per channel. `bias`, of the same kind, is added first. `largest`
    bounds the magnitude of the values, bias included; if the bound leaves room in 64 bits for every
    product, the values are not looked at to find out.
    """

    def __init__(
        self,
        scale: int | NDArray[Any],
        shift: int | NDArray[Any],
        mode: Rounding,
        *,
        bias: NDArray[Any] | None = None,
        largest: int | None = None,
    ) -> None:
        self._mode = mode
        self._scale, self._bias = np.asarray(scale, np.int64), bias
        self._shift = np.asarray(shift, np.int64)
        if self._shift.size and (self._shift == self._shift.flat[0]).all():
            self._shift = self._shift.reshape(-1)[:1].reshape(())
        self._largest_scale = max(int(self._scale.max(initial=0)), 1)
        # TFL never shifts by more than 32 bits at a time, so its rounding constants stay small.
        self._narrow = mode is Rounding.TFL or int(self._shift.max(initial=0)) < 62
        self._safe = largest is not None and self._fits(largest)
        high = np.maximum(self._shift - 31, 0) if mode is Rounding.TFL else np.zeros_like(self._shift)
        self._low = self._shift - high
        self._half = np.where(self._low > 0, np.int64(1) << np.maximum(self._low - 1, 0), np.int64(0))
        if mode is not Rounding.TRUNCATE and bias is not None and self._safe:
            # (value + bias) * scale + half in one addition.
            self._constant: NDArray[Any] | None = bias * self._scale + self._half
        else:
            self._constant = None
        self._high = high if high.any() else None
        if self._high is not None:
            self._high_half = np.where(high > 0, np.int64(1) << np.maximum(high - 1, 0), np.int64(0))
            # Ties go away from zero: if a value is negative, one less is added before the second shift.
            self._ties = None if (high > 0).all() else -(high > 0).astype(np.int64)

    def _fits(self, largest: int) -> bool:
        return largest * self._largest_scale < _SAFE and self._narrow

    def shifted(self, values: Int64) -> Int64:
        """Return round((values + bias) * scale / 2**shift) without saturation, overwriting `values`."""
        if self._constant is not None:
            values *= self._scale
            values += self._constant
            return self._shift_away(values)
        if self._bias is not None:
            values += self._bias
        if not self._safe and not self._fits(_magnitude(values)):
            return self._exactly(values)
        values *= self._scale
        if self._mode is Rounding.TRUNCATE:
            return np.sign(values) * (np.abs(values) >> self._shift)
        values += self._half
        return self._shift_away(values)

    def __call__(self, values: Int64) -> Int64:
        """Return round((values + bias) * scale / 2**shift) saturated to 32 bits, overwriting `values`."""
        return saturate(self.shifted(values))

    def _shift_away(self, values: Int64) -> Int64:
        """Shift products, their first rounding constant added, by both shifts of the mode."""
        values >>= self._low
        if self._high is None:
            return values
        negative = values >> 63
        if self._ties is not None:
            negative &= self._ties
        values += negative
        values += self._high_half
        values >>= self._high
        return values

    def _exactly(self, values: Int64) -> Int64:
        """Scale in Python's integers, as products do not fit 64 bits, and saturate the results."""
        shape = values.shape[-1:]
        scale, shift = np.broadcast_to(self._scale, shape), np.broadcast_to(self._shift, shape)
        out = np.empty(values.shape, dtype=object)
        for channel in range(shape[0]):
            one = slice(channel, channel + 1)  # an array of no dimensions would become a number
            product = values[..., one].astype(object) * int(scale[channel])
            out[..., one] = _shift_exactly(product, int(shift[channel]), self._mode)
        return saturate(out)


def _shift_exactly(product: NDArray[Any], shift: int, mode: Rounding) -> NDArray[Any]:
    """Shift Python's integers right."""
    if mode is Rounding.TRUNCATE:
        return np.sign(product) * (np.abs(product) >> shift)
    high = max(shift - 31, 0) if mode is Rounding.TFL else 0
    low = shift - high
    first = (product + (1 << low - 1 if low else 0)) >> low
    return divide_by_power(first, high) if high else first


def rescale(
    values: Int64, scale: int | NDArray[Any], shift: int | NDArray[Any], mode: Rounding = Rounding.TFL
) -> Int64:
    """Return round(values * scale / 2**shift) saturated to 32 bits; see `Scaler`."""
    return Scaler(scale, shift, mode)(values.copy())


def saturate(values: NDArray[Any], low: int = INT32_MIN, high: int = INT32_MAX) -> Int64:
    """Clamp to [low, high] (a signed 32-bit integer's range by default)."""
    return np.clip(values, low, high).astype(np.int64, copy=False)


def shift_right(values: Int64, amounts: Int64, mode: Rounding) -> Int64:
    """Arithmetic shift right by an amount per element, with the rounding of `mode`."""
    amounts = np.clip(amounts, 0, 63)
    if mode is Rounding.NATURAL:
        half = np.where(amounts > 0, np.int64(1) << np.maximum(amounts - 1, 0), 0)
        return (values + half) >> amounts
    if mode is Rounding.TRUNCATE:
        return np.sign(values) * (np.abs(values) >> amounts)
    return divide_by_power(values, np.minimum(amounts, 62))
