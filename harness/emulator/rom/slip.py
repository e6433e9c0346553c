"""SLIP (RFC 1055), as Espressif's serial loaders frame their packets."""

from __future__ import annotations

END, ESC, ESC_END, ESC_ESC = b"\xc0", b"\xdb", b"\xdb\xdc", b"\xdb\xdd"
LONGEST = 1 << 17
"""Bytes after which an unfinished packet is noise."""


def encode(packet: bytes) -> bytes:
    """Return the packet framed and escaped."""
    return END + packet.replace(ESC, ESC_ESC).replace(END, ESC_END) + END


class SlipDecoder:
    """Cuts packets out of a stream; whatever is between two packets is dropped."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes and return the packets that they complete."""
        if END not in data:
            self._rest += data
            if len(self._rest) > LONGEST:
                self._rest.clear()
            return []
        *whole, rest = (bytes(self._rest) + data).split(END)
        self._rest = bytearray(rest)
        return [part.replace(ESC_END, END).replace(ESC_ESC, ESC) for part in whole if part]
