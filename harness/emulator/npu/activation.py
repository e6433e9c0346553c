"""What the output unit does after scaling: a function or a look-up table, then the activation range.

The native tanh and sigmoid are those of the TFLite reference for int16 with an input scale of
1/(3*4096): both interpolate one table of 256 sigmoid values, 24 to the unit.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.emulator.npu.memory import Bytes, NpuMemory
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


class Finish:
    """Turns scaled accumulators into elements of the output feature map.

    It adds the output's zero point, applies the activation and keeps to the range of the output's type.
    A 32-bit output that is not forced into a smaller range takes neither zero point nor range: Vela leaves
    those registers at values that only suit narrow outputs. Raises NpuFault on an undefined activation
    function, or a range without values.
    """

    def __init__(
        self, activation: Activation, ofm: FeatureMap, memory: NpuMemory, accelerator: Accelerator
    ) -> None:
        if activation.clip not in (0, *_CLIP):
            raise NpuFault(f"reserved clip range {activation.clip}")
        function = activation.function
        self._curve = {TANH: tanh, SIGMOID: sigmoid}.get(function)
        if self._curve is not None and ofm.bits != 16:
            raise NotModelled(
                f"native {'tanh' if function == TANH else 'sigmoid'} with {ofm.bits}-bit output"
            )
        looks_up = LUT_FIRST <= function <= LUT_LAST
        if function not in (NO_FUNCTION, TANH, SIGMOID) and not looks_up:
            raise NpuFault(f"reserved activation function {function}")
        self._ofm = ofm
        self._wide = ofm.bits == 32 and not activation.clip
        self._low, self._high = _CLIP.get(activation.clip, ofm.limits)
        if not self._wide:
            self._low = max(self._low, activation.minimum)
            self._high = min(self._high, activation.maximum)
        if self._low > self._high:
            raise NpuFault(f"activation range {activation.minimum}..{activation.maximum} leaves no value")
        self._zero_point = 0 if self._wide else ofm.zero_point
        self._entries: Bytes | None = None
        if looks_up:
            start = accelerator.lut_base + (function - LUT_FIRST) * LUT_SLOT
            self._entries = memory.internal(start, {8: 256, 16: 2048, 32: 1024}[ofm.bits])
        self._table, self._table_of = b"", b""

    @property
    def depends_on(self) -> bytes:
        """The bytes of shared RAM that the results depend on: those of the look-up table in use."""
        return b"" if self._entries is None else self._entries.tobytes()

    def __call__(self, values: Int64) -> NDArray[Any]:
        """Return the elements, in the output's type, of accumulators that need not be saturated.

        `values` are overwritten.
        """
        if self._curve is not None or self._wide or (self._entries is not None and self._ofm.bits != 8):
            values = saturate(values)
            if self._curve is not None:
                values = self._curve(values)
            values = saturate(values + self._zero_point, self._low, self._high)
            if self._entries is not None:
                values = _look_up(values, self._entries, self._ofm)
            return values.astype(self._ofm.type)
        low, high = self._low, self._high
        if self._entries is not None:
            least, most = self._ofm.limits
            low, high = (min(max(bound, least), most) for bound in (low, high))
        # Modulo the type's range the zero point may as well be added to narrow elements, which is cheaper.
        np.clip(values, low - self._zero_point, high - self._zero_point, out=values)
        elements = values.astype(self._ofm.type)
        if self._zero_point:
            elements += np.array(self._zero_point).astype(self._ofm.type)
        if self._entries is None:
            return elements
        return translated(elements, self._by_byte(), self._ofm.type)

    def _by_byte(self) -> bytes:
        """Return the 8-bit look-up table, indexed by the byte of an element."""
        current = self.depends_on
        if current != self._table_of:
            self._table_of = current
            self._table = current[128:] + current[:128] if self._ofm.signed else current
        return self._table


def translated(elements: NDArray[Any], table: bytes, dtype: str) -> NDArray[Any]:
    """Return the entry of a table of 256 bytes for the byte of each element, as elements of `dtype`."""
    found = np.frombuffer(elements.tobytes().translate(table), dtype)
    return found.reshape(elements.shape)


def _look_up(values: Int64, entries: Bytes, ofm: FeatureMap) -> Int64:
    """Look up in a table for 16-bit elements (base and slope) or 32-bit ones (by a byte)."""
    if ofm.bits == 32:
        index = saturate(values, -128, 127) + 128 if ofm.signed else saturate(values, 0, 255)
        return entries.view("<i4").astype(np.int64)[index]
    pairs = entries.view("<u4").astype(np.int64)
    base = (pairs & 0xFFFF ^ 0x8000) - 0x8000
    slope = (pairs >> 16 ^ 0x8000) - 0x8000
    index = (values >> 7) + (256 if ofm.signed else 0)
    return saturate(base[index] + (slope[index] * (values & 0x7F) + 64 >> 7), *ofm.limits)
