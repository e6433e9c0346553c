"""The device's clock against the host's."""

from __future__ import annotations

from dataclasses import dataclass

TELLING_PPM = 1000.0
"""A less certain comparison says nothing about a crystal, but can still show a wrong tick rate."""


@dataclass(frozen=True)
class Reading:
    """The device showed `ticks` at some time within `half_width` seconds of the host's `time`."""

    time: float
    half_width: float
    ticks: int


class ClockCheck:
    """Clock readings at the start and the end of a run, and the rate that follows from them."""

    def __init__(self) -> None:
        self._first: list[Reading] = []
        self._last: list[Reading] = []

    def start(self, readings: list[Reading]) -> None:
        """Take the readings at the start, and forget those at the end."""
        self._first, self._last = readings, []

    def end(self, readings: list[Reading]) -> None:
        """Take the readings at the end."""
        self._last = readings

    def uncertainty_ppm(self) -> float | None:
        """Return how far off the drift may be, in ppm; None without two readings at different times."""
        if not self._first or not self._last:
            return None
        first, last = _best(self._first), _best(self._last)
        elapsed = last.time - first.time
        return (first.half_width + last.half_width) / elapsed * 1e6 if elapsed > 0 else None

    def drift_ppm(self, tick_hz: int) -> float | None:
        """Return how much faster (+) or slower (-) the device's clock ran, in millionths.

        None if the run was too short for the readings to tell.
        """
        uncertainty = self.uncertainty_ppm()
        if uncertainty is None:
            return None
        first, last = _best(self._first), _best(self._last)
        device = (last.ticks - first.ticks) / tick_hz
        drift = (device / (last.time - first.time) - 1) * 1e6
        return drift if uncertainty <= max(TELLING_PPM, abs(drift)) else None


def _best(readings: list[Reading]) -> Reading:
    return min(readings, key=lambda reading: reading.half_width)
