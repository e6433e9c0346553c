"""Elementwise operations, up to and including scaling.

ADD and SUB either multiply both inputs by 16-bit scales, or bring one input to the scale of the other:
the one named by the scale mode is shifted left (20 bits for 8-bit inputs, 15 otherwise) and multiplied
by a fraction, the other one is shifted left by one bit less. That is the reference kernels' arithmetic.
A 32-bit MUL shifts its 64-bit product and ignores the scale; Vela passes the multiplier as the operand.
"""

from __future__ import annotations

import numpy as np

from harness.emulator.npu.rounding import Int64, rescale, saturate, shift_right
from harness.models.npu.operations import BlockOperation, Elementwise

_BOTH_16 = 0
_OPA_32 = 1


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
