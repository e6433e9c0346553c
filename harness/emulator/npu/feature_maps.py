"""Read and write feature maps where their registers say they lie.

NHWC places an element at `y * stride_y + x * stride_x + c * size` from its tile's base, NHCWB16 at
`y * stride_y + (c // 16) * stride_c + x * 16 * size + (c % 16) * size` (Vela's `get_address`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.emulator.npu.memory import NpuMemory
from harness.models.npu.faults import NpuFault
from harness.models.npu.operations import FeatureMap

BRICK = 16


@dataclass(frozen=True)
class Piece:
    """A part of a feature map that one strided view covers.

    `rows`, `columns` and `channels` are its place in the feature map; `start`, `shape` and `strides`
    describe the bytes: (height, width, channels), or (height, bricks, width, 16) if `bricks` is set.
    """

    rows: slice
    columns: slice
    channels: slice
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def blocked(self) -> bool:
        """True if the view's second axis counts bricks of 16 channels."""
        return len(self.shape) == 4

    def span(self, size: int) -> tuple[int, int]:
        """Return the first byte and the one after the last that the piece covers."""
        low = high = self.start
        for count, stride in zip(self.shape, self.strides, strict=True):
            reach = (count - 1) * stride
            low, high = low + min(reach, 0), high + max(reach, 0)
        return low, high + size


def _quadrants(fm: FeatureMap) -> Iterator[tuple[int, slice, slice]]:
    """Yield tile number, rows and columns of the tiles that the feature map reaches."""
    split = min(fm.width0, fm.width)
    for columns, upper, lower, height in (
        (slice(0, split), 0, 2, fm.height0),
        (slice(split, fm.width), 1, 3, fm.height1),
    ):
        if columns.start == columns.stop:
            continue
        rows = min(height, fm.height)
        yield upper, slice(0, rows), columns
        if rows < fm.height:
            yield lower, slice(rows, fm.height), columns


def pieces(fm: FeatureMap) -> list[Piece]:
    """Return the strided views that make up the feature map."""
    size = fm.bits // 8
    found: list[Piece] = []
    for tile, rows, columns in _quadrants(fm):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        base = fm.bases[tile]
        if not fm.blocked:
            shape: tuple[int, ...] = (height, width, fm.depth)
            found.append(
                Piece(rows, columns, slice(0, fm.depth), base, shape, (fm.stride_y, fm.stride_x, size))
            )
            continue
        bricks, rest = divmod(fm.depth, BRICK)
        if bricks:
            shape = (height, bricks, width, BRICK)
            strides = (fm.stride_y, fm.stride_c, BRICK * size, size)
            found.append(Piece(rows, columns, slice(0, bricks * BRICK), base, shape, strides))
        if rest:
            start = base + bricks * fm.stride_c
            channels = slice(bricks * BRICK, fm.depth)
            found.append(
                Piece(
                    rows, columns, channels, start, (height, width, rest), (fm.stride_y, BRICK * size, size)
                )
            )
    return found


def _view(memory: NpuMemory, fm: FeatureMap, piece: Piece, writing: bool) -> NDArray[Any]:
    """Return a piece's elements in memory, as strided as the piece is."""
    size = fm.bits // 8
    low, high = piece.span(size)
    region = memory.region(fm.region, writing)
    if low < 0 or high > region.size:
        raise NpuFault(
            f"{'write' if writing else 'read'} of {fm.name} bytes {low:#x}..{high:#x} outside region "
            f"{fm.region}, which has {region.size:#x}",
            registers={f"{fm.name}_REGION": fm.region, f"{fm.name}_BASE0": fm.bases[0]},
        )
    data = memory.span(fm.region, low, high - low, writing)
    dtype = np.dtype(fm.type).newbyteorder("<")
    return np.ndarray(piece.shape, dtype, data.data, piece.start - low, piece.strides)


class Mapped:
    """A feature map in a memory: where its bytes lie is found, and checked, once.

    Raises NpuFault if it reaches outside its region, or its region is read-only and it is for writing.
    """

    def __init__(self, memory: NpuMemory, fm: FeatureMap, writing: bool = False) -> None:
        self.fm = fm
        self.size = fm.height * fm.width * fm.depth
        self._parts = [(piece, _view(memory, fm, piece, writing)) for piece in pieces(fm)]

    def read(self) -> NDArray[Any]:
        """Return the elements (height, width, depth) in the map's own type; use them before the next write.

        They may be a view of the region.
        """
        if len(self._parts) == 1 and not self._parts[0][0].blocked:
            return self._parts[0][1]
        out = np.empty(self.fm.shape, self.fm.type)
        for piece, view in self._parts:
            target, source = _paired(out, piece, view)
            target[...] = source
        return out

    def write(self, values: NDArray[Any]) -> None:
        """Store elements (height, width, depth) that are within the range of the map's type."""
        data = values.astype(self.fm.type, copy=False)
        for piece, view in self._parts:
            source, target = _paired(data, piece, view)
            target[...] = source


def read(memory: NpuMemory, fm: FeatureMap) -> NDArray[Any]:
    """Return the elements of a feature map as `Mapped.read` does."""
    return Mapped(memory, fm).read()


def write(memory: NpuMemory, fm: FeatureMap, values: NDArray[Any]) -> None:
    """Store the elements of a feature map as `Mapped.write` does."""
    Mapped(memory, fm, writing=True).write(values)


def _paired(whole: NDArray[Any], piece: Piece, view: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the piece's part of `whole` and its bytes' view with the same axes."""
    part = whole[piece.rows, piece.columns, piece.channels]
    if not piece.blocked:
        return part, view
    height, bricks, width, _ = piece.shape
    # Splitting the last axis never copies, so both sides stay views.
    return part.reshape(height, width, bricks, BRICK), view.transpose(0, 2, 1, 3)
