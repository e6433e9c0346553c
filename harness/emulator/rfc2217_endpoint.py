"""A virtual board's port over TCP as RFC 2217 has it: line data with the host's settings in between.

pyserial's PortManager speaks Telnet; what it believes to be the serial port that it serves is `_Uart`.
"""

from __future__ import annotations

from collections.abc import Callable

from serial.rfc2217 import IAC, M_NORMAL, PortManager

from harness.emulator.controls import ControlLines
from harness.emulator.transport import SocketEndpoint


class Rfc2217Endpoint(SocketEndpoint):
    """A listening TCP socket that shows DTR, RTS and speed as the host sets them."""

    scheme = "rfc2217"
    shows = frozenset({"baud", "lines"})

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self._lines = ControlLines()
        self._uart = _Uart(self._settings_changed)
        self._telnet = PortManager(self._uart, _Raw(self._send))

    def _opened(self) -> None:
        self._uart = _Uart(self._settings_changed)
        self._telnet = PortManager(self._uart, _Raw(self._send))

    def _received(self, data: bytes) -> bytes | None:
        out = bytearray()
        at = 0
        while at < len(data):
            # pyserial's filter handles single bytes, which is slow: data between Telnet commands bypasses it.
            if self._telnet.mode is M_NORMAL and self._telnet.suboption is None:
                command = data.find(IAC, at)
                plain = len(data) if command < 0 else command
                out += data[at:plain]
                at = plain
            if at < len(data):
                out += b"".join(self._telnet.filter(data[at : at + 1]))
                at += 1
        return bytes(out) or None

    def _settings_changed(self) -> None:
        lines = ControlLines(self._uart.dtr, self._uart.rts, self._uart.baudrate)
        if lines != self._lines:
            self._lines = lines
            self.on_lines(lines)

    def write(self, data: bytes) -> None:
        """Send line data, escaped."""
        self._send(data.replace(IAC, IAC + IAC))

    def _hang_up(self) -> None:
        super()._hang_up()
        self._uart = _Uart(self._settings_changed)
        self._settings_changed()


class _Raw:
    """The connection that PortManager writes its Telnet to."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.write = write


class _Uart:
    """The serial port that PortManager sets; tells of each change of speed, DTR and RTS."""

    bytesize, parity, stopbits = 8, "N", 1
    xonxoff = rtscts = break_condition = False
    cts = dsr = cd = True
    ri = False

    baudrate = 115200
    dtr: bool | None = None
    rts: bool | None = None

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name in ("baudrate", "dtr", "rts"):
            self._changed()

    def reset_input_buffer(self) -> None:
        """Nothing is buffered: what has arrived is with the board."""

    def reset_output_buffer(self) -> None:
        """Nothing is buffered: what was sent is on its way."""
