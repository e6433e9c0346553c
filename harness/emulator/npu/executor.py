"""Execute the operations of a command stream on a memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.emulator.npu import elementwise
from harness.emulator.npu.convolution import Convolution
from harness.emulator.npu.memory import NpuMemory
from harness.emulator.npu.pooling import Pool
from harness.emulator.npu.scratch import Scratch
from harness.emulator.npu.windows import padded_shape
from harness.models.npu.accelerator import Accelerator
from harness.models.npu.faults import NpuFault
from harness.models.npu.operations import BlockOperation, Decoded, Dma
from harness.models.npu.weights import MOST_WEIGHTS, WeightCache


@dataclass(frozen=True)
class OperationLimits:
    """Most that one operation may ask for: elements of a feature map, weights, products.

    No operation that fits a board's memories comes near these; a damaged stream does.
    """

    elements: int = 1 << 25
    weights: int = MOST_WEIGHTS
    products: int = 1 << 34


DEFAULT_LIMITS = OperationLimits()


class _Bound(Protocol):
    """An operation bound to the memory that it works on."""

    def run(self) -> None:
        """Execute the operation once."""


class Executor:
    """The operations of one job on one memory, each bound to it when it is first executed.

    What registers, constants and the places of feature maps come to does not change between inferences and
    is kept with the operation.
    """

    def __init__(
        self,
        operations: Sequence[Decoded],
        memory: NpuMemory,
        accelerator: Accelerator,
        weights: WeightCache,
        scratch: Scratch,
        limits: OperationLimits = DEFAULT_LIMITS,
    ) -> None:
        """`weights` and `scratch` may serve several jobs, one after the other."""
        self._operations = operations
        self._bound: list[_Bound | None] = [None] * len(operations)
        self._memory, self._accelerator, self._limits = memory, accelerator, limits
        self._weights, self._scratch = weights, scratch
        self._tables: elementwise.Tables = {}

    def run(self, observe: Callable[[Decoded, NpuMemory], None] | None = None) -> None:
        """Execute all operations in order on a shared RAM that starts empty, calling `observe` after each.

        Raises NpuFault, placed at the operation that faults.
        """
        self._memory.shram[...] = 0
        for number, operation in enumerate(self._operations):
            try:
                bound = self._bound[number]
                if bound is None:
                    bound = self._bound[number] = self._bind(operation)
                bound.run()
            except NpuFault as fault:
                raise fault.at(operation.operation.index) from None
            if observe is not None:
                observe(operation, self._memory)

    def _bind(self, op: Decoded) -> _Bound:
        if isinstance(op, Dma):
            return _Copy(op, self._memory)
        self._check_size(op)
        kind = op.operation.kind
        if kind in ("CONV", "DEPTHWISE"):
            return Convolution(op, self._memory, self._accelerator, self._weights, self._scratch)
        if kind == "POOL":
            return Pool(op, self._memory, self._accelerator)
        return elementwise.Operation(op, self._memory, self._accelerator, self._tables)

    def _check_size(self, op: BlockOperation) -> None:
        kernel, limits = op.kernel, self._limits
        height, width = padded_shape(kernel, (op.ofm.height, op.ofm.width))
        elements = max(math.prod(op.ofm.shape), height * width * op.ifm.depth)
        taps = kernel.height * kernel.width * (op.ifm.depth if op.operation.kind == "CONV" else 1)
        weights = taps * op.ofm.depth
        products = math.prod(op.ofm.shape) * taps
        if elements > limits.elements or weights > limits.weights or products > limits.products:
            raise NpuFault(
                f"{op.operation.name} over {'x'.join(map(str, op.ifm.shape))} to "
                f"{'x'.join(map(str, op.ofm.shape))} is larger than any memory of a board"
            )


class _Copy:
    """A DMA."""

    def __init__(self, op: Dma, memory: NpuMemory) -> None:
        source, target = op.source, op.destination
        self._source = (
            memory.internal(source.start, source.length)
            if op.source_internal
            else memory.span(source.region, source.start, source.length)
        )
        self._target = (
            memory.internal(target.start, target.length)
            if op.destination_internal
            else memory.span(target.region, target.start, target.length, writing=True)
        )

    def run(self) -> None:
        self._target[...] = self._source
