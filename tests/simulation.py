"""A firmware behind a virtual line in virtual time: a Port for tests, without threads and without waiting."""

from __future__ import annotations

from collections.abc import Callable

from harness.emulator.faults import Event
from harness.emulator.firmware import Firmware
from harness.emulator.line import VirtualLine
from harness.wire.port import PortLost, PortMissing

BOOT_S = 0.3
"""Time from a reset to the first byte that the board takes."""


class SimulatedClock:
    """The time on the board, which goes on while it computes. `rate` is how fast its crystal runs."""

    def __init__(self, rate: float = 1.0) -> None:
        self.time = 0.0
        self.rate = rate
        self.spent = 0.0
        self.alarm: float | None = None
        """When the board next has work of its own, by its port's time."""

    def now(self) -> float:
        """Return the board's time in seconds."""
        return (self.time + self.spent) * self.rate

    def spend(self, seconds: float) -> None:
        """Let the board compute for so long."""
        self.spent += seconds / self.rate

    def wake_at(self, time: float) -> None:
        """Have the board look for work at this time."""
        self.alarm = time / self.rate


class SimulatedPort:
    """A Port at the other end of which `boot(clock, boots)` is the firmware after each reset."""

    url = "simulated"

    def __init__(
        self,
        boot: Callable[[SimulatedClock, int], Firmware],
        line: VirtualLine | None = None,
        clock: SimulatedClock | None = None,
    ) -> None:
        self._boot = boot
        self._line = line or VirtualLine()
        self._clock = clock or SimulatedClock()
        self._time = 0.0
        self._device_free = 0.0
        self._back_at: float | None = None
        self._here = True
        self._open = True
        self.boots = 0
        self._restart(0.0)

    @property
    def firmware(self) -> Firmware:
        """The firmware of the current boot."""
        return self._firmware

    def now(self) -> float:
        return self._time

    def pause(self, seconds: float) -> None:
        self._advance(self._time + seconds)

    def read(self, max_bytes: int, timeout: float) -> bytes:
        """As in Port, but return all that has arrived, however much."""
        self._check()
        self._advance(self._time + timeout, for_host=True)
        self._check()
        return self._line.to_host.take(self._time)

    def write(self, data: bytes) -> None:
        """As in Port; writing takes no time, as if the operating system had room."""
        self._check()
        self._line.to_device.send(self._time, data)

    def reset_buffers(self) -> None:
        self._line.to_host.take(self._time)

    def close(self) -> None:
        self._open = False

    def reopen(self) -> None:
        if not self._here:
            raise PortMissing(f"no port {self.url}")
        self._open = True

    def _check(self) -> None:
        if not self._open:
            raise PortLost(f"port {self.url} went away")

    def _restart(self, at: float) -> None:
        self.boots += 1
        self._clock.time, self._clock.spent, self._clock.alarm = at, 0.0, None
        self._firmware = self._boot(self._clock, self.boots)
        self._device_free = self._booted_at = at
        self._line.to_host.send(at, self._firmware.take_output())

    def _advance(self, until: float, for_host: bool = False) -> None:
        """Let time pass up to `until`, or until there is something to read."""
        while True:
            if self._back_at is not None and self._time >= self._back_at:
                self._here, self._back_at = True, None
            if for_host and (not self._open or self._is_due(self._line.to_host.due())):
                return
            moments = [
                moment
                for moment in (
                    self._line.to_host.due() if for_host else None,
                    self._device_moment(),
                    self._line.next_event_s(),
                    self._back_at,
                )
                if moment is not None
            ]
            if not moments or min(moments) > until:
                self._time = max(self._time, until)
                return
            self._time = max(self._time, min(moments))
            event = self._line.event(self._time)
            if event is not None:
                self._befall(event)
            elif self._is_due(self._device_moment()):
                self._run_device()

    def _is_due(self, moment: float | None) -> bool:
        return moment is not None and moment <= self._time

    def _device_moment(self) -> float | None:
        if self._firmware.busy:
            return self._device_free
        due = [at for at in (self._line.to_device.due(), self._clock.alarm) if at is not None]
        return max(min(due), self._device_free) if due else None

    def _run_device(self) -> None:
        self._clock.time, self._clock.spent = self._time, 0.0
        if self._clock.alarm is not None and self._clock.alarm <= self._time:
            self._clock.alarm = None
        self._line.to_device.take(self._booted_at)  # no host had the port open
        data = self._line.to_device.take(self._time)
        if data:
            self._firmware.receive(data)
            self._line.to_host.send(self._time, self._firmware.take_output())
        self._firmware.step()
        self._device_free = self._time + self._clock.spent
        self._line.to_host.send(self._device_free, self._firmware.take_output())
        if self._firmware.reset_asked:
            self._line.to_device.clear()
            self._restart(self._device_free + BOOT_S)

    def _befall(self, event: Event) -> None:
        self._line.clear()
        if event.kind == "reset":
            self._restart(self._time + BOOT_S)
        else:
            self._open = self._here = False
            self._back_at = self._time + event.away_s
