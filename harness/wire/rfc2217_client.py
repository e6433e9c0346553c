"""pyserial's RFC 2217 client, without what makes it slow, and for servers whose port has no DTR and RTS."""

from __future__ import annotations

import time
import warnings

from serial import SerialException, rfc2217

_LOOK_S = 0.002
"""Between two checks for the server's answer; pyserial waits 0.05 s, and a flash needs some 30 answers."""
_NO_LINES_S = 0.5
"""A server that has answered all else is given so long for DTR and RTS, and ten times its slowest answer."""
_LINES = (
    rfc2217.SET_CONTROL_DTR_ON,
    rfc2217.SET_CONTROL_DTR_OFF,
    rfc2217.SET_CONTROL_RTS_ON,
    rfc2217.SET_CONTROL_RTS_OFF,
)


class Rfc2217Serial(rfc2217.Serial):
    """Negotiates line settings when they change, not when a time-out does, and sees an answer as it comes.

    A server whose port has no DTR and RTS (ser2net and labgrid, which starts it, on a pseudo-terminal or on
    some USB chips) answers every setting but these. They are given up then, and `has_lines` is False.
    """

    has_lines = True
    _negotiated: tuple[object, ...] = ()
    _lines_work = False
    _slowest_s = 0.0

    def open(self) -> None:
        self._negotiated, self._slowest_s = (), 0.0
        self.has_lines, self._lines_work = True, False
        with warnings.catch_warnings():
            # pyserial names its thread in a way that Python deprecates: if warnings are errors, as in many
            # a test suite, that would end a bench.
            warnings.simplefilter("ignore", DeprecationWarning)
            super().open()

    def _reconfigure_port(self) -> None:
        if self._write_timeout is not None:
            raise NotImplementedError("RFC 2217 has no write time-out")
        settings = (self._baudrate, self._bytesize, self._parity, self._stopbits)
        if settings != self._negotiated:
            super()._reconfigure_port()
            self._negotiated = settings

    def rfc2217_send_purge(self, value: bytes) -> None:
        """Have the server drop what it holds; raises SerialException if it does not say that it did."""
        self._ask("purge", value)

    def rfc2217_set_control(self, value: bytes) -> None:
        """Set DTR, RTS, a break or the flow control; raises SerialException if the server does not answer.

        If it answers all but DTR and RTS, it has none.
        """
        if self._ignore_set_control_answer:  # a server that does not answer, by the port's URL
            super().rfc2217_set_control(value)
        elif value not in _LINES:
            self._ask("control", value)
        elif self.has_lines:
            patience_s = self._network_timeout
            if not self._lines_work:
                patience_s = min(patience_s, _NO_LINES_S + 10 * self._slowest_s)
            try:
                self._ask("control", value, patience_s)
                self._lines_work = True
            except SerialException:
                if self._lines_work:
                    raise
                self.has_lines = False

    def _ask(self, name: str, value: bytes, patience_s: float | None = None) -> None:
        item = self._rfc2217_options[name]
        item.set(value)
        started = time.monotonic()
        while not item.is_ready():
            spent = time.monotonic() - started
            if spent > (self._network_timeout if patience_s is None else patience_s):
                raise SerialException(f"timeout while waiting for option {name!r}")
            time.sleep(_LOOK_S)
        self._slowest_s = max(self._slowest_s, time.monotonic() - started)
