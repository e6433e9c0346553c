"""Line speeds: whether what came makes sense, and at which other speed it would."""

from __future__ import annotations

from dataclasses import dataclass

from harness.wire.greeting import ASKING_S, ask, legible, understood
from harness.wire.patience import Countdown
from harness.wire.port import open_port

SPEEDS = (115200, 921600, 57600, 9600, 460800, 230400, 1500000, 38400, 74880)
"""The speeds that boards' consoles are set to, the likely ones first.

115200: MLPerf Tiny's reference devices, ESP-IDF, Arduino; 921600: the stock firmware of the WE2 and of the
ESP32-S3; 74880: ROMs of Espressif's older chips, with a crystal of 26 MHz.
"""


@dataclass(frozen=True)
class Heard:
    """What came at a speed."""

    baud: int
    data: bytes

    @property
    def clear(self) -> bool:
        """Whether it is text, or an answer in a protocol."""
        return legible(self.data) or understood(self.data)

    @property
    def shown(self) -> str:
        """The last whole line of text that came, shortened; "" if there is none."""
        lines = [line.strip() for line in self.data.split(b"\n") if legible(line.strip(), least=1)]
        return lines[-1][:60].decode("ascii", "replace") if lines else ""


def listen(url: str, baud: int, seconds: float, *, asking: bool = False) -> Heard:
    """Return what a device says at a speed, asked for it or not; raises PortError or PortLost."""
    with open_port(url, baud) as port:
        patience = Countdown(port, seconds)
        if asking:
            ask(port)
        data = b""
        while not patience.over:
            data += port.read(4096, patience.wait())
    return Heard(baud, data)


def clear_at(url: str, tried: int) -> Heard | None:
    """Return what a device says at another speed than was tried, if that makes sense; None if none does.

    Raises PortError or PortLost.
    """
    for baud in SPEEDS:
        if baud != tried:
            heard = listen(url, baud, ASKING_S, asking=True)
            if heard.clear:
                return heard
    return None
