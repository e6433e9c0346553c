"""Accumulators of convolution, depthwise convolution and pooling.

Products are summed in floating point where that is exact: a sum of integer products is exact in float32
while every partial sum stays below 2**24, in float64 below 2**53. A kernel's sum is bounded by the sum of
the magnitudes of its weights times the largest magnitude of the input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.emulator.npu.rounding import Int64
from harness.models.npu.operations import FeatureMap, Kernel, Upscale

_FLOAT32_EXACT = 1 << 24
# Columns of the patch matrix held at a time, so that memory does not grow with the feature map.
_PATCH_BYTES = 8 << 20


def padded(
    values: NDArray[Any], kernel: Kernel, outputs: tuple[int, int], fill: int, dtype: Any
) -> NDArray[Any]:
    """Upscale an input (height, width, depth) and surround it with its padding, filled with `fill`.

    The result covers exactly what `outputs` (height, width) positions of the kernel touch. Zeros that
    upscaling inserts are `fill` too: it is the zero point, or 0 once that has been taken off.
    """
    height = (outputs[0] - 1) * kernel.stride_y + kernel.reach_y
    width = (outputs[1] - 1) * kernel.stride_x + kernel.reach_x
    rows = slice(kernel.top, height - kernel.bottom)
    columns = slice(kernel.left, width - kernel.right)
    if not kernel.padding and kernel.upscale is Upscale.NONE:
        return values.astype(dtype)
    out = np.full((height, width, values.shape[2]), fill, dtype)
    inside = out[rows, columns]
    if kernel.upscale is Upscale.NONE:
        inside[...] = values
    elif kernel.upscale is Upscale.ZEROS:
        inside[::2, ::2] = values
    else:
        for y in (0, 1):
            for x in (0, 1):
                part = inside[y::2, x::2]
                part[...] = values[: part.shape[0], : part.shape[1]]
    return out


def _windows(values: NDArray[Any], kernel: Kernel, outputs: tuple[int, int]) -> NDArray[Any]:
    """Return a view (out height, out width, kernel height, kernel width, depth) without copying."""
    row, column, channel = values.strides
    return np.lib.stride_tricks.as_strided(
        values,
        (*outputs, kernel.height, kernel.width, values.shape[2]),
        (
            row * kernel.stride_y,
            column * kernel.stride_x,
            row * kernel.dilation_y,
            column * kernel.dilation_x,
            channel,
        ),
        writeable=False,
    )


def _largest(values: NDArray[Any], fm: FeatureMap) -> int:
    """Bound the magnitude of an input less its zero point, cheaply for 8 bits."""
    low, high = fm.limits
    if fm.bits > 8 and values.size:
        low, high = int(values.min()), int(values.max())
    return max(abs(low - fm.zero_point), abs(high - fm.zero_point))


def product(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Multiply two matrices."""
    return left @ right


def convolution(
    values: NDArray[Any], fm: FeatureMap, weights: NDArray[np.int16], kernel: Kernel, outputs: tuple[int, int]
) -> Int64:
    """Sum (input - zero point) * weight over kernel and input depth.

    `values` (height, width, depth), `weights` (channels, kernel height, kernel width, depth); the result
    is (*outputs, channels).
    """
    channels = weights.shape[0]
    matrix = weights.reshape(channels, -1)
    bound = int(np.abs(matrix).sum(axis=1, dtype=np.int64).max()) * _largest(values, fm)
    dtype = np.float32 if bound < _FLOAT32_EXACT else np.float64
    image = padded(values, kernel, outputs, fm.zero_point, dtype)
    if fm.zero_point:
        np.subtract(image, fm.zero_point, out=image, dtype=dtype)
    right = np.ascontiguousarray(matrix.T, dtype)
    if kernel.height == kernel.width == kernel.stride_y == kernel.stride_x == 1:
        sums = product(image.reshape(-1, image.shape[2]), right)
        return sums.reshape(*outputs, channels).astype(np.int64)
    out = np.empty((*outputs, channels), np.int64)
    windows = _windows(image, kernel, outputs)
    row_bytes = outputs[1] * right.shape[0] * image.itemsize
    step = max(1, _PATCH_BYTES // row_bytes)
    for top in range(0, outputs[0], step):
        patches = windows[top : top + step]
        rows = patches.shape[0]
        sums = product(patches.reshape(rows * outputs[1], -1), right)
        out[top : top + rows] = sums.reshape(rows, outputs[1], channels)
    return out


def depthwise(
    values: NDArray[Any], fm: FeatureMap, weights: NDArray[np.int16], kernel: Kernel, outputs: tuple[int, int]
) -> Int64:
    """Sum (input - zero point) * weight over the kernel, channel by channel.

    `weights` (channels, kernel height, kernel width, 1); the result is (*outputs, channels).
    """
    matrix = weights.reshape(weights.shape[0], -1)
    bound = int(np.abs(matrix).sum(axis=1, dtype=np.int64).max()) * _largest(values, fm)
    dtype = np.float32 if bound < _FLOAT32_EXACT else np.float64
    image = padded(values, kernel, outputs, fm.zero_point, dtype)
    if fm.zero_point:
        np.subtract(image, fm.zero_point, out=image, dtype=dtype)
    windows = _windows(image, kernel, outputs)
    total: NDArray[Any] = np.zeros((*outputs, values.shape[2]), dtype)
    scratch = np.empty_like(total)
    taps = np.ascontiguousarray(matrix.T, dtype)
    for index, (y, x) in enumerate(np.ndindex(kernel.height, kernel.width)):
        if taps[index].any():
            np.multiply(windows[:, :, y, x], taps[index], out=scratch)
            total += scratch
    return total.astype(np.int64)


def maximum(values: NDArray[Any], fm: FeatureMap, kernel: Kernel, outputs: tuple[int, int]) -> Int64:
    """Largest element under the kernel less the zero point; padding takes no part."""
    image = padded(values, kernel, outputs, fm.limits[0], values.dtype)
    windows = _windows(image, kernel, outputs)
    best = windows[:, :, 0, 0].copy()
    for y, x in np.ndindex(kernel.height, kernel.width):
        np.maximum(best, windows[:, :, y, x], out=best)
    return best.astype(np.int64) - fm.zero_point


def total(values: NDArray[Any], fm: FeatureMap, kernel: Kernel, outputs: tuple[int, int]) -> Int64:
    """Sum of (input - zero point) under the kernel, padding counting nothing."""
    image = padded(values, kernel, outputs, fm.zero_point, np.int64)
    if fm.zero_point:
        image -= fm.zero_point
    windows = _windows(image, kernel, outputs)
    out = windows[:, :, 0, 0].copy()
    for y, x in list(np.ndindex(kernel.height, kernel.width))[1:]:
        out += windows[:, :, y, x]
    return out


def covered(shape: tuple[int, int], kernel: Kernel, outputs: tuple[int, int]) -> Int64:
    """How many elements of the input, not of its padding, each kernel position covers (*outputs, 1)."""
    ones = padded(np.ones((*shape, 1), np.int64), kernel, outputs, 0, np.int64)
    return _windows(ones, kernel, outputs).sum(axis=(2, 3))
