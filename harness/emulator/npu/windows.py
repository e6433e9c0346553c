"""What a kernel sees of its input: padding, upscaling, and a window for each position of the output."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.models.npu.operations import Kernel, Upscale


def padded_shape(kernel: Kernel, outputs: tuple[int, int]) -> tuple[int, int]:
    """Return how many rows and columns, padding included, `outputs` (height, width) positions touch."""
    return (
        (outputs[0] - 1) * kernel.stride_y + kernel.reach_y,
        (outputs[1] - 1) * kernel.stride_x + kernel.reach_x,
    )


def fill_padded(out: NDArray[Any], values: NDArray[Any], kernel: Kernel, zero_point: int, fill: int) -> None:
    """Upscale an input (height, width, depth), subtract its zero point and write it inside its padding.

    `out` is of `padded_shape`. Padding, and the zeros that upscaling inserts, become `fill`.
    """
    height, width, _ = out.shape
    if kernel.padding or kernel.upscale is not Upscale.NONE:
        out[...] = fill
    inside = out[kernel.top : height - kernel.bottom, kernel.left : width - kernel.right]
    parts = [(inside, values)]
    if kernel.upscale is Upscale.ZEROS:
        parts = [(inside[::2, ::2], values)]
    elif kernel.upscale is Upscale.NEAREST:
        parts = [(inside[y::2, x::2], values) for y in (0, 1) for x in (0, 1)]
    for target, source in parts:
        source = source[: target.shape[0], : target.shape[1]]
        if zero_point:
            np.subtract(source, zero_point, out=target, dtype=out.dtype, casting="unsafe")
        else:
            target[...] = source


def padded(values: NDArray[Any], kernel: Kernel, outputs: tuple[int, int], fill: int) -> NDArray[Any]:
    """Return an input (height, width, depth) of the same type, upscaled and padded with `fill`."""
    if not kernel.padding and kernel.upscale is Upscale.NONE:
        return values
    out = np.empty((*padded_shape(kernel, outputs), values.shape[2]), values.dtype)
    fill_padded(out, values, kernel, 0, fill)
    return out


def windows(image: NDArray[Any], kernel: Kernel, outputs: tuple[int, int]) -> NDArray[Any]:
    """Return a view (out height, out width, kernel height, kernel width, depth) of a padded input."""
    row, column, channel = image.strides
    return np.lib.stride_tricks.as_strided(
        image,
        (*outputs, kernel.height, kernel.width, image.shape[2]),
        (
            row * kernel.stride_y,
            column * kernel.stride_x,
            row * kernel.dilation_y,
            column * kernel.dilation_x,
            channel,
        ),
        writeable=False,
    )


def fold(image: NDArray[Any], kernel: Kernel, outputs: tuple[int, int], join: np.ufunc) -> NDArray[Any]:
    """Combine the elements of each window with `join` (np.add, np.maximum): rows first, then columns.

    The result (*outputs, depth) has the type of `image`.
    """
    height, width = outputs
    rows = image[: (height - 1) * kernel.stride_y + 1 : kernel.stride_y].copy()
    for y in range(1, kernel.height):
        start = y * kernel.dilation_y
        join(
            rows, image[start : start + rows.shape[0] * kernel.stride_y : kernel.stride_y][:height], out=rows
        )
    out = rows[:, : (width - 1) * kernel.stride_x + 1 : kernel.stride_x].copy()
    for x in range(1, kernel.width):
        start = x * kernel.dilation_x
        join(out, rows[:, start : start + width * kernel.stride_x : kernel.stride_x][:, :width], out=out)
    return out
