"""Execute the operations of a command stream on a memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.emulator.npu import accumulate, elementwise, feature_maps
from harness.emulator.npu.activation import finish
from harness.emulator.npu.memory import Memory
from harness.emulator.npu.rounding import Int64, rescale
from harness.emulator.npu.weights import Volume, WeightCache, scale_records
from harness.models.npu.accelerator import Accelerator
from harness.models.npu.faults import NotModelled, NpuFault
from harness.models.npu.operations import BlockOperation, Decoded, Dma, Elementwise, FeatureMap, Pooling


@dataclass(frozen=True)
class Limits:
    """What one operation may ask for before it is refused: elements of a feature map, weights, products.

    No operation that fits a board's memories comes near; a damaged stream does.
    """

    elements: int = 1 << 25
    weights: int = 1 << 24
    products: int = 1 << 34


DEFAULT_LIMITS = Limits()


@dataclass
class Executor:
    """An NPU of one variant: executes decoded operations; keeps decoded weights between inferences."""

    accelerator: Accelerator
    limits: Limits = DEFAULT_LIMITS
    weights: WeightCache = field(default_factory=WeightCache)

    def run(
        self,
        operations: Iterable[Decoded],
        memory: Memory,
        observe: Callable[[Decoded, Memory], None] | None = None,
    ) -> None:
        """Execute operations in order, calling `observe` after each.

        Raises NpuFault, placed at the operation that faults.
        """
        for operation in operations:
            try:
                if isinstance(operation, Dma):
                    _copy(operation, memory)
                else:
                    self._execute(operation, memory)
            except NpuFault as fault:
                raise fault.at(operation.operation.index) from None
            if observe is not None:
                observe(operation, memory)

    def _execute(self, op: BlockOperation, memory: Memory) -> None:
        self._check_size(op)
        kind = op.operation.kind
        if kind == "CONV":
            scaled = self._convolve(op, memory, depthwise=False)
        elif kind == "DEPTHWISE":
            scaled = self._convolve(op, memory, depthwise=True)
        elif kind == "POOL":
            scaled = _pool(op, memory)
        else:
            scaled = _elementwise(op, memory)
        values = finish(scaled, op.output.activation, op.ofm, memory, self.accelerator)
        feature_maps.write(memory, op.ofm, values)

    def _check_size(self, op: BlockOperation) -> None:
        kernel, limits = op.kernel, self.limits
        height = (op.ofm.height - 1) * kernel.stride_y + kernel.reach_y
        width = (op.ofm.width - 1) * kernel.stride_x + kernel.reach_x
        elements = max(math.prod(op.ofm.shape), height * width * op.ifm.depth)
        taps = kernel.height * kernel.width * (op.ifm.depth if op.operation.kind == "CONV" else 1)
        weights = taps * op.ofm.depth
        products = math.prod(op.ofm.shape) * taps
        if elements > limits.elements or weights > limits.weights or products > limits.products:
            raise NpuFault(
                f"{op.operation.name} over {'x'.join(map(str, op.ifm.shape))} to "
                f"{'x'.join(map(str, op.ofm.shape))} is larger than any memory of a board"
            )

    def _convolve(self, op: BlockOperation, memory: Memory, depthwise: bool) -> Int64:
        assert op.weights is not None
        assert op.scales is not None
        kernel, ofm, ifm = op.kernel, op.ofm, op.ifm
        if ifm.bits == 32:
            raise NpuFault("convolution of 32-bit inputs", registers=_precision(op))
        if op.output.global_scale:
            raise NotModelled("convolution with one scale for all channels", registers=_precision(op))
        volume = Volume(
            outputs=ofm.depth,
            height=kernel.height,
            width=kernel.width,
            inputs=1 if depthwise else ifm.depth,
            dilation_y=kernel.dilation_y,
            dilation_x=kernel.dilation_x,
            block_depth=op.block.depth,
            input_bits=ifm.bits,
            depthwise=depthwise,
            part_kernel_first=kernel.part_kernel_first and not depthwise,
        )
        stream = memory.span(op.weights.region, op.weights.start, op.weights.length)
        records = memory.span(op.scales.region, op.scales.start, op.scales.length)
        weights = self.weights.volume(stream.tobytes(), volume, self.accelerator)
        bias, scale, shift = scale_records(records, ofm.depth)
        values = feature_maps.read(memory, ifm)
        sum_up = accumulate.depthwise if depthwise else accumulate.convolution
        accumulators = sum_up(values, ifm, weights, kernel, (ofm.height, ofm.width))
        accumulators += bias
        return rescale(accumulators, scale, shift, op.output.rounding)


def _precision(op: BlockOperation) -> dict[str, int]:
    registers = op.operation.registers
    return {name: registers[name] for name in ("IFM_PRECISION", "OFM_PRECISION")}


def _copy(op: Dma, memory: Memory) -> None:
    source, target = op.source, op.destination
    data = (
        memory.internal(source.start, source.length)
        if op.source_internal
        else memory.span(source.region, source.start, source.length)
    ).copy()
    if op.destination_internal:
        memory.internal(target.start, target.length)[...] = data
    else:
        memory.span(target.region, target.start, target.length, writing=True)[...] = data


def _divide_away(values: Int64, counts: Int64) -> Int64:
    """Divide to nearest, ties away from zero, as the reference's average pooling does."""
    return np.sign(values) * ((np.abs(values) + counts // 2) // counts)


def _pool(op: BlockOperation, memory: Memory) -> Int64:
    output, kernel, ifm = op.output, op.kernel, op.ifm
    outputs = (op.ofm.height, op.ofm.width)
    values = feature_maps.read(memory, ifm)
    mode = Pooling(op.operation.mode)
    if mode is Pooling.MAX:
        best = accumulate.maximum(values, ifm, kernel, outputs)
        return rescale(best, output.scale, output.shift, output.rounding) if output.global_scale else best
    if mode is Pooling.REDUCE_SUM:
        if op.ofm.depth != 1:
            raise NpuFault(f"REDUCE_SUM to a depth of {op.ofm.depth}", registers=_precision(op))
        values = values.sum(axis=2, keepdims=True, dtype=np.int64) - ifm.zero_point * (ifm.depth - 1)
    sums = accumulate.total(values, ifm, kernel, outputs)
    if mode is Pooling.AVERAGE and (kernel.padding or not output.global_scale):
        counts = accumulate.covered((ifm.height, ifm.width), kernel, outputs)
        if not counts.all():
            raise NpuFault("average pooling over padding alone")
        sums = _divide_away(sums, counts)
    return rescale(sums, output.scale, output.shift, output.rounding)


def _input(memory: Memory, fm: FeatureMap) -> NDArray[Any]:
    values = feature_maps.read(memory, fm).astype(np.int64)
    if fm.zero_point:
        values -= fm.zero_point
    return values


def _elementwise(op: BlockOperation, memory: Memory) -> Int64:
    first = _input(memory, op.ifm)
    if Elementwise(op.operation.mode).unary:
        return elementwise.unary(op, first)
    operand = op.operand
    assert operand is not None
    if operand.feature_map is not None:
        second = _input(memory, operand.feature_map)
    else:
        second = np.full((1, 1, 1), operand.scalar - operand.zero_point, np.int64)
    return elementwise.binary(op, first, second)
