"""Where a virtual board meets the host: the far end of a pseudo-terminal or of a TCP socket.

An endpoint behaves like the pins of a UART: it always takes bytes, and what is written while nobody has
the port open is lost. A pseudo-terminal shows the host's line speed, RFC 2217 its DTR and RTS, too; a plain
socket shows neither.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Protocol

from harness.emulator.controls import Lines
from harness.errors import HarnessError

# A peer that has the port open but does not read gets this long before bytes are dropped, as on a real line.
STALL_S = 5.0
HUNG_UP_LOOK_S = 0.005
"""How often a pseudo-terminal is looked at that no host has open: poll() cannot wait for one to come."""


class Endpoint(Protocol):
    """The board's side of a line."""

    url: str
    shows: frozenset[str]
    """Of "baud", "lines": what of the host's settings `on_lines` tells."""
    can_vanish: bool
    """Whether the port can go away and come back."""
    on_lines: Callable[[Lines], None]
    """Called from within `read` with what the host has set, whenever that changes."""

    def read(self, limit: int, timeout: float) -> bytes:
        """Return up to `limit` bytes, waiting at most `timeout` seconds for the first; b"" if none came.

        Comes back early when woken.
        """
        ...

    def wait_for_host(self, timeout: float) -> bool:
        """Wait until a host has opened the port; False if none did in time, or when woken."""
        ...

    def write(self, data: bytes) -> None:
        """Send `data`; bytes that nobody is there to take are dropped."""
        ...

    def wake(self) -> None:
        """Make `read` come back at once; from any thread."""
        ...

    def vanish(self) -> None:
        """Take the port away for a while; called by whoever reads, as is `come_back`."""
        ...

    def come_back(self) -> None:
        """Have the port there again, under the same URL."""
        ...

    def close(self) -> None:
        """Take the port away."""
        ...


class _Waker:
    """Something to select on, beside the line, that another thread can make ready."""

    def __init__(self) -> None:
        self.inside, self._outside = socket.socketpair()
        self.inside.setblocking(False)
        self._outside.setblocking(False)

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it is awake
            self._outside.send(b"!")

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.inside.recv(4096)

    def close(self) -> None:
        self.inside.close()
        self._outside.close()


def _ignore(lines: Lines) -> None:
    pass


class PtyEndpoint:
    """The master side of a pseudo-terminal; the host opens the slave by its path."""

    shows = frozenset({"baud"})
    can_vanish = False
    """A new pseudo-terminal would have another name."""

    def __init__(self) -> None:
        import tty

        self.on_lines: Callable[[Lines], None] = _ignore

        try:
            self._master, slave = os.openpty()
        except OSError as error:
            raise HarnessError(
                f"no pseudo-terminal to be had ({error.strerror}); use --listen socket://127.0.0.1:0"
            ) from None
        tty.setraw(slave)
        self.url = os.ttyname(slave)
        # Not kept open here: without a slave the master hangs up, which shows whether a host is there.
        os.close(slave)
        os.set_blocking(self._master, False)
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLIN)
        self._waker = _Waker()
        self._poll.register(self._waker.inside, select.POLLIN)
        self._speed: int | None = None

    def read(self, limit: int, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            events = dict(self._poll.poll(max(0.0, left) * 1000))
            woken = self._waker.inside.fileno() in events
            if woken:
                self._waker.clear()
            self._check_speed(bool(events.get(self._master, 0) & select.POLLHUP))
            if woken:
                return b""
            if events.get(self._master, 0) & select.POLLIN:
                try:
                    return os.read(self._master, limit)
                except (BlockingIOError, OSError):
                    pass
            if left <= 0:
                return b""
            if events:  # hung up: poll answers at once until a host opens the port
                time.sleep(min(HUNG_UP_LOOK_S, max(0.0, left)))

    def wait_for_host(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            events = dict(self._poll.poll(0))
            if self._waker.inside.fileno() in events:
                self._waker.clear()
                return False
            if not events.get(self._master, 0) & select.POLLHUP:
                self._check_speed(False)
                return True
            time.sleep(HUNG_UP_LOOK_S)
        return False

    def _check_speed(self, hung_up: bool) -> None:
        # The setting outlives the host that made it: nobody there, no speed.
        speed = None if hung_up else self._read_speed()
        if speed != self._speed:
            self._speed = speed
            self.on_lines(Lines(baud=speed))

    def _read_speed(self) -> int | None:
        import termios

        try:
            return _speeds().get(termios.tcgetattr(self._master)[5])
        except termios.error:
            return None

    def wake(self) -> None:
        self._waker.wake()

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

    def vanish(self) -> None:
        raise HarnessError("a pseudo-terminal cannot go away and come back; use --listen socket://HOST:PORT")

    def come_back(self) -> None:
        """It has never gone."""

    def close(self) -> None:
        os.close(self._master)
        self._waker.close()


@cache
def _speeds() -> dict[int, int]:
    """Return baud rate by the code that termios has for it."""
    import termios

    return {getattr(termios, name): int(name[1:]) for name in dir(termios) if re.fullmatch(r"B\d+", name)}


class SocketEndpoint:
    """A listening TCP socket that serves one host at a time, as a serial port does."""

    scheme = "socket"
    shows: frozenset[str] = frozenset()
    can_vanish = True

    def __init__(self, host: str, port: int) -> None:
        self.on_lines: Callable[[Lines], None] = _ignore
        try:
            self._server = socket.create_server((host, port), family=_family(host))
        except OSError as error:
            raise HarnessError(f"cannot listen on {self.scheme}://{host}:{port}: {error.strerror}") from None
        bound = self._server.getsockname()[1]
        self._address = (host, bound)
        self.url = f"{self.scheme}://[{host}]:{bound}" if ":" in host else f"{self.scheme}://{host}:{bound}"
        self._peer: socket.socket | None = None
        self._sending = threading.Lock()
        self._waker = _Waker()

    def read(self, limit: int, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            if not self._ready(left):
                return b""
            if self._peer is None:
                self._accept()
                continue
            try:
                data = self._peer.recv(limit)
            except OSError:
                data = b""
            if not data:
                self._hang_up()
                continue
            received = self._received(data)
            if received is not None:
                return received

    def wait_for_host(self, timeout: float) -> bool:
        if self._peer is None and self._ready(timeout):
            self._accept()
        return self._peer is not None

    def _ready(self, timeout: float) -> bool:
        """Wait for the host, or for one to come; False if nothing came in time, or when woken."""
        ready, _, _ = select.select([self._peer or self._server, self._waker.inside], [], [], timeout)
        if self._waker.inside in ready:
            self._waker.clear()
            return False
        return bool(ready)

    def _accept(self) -> None:
        peer, _ = self._server.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peer = peer
        self._opened()

    def _opened(self) -> None:
        """A host has come."""

    def _received(self, data: bytes) -> bytes | None:
        """Return what of the bytes from the network is line data; None to wait for more."""
        return data

    def write(self, data: bytes) -> None:
        self._send(data)

    def _send(self, data: bytes) -> None:
        with self._sending:
            if self._peer is None:
                return
            self._peer.settimeout(STALL_S)
            try:
                self._peer.sendall(data)
            except OSError:
                # Not closed here: the reading side may be waiting on it, and finds the end by itself.
                with contextlib.suppress(OSError):
                    self._peer.shutdown(socket.SHUT_RDWR)

    def wake(self) -> None:
        self._waker.wake()

    def vanish(self) -> None:
        self._hang_up()
        self._server.close()

    def come_back(self) -> None:
        self._server = socket.create_server(self._address, family=_family(self._address[0]))

    def close(self) -> None:
        self._hang_up()
        self._server.close()
        self._waker.close()

    def _hang_up(self) -> None:
        with self._sending:
            if self._peer is not None:
                self._peer.close()
                self._peer = None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
