"""Pooling: the largest element, the average, and the sum over depth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.emulator.npu.activation import Finish
from harness.emulator.npu.feature_maps import Mapped
from harness.emulator.npu.memory import NpuMemory
from harness.emulator.npu.rounding import Int64, Scaler
from harness.emulator.npu.tables import Table, all_bytes
from harness.emulator.npu.windows import fill_padded, fold, padded, padded_shape, windows
from harness.models.npu.accelerator import Accelerator
from harness.models.npu.faults import NpuFault
from harness.models.npu.operations import BlockOperation, Kernel, Pooling


class Pool:
    """A pooling operation bound to its memory."""

    def __init__(self, op: BlockOperation, memory: NpuMemory, accelerator: Accelerator) -> None:
        self._op = op
        self._mode = Pooling(op.operation.mode)
        if self._mode is Pooling.REDUCE_SUM and op.ofm.depth != 1:
            raise NpuFault(f"REDUCE_SUM to a depth of {op.ofm.depth}", registers=op.precision)
        self._ifm, self._ofm = Mapped(memory, op.ifm), Mapped(memory, op.ofm, writing=True)
        self._finish = Finish(op.output.activation, op.ofm, memory, accelerator)
        output, kernel = op.output, op.kernel
        self._scaler = Scaler(output.scale, output.shift, output.rounding)
        self._unscaled = self._mode is Pooling.MAX and not output.global_scale
        self._counts: Int64 | None = None
        if self._mode is Pooling.AVERAGE and (kernel.padding or not output.global_scale):
            self._counts = _covered((op.ifm.height, op.ifm.width), kernel, self._outputs)
            if not self._counts.all():
                raise NpuFault("average pooling over padding alone")
        # A result depends on a single element: the only one that is averaged, or the largest.
        one = self._mode is Pooling.AVERAGE and kernel.height == kernel.width == 1 and not kernel.padding
        self._table = None
        if op.ifm.bits == 8 and (one or self._mode is Pooling.MAX):
            self._table = Table(lambda: self._scaled(all_bytes(op.ifm)), self._finish, op.ofm.type)

    @property
    def _outputs(self) -> tuple[int, int]:
        return self._op.ofm.height, self._op.ofm.width

    def run(self) -> None:
        """Read the input, compute, write the output."""
        ifm, kernel = self._op.ifm, self._op.kernel
        values = self._ifm.read()
        if self._mode is Pooling.MAX:
            values = fold(
                padded(values, kernel, self._outputs, ifm.limits[0]), kernel, self._outputs, np.maximum
            )
        elif self._table is not None:
            values = windows(padded(values, kernel, self._outputs, ifm.zero_point), kernel, self._outputs)
            values = values[:, :, 0, 0]
        if self._table is not None:
            self._ofm.write(self._table.of_one(values))
            return
        if self._mode is Pooling.MAX:
            accumulators = values.astype(np.int64) - ifm.zero_point
        else:
            accumulators = self._sum(values)
        self._ofm.write(self._finish(self._scaled(accumulators)))

    def _scaled(self, accumulators: Int64) -> Int64:
        if self._counts is not None and self._table is None:
            accumulators = _divide_away(accumulators, self._counts)
        return accumulators if self._unscaled else self._scaler.shifted(accumulators)

    def _sum(self, values: NDArray[Any]) -> Int64:
        """Sum elements less their zero point under the kernel, padding counting nothing."""
        ifm, kernel = self._op.ifm, self._op.kernel
        if self._mode is Pooling.REDUCE_SUM:
            values = values.sum(axis=2, keepdims=True, dtype=np.int64) - ifm.zero_point * (ifm.depth - 1)
        image = np.empty((*padded_shape(kernel, self._outputs), values.shape[2]), np.int64)
        fill_padded(image, values, kernel, ifm.zero_point, 0)
        return fold(image, kernel, self._outputs, np.add)


def _covered(shape: tuple[int, int], kernel: Kernel, outputs: tuple[int, int]) -> Int64:
    """How many elements of the input, not of its padding, each kernel position covers (*outputs, 1)."""
    ones = padded(np.ones((*shape, 1), np.int64), kernel, outputs, 0)
    return fold(ones, kernel, outputs, np.add)


def _divide_away(values: Int64, counts: Int64) -> Int64:
    """Divide to nearest, ties away from zero, as the reference's average pooling does."""
    return np.sign(values) * ((np.abs(values) + counts // 2) // counts)
