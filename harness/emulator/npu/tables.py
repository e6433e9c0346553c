"""Operations on 8-bit elements as tables of their results.

With 8-bit inputs, an output element of an elementwise operation is a function of one or two bytes that the
registers and the look-up table in shared RAM fix. Working it out for all 256 or 65,536 inputs, by the
very code that would work out the elements, gives a table that is exact by construction and cheap to use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.emulator.npu.activation import Finish, translated
from harness.emulator.npu.rounding import Int64
from harness.models.npu.operations import FeatureMap

# Elements that are looked up at a time: their indices stay within the processor's caches.
_PIECE = 1 << 15


def all_bytes(fm: FeatureMap) -> Int64:
    """Return the value of an 8-bit element less its zero point, for each of its bytes in order."""
    return np.arange(256, dtype=np.uint8).view(fm.type).astype(np.int64) - fm.zero_point


class Table:
    """The results of an operation for every byte, or every pair of bytes, of its inputs.

    `scaled` works out scaled accumulators for all of them, `finish` makes elements of type `dtype` of them.
    """

    def __init__(self, scaled: Callable[[], Int64], finish: Finish, dtype: str) -> None:
        self._scaled, self._finish, self._dtype = scaled, finish, dtype
        self._of: bytes | None = None
        self._entries: NDArray[Any] = np.empty(0, dtype)
        self._bytes = b""

    def _fill(self) -> None:
        current = self._finish.depends_on
        if current != self._of:
            self._entries = self._finish(self._scaled()).ravel()
            self._bytes = self._entries.tobytes() if self._entries.itemsize == 1 else b""
            self._of = current

    def of_one(self, elements: NDArray[Any]) -> NDArray[Any]:
        """Return the results for an array of 8-bit elements."""
        self._fill()
        if len(self._bytes) == 256:
            return translated(elements, self._bytes, self._dtype)
        return self._entries[np.ascontiguousarray(elements).view(np.uint8)]

    def of_two(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
        """Return the results for two arrays of 8-bit elements (height, width, depth), `first` the whole."""
        self._fill()
        out = np.empty(first.shape, self._dtype)
        second = np.broadcast_to(second, first.shape)
        step = max(1, _PIECE // max(1, first[0].size))
        for top in range(0, first.shape[0], step):
            rows = slice(top, top + step)
            index = np.ascontiguousarray(first[rows]).view(np.uint8).astype(np.intp)
            index <<= 8
            index |= np.ascontiguousarray(second[rows]).view(np.uint8)
            np.take(self._entries, index, out=out[rows], mode="clip")
        return out
