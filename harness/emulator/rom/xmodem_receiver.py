"""An XMODEM receiver with CRC, for blocks of 128 and 1024 bytes, as a boot loader has one."""

from __future__ import annotations

import binascii
import time
from collections.abc import Callable

from harness.emulator.engine import Line

SOH, STX, EOT, ACK, NAK, CAN = b"\x01", b"\x02", b"\x04", b"\x06", b"\x15", b"\x18"
POLL = b"C"
POLL_S = 1.0
GAP_S = 1.0
"""A block is asked for again if no byte comes for this long."""
PATIENCE = 60
"""After this many polls, or repeats of a block, the transfer is given up."""
_SIZES = {SOH: 128, STX: 1024}


class XmodemReceiver:
    """Receives one file; `take` gets every block once and says whether there was room for it."""

    def __init__(self, line: Line, take: Callable[[bytes], bool]) -> None:
        self._line = line
        self._take = take
        self._held = bytearray()
        self._expected = 1

    def receive(self) -> bool:
        """Return whether the file came to its end."""
        answer, begun, tries = POLL, False, 0
        while tries < PATIENCE:
            self._line.write(answer)
            start = self._start()
            if start == EOT:
                self._line.write(ACK)
                return begun
            if start == CAN and self._read(1, GAP_S) == CAN:
                return False
            if start in _SIZES:
                taken = self._block(_SIZES[start])
                if taken is None:
                    break
                if taken:
                    answer, begun, tries = ACK, True, 0
                    continue
                self._settle()
            answer = NAK if begun or start in _SIZES else POLL
            tries += 1
        self._line.write(CAN + CAN)
        return False

    def _start(self) -> bytes:
        """Return what a block, the end or a cancellation begins with; b"" if none comes in time."""
        deadline = time.monotonic() + POLL_S
        while (left := deadline - time.monotonic()) > 0:
            byte = self._read(1, left)
            if byte and byte in SOH + STX + EOT + CAN:
                return byte
        return b""

    def _block(self, size: int) -> bool | None:
        """Return whether a block came whole; None to break the transfer off."""
        body = self._read(2 + size + 2, GAP_S)
        if len(body) < 4 + size or body[0] ^ body[1] != 0xFF:
            return False
        data = body[2 : 2 + size]
        if binascii.crc_hqx(data, 0) != int.from_bytes(body[-2:], "big"):
            return False
        if body[0] == self._expected - 1 & 0xFF:
            return True  # sent again, because its acknowledgement was lost
        if body[0] != self._expected & 0xFF or not self._take(data):
            return None
        self._expected += 1
        return True

    def _read(self, count: int, gap_s: float) -> bytes:
        """Return `count` bytes, fewer if none came for `gap_s` seconds."""
        while len(self._held) < count:
            data = self._line.read(gap_s)
            if not data:
                break
            self._held += data
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def _settle(self) -> None:
        """Drop what comes until the line is silent: the rest of a damaged block."""
        self._held.clear()
        until = time.monotonic() + GAP_S
        while time.monotonic() < until and self._line.read(0.05):
            pass
