"""What a stream must wait for: copies and block operations run side by side.

A DMA is only known to have ended after DMA_WAIT, a block operation only after KERNEL_WAIT; each wait
names how many of its kind may still be outstanding. The queues are as deep as Vela's architecture
description says for the Ethos-U55: one DMA, two block operations; to issue more, the NPU itself waits
for the oldest. Block operations follow one another in order, overlapping by BLOCKDEP blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.emulator.npu.activation import LUT_FIRST, LUT_LAST, LUT_SLOT
from harness.emulator.npu.feature_maps import pieces
from harness.models.npu.accelerator import Accelerator
from harness.models.npu.faults import NpuFault
from harness.models.npu.operations import Decoded, Dma, FeatureMap, Range

MAX_DMA = 1
MAX_KERNELS = 2
# Stands for the shared RAM among region numbers.
SHRAM = -1


@dataclass(frozen=True)
class Access:
    """Bytes that one operation reads or writes, `what` naming them in a message."""

    what: str
    region: int
    start: int
    end: int
    writes: bool

    def conflicts(self, other: Access) -> bool:
        """True if both touch a byte and one of them writes it."""
        return (
            (self.writes or other.writes)
            and self.region == other.region
            and self.start < other.end
            and other.start < self.end
        )


def _of_map(fm: FeatureMap, writes: bool) -> list[Access]:
    return [Access(fm.name, fm.region, *piece.span(fm.bits // 8), writes=writes) for piece in pieces(fm)]


def _of_range(what: str, part: Range, internal: bool, writes: bool) -> Access:
    region = SHRAM if internal else part.region
    return Access(what, region, part.start, part.start + part.length, writes)


def accesses(op: Decoded, accelerator: Accelerator) -> list[Access]:
    """List what an operation touches: feature maps, weights, scales, look-up table, copied bytes."""
    if isinstance(op, Dma):
        return [
            _of_range("source", op.source, op.source_internal, writes=False),
            _of_range("destination", op.destination, op.destination_internal, writes=True),
        ]
    found = _of_map(op.ifm, writes=False) + _of_map(op.ofm, writes=True)
    if op.operand is not None and op.operand.feature_map is not None:
        found += _of_map(op.operand.feature_map, writes=False)
    if op.weights is not None:
        found.append(_of_range("weights", op.weights, False, writes=False))
    if op.scales is not None:
        found.append(_of_range("scales", op.scales, False, writes=False))
    function = op.output.activation.function
    if LUT_FIRST <= function <= LUT_LAST:
        size = {8: 256, 16: 2048, 32: 1024}[op.ofm.bits]
        start = accelerator.lut_base + (function - LUT_FIRST) * LUT_SLOT
        found.append(Access("look-up table", SHRAM, start, start + size, writes=False))
    return found


def _refuse(op: Decoded, own: Access, other: Decoded, touched: Access) -> NpuFault:
    kind = "DMA_WAIT" if isinstance(other, Dma) else "KERNEL_WAIT"
    verb = "writes" if touched.writes else "reads"
    return NpuFault(
        f"{op.operation.name} uses its {own.what} while operation {other.operation.index} "
        f"({other.operation.name}) still {verb} it as {touched.what}: a {kind} is missing",
        op.operation.index,
        {"start": max(own.start, touched.start), "end": min(own.end, touched.end)},
    )


def check(operations: Iterable[Decoded], accelerator: Accelerator) -> None:
    """Raise NpuFault, placed at the operation, if a stream does not wait for what it uses."""
    queues: dict[bool, list[tuple[Decoded, list[Access]]]] = {True: [], False: []}
    depths = {True: MAX_DMA, False: MAX_KERNELS}
    for op in operations:
        is_dma = isinstance(op, Dma)
        for kind, wait in ((True, op.operation.dma_wait), (False, op.operation.kernel_wait)):
            if wait >= 0:
                queue = queues[kind]
                del queue[: max(0, len(queue) - wait)]
        own = accesses(op, accelerator)
        for other, touched in queues[not is_dma]:
            for mine in own:
                for theirs in touched:
                    if mine.conflicts(theirs):
                        raise _refuse(op, mine, other, theirs)
        queue = queues[is_dma]
        queue.append((op, own))
        if len(queue) > depths[is_dma]:
            queue.pop(0)
