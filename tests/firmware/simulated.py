"""The C core in virtual time: firmware/tests/simulated_main.c as the firmware of a virtual board."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from types import TracebackType

from harness.emulator.firmware import Firmware
from tests.firmware.selftest import ARENA_BYTES, TICK_HZ
from tests.simulation import SimulatedClock


class CoreProcess:
    """The simulated device; one boot after the other runs in it."""

    def __init__(self, build: Path, flash: Path, *, arena: int = ARENA_BYTES, inputs: int = 1 << 20) -> None:
        self._process = subprocess.Popen(
            [build / "tests/bench_simulated", flash, str(arena), str(inputs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"ASAN_OPTIONS": "detect_leaks=0"},
        )
        self.flags = 0
        self.ticks = 0
        self.alive = 0

    def boot(self, number: int) -> bytes:
        """Start the device over; return what it says."""
        return self._command(b"B" + struct.pack("<I", number & 0xFFFFFFFF))

    def step(self, ticks: int, data: bytes) -> bytes:
        """Let `data` arrive at time `ticks` and the core take a turn; return what the device says."""
        return self._command(b"S" + struct.pack("<QI", ticks, len(data)) + data)

    def _command(self, command: bytes) -> bytes:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(command)
            self._process.stdin.flush()
            head = self._process.stdout.read(17)
        except BrokenPipeError:
            head = b""
        if len(head) < 17:
            assert self._process.stderr
            raise AssertionError(self._process.stderr.read().decode())
        self.flags, self.ticks, self.alive, length = struct.unpack("<BQII", head)
        return self._process.stdout.read(length)

    def __enter__(self) -> CoreProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _, said = self._process.communicate()
        assert self._process.returncode == 0, said.decode()


class CoreFirmware(Firmware):
    """One boot of the C core."""

    def __init__(self, process: CoreProcess, clock: SimulatedClock, boot: int) -> None:
        super().__init__()
        self._process = process
        self._clock = clock
        self._arrived = b""
        self._out += process.boot(boot)

    @property
    def busy(self) -> bool:
        return bool(self._process.flags & 1)

    @property
    def buffered(self) -> int:
        return len(self._out)

    def receive(self, data: bytes) -> None:
        self._arrived += data

    def step(self) -> None:
        now = int(self._clock.now() * TICK_HZ)
        self._out += self._process.step(now, self._arrived)
        self._arrived = b""
        self._clock.spend((self._process.ticks - now) / TICK_HZ)
        self.reset_asked = bool(self._process.flags & 2)
