"""The four bytes of a sample of Nordic's Power Profiler Kit II, many at a time.

Layout: NordicSemiconductor/pc-nrfconnect-ppk, commit 8da7626, src/device/serialDevice.ts. 14 bits of the
converter, 3 bits of range, 6 bits that count samples, 8 digital inputs. Currents are those of ppk2-api's
`get_samples`, which takes one sample at a time and is too slow for 100,000 a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

COUNTER = 64
"""The counter of samples begins again after so many."""
RANGES = 5
AFTER_A_SWITCH = 3
"""So many samples after a change of range are replaced by a running average, as the converter settles."""
NOT_AVERAGED = 2
"""So many of them are left out of that average in the highest range."""
HIGHEST = RANGES - 1
ALPHA, ALPHA_HIGHEST = 0.18, 0.06
REACH = 400
"""Samples that a running average reaches back: (1 - 0.06) ** 400 is 2e-11."""


class Converter:
    """Turns raw samples into amperes; keeps what the running averages need from block to block."""

    def __init__(self, modifiers: Mapping[str, Any], adc_mult: float, supply_v: float) -> None:
        """`modifiers` and `adc_mult` are ppk2-api's, `supply_v` the voltage at which the board is supplied.

        Raises ValueError if a coefficient is no number, as kits with a damaged calibration print (`-nan`).
        """
        table = {key: np.array([float(modifiers[key][str(i)]) for i in range(RANGES)]) for key in _KEYS}
        for key, values in table.items():
            if not np.isfinite(values).all() or (key == "R" and (values <= 0).any()):
                raise ValueError(f"{key} is {', '.join(f'{value:g}' for value in values)}")
        self._table = table
        self._offset = table["S"] * supply_v + table["I"]
        self._mult = adc_mult / table["R"]
        self._averaged: NDArray[np.float64] | None = None
        self._range = -1
        self._since = AFTER_A_SWITCH  # samples since the last change of range

    def amperes(self, raw: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return the current of each sample in A; shapes (n,)."""
        if not len(raw):
            return np.zeros(0, np.float32)
        range_ = np.minimum((raw >> 14) & 7, HIGHEST).astype(np.intp)
        plain = self._plain(range_, ((raw & 0x3FFF) * 4).astype(np.float64))
        since = self._samples_since_a_switch(range_)
        settling = since < AFTER_A_SWITCH
        averaged = ~(settling & (range_ == HIGHEST) & (since < NOT_AVERAGED))
        before = np.full(REACH, plain[0]) if self._averaged is None else self._averaged
        history = np.concatenate([before, plain[averaged]])
        places = np.flatnonzero(settling)
        ends = REACH + np.cumsum(averaged)[places]
        for alpha, chosen in (
            (ALPHA_HIGHEST, range_[places] == HIGHEST),
            (ALPHA, range_[places] != HIGHEST),
        ):
            plain[places[chosen]] = _running_average(history, ends[chosen], alpha)
        self._averaged = history[-REACH:]
        self._range, self._since = int(range_[-1]), int(since[-1]) + 1
        return plain.astype(np.float32)

    def _plain(self, range_: NDArray[np.intp], adc: NDArray[np.float64]) -> NDArray[np.float64]:
        t = self._table
        ungained = (adc - t["O"][range_]) * self._mult[range_]
        gained = ungained * (t["GS"][range_] * ungained + t["GI"][range_])
        return t["UG"][range_] * (gained + self._offset[range_])

    def _samples_since_a_switch(self, range_: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return how many samples ago the range changed: 0 = with this sample."""
        first = range_[0] != self._range and self._range >= 0
        switched = np.concatenate([[first], range_[1:] != range_[:-1]])
        index = np.arange(len(range_))
        last = np.maximum.accumulate(np.where(switched, index, -1))
        return np.where(last >= 0, index - last, index + self._since)


_KEYS = ("R", "GS", "GI", "O", "S", "I", "UG")


def _running_average(
    history: NDArray[np.float64], ends: NDArray[np.intp], alpha: float
) -> NDArray[np.float64]:
    """Return the exponential averages of `history` up to each of `ends`."""
    if not len(ends):
        return np.zeros(0)
    weights = alpha * (1 - alpha) ** np.arange(REACH - 1, -1, -1)
    weights[0] /= alpha  # the oldest stands for all before it
    windows = np.lib.stride_tricks.sliding_window_view(history, REACH)
    return windows[ends - REACH] @ weights


def levels(raw: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return the eight digital inputs of each sample."""
    return (raw >> 24).astype(np.uint8)


def counters(raw: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the counter of each sample, 0 to 63."""
    return ((raw >> 18) & (COUNTER - 1)).astype(np.int64)
