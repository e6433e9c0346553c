"""The port of a USB device, under whatever name the device comes back after a reset."""

from __future__ import annotations

from harness.runner.attached import Device, port_of
from harness.wire.port import SerialPort


class ReturningPort(SerialPort):
    """A port that is looked for by its device's serial number and USB socket whenever it is opened."""

    def __init__(self, url: str, baud: int, device: Device) -> None:
        """`url` is where the device was last."""
        self._device = device
        super().__init__(url, baud)

    def reopen(self) -> None:
        """Open (again), as in SerialPort."""
        # Another board may have taken the name: the old one counts only if the device is nowhere.
        self.url = port_of(self._device) or self.url
        super().reopen()
