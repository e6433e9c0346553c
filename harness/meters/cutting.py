"""Cut a trace into invokes by the pin that the firmware raises for each, as the samples come.

Memory grows with the number of invokes, not with that of samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.meters.meter import Block


@dataclass(frozen=True)
class Stretch:
    """Samples between two edges of the pin, as sums.

    Attributes:
        high: whether the pin was high, that is, an invoke ran.
        first: number of its first sample.
        samples, lost: how many it spans, and how many of these did not arrive.
        joules_hz: sum of the power of its samples in W; the lost ones count as the mean of the others.
        peak_w: the highest power.
    """

    high: bool
    first: int
    samples: int
    lost: int
    joules_hz: float
    peak_w: float

    @property
    def mean_w(self) -> float:
        """Mean power in W."""
        return self.joules_hz / self.samples


@dataclass
class _Open:
    """A stretch that has not ended."""

    high: bool
    first: int
    seen: int = 0
    lost: int = 0
    total: float = 0.0
    peak: float = 0.0

    @property
    def samples(self) -> int:
        return self.seen + self.lost

    def add(self, power: NDArray[np.float64], lost: int = 0) -> None:
        self.lost += lost
        self.seen += len(power)
        if len(power):
            self.total += float(power.sum())
            self.peak = max(self.peak, float(power.max()))

    def absorb(self, other: _Open) -> None:
        self.seen += other.seen
        self.lost += other.lost
        self.total += other.total
        self.peak = max(self.peak, other.peak)

    def done(self) -> Stretch:
        filled = self.total * self.samples / self.seen if self.seen else 0.0
        return Stretch(self.high, self.first, self.samples, self.lost, filled, self.peak)


@dataclass
class Cutter:
    """Takes blocks, gives stretches.

    Attributes:
        input: the digital input that the pin is wired to; None = all samples are one low stretch.
        bounce: an edge that is taken back within so many samples was none.
    """

    input: int | None
    bounce: int
    stretches: list[Stretch] = field(default_factory=list)
    _open: list[_Open] = field(default_factory=list)
    """At most three: one that is settled, and those that may yet turn out to be a bounce."""
    _next: int = 0

    def take(self, block: Block, power: NDArray[np.float64]) -> None:
        """Take the next samples, at least one, with their power in W; any missing before them were lost."""
        high = block.high(self.input)
        lost = block.first - self._next if self._open else 0
        if lost > 0:
            # What the pin did meanwhile is not known: it is taken to be as before.
            self._open[-1].add(power[:0], lost)
        self._next = block.first + len(power)
        edges = np.flatnonzero(high[1:] != high[:-1]) + 1
        for begin, end in zip([0, *edges], [*edges, len(high)], strict=True):
            self._extend(bool(high[begin]), block.first + int(begin), power[begin:end])

    def _extend(self, high: bool, first: int, power: NDArray[np.float64]) -> None:
        if self._open and self._open[-1].high == high:
            self._open[-1].add(power)
        else:
            self._open.append(_Open(high, first))
            self._open[-1].add(power)
        self._settle()

    def _settle(self) -> None:
        """Join what turned out to be a bounce, and give out what can no longer be one."""
        while len(self._open) > 1:
            if len(self._open) > 2 and self._open[1].samples <= self.bounce:
                # The pin went back: a short excursion inside a stretch.
                self._open[0].absorb(self._open[1])
                self._open[0].absorb(self._open[2])
                del self._open[1:3]
            elif self._open[1].samples > self.bounce:
                self.stretches.append(self._open.pop(0).done())
            else:
                return

    def end(self) -> list[Stretch]:
        """Return all stretches, once no more samples come."""
        while len(self._open) > 1 and self._open[-1].samples <= self.bounce:
            last = self._open.pop()
            self._open[-1].absorb(last)
        self.stretches += [left.done() for left in self._open]
        self._open.clear()
        return self.stretches
