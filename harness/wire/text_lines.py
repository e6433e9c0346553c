"""The lines of a text protocol, cut from bytes that arrive in pieces of any size."""

from __future__ import annotations

LONGEST_LINE = 4096
"""Most bytes kept of an unfinished line: the last ones."""


class TextLines:
    """Cuts bytes into lines; an unfinished line takes a bounded amount of memory."""

    def __init__(self) -> None:
        self._pending = b""
        self._whole: list[str] = []
        self.heard = b""
        """The last bytes that came, to tell the user about."""

    @property
    def buffered(self) -> int:
        """Bytes held at the moment."""
        return len(self._pending) + len(self.heard) + sum(map(len, self._whole))

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        self.heard = (self.heard + data)[-LONGEST_LINE:]
        *whole, self._pending = (self._pending + data).split(b"\n")
        self._pending = self._pending[-LONGEST_LINE:]
        # No line holds a 00, but the frames of another protocol end in one.
        self._whole += [line.rpartition(b"\x00")[2].strip(b"\r").decode("ascii", "replace") for line in whole]

    def next(self) -> str | None:
        """Return the next whole line, without its end; None if there is none yet."""
        return self._whole.pop(0) if self._whole else None
