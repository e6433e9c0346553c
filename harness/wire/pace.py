"""How long to wait for an answer and how large to make a block, learnt from what the line does."""

from __future__ import annotations

import math

from harness.wire.framing import encoded_size
from harness.wire.messages import DATA_OVERHEAD

SMALLEST_BLOCK = 64
FRAME_COST = encoded_size(DATA_OVERHEAD)
"""Line bytes of a block beyond its payload."""


class AnswerTime:
    """The time to wait before asking again: smoothed answer time plus four times its spread (RFC 6298)."""

    SHORTEST_S = 0.02
    LONGEST_S = 0.5
    """A burst of noise may destroy several frames in a row, so a time-out must leave room for more tries."""

    def __init__(self, first_s: float = 0.25) -> None:
        self._mean: float | None = None
        self._spread = 0.0
        self._wait = first_s
        self.wait = first_s
        """Seconds to wait now, longer while no answers come."""

    def answered(self, seconds: float) -> None:
        """Learn from an answer time (of a question that was asked only once)."""
        if self._mean is None:
            self._mean, self._spread = seconds, seconds / 2
        else:
            self._spread += (abs(seconds - self._mean) - self._spread) / 4
            self._mean += (seconds - self._mean) / 8
        self._wait = min(max(self._mean + 4 * self._spread, self.SHORTEST_S), self.LONGEST_S)
        self.wait = self._wait

    def heard(self) -> None:
        """Take note that the device answers: the next wait is the usual one again."""
        self.wait = self._wait

    def silent(self) -> None:
        """Double the wait, up to the longest."""
        self.wait = min(self.wait * 2, self.LONGEST_S)


class BlockSize:
    """The block size in bytes with the best goodput at the present rate of lost blocks.

    With p damaged bytes a byte and h bytes of cost a frame, goodput is highest near sqrt(h / p). The loss
    rate is kept over the last `MEMORY` bytes or so; a line that has lost nothing is taken to have lost a
    little.
    """

    MEMORY = 1_000_000
    UNSEEN = 0.02

    FIRST = 2048
    """Used while the line's speed is not known: at 9600 baud such a block takes 2 s."""
    LINE_S = 0.05
    LEAST_FOR_LINE = 1024

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._for_line = self.FIRST
        self._bytes = 8192.0
        self._lost = 0.0

    @property
    def size(self) -> int:
        """Block size to use now."""
        rate = max(self._lost, self.UNSEEN) / self._bytes
        largest = min(self._largest, self._for_line)
        return max(min(int(math.sqrt(FRAME_COST / rate)), largest), min(SMALLEST_BLOCK, largest))

    def fit(self, bytes_a_second: float) -> None:
        """Keep blocks to what the line carries in `LINE_S`, so that progress shows even while it is slow."""
        self._for_line = max(int(bytes_a_second * self.LINE_S), self.LEAST_FOR_LINE)

    def seen(self, block: int, arrived: bool) -> None:
        """Take note of what became of a block of `block` bytes."""
        sent = block + FRAME_COST
        kept = math.exp(-sent / self.MEMORY)
        self._bytes = self._bytes * kept + sent
        self._lost = self._lost * kept + (not arrived)
