"""BLOCKDEP: how far a block operation may run into the one before it.

Both work block by block, depth first, then along the width, then down. With a dependency of `n` the
operation's block job `i` may run while the last jobs `j` of its predecessor (counted from its end) are
unfinished wherever `i + j < n`. A job that reads what such a job has yet to write reads stale bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.emulator.npu.feature_maps import pieces
from harness.models.npu.faults import NpuFault
from harness.models.npu.operations import BlockOperation, Decoded, FeatureMap, Pooling, Upscale

MAX_DEPENDENCY = 3
_PART_KERNEL_DEPTH = 16
_FULL_DEPTH = 32


@dataclass(frozen=True)
class Box:
    """Rows, columns and channels `[start, stop)` of a feature map."""

    y: tuple[int, int]
    x: tuple[int, int]
    c: tuple[int, int]


def _starts(fm: FeatureMap, box: Box) -> tuple[NDArray[np.int64], int]:
    """Return the byte at which each run of a box begins, and the bytes of a run.

    A run is the channels of one position within one brick (of all channels in NHWC).
    """
    size = fm.bits // 8
    y = np.arange(*box.y)[:, None, None]
    x = np.arange(*box.x)[None, :, None]
    right = x >= fm.width0
    below = np.where(right, y >= fm.height1, y >= fm.height0)
    base = np.array(fm.bases, np.int64)[right + 2 * below]
    row = y - np.where(below, np.where(right, fm.height1, fm.height0), 0)
    column = x - np.where(right, fm.width0, 0)
    if not fm.blocked:
        starts = base + row * fm.stride_y + column * fm.stride_x + box.c[0] * size
        return np.sort(starts.ravel()), (box.c[1] - box.c[0]) * size
    brick = np.arange(box.c[0] // 16, -(-box.c[1] // 16))[None, None, :]
    starts = base + row * fm.stride_y + column * 16 * size + brick * fm.stride_c
    return np.sort(starts.ravel()), 16 * size


def _overlap(first: tuple[NDArray[np.int64], int], second: tuple[NDArray[np.int64], int]) -> bool:
    (a, a_bytes), (b, b_bytes) = first, second
    if not a.size or not b.size or a[0] >= b[-1] + b_bytes or b[0] >= a[-1] + a_bytes:
        return False
    # For each run of a, the last run of b that begins before it ends: does that one reach into it?
    before = np.searchsorted(b, a + a_bytes) - 1
    return bool(((before >= 0) & (b[np.maximum(before, 0)] + b_bytes > a)).any())


def _ofm_boxes(op: BlockOperation, last: bool) -> Iterator[Box]:
    """Yield the output blocks of an operation from its first on, or from its last back."""
    sizes = (op.block.height, op.block.width, op.block.depth)
    counts = [-(-whole // block) for whole, block in zip(op.ofm.shape, sizes, strict=True)]
    total = math.prod(counts)
    for position in range(total):
        index = total - 1 - position if last else position
        depth_index, rest = index % counts[2], index // counts[2]
        starts = (rest // counts[1] * sizes[0], rest % counts[1] * sizes[1], depth_index * sizes[2])
        ends = [min(s + b, w) for s, b, w in zip(starts, sizes, op.ofm.shape, strict=True)]
        yield Box((starts[0], ends[0]), (starts[1], ends[1]), (starts[2], ends[2]))


def _span(
    start: int, end: int, stride: int, reach: int, before: int, size: int, upscale: int
) -> tuple[int, int]:
    first = max(0, start * stride - before)
    stop = (end - 1) * stride + reach - before
    return min(first // upscale, size), max(0, min(-(-stop // upscale), size))


def _input_boxes(op: BlockOperation) -> Iterator[tuple[Box, Box]]:
    """Yield what each job reads of the input, with the output block it works for."""
    kernel, ifm = op.kernel, op.ifm
    upscale = 1 if kernel.upscale is Upscale.NONE else 2
    kind = op.operation.kind
    reduces = kind == "CONV" or (kind == "POOL" and op.operation.mode == Pooling.REDUCE_SUM)
    part_kernel = (kind == "CONV" and kernel.part_kernel_first) or ifm.bits == 16
    step = _PART_KERNEL_DEPTH if part_kernel else _FULL_DEPTH
    for block in _ofm_boxes(op, last=False):
        y = _span(*block.y, kernel.stride_y, kernel.reach_y, kernel.top, ifm.height, upscale)
        x = _span(*block.x, kernel.stride_x, kernel.reach_x, kernel.left, ifm.width, upscale)
        if not reduces:
            yield Box(y, x, block.c), block
            continue
        for channel in range(0, ifm.depth, step):
            yield Box(y, x, (channel, min(channel + step, ifm.depth))), block


def _operand_box(fm: FeatureMap, block: Box) -> Box:
    """The part of a second input that an output block takes, all of a dimension that is broadcast."""
    y, x, c = (
        (0, 1) if size == 1 else part
        for size, part in zip(fm.shape, (block.y, block.x, block.c), strict=True)
    )
    return Box(y, x, c)


def _extent(fm: FeatureMap) -> tuple[int, int]:
    spans = [piece.span(fm.bits // 8) for piece in pieces(fm)]
    return min(low for low, _ in spans), max(high for _, high in spans)


def _replicates(fm: FeatureMap) -> bool:
    """True if tiles repeat bytes, as padding by replication does."""
    spans = [piece.span(fm.bits // 8) for piece in pieces(fm)]
    low, high = _extent(fm)
    return sum(end - start for start, end in spans) > high - low and len(spans) > 1


def _apart(first: FeatureMap, second: FeatureMap) -> bool:
    if first.region != second.region:
        return True
    (a, b), (c, d) = _extent(first), _extent(second)
    return b <= c or d <= a


def _check_pair(previous: BlockOperation, op: BlockOperation) -> None:
    dependency = min(op.block.dependency, MAX_DEPENDENCY)
    inputs = [op.ifm] + ([op.operand.feature_map] if op.operand and op.operand.feature_map else [])
    # Vela does not follow replicated tiles when it chooses the dependency, and neither is it judged there.
    touched = [fm for fm in inputs if not _apart(fm, previous.ofm) and not _replicates(fm)]
    if not dependency or not touched:
        return
    written = [
        _starts(previous.ofm, box)
        for box, _ in zip(_ofm_boxes(previous, last=True), range(dependency), strict=False)
    ]
    for i, (box, block) in zip(range(dependency), _input_boxes(op), strict=False):
        for fm in touched:
            part = box if fm is op.ifm else _operand_box(fm, block)
            read = _starts(fm, part)
            for j in range(min(dependency - i, len(written))):
                if _overlap(read, written[j]):
                    raise NpuFault(
                        f"{op.operation.name} may read its {fm.name} before operation "
                        f"{previous.operation.index} ({previous.operation.name}) has written it: its "
                        "block dependency is too large",
                        op.operation.index,
                        {"BLOCKDEP": op.block.dependency},
                    )


def check(operations: Iterable[Decoded]) -> None:
    """Raise NpuFault, placed at the operation, if BLOCKDEP lets one read what is not written yet."""
    previous: BlockOperation | None = None
    for op in operations:
        if isinstance(op, BlockOperation):
            if previous is not None:
                _check_pair(previous, op)
            previous = op
