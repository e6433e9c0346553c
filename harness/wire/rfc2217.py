"""pyserial's RFC 2217 client, without what makes it slow."""

from __future__ import annotations

import warnings

from serial import rfc2217


class Rfc2217Serial(rfc2217.Serial):
    """Negotiates line settings when they change, and not, at 0.1 s each time, when a time-out does."""

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
