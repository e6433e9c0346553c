"""Elementwise operations.

ADD and SUB either multiply both inputs by 16-bit scales, or bring one input to the scale of the other:
the one named by the scale mode is shifted left (20 bits for 8-bit inputs, 15 otherwise) and multiplied
by a fraction, the other one is shifted left by one bit less. That is the reference kernels' arithmetic.
A 32-bit MUL shifts its 64-bit product and ignores the scale; Vela passes the multiplier as the operand.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.emulator.npu.activation import Finish
from harness.emulator.npu.feature_maps import Mapped
from harness.emulator.npu.memory import NpuMemory
from harness.emulator.npu.rounding import Int64, rescale, saturate, shift_right
from harness.emulator.npu.tables import Table, all_bytes
from harness.models.npu.accelerator import Accelerator
from harness.models.npu.operations import BlockOperation, Elementwise, FeatureMap

_BOTH_16 = 0
_OPA_32 = 1
# Fewest elements for which a table of all pairs of bytes, with its 65,536 entries, is worth its cost.
_WORTH_A_TABLE = 1 << 13

Tables = dict[Hashable, Table]


def _input_shift(bits: int) -> int:
    return 20 if bits == 8 else 15


def _brought_together(op: BlockOperation, first: Int64, second: Int64) -> tuple[Int64, Int64]:
    """Scale operands A and B of an ADD or SUB."""
    scale_a, shift_a, scale_b = op.operand_scales
    if op.scale_mode == _BOTH_16:
        return first * (scale_a & 0xFFFF), second * (scale_b & 0xFFFF)
    shift = _input_shift(op.ifm.bits)

    def fraction(values: Int64) -> Int64:
        return rescale(values << shift, scale_a, shift_a + shift, op.operand_rounding)

    if op.scale_mode == _OPA_32:
        return fraction(first), second << (shift - 1)
    return first << (shift - 1), fraction(second)


def _multiply(op: BlockOperation, first: Int64, second: Int64) -> Int64:
    product = first * second
    if op.ifm.bits < 32:
        return rescale(product, op.output.scale, op.output.shift, op.output.rounding)
    return rescale(product, 1, op.output.shift, op.output.rounding)


def _leading_zeros(values: Int64) -> Int64:
    bits = values & 0xFFFFFFFF
    # frexp's exponent is the position of the highest set bit plus one; exact below 2**53.
    return np.where(bits == 0, 32, 32 - np.frexp(bits.astype(np.float64))[1]).astype(np.int64)


def unary(op: BlockOperation, values: Int64) -> Int64:
    """LRELU, ABS or CLZ of inputs less their zero point."""
    output = op.output
    mode = Elementwise(op.operation.mode)
    if mode is Elementwise.CLZ:
        return _leading_zeros(values)
    if mode is Elementwise.ABS:
        return rescale(np.abs(values), output.scale, output.shift, output.rounding)
    return np.where(values < 0, rescale(values, output.scale, output.shift, output.rounding), values)


def binary(op: BlockOperation, first: Int64, second: Int64) -> Int64:
    """A two-input operation of inputs (IFM, IFM2) less their zero points, broadcast to one another."""
    output = op.output
    mode = Elementwise(op.operation.mode)
    assert op.operand is not None
    if op.operand.reversed:
        # The order names the operands A and B, to which scaling refers as well.
        first, second = second, first
    if mode in (Elementwise.ADD, Elementwise.SUB):
        first, second = _brought_together(op, first, second)
        result = first + second if mode is Elementwise.ADD else first - second
        return rescale(result, output.scale, output.shift, output.rounding)
    if mode is Elementwise.MUL:
        return _multiply(op, first, second)
    if mode is Elementwise.MIN:
        return np.minimum(first, second)
    if mode is Elementwise.MAX:
        return np.maximum(first, second)
    if mode is Elementwise.SHR:
        return shift_right(first, second, output.rounding)
    return saturate(first << np.clip(second, 0, 31))


class Operation:
    """An elementwise operation bound to its memory.

    `tables` holds the tables of results that operations of equal registers share: the stripes of a cascade.
    """

    def __init__(
        self, op: BlockOperation, memory: NpuMemory, accelerator: Accelerator, tables: Tables
    ) -> None:
        self._op = op
        self._first, self._ofm = Mapped(memory, op.ifm), Mapped(memory, op.ofm, writing=True)
        second = op.operand.feature_map if op.operand is not None else None
        self._second = Mapped(memory, second) if second is not None else None
        self._finish = Finish(op.output.activation, op.ofm, memory, accelerator)
        self._table: Table | None = None
        pairs = second is not None
        if op.ifm.bits == 8 and (second is None or (second.bits == 8 and self._first.size >= _WORTH_A_TABLE)):
            scaled = self._scaled_pairs if pairs else self._scaled_bytes
            self._table = tables.setdefault(_parameters(op), Table(scaled, self._finish, op.ofm.type))

    def run(self) -> None:
        """Read the inputs, compute, write the output."""
        first = self._first.read()
        if self._second is not None:
            second = self._second.read()
            if self._table is not None:
                self._ofm.write(self._table.of_two(first, second))
                return
            scaled = binary(self._op, _less(first, self._first.fm), _less(second, self._second.fm))
        elif self._table is not None:
            self._ofm.write(self._table.of_one(first))
            return
        else:
            scaled = self._with_scalar(_less(first, self._first.fm))
        self._ofm.write(self._finish(scaled))

    def _with_scalar(self, first: Int64) -> Int64:
        operand = self._op.operand
        if operand is None:
            return unary(self._op, first)
        return binary(self._op, first, np.full((1, 1, 1), operand.scalar - operand.zero_point, np.int64))

    def _scaled_bytes(self) -> Int64:
        return self._with_scalar(all_bytes(self._op.ifm).reshape(256, 1, 1))

    def _scaled_pairs(self) -> Int64:
        assert self._second is not None
        first, second = all_bytes(self._op.ifm), all_bytes(self._second.fm)
        return binary(self._op, first[:, None], second[None])


def _less(values: NDArray[Any], fm: FeatureMap) -> Int64:
    """Return elements less their zero point, in 64 bits."""
    return values.astype(np.int64) - fm.zero_point


def _parameters(op: BlockOperation) -> Hashable:
    """Return all that an element of the result depends on but the elements of the inputs."""
    operand = op.operand
    second = operand.feature_map if operand is not None else None
    return (
        op.operation.mode,
        (op.ifm.type, op.ifm.zero_point),
        (op.ofm.type, op.ofm.zero_point),
        op.output,
        (op.operand_scales, op.scale_mode, op.operand_rounding),
        None if operand is None else (operand.scalar, operand.zero_point, operand.reversed),
        None if second is None else second.type,
    )
