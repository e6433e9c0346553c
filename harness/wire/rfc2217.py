"""pyserial's RFC 2217 client, without what makes it slow."""

from __future__ import annotations

import time
import warnings

from serial import SerialException, rfc2217

_LOOK_S = 0.002
"""Between two looks whether the server has answered; pyserial has 0.05 s, and some 30 answers a flash."""


class Rfc2217Serial(rfc2217.Serial):
    """Negotiates line settings when they change, not when a time-out does, and sees an answer as it comes."""

    _negotiated: tuple[object, ...] = ()

    def open(self) -> None:
        """See serial.Serial.open."""
        self._negotiated = ()
        with warnings.catch_warnings():
            # pyserial names its thread in a way that Python deprecates: where warnings are errors, as in many
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
        """Set DTR, RTS, a break or the flow control; raises SerialException if the server does not answer."""
        if self._ignore_set_control_answer:  # a server that does not answer, by the port's URL
            super().rfc2217_set_control(value)
        else:
            self._ask("control", value)

    def _ask(self, name: str, value: bytes) -> None:
        item = self._rfc2217_options[name]
        item.set(value)
        until = time.monotonic() + self._network_timeout
        while not item.is_ready():
            if time.monotonic() > until:
                raise SerialException(f"timeout while waiting for option {name!r}")
            time.sleep(_LOOK_S)
