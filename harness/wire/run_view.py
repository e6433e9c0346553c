"""What the host knows of a run that is under way, from the sample frames that reach it."""

from __future__ import annotations

import struct
from collections.abc import Callable

from harness.wire import messages as m

ENDED = frozenset({m.RunState.DONE, m.RunState.ABORTED, m.RunState.FAILED})


class NotOfThisRun(ValueError):
    """A sample frame that breaks the protocol."""


class RunView:
    """Takes sample frames in any state of damage and hands on each sample once, in order."""

    def __init__(self, id: int, n: int, on_ticks: Callable[[int], None]) -> None:
        self.id = id
        self.n = n
        self._on_ticks = on_ticks
        self.state = m.RunState.WARMING
        self.next = 0
        """Index of the next sample."""
        self.gap = False
        """Whether a frame began after the next sample; the caller asks for the missing ones and clears it."""

    @property
    def over(self) -> bool:
        """Whether the run has ended and all its samples are there."""
        return self.state in ENDED

    def take(self, samples: m.Samples) -> None:
        """Take a frame; raises NotOfThisRun if it has more samples than were asked for."""
        if samples.run != self.id or self.over:
            return
        count, beyond = divmod(len(samples.ticks), 8)
        if beyond:
            raise NotOfThisRun("a part of a sample")
        if samples.first + count > self.n:
            raise NotOfThisRun(f"sample {samples.first + count} of a run of {self.n}")
        if samples.first > self.next:
            self.gap = True
            return
        for ticks in struct.unpack(f"<{count}Q", samples.ticks)[self.next - samples.first :]:
            self.next += 1
            self._on_ticks(ticks)
        if samples.first + count == self.next and samples.state in set(m.RunState):
            self.state = m.RunState(samples.state)
