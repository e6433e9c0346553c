"""A port that keeps silence while a boot loader waits for a key: any byte then would lead into its menu."""

from __future__ import annotations

from harness.flash.xmodem import WINDOW
from harness.wire.port import Port

_MARGIN_S = 0.05
_LONGEST_LINE = 256


class QuietPort(Port):
    """Passes everything on, but holds a write back from the announcement of the window to its end."""

    def __init__(self, port: Port, window_s: float, *, starting: bool) -> None:
        """`starting`: the board has just been switched on, so that its window may be open already."""
        self._port = port
        self._window = window_s + _MARGIN_S
        self._heard = bytearray()
        self._held = bytearray()
        self._quiet_until = port.now() + self._window + _MARGIN_S if starting else 0.0
        self.url = port.url

    def read(self, max_bytes: int, timeout: float) -> bytes:
        """See Port.read."""
        if not self._held:
            self._listen(max_bytes, timeout)
        taken = bytes(self._held[:max_bytes])
        del self._held[:max_bytes]
        return taken

    def write(self, data: bytes) -> None:
        """See Port.write."""
        self._listen(_LONGEST_LINE, 0)
        while (left := self._quiet_until - self._port.now()) > 0:
            self._listen(_LONGEST_LINE, left)
        self._port.write(data)

    def _listen(self, max_bytes: int, timeout: float) -> None:
        data = self._port.read(max_bytes, timeout)
        self._held += data
        self._heard += data
        if WINDOW in self._heard:
            self._quiet_until = self._port.now() + self._window
            self._heard.clear()
        del self._heard[:-_LONGEST_LINE]

    def close(self) -> None:
        """See Port.close."""
        self._port.close()

    def reset_buffers(self) -> None:
        """See Port.reset_buffers."""
        self._held.clear()
        self._port.reset_buffers()

    def reopen(self) -> None:
        """See Port.reopen."""
        self._held.clear()
        self._port.reopen()

    def now(self) -> float:
        """See Port.now."""
        return self._port.now()

    def pause(self, seconds: float) -> None:
        """See Port.pause."""
        self._port.pause(seconds)
