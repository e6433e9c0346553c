"""What the output unit does after scaling: a function or a look-up table, then the activation range.

The native tanh and sigmoid are those of the TFLite reference for int16 with an input scale of
1/(3*4096): both interpolate one table of 256 sigmoid values, 24 to the unit.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from harness.emulator.npu.memory import Memory
from harness.emulator.npu.rounding import Int64, saturate
from harness.models.npu.accelerator import Accelerator
from harness.models.npu.faults import NotModelled, NpuFault
from harness.models.npu.operations import NO_FUNCTION, Activation, FeatureMap

TANH = 3
SIGMOID = 4
LUT_FIRST = 16
LUT_LAST = 23
LUT_SLOT = 256
# Entries of the sigmoid table to the unit.
_STEPS = 24.0

# act_clip_range -> the forced range
_CLIP = {2: (0, 255), 3: (-128, 127), 5: (-32768, 32767)}


@cache
def _sigmoid_table() -> Int64:
    """Return 257 values of the logistic function, 24 to the unit, in 1/65536.

    The reference's entries lie above the curve by half of what linear interpolation errs between them,
    h**2 / 8 times the second derivative; its last entry is the largest 16-bit value.
    """
    curve = 1.0 / (1.0 + np.exp(-np.arange(257) / _STEPS))
    second_derivative = curve * (1.0 - curve) * (1.0 - 2.0 * curve)
    table = np.floor(65536.0 * (curve - second_derivative / (16 * _STEPS**2)) + 0.5).astype(np.int64)
    table[255:] = 65535
    return table


def _interpolate(magnitude: Int64, bits: int) -> Int64:
    """Return the table at magnitude / 2**bits, scaled by 2**bits; flat from entry 255 on."""
    table = _sigmoid_table()
    index = np.minimum(magnitude >> bits, 255)
    low = table[index]
    slope = np.where(index < 255, table[index + 1] - low, 0)
    return (low << bits) + slope * (magnitude & (1 << bits) - 1)


def sigmoid(values: Int64) -> Int64:
    """Logistic function of int16 inputs of scale 1/(3*4096), as int16 of scale 1/32768."""
    magnitude = np.abs(values)
    result = np.where(magnitude >> 9 >= 255, 0x7FFF << 10, _interpolate(magnitude, 9))
    result = np.where(values >= 0, result + (1 << 9), (1 << 25) - result + (1 << 9) - 1)
    return result >> 10


def tanh(values: Int64) -> Int64:
    """Hyperbolic tangent of int16 inputs of scale 1/(3*4096), as int16 of scale 1/32768."""
    magnitude = np.abs(values)
    result = np.where(magnitude >> 8 >= 255, 0xFFFF << 8, _interpolate(magnitude, 8))
    result = np.where(values >= 0, result - (1 << 23) + (1 << 7), -result + (1 << 23) + (1 << 7) - 1)
    return result >> 8


def _look_up(values: Int64, table: int, ofm: FeatureMap, memory: Memory, accelerator: Accelerator) -> Int64:
    start = accelerator.lut_base + table * LUT_SLOT
    if ofm.bits == 16:
        entries = memory.internal(start, 2048).view("<u4").astype(np.int64)
        base = (entries & 0xFFFF ^ 0x8000) - 0x8000
        slope = (entries >> 16 ^ 0x8000) - 0x8000
        index = (values >> 7) + (256 if ofm.signed else 0)
        return saturate(base[index] + (slope[index] * (values & 0x7F) + 64 >> 7), *ofm.limits)
    index = saturate(values, -128, 127) + 128 if ofm.signed else saturate(values, 0, 255)
    if ofm.bits == 32:
        return memory.internal(start, 1024).view("<i4").astype(np.int64)[index]
    return memory.internal(start, 256).view(ofm.type).astype(np.int64)[index]


def finish(
    values: Int64, activation: Activation, ofm: FeatureMap, memory: Memory, accelerator: Accelerator
) -> Int64:
    """Add the output's zero point, apply the activation and keep to the range of the output's type.

    `values` are scaled accumulators. A 32-bit output that is not forced into a smaller range takes
    neither zero point nor range: Vela leaves those registers at values that only suit narrow outputs.
    Raises NpuFault on an undefined activation function.
    """
    if activation.clip not in (0, *_CLIP):
        raise NpuFault(f"reserved clip range {activation.clip}")
    function = activation.function
    low, high = _CLIP.get(activation.clip, ofm.limits)
    wide = ofm.bits == 32 and not activation.clip
    if function in (TANH, SIGMOID):
        if ofm.bits != 16:
            raise NotModelled(
                f"native {'tanh' if function == TANH else 'sigmoid'} with {ofm.bits}-bit output"
            )
        curve = tanh if function == TANH else sigmoid
        values = curve(values) + ofm.zero_point
    elif function != NO_FUNCTION and not LUT_FIRST <= function <= LUT_LAST:
        raise NpuFault(f"reserved activation function {function}")
    elif ofm.zero_point and not wide:
        values = values + ofm.zero_point
    if not wide:
        low, high = max(low, activation.minimum), min(high, activation.maximum)
    if low > high:
        raise NpuFault(f"activation range {activation.minimum}..{activation.maximum} leaves no value")
    values = saturate(values, low, high)
    if LUT_FIRST <= function <= LUT_LAST:
        return _look_up(values, function - LUT_FIRST, ofm, memory, accelerator)
    return values
