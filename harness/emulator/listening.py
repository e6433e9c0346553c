"""Where a virtual board listens for its host."""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from harness.emulator.rfc2217 import Rfc2217Endpoint
from harness.emulator.transport import Endpoint, PtyEndpoint, SocketEndpoint
from harness.errors import HarnessError


def listen(where: str) -> Endpoint:
    """Open the board's side of a line.

    Args:
        where: "pty", or "rfc2217://HOST:PORT" or "socket://HOST:PORT" where port 0 takes any free one.

    Raises:
        HarnessError: the place is none of these, cannot be bound, or there are no pseudo-terminals here.
    """
    if where == "pty":
        if sys.platform == "win32":
            raise HarnessError("no pseudo-terminals on Windows; use --listen socket://127.0.0.1:0")
        return PtyEndpoint()
    parts = urlsplit(where)
    if parts.scheme in ("rfc2217", "socket"):
        try:
            port = parts.port
        except ValueError:
            port = None
        if not parts.hostname or port is None:
            raise HarnessError(
                f"cannot listen on '{where}': write {parts.scheme}://HOST:PORT (port 0 = any free one)"
            )
        if parts.scheme == "socket":
            return SocketEndpoint(parts.hostname, port)
        return Rfc2217Endpoint(parts.hostname, port)
    raise HarnessError(f"cannot listen on '{where}': write pty, rfc2217://HOST:PORT or socket://HOST:PORT")
