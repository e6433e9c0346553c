"""A toy board behind a virtual line in virtual time, and a session with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.emulator.bench_firmware import BenchFirmware, Limits
from harness.emulator.engine import Invoked, Loaded
from harness.emulator.faults import parse_faults
from harness.emulator.firmware import Firmware
from harness.emulator.line import VirtualLine
from harness.wire.bench_client import BenchSession
from harness.wire.patience import DEFAULT, Patience
from tests.simulation import SimulatedClock, SimulatedPort
from tests.wire.toy import INFO, TICK_HZ, ToyEngine

ENDLESS = 1 << 62
"""Ticks of an invoke that does not end while anybody lives."""


class BusyToy(ToyEngine):
    """A toy engine that takes the time that it reports, on a simulated clock."""

    def __init__(self, clock: SimulatedClock, **options: object) -> None:
        super().__init__(clock.now, **options)  # type: ignore[arg-type]
        self._clock = clock

    def invoke(self, inputs: Sequence[bytes], profile: bool) -> Invoked:
        done = super().invoke(inputs, profile)
        self._clock.spend(done.ticks / TICK_HZ)
        return done


class LivelyToy(BusyToy):
    """The same on a chip with a core for it: the line is served meanwhile, and an invoke can be broken off.

    It takes `load_s` to load a model. An invoke that costs `ENDLESS` never ends.
    """

    alive = True

    def __init__(self, clock: SimulatedClock, load_s: float = 0.0, **options: object) -> None:
        super().__init__(clock, **options)
        self._load_s = load_s
        self._done_at = 0.0

    def begin_load(self, address: int) -> None:
        super().begin_load(address)
        self._takes(self._load_s)

    def begin_invoke(self, inputs: Sequence[bytes], profile: bool) -> None:
        self._outcome = ToyEngine.invoke(self, inputs, profile)
        self._takes(self._outcome.ticks / TICK_HZ)

    def _takes(self, seconds: float) -> None:
        self._done_at = self._clock.now() + seconds
        self._clock.wake_at(self._done_at)

    def poll(self) -> Loaded | Invoked | None:
        return super().poll() if self._clock.now() > self._done_at - 1e-9 else None


@dataclass
class Rig:
    """What a test has in hand: the port, the line and the engine of each boot."""

    port: SimulatedPort
    line: VirtualLine
    engines: list[BusyToy] = field(default_factory=list)

    def session(self, patience: Patience = DEFAULT) -> BenchSession:
        """Greet the board."""
        return BenchSession(self.port, patience)


def toy_rig(
    faults: str = "",
    *,
    baud: int | None = 921600,
    latency_s: float = 0.005,
    limits: Limits | None = None,
    clock_rate: float = 1.0,
    firmware: Callable[[BusyToy, int], Firmware] | None = None,
    toy: type[BusyToy] = BusyToy,
    **engine: object,
) -> Rig:
    """Return a toy board on a line with faults. `firmware(engine, boot)` replaces the bench firmware."""
    engines: list[BusyToy] = []

    def boot(clock: SimulatedClock, boots: int) -> Firmware:
        made = toy(clock, **engine)  # type: ignore[arg-type]
        engines.append(made)
        if firmware is not None:
            return firmware(made, boots)
        return BenchFirmware(INFO, made, boot=boots, limits=limits, text=True)

    line = VirtualLine(baud, latency_s, parse_faults(faults))
    port = SimulatedPort(boot, line, SimulatedClock(clock_rate))
    return Rig(port, line, engines)
