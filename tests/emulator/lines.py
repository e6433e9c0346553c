"""A line in memory, for what runs on a virtual board: what the host sends is given, what comes is kept."""

from __future__ import annotations

import time

from harness.emulator.controls import BoardReset

_PATIENCE_S = 0.2


class MemoryLine:
    """The board's end. When the script is over, waiting ends in BoardReset, for the test is over, too."""

    def __init__(self, *sent: bytes) -> None:
        self._pending = list(sent)
        self._left_s = _PATIENCE_S
        self.received = bytearray()

    def read(self, timeout: float | None) -> bytes:
        """See Line.read."""
        if self._pending and timeout != 0:
            return self._pending.pop(0)
        if timeout is None or timeout > self._left_s:
            raise BoardReset
        self._left_s -= timeout
        time.sleep(timeout)
        return b""

    def write(self, data: bytes) -> None:
        """See Line.write."""
        self.received += data

    def wake(self) -> None:
        """See Line.wake: what waits here comes back by itself."""
