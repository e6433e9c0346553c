"""A virtual line in real time between a host and a device that is behind a port of its own."""

from __future__ import annotations

import threading

from harness.emulator.engine import LineClosed
from harness.emulator.faults import parse_faults
from harness.emulator.line import VirtualLine
from harness.emulator.listening import listen
from harness.wire.port import SerialPort

POLL_S = 0.02


def _not_here() -> None:
    raise AssertionError("a relay cannot reset the device behind it")


class Relay:
    """Answers on `url` for the device at another; what passes takes time and suffers the line's faults."""

    def __init__(
        self, device_url: str, *, baud: int | None, latency_s: float = 0.0, faults: str = ""
    ) -> None:
        self._device = SerialPort(device_url)
        self._endpoint = listen("pty")
        self.url = self._endpoint.url
        line = VirtualLine(baud, latency_s, parse_faults(faults))
        self._line = line.attach(self._endpoint, on_reset=_not_here)
        self._stopping = False
        self._threads = [threading.Thread(target=work) for work in (self._to_device, self._to_host)]

    def _to_device(self) -> None:
        while not self._stopping:
            try:
                data = self._line.read(POLL_S)
            except LineClosed:
                return
            if data:
                self._device.write(data)

    def _to_host(self) -> None:
        while not self._stopping:
            data = self._device.read(65536, POLL_S)
            if data:
                self._line.write(data)

    def __enter__(self) -> Relay:
        self._line.__enter__()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()
        self._line.__exit__(None, None, None)
        self._endpoint.close()
        self._device.close()
