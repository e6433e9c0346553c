"""Where a virtual board meets the host: the far end of a pseudo-terminal or of a TCP socket.

An endpoint behaves like the pins of a UART: it always takes bytes, and what is written while nobody has
the port open is lost.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from typing import Protocol
from urllib.parse import urlsplit

from harness.errors import HarnessError

# A peer that has the port open but does not read gets this long before bytes are dropped, as on a real line.
STALL_S = 5.0


class Endpoint(Protocol):
    """The board's side of a line."""

    url: str

    def read(self, limit: int, timeout: float) -> bytes:
        """Return up to `limit` bytes, waiting at most `timeout` seconds for the first; b"" if none came."""
        ...

    def write(self, data: bytes) -> None:
        """Send `data`; bytes that nobody is there to take are dropped."""
        ...

    def close(self) -> None:
        """Take the port away."""
        ...


def listen(where: str) -> Endpoint:
    """Open the board's side of a line.

    Args:
        where: "pty", or "socket://HOST:PORT" where port 0 takes any free one.

    Raises:
        HarnessError: the place is none of these, cannot be bound, or there are no pseudo-terminals here.
    """
    if where == "pty":
        if sys.platform == "win32":
            raise HarnessError("no pseudo-terminals on Windows; use --listen socket://127.0.0.1:0")
        return PtyEndpoint()
    parts = urlsplit(where)
    if parts.scheme == "socket":
        try:
            port = parts.port
        except ValueError:
            port = None
        if not parts.hostname or port is None:
            raise HarnessError(
                f"cannot listen on '{where}': write socket://HOST:PORT (port 0 = any free one)"
            )
        return SocketEndpoint(parts.hostname, port)
    raise HarnessError(f"cannot listen on '{where}': write pty or socket://HOST:PORT")


class PtyEndpoint:
    """The master side of a pseudo-terminal; the host opens the slave by its path."""

    def __init__(self) -> None:
        import tty

        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.url = os.ttyname(slave)
        # Not kept open here: without a slave the master hangs up, which shows whether a host is there.
        os.close(slave)
        os.set_blocking(self._master, False)
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLIN)

    def read(self, limit: int, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            events = self._poll.poll(max(0.0, left) * 1000)
            if events and events[0][1] & select.POLLIN:
                try:
                    return os.read(self._master, limit)
                except (BlockingIOError, OSError):
                    pass
            if left <= 0:
                return b""
            if events:  # hung up: poll answers at once until a host opens the port
                time.sleep(min(0.005, max(0.0, left)))

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        deadline = time.monotonic() + STALL_S
        while view:
            try:
                sent = os.write(self._master, view)
            except BlockingIOError:
                sent = 0
            except OSError:
                return
            if sent:
                view = view[sent:]
                deadline = time.monotonic() + STALL_S
                continue
            poll = select.poll()
            poll.register(self._master, select.POLLOUT)
            events = poll.poll(100)
            hung_up = events and events[0][1] & select.POLLHUP
            if hung_up or time.monotonic() > deadline:
                return

    def close(self) -> None:
        os.close(self._master)


class SocketEndpoint:
    """A listening TCP socket that serves one host at a time, as a serial port does."""

    def __init__(self, host: str, port: int) -> None:
        try:
            self._server = socket.create_server((host, port), family=_family(host))
        except OSError as error:
            raise HarnessError(f"cannot listen on socket://{host}:{port}: {error.strerror}") from None
        bound = self._server.getsockname()[1]
        self.url = f"socket://[{host}]:{bound}" if ":" in host else f"socket://{host}:{bound}"
        self._peer: socket.socket | None = None

    def read(self, limit: int, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._peer or self._server], [], [], left)
            if not ready:
                return b""
            if self._peer is None:
                self._peer, _ = self._server.accept()
                self._peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                continue
            try:
                data = self._peer.recv(limit)
            except OSError:
                data = b""
            if data:
                return data
            self._hang_up()

    def write(self, data: bytes) -> None:
        if self._peer is None:
            return
        self._peer.settimeout(STALL_S)
        try:
            self._peer.sendall(data)
        except OSError:
            self._hang_up()

    def close(self) -> None:
        self._hang_up()
        self._server.close()

    def _hang_up(self) -> None:
        if self._peer is not None:
            self._peer.close()
            self._peer = None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
