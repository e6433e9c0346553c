"""pyserial's ports and sockets, but they keep what arrives while they are being opened.

pyserial throws it away, and with it the only words of a board that speaks when its host comes.
"""

from __future__ import annotations

import sys
from typing import Any

import serial
from serial.urlhandler import protocol_socket


class SocketSerial(protocol_socket.Serial):
    """A TCP socket as a port."""

    _opening = False

    def open(self) -> None:
        self._opening = True
        try:
            super().open()
        finally:
            self._opening = False

    def reset_input_buffer(self) -> None:
        if not self._opening:
            super().reset_input_buffer()


class DeviceSerial(serial.Serial):
    """A port of this computer."""

    if sys.platform != "win32":

        def _reset_input_buffer(self) -> None:
            if self.is_open:
                super()._reset_input_buffer()


def has_descriptor(port: Any) -> bool:
    """Return whether `select` and `read` work on the port's descriptor."""
    return sys.platform != "win32" and isinstance(port, SocketSerial | DeviceSerial)
