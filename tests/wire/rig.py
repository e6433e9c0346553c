"""A toy board behind a virtual line in virtual time, and a session with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.emulator.bench_firmware import BenchFirmware, Limits
from harness.emulator.faults import parse_faults
from harness.emulator.firmware import Firmware
from harness.emulator.line import VirtualLine
from harness.emulator.mlperf_firmware import MlperfText
from harness.emulator.simulation import SimulatedClock, SimulatedPort
from harness.wire.bench_client import BenchSession
from tests.wire.toy import INFO, TICK_HZ, ToyEngine


class BusyToy(ToyEngine):
    """A toy engine that takes the time that it reports, on a simulated clock."""

    def __init__(self, clock: SimulatedClock, **options: object) -> None:
        super().__init__(clock.now, **options)  # type: ignore[arg-type]
        self._clock = clock

    def invoke(self, profile: bool = False) -> int:
        ticks = super().invoke(profile)
        self._clock.spend(ticks / TICK_HZ)
        return ticks


@dataclass
class Rig:
    """What a test has in hand: the port, the line and the engine of each boot."""

    port: SimulatedPort
    line: VirtualLine
    engines: list[BusyToy] = field(default_factory=list)

    def session(self, **options: object) -> BenchSession:
        """Greet the board."""
        return BenchSession(self.port, **options)  # type: ignore[arg-type]


def toy_rig(
    faults: str = "",
    *,
    baud: int | None = 921600,
    latency_s: float = 0.005,
    limits: Limits | None = None,
    clock_rate: float = 1.0,
    firmware: Callable[[BusyToy, int], Firmware] | None = None,
    **engine: object,
) -> Rig:
    """Return a toy board on a line with faults. `firmware(engine, boot)` replaces the bench firmware."""
    engines: list[BusyToy] = []

    def boot(clock: SimulatedClock, boots: int) -> Firmware:
        toy = BusyToy(clock, **engine)
        engines.append(toy)
        if firmware is not None:
            return firmware(toy, boots)
        text = MlperfText(INFO, toy, "vww01")
        return BenchFirmware(INFO, toy, boot=boots, limits=limits, text=text)

    line = VirtualLine(baud, latency_s, parse_faults(faults))
    port = SimulatedPort(boot, line, SimulatedClock(clock_rate))
    return Rig(port, line, engines)
