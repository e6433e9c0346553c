"""Boards whose energy is known, since a test made them up, and a meter that plays them in no time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.meters.meter import Block, Facts, MeterLost


@dataclass
class Pulse:
    """An invoke: how long it takes, by true time, and what it draws."""

    seconds: float
    amperes: float
    pinned: bool = True
    bounces: int = 0


@dataclass
class Board:
    """Draws `rest(t)` at rest, and what a pulse says while that lasts; input 3 is its pin.

    Samples are taken at instants, so a pulse may be a sample longer or shorter than it is.
    """

    rate_hz: float
    rest: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    ripple: float = 0.0
    """Standard deviation of the current's noise, as a share."""
    gap_s: float = 0.003
    _pulses: list[tuple[float, Pulse]] = field(default_factory=list)
    _played_s: float = 0.0
    _due: list[Pulse] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Condition()
        self._rng = np.random.default_rng(1)

    def invoke(self, pulses: Sequence[Pulse]) -> None:
        """Have pulses follow each other, and wait until they have been played."""
        with self._lock:
            self._due = list(pulses)
            assert self._lock.wait_for(lambda: not self._due, 60)

    def take(self, first: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Return the current in A and the inputs of samples."""
        times = (first + np.arange(count)) / self.rate_hz
        with self._lock:
            self._begin_due(times[0], times[-1])
            amperes, levels = self.rest(times), np.zeros(count, np.uint8)
            for begins, pulse in self._pulses:
                inside = (times >= begins) & (times < begins + pulse.seconds)
                amperes = np.where(inside, pulse.amperes, amperes)
                if pulse.pinned:
                    levels[inside] = 8
                    edges = np.flatnonzero(np.diff(inside.astype(int)))
                    for edge in edges[: 2 * bool(pulse.bounces)]:
                        levels[edge + 2 : edge + 2 + pulse.bounces] ^= 8
            self._lock.notify_all()
        return amperes * (1 + self._rng.normal(0, self.ripple, count)), levels

    def _begin_due(self, begins: float, ends: float) -> None:
        free = max([begins, *(at + pulse.seconds for at, pulse in self._pulses)])
        while self._due and free < ends:
            at = free + self.gap_s * self._rng.uniform(0.5, 1.5)
            self._pulses.append((at, self._due.pop(0)))
            free = at + self._pulses[-1][1].seconds
        self._pulses = [(at, pulse) for at, pulse in self._pulses if at + pulse.seconds >= begins - 1]


@dataclass
class Playing:
    """A meter that plays a board as fast as it is read."""

    board: Board
    volts: float = 3.3
    lost: Sequence[tuple[int, int]] = ()
    goes_at: int | None = None
    block: int = 2_000

    def __post_init__(self) -> None:
        self.facts = Facts("playing", None, self.board.rate_hz, (0.0, 1.0), self.volts, 8, None, True)
        self._next = 0
        self.closed = False

    def start(self) -> None:
        """Nothing to do."""

    def read(self) -> Block | None:
        """Return the next samples up to a gap."""
        time.sleep(0)
        if self.goes_at is not None and self._next >= self.goes_at:
            raise MeterLost("playing has gone")
        first, count = self._next, self.block
        for begin, length in self.lost:
            if begin <= first < begin + length:
                self.board.take(first, begin + length - first)
                self._next = begin + length
                return None
            if first < begin < first + count:
                count = begin - first
        amperes, levels = self.board.take(first, count)
        self._next = first + count
        return Block(first, amperes.astype(np.float32), levels)

    def stop(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Note that it was let go."""
        self.closed = True
