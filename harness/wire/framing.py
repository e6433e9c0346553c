"""Frames on the wire: a zero byte, COBS of (body, CRC-32), a zero byte.

Every frame starts and ends with its own delimiter, so that one damaged delimiter, or console output right
before a frame, never costs a second frame. The first body byte is always `MARK`, which is not ASCII: this is
how a receiver tells a frame from a text command on the same port.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from cobs import cobs

MARK = 0xBE
DELIMITER = b"\x00"
CRC_BYTES = 4
TEXT_LIMIT = 80
"""Longest text command kept, in characters: the size of MLPerf Tiny's own command buffer."""

_TEXT_END = b"%"
_TEXT_BYTES = bytes([*range(0x20, 0x7F), 0x0A, 0x0D])


def encode(body: bytes) -> bytes:
    """Return the bytes that carry `body` over the line, delimiters included."""
    crc = zlib.crc32(body).to_bytes(CRC_BYTES, "little")
    return b"\x00" + cobs.encode(body + crc) + b"\x00"


def encoded_size(body_bytes: int) -> int:
    """Return the largest number of line bytes that a body of `body_bytes` can take."""
    checked = body_bytes + CRC_BYTES
    return checked + (checked + 253) // 254 + 2


def body_limit(line_bytes: int) -> int:
    """Return the size of the longest body that always fits `line_bytes` (0 or less: none does)."""
    checked = line_bytes - 2
    return checked - (checked + 254) // 255 - CRC_BYTES


def decode(chunk: bytes) -> bytes | None:
    """Return the body carried by `chunk` (what stood between two delimiters), or None if it is damaged."""
    try:
        checked = cobs.decode(chunk)
    except cobs.DecodeError:
        return None
    if len(checked) <= CRC_BYTES:
        return None
    body = checked[:-CRC_BYTES]
    if body[0] != MARK or zlib.crc32(body) != int.from_bytes(checked[-CRC_BYTES:], "little"):
        return None
    return body


@dataclass(frozen=True)
class Text:
    """A text command that stood outside of any frame, without its terminator."""

    command: str


class Decoder:
    """Finds frames, and text commands if asked to, in bytes that arrive in pieces of any size.

    Memory is bounded: a chunk that outgrows `max_frame` line bytes is dropped up to the next delimiter, and
    of what was not a frame only the last `noise_limit` bytes are kept.
    """

    def __init__(self, max_frame: int, *, text: bool = False, noise_limit: int = 4096) -> None:
        self._limit = max(max_frame, TEXT_LIMIT + 1)
        self._text = text
        self._noise_limit = noise_limit
        self._pending = bytearray()
        self._overrun = False
        self.damaged = 0
        """Chunks that were dropped: damaged frames, and whatever else is not a frame."""
        self.noise = bytearray()
        """The end of what was not a frame (console output, another protocol), to tell the user about."""

    @property
    def buffered(self) -> int:
        """Bytes held at the moment."""
        return len(self._pending) + len(self.noise)

    def feed(self, data: bytes) -> list[bytes | Text]:
        """Take line bytes; return the frame bodies and text commands that they complete, in order."""
        found: list[bytes | Text] = []
        first, *rest = data.split(DELIMITER)
        self._extend(first, found)
        for part in rest:
            self._end_chunk(found)
            self._extend(part, found)
        return found

    def drop_partial(self) -> None:
        """Forget an unfinished frame or command (its sender has gone silent)."""
        if self._pending or self._overrun:
            self._drop()
        self._overrun = False

    @property
    def outside(self) -> bytes:
        """The last bytes that stood outside frames, the unfinished chunk included."""
        return bytes(self.noise + self._pending)[-self._noise_limit :]

    def _extend(self, part: bytes, found: list[bytes | Text]) -> None:
        if not part:
            return
        if not self._overrun:
            self._pending += part
            if self._text:
                self._take_text(found)
            if len(self._pending) <= self._limit:
                return
            self._drop()
            self._overrun = True
        else:
            self._keep_noise(part)

    def _end_chunk(self, found: list[bytes | Text]) -> None:
        if self._overrun:
            self._overrun = False
        elif self._pending:
            body = decode(bytes(self._pending))
            if body is None:
                self._drop()
            else:
                self._pending.clear()
                found.append(body)

    def _take_text(self, found: list[bytes | Text]) -> None:
        # A frame's second byte is MARK, so two bytes tell; the first alone may look like anything.
        while len(self._pending) > 1 and not self._pending[:2].translate(None, _TEXT_BYTES):
            end = self._pending.find(_TEXT_END)
            if end < 0:
                if not self._pending.translate(None, _TEXT_BYTES):
                    del self._pending[TEXT_LIMIT + 1 :]
                return
            command = bytes(self._pending[:end])
            if command.translate(None, _TEXT_BYTES):
                return
            del self._pending[: end + 1]
            found.append(Text(command.decode("ascii").lstrip("\r\n")[:TEXT_LIMIT]))

    def _drop(self) -> None:
        self.damaged += 1
        self._keep_noise(bytes(self._pending))
        self._pending.clear()

    def _keep_noise(self, data: bytes) -> None:
        self.noise += data[-self._noise_limit :]
        del self.noise[: -self._noise_limit]
