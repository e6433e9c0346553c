"""The one place that opens a serial port, by pyserial URL, and says plainly why one does not open."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import time
from typing import Any, Protocol, runtime_checkable

from harness.errors import BoardError, HarnessError
from harness.wire.holders import in_use
from harness.wire.patience import Countdown

_NEGOTIATED = 6
_NEGOTIATION = re.compile(rb"(?:\xff[\xfb-\xfe][\x00-\x2d]){2}")
"""Two requests of RFC 854: IAC, WILL or WONT or DO or DONT, and an option up to RFC 2217's own."""
_MAY_NEGOTIATE = re.compile(rb"\xff(?:\Z|[\xfb-\xfe])")


class PortError(HarnessError):
    """A port that could not be opened."""


class PortMissing(PortError):
    """There is no such port."""


class PortInUse(PortError):
    """Another program holds the port."""


class PortDenied(PortError):
    """The user may not open the port."""


class TelnetPort(PortError):
    """A socket whose server speaks Telnet, so that not every byte passes as it is."""


class PortLost(BoardError):
    """An open port has gone away: unplugged, or closed at the other end."""


@runtime_checkable
class Port(Protocol):
    """An open line to a device. `now()` is the clock that time-outs on this line go by, in seconds."""

    url: str

    def read(self, max_bytes: int, timeout: float) -> bytes:
        """Return what has arrived, at most `max_bytes`; wait up to `timeout` seconds for the first byte.

        Returns b"" when nothing came in time; raises PortLost.
        """

    def write(self, data: bytes) -> None:
        """Send all of `data`; raises PortLost, or BoardError if the line takes nothing for too long."""

    def close(self) -> None:
        """Close the port; harmless when closed already."""

    def reset_buffers(self) -> None:
        """Throw away what has arrived and was not read."""

    def reopen(self) -> None:
        """Open the port again after PortLost; raises PortError if it is not (yet) back."""

    def now(self) -> float:
        """Return the time in seconds by a monotonic clock."""

    def pause(self, seconds: float) -> None:
        """Wait for `seconds`, between two tries to reopen."""


class SerialPort:
    """A port behind a pyserial URL: a device name, `socket://`, `rfc2217://`, a pseudo-terminal."""

    WRITE_TIMEOUT_S = 10.0

    def __init__(self, url: str, baud: int = 921600) -> None:
        self.url = url
        self.baud = baud
        self._serial: Any = None
        self._fd: int | None = None
        self._first: bytes | None = None
        self.reopen()

    def reopen(self) -> None:
        """Open (again); raises PortMissing, PortInUse, PortDenied or another PortError."""
        from harness.wire.unflushed import has_descriptor

        self.close()
        self._serial = open_serial(self.url, self.baud, 0, self.WRITE_TIMEOUT_S)
        self._fd = int(self._serial.fileno()) if has_descriptor(self._serial) else None
        self._first = b"" if self.url.lower().startswith("socket://") else None

    def read(self, max_bytes: int, timeout: float) -> bytes:
        if self._serial is None:
            raise PortLost(f"port {self.url} is closed")
        try:
            if self._fd is None:
                return self._read_by_library(max_bytes, timeout)
            # pyserial's own read waits for the full count, and its sockets cannot tell how much has come.
            ready, _, _ = select.select([self._fd], [], [], timeout)
            if not ready:
                return b""
            data = os.read(self._fd, max_bytes)
        except BlockingIOError:
            return b""
        except (OSError, TypeError) as error:  # TypeError: another thread closed it meanwhile
            raise self._lost(error) from error
        if not data:
            raise self._lost(None)
        if self._first is not None:
            self._look_for_telnet(data)
        return data

    def _look_for_telnet(self, data: bytes) -> None:
        """Raise TelnetPort if the server's first bytes are those of a Telnet negotiation."""
        self._first = (self._first or b"") + data
        if _NEGOTIATION.match(self._first):
            self.close()
            raise TelnetPort(
                f"{self.url} is a Telnet port, which changes bytes (0xFF is sent twice): use "
                f"rfc2217{self.url[len('socket') :]}, or have its server pass bytes as they are (ser2net: an "
                "accepter `tcp` without `telnet`)"
            )
        if len(self._first) >= _NEGOTIATED or not _MAY_NEGOTIATE.match(self._first):
            self._first = None

    def write(self, data: bytes) -> None:
        import serial

        if self._serial is None:
            raise PortLost(f"port {self.url} is closed")
        try:
            if self._fd is None:
                self._serial.write(data)
            else:
                self._write(memoryview(data), self._fd)
        except serial.SerialTimeoutException as error:
            raise self._stuck() from error
        except OSError as error:
            raise self._lost(error) from error

    def _write(self, data: memoryview, descriptor: int) -> None:
        # pyserial's own write gives up by the clock, though it may be this process that stood still.
        patience = Countdown(self, self.WRITE_TIMEOUT_S)
        while data:
            try:
                data = data[os.write(descriptor, data) :]
                patience.renew()
            except BlockingIOError:
                if patience.over:
                    raise self._stuck() from None
                select.select([], [descriptor], [], patience.wait())

    def _stuck(self) -> BoardError:
        return BoardError(
            f"{self.url} took no bytes for {self.WRITE_TIMEOUT_S:g} s; is the board held in reset?"
        )

    def close(self) -> None:
        port, self._serial, self._fd = self._serial, None, None
        if port is not None:
            with contextlib.suppress(OSError):  # unplugged: nothing is left to close
                port.close()

    def reset_buffers(self) -> None:
        while self.read(65536, 0):
            pass

    def now(self) -> float:
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def __enter__(self) -> SerialPort:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_by_library(self, max_bytes: int, timeout: float) -> bytes:
        self._serial.timeout = timeout
        first: bytes = self._serial.read(1)
        if not first:
            return b""
        waiting = min(self._serial.in_waiting, max_bytes - 1)
        return first + (self._serial.read(waiting) if waiting else b"")

    def _lost(self, error: Exception | None) -> PortLost:
        self.close()
        reason = f" ({error})" if error else ""
        return PortLost(f"port {self.url} went away{reason}; was the board unplugged?")


def open_port(url: str, baud: int = 921600) -> SerialPort:
    """Open a pyserial URL; raises PortMissing, PortInUse, PortDenied or another PortError."""
    return SerialPort(url, baud)


def open_serial(url: str, baud: int, timeout_s: float, write_timeout_s: float | None = None) -> Any:
    """Open a pyserial URL as pyserial's own object; raises PortError.

    `write_timeout_s` is left out if the port has none (RFC 2217).
    """
    import serial

    from harness.wire.unflushed import DeviceSerial, SocketSerial

    try:
        if url.lower().startswith("rfc2217://"):
            from harness.wire.rfc2217_client import Rfc2217Serial

            return Rfc2217Serial(url, baudrate=baud, timeout=timeout_s)
        if url.lower().startswith("socket://"):
            return SocketSerial(url, baudrate=baud, timeout=timeout_s, write_timeout=write_timeout_s)
        options = {"baudrate": baud, "timeout": timeout_s, "write_timeout": write_timeout_s}
        if "://" in url:
            return serial.serial_for_url(url, **options)
        return DeviceSerial(url, exclusive=True, **options)
    except (OSError, ValueError) as error:  # SerialException is an OSError
        raise _explain(url, error) from error


def _explain(url: str, error: Exception) -> PortError:
    code = getattr(error, "errno", None)
    cause = error.__context__ if isinstance(error.__context__, OSError) else None
    code = code if code is not None else getattr(cause, "errno", None)
    text = str(error)
    if re.fullmatch(r"(socket|rfc2217)://[^:/]*/?", url):
        return PortError(f"cannot read the port URL '{url}': it lacks a port number (HOST:PORT)")
    if "://" in url and isinstance(error, ValueError):
        return PortError(f"cannot read the port URL '{url}': {error}")
    if code in (errno.EISDIR, errno.ENOTTY) or "Could not configure port" in text:
        return PortError(f"{url} is not a serial port; look for its name with `harness ports`")
    if code == errno.ENOENT or "FileNotFoundError" in text:
        return PortMissing(
            f"no port {url or '(an empty name)'}: plug the board in, or look for its name with "
            "`harness ports`"
        )
    if code in (errno.EACCES, errno.EPERM) or "Permission" in text or "Access is denied" in text:
        return PortDenied(f"no permission to open {url}: {_how_to_be_permitted(url)}")
    if code in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "exclusively lock" in text:
        return PortInUse(f"port {url} is in use by {in_use(url)}")
    if "does not seem to support RFC2217" in text:
        return PortError(
            f"{url} does not answer as an RFC 2217 server: switch that on there (ser2net: an accepter "
            f"`telnet(rfc2217)`), or use socket{url[len('rfc2217') :]} if it passes bytes as they are"
        )
    if code == errno.ECONNREFUSED or "Connection refused" in text:
        return PortMissing(f"nothing listens at {url}: start the board's server, or check host and port")
    return PortError(f"cannot open port {url}: {text or type(error).__name__}")


def _how_to_be_permitted(url: str) -> str:
    try:
        import grp
        import pwd

        group = grp.getgrgid(os.stat(url).st_gid)
        user = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, OSError, KeyError):
        return "close the program that holds it, or ask whoever looks after this computer"
    rule = "install the rule that `harness ports --udev` prints"
    if group.gr_gid == 0:
        return f"it is root's alone; {rule}"
    if user in group.gr_mem and group.gr_gid not in os.getgroups():
        return f"you have joined its group '{group.gr_name}' since you logged in; log in again"
    join = f"join it (sudo usermod -aG {group.gr_name} $USER) and log in again"
    return f"it belongs to the group '{group.gr_name}'; {join}, or {rule}"
