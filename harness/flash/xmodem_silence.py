"""A port that stays silent while the WE2's boot loader waits for a key: any byte would open its menu."""

from __future__ import annotations

from harness.flash.xmodem import BOOTED, CHOICE, REJECTED, WINDOW
from harness.wire.port import Port

_BEHIND = (b"slot flash_offset", BOOTED, REJECTED, CHOICE)
"""What the boot loader prints after its window has closed."""
_LONGEST_QUIET_S = 30.0
"""Longest silence after the announcement: the window is 0.1 s, but a busy computer may read its end late."""
_BEFORE_S = 60.0
"""How long a board that has just been switched on may take to announce its window."""
_LONGEST_LINE = 256


class SilentPort(Port):
    """Passes everything on, but holds a write back until the window has been announced and has closed."""

    def __init__(self, port: Port, *, starting: bool) -> None:
        """`starting`: the board has just been switched on, so that its window is still to come."""
        self._port = port
        self._heard = bytearray()
        self._held = bytearray()
        self._quiet_until = port.now() + _BEFORE_S if starting else 0.0
        self.url = port.url

    def read(self, max_bytes: int, timeout: float) -> bytes:
        if not self._held:
            self._listen(max_bytes, timeout)
        taken = bytes(self._held[:max_bytes])
        del self._held[:max_bytes]
        return taken

    def write(self, data: bytes) -> None:
        self._listen(_LONGEST_LINE, 0)
        while (left := self._quiet_until - self._port.now()) > 0:
            self._listen(_LONGEST_LINE, left)
        self._port.write(data)

    def _listen(self, max_bytes: int, timeout: float) -> None:
        data = self._port.read(max_bytes, timeout)
        self._held += data
        self._heard += data
        _, announcement, behind = self._heard.rpartition(WINDOW)
        if announcement and not any(words in behind for words in _BEHIND):
            self._quiet_until = self._port.now() + _LONGEST_QUIET_S
            return
        if any(words in self._heard for words in _BEHIND):
            self._quiet_until = 0.0
            self._heard.clear()
        del self._heard[:-_LONGEST_LINE]

    def close(self) -> None:
        self._port.close()

    def reset_buffers(self) -> None:
        self._held.clear()
        self._port.reset_buffers()

    def reopen(self) -> None:
        self._held.clear()
        self._port.reopen()

    def now(self) -> float:
        return self._port.now()

    def pause(self, seconds: float) -> None:
        self._port.pause(seconds)
