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


def _shifted(product: NDArray[Any], shift: int, mode: Rounding) -> NDArray[Any]:
    """Shift exact products right, all by the same amount."""
    if mode is Rounding.TRUNCATE:
        return np.sign(product) * (np.abs(product) >> shift)
    high = max(shift - 31, 0) if mode is Rounding.TFL else 0
    low = shift - high
    first = (product + (1 << low - 1 if low else 0)) >> low
    return divide_by_power(first, high) if high else first


def _shifted_by_channel(product: NDArray[Any], shift: NDArray[Any], mode: Rounding) -> NDArray[Any]:
    """Shift exact products right, by an amount for each index of the last axis."""
    if mode is Rounding.TRUNCATE:
        return np.sign(product) * (np.abs(product) >> shift)
    high = np.maximum(shift - 31, 0) if mode is Rounding.TFL else np.zeros_like(shift)
    low = shift - high
    half = np.where(low > 0, np.int64(1) << np.maximum(low - 1, 0), np.int64(0))
    first = (product + half) >> low
    return divide_by_power(first, high) if high.any() else first


def rescale(
    values: Int64, scale: int | NDArray[Any], shift: int | NDArray[Any], mode: Rounding = Rounding.TFL
) -> Int64:
    """Return round(values * scale / 2**shift) saturated to 32 bits.

    `scale` (unsigned, up to 32 bits) and `shift` (0-63) are numbers, or arrays that broadcast along the
    last axis of `values` for scaling per channel.
    """
    largest = int(np.max(scale))
    # TFL never shifts by more than 32 bits at a time, so its rounding constants stay small.
    fits = _magnitude(values) * max(largest, 1) < _SAFE and (mode is Rounding.TFL or np.max(shift) < 62)
    product = values * scale if fits else values.astype(object) * scale
    if not isinstance(shift, np.ndarray):
        return saturate(_shifted(product, shift, mode))
    if not fits:
        return _rescale_exactly(product, shift, mode)
    if shift.size and (shift == shift.flat[0]).all():
        return saturate(_shifted(product, int(shift.flat[0]), mode))
    return saturate(_shifted_by_channel(product, shift, mode))


def _rescale_exactly(product: NDArray[Any], shift: NDArray[Any], mode: Rounding) -> Int64:
    """Shift products that are Python integers, as they do not fit 64 bits, channel by channel."""
    out = np.empty(product.shape, dtype=object)
    shifts = np.broadcast_to(shift, product.shape[-1:])
    for channel, amount in enumerate(shifts):
        out[..., channel] = _shifted(product[..., channel], int(amount), mode)
    return saturate(out)


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
