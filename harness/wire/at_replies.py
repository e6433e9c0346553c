"""The stock firmware's replies, `\\r{json}\\n`, found among whatever else its console prints."""

from __future__ import annotations

import json
from typing import Any

LONGEST_REPLY = 1 << 20
"""Most bytes kept of an unfinished reply; an image in an event is some 100 KiB."""
_HEARD = 4096


class Replies:
    """Cuts bytes into JSON objects in bounded memory; a damaged object does no harm to the others."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._searched = 0
        self.heard = b""
        """The last bytes that came, to tell the user about."""

    @property
    def buffered(self) -> int:
        """Bytes held at the moment."""
        return len(self._pending) + len(self.heard)

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Take bytes; return the objects that they complete, in order."""
        self.heard = (self.heard + data[-_HEARD:])[-_HEARD:]
        self._pending += data
        found: list[dict[str, Any]] = []
        taken = 0
        at = self._searched
        while (end := self._pending.find(b"}\n", at)) >= 0:
            # JSON contains no raw CR, so this reply begins at the last one before its end.
            start = self._pending.rfind(b"\r{", taken, end)
            if start >= 0:
                reply = _read(bytes(self._pending[start + 1 : end + 1]))
                if reply is not None:
                    found.append(reply)
            taken = at = end + 2
        del self._pending[:taken]
        if len(self._pending) > LONGEST_REPLY:
            del self._pending[:-1]
        self._searched = max(0, len(self._pending) - 1)
        return found


def _read(text: bytes) -> dict[str, Any] | None:
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return reply if isinstance(reply, dict) else None
