"""A virtual Power Profiler Kit II at a pseudo-terminal: its commands, calibration and stream of samples.

The wire is as NordicSemiconductor/pc-nrfconnect-ppk (commit 8da7626: src/constants.ts,
src/device/serialDevice.ts) reads and writes it. What the kit does inside is not published: the ranges switch
at the currents that its user guide names.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.emulator.transport import Endpoint

RATE_HZ = 100_000
ADC_MULT = 1.8 / 163840
RESISTORS = (1031.64, 101.65, 10.15, 0.94, 0.043)
"""Ohms of the five ranges of a kit without a calibration of its own."""
SWITCH_AT_A = (50e-6, 500e-6, 5e-3, 60e-3)
"""The highest current of each range but the last (user guide, "Measuring resolution and accuracy")."""
PIECE_S = 0.005
NOT_MEASURING_S = 1.0
NAME = "VIRTUAL"

GET_META_DATA, AVERAGE_START, AVERAGE_STOP = 0x19, 0x06, 0x07
REGULATOR_SET, DEVICE_RUNNING_SET, SET_POWER_MODE = 0x0D, 0x0C, 0x11
ARGUMENTS = {
    0x01: 5,
    0x02: 1,
    0x03: 2,
    0x04: 2,
    0x05: 1,
    0x08: 1,
    0x09: 0,
    DEVICE_RUNNING_SET: 1,
    REGULATOR_SET: 2,
    0x0E: 2,
    0x0F: 2,
    SET_POWER_MODE: 1,
    0x12: 12,
    0x25: 5,
}
"""Bytes behind a command, for those that have any."""


class Circuit(Protocol):
    """What the kit is wired to."""

    def take(self, first: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Return current in A and the digital inputs of samples `first` to `first + count - 1`."""


@dataclass
class Modifiers:
    """The coefficients of a kit, an entry a range."""

    R: Sequence[float] = RESISTORS
    GS: Sequence[float] = (1.0,) * 5
    GI: Sequence[float] = (1.0,) * 5
    O: Sequence[float] = (0.0,) * 5  # noqa: E741 (the kit's own name)
    S: Sequence[float] = (0.0,) * 5
    I: Sequence[float] = (0.0,) * 5  # noqa: E741
    UG: Sequence[float] = (1.0,) * 5

    def text(self, vdd_mv: int, mode: int) -> str:
        """Return what the kit answers to GET_META_DATA."""
        lines = ["Calibrated: 1"]
        for name in ("R", "GS", "GI", "O", "S", "I", "UG"):
            lines += [f"{name}{index}: {value:.6g}" for index, value in enumerate(getattr(self, name))]
        return "\n".join([*lines, f"VDD: {vdd_mv}", f"HW: {NAME}", f"mode: {mode}", "IA: 56", "END"])

    def adc(self, amperes: NDArray[np.float64], range_: NDArray[np.intp], volts: float) -> NDArray[np.int64]:
        """Return what the converter reads: the conversion of Nordic's application, turned round."""
        t = {name: np.asarray(getattr(self, name), float)[range_] for name in ("R", "GS", "GI", "O", "UG")}
        offset = (np.asarray(self.S, float) * volts + np.asarray(self.I, float))[range_]
        wanted = amperes / t["UG"] - offset  # = x * (GS * x + GI)
        x = 2 * wanted / (t["GI"] + np.sqrt(np.maximum(t["GI"] ** 2 + 4 * t["GS"] * wanted, 0.0)))
        return np.rint((x * t["R"] / ADC_MULT + t["O"]) / 4).astype(np.int64)


@dataclass
class KitFaults:
    """What goes wrong: samples that never arrive as (first, count), the clock's error, and the cable."""

    lost: Sequence[tuple[int, int]] = ()
    skew_ppm: float = 0.0
    unplugged_at: int | None = None
    """Number of the sample at which the cable comes out."""


@dataclass
class VirtualPpk2:
    """A kit that measures `circuit` in real time."""

    endpoint: Endpoint
    circuit: Circuit
    calibration: Modifiers = field(default_factory=Modifiers)
    faults: KitFaults = field(default_factory=KitFaults)
    noise_counts: float = 1.0
    """Noise of the converter, as a standard deviation."""
    supplied: bool = field(default=False, init=False)
    mode: int = field(default=1, init=False)
    vdd_mv: int = field(default=5000, init=False)

    def __post_init__(self) -> None:
        self._sending = threading.Event()
        self._ends = self._unplugged = False
        self._pending = b""
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._send)]

    def __enter__(self) -> VirtualPpk2:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self._sending.set()
        if not self._unplugged:
            self.endpoint.wake()
        for thread in self._threads:
            thread.join()
        if not self._unplugged:
            self.endpoint.close()

    def _listen(self) -> None:
        while not self._ends:
            try:
                self._pending += self.endpoint.read(4096, 0.2)
            except (OSError, ValueError):  # unplugged
                return
            while self._pending and len(self._pending) > ARGUMENTS.get(self._pending[0], 0):
                length = 1 + ARGUMENTS.get(self._pending[0], 0)
                command, self._pending = self._pending[:length], self._pending[length:]
                self._carry_out(command)

    def _carry_out(self, command: bytes) -> None:
        if command[0] == GET_META_DATA and not self._sending.is_set():
            self.endpoint.write(self.calibration.text(self.vdd_mv, self.mode).encode())
        elif command[0] == AVERAGE_START:
            self._sending.set()
        elif command[0] == AVERAGE_STOP:
            self._sending.clear()
        elif command[0] == REGULATOR_SET:
            self.vdd_mv = int.from_bytes(command[1:3], "big")
        elif command[0] == DEVICE_RUNNING_SET:
            self.supplied = bool(command[1])
        elif command[0] == SET_POWER_MODE:
            self.mode = command[1]

    def _send(self) -> None:
        rng = np.random.default_rng(0)
        rate = RATE_HZ * (1 + self.faults.skew_ppm * 1e-6)
        while not self._ends:
            self._sending.wait()
            started, number = time.monotonic(), 0
            while self._sending.is_set() and not self._ends:
                due = int((time.monotonic() - started) * rate) - number
                if due < PIECE_S * RATE_HZ:
                    time.sleep(PIECE_S)
                    continue
                due = min(due, RATE_HZ // 10)
                self.endpoint.write(self._samples(number, due, rng))
                number += due
                if self.faults.unplugged_at is not None and number >= self.faults.unplugged_at:
                    self._ends = self._unplugged = True
                    self.endpoint.close()

    def _samples(self, first: int, count: int, rng: np.random.Generator) -> bytes:
        amperes, levels = self.circuit.take(first, count)
        range_ = np.searchsorted(SWITCH_AT_A, amperes)
        adc = self.calibration.adc(amperes, range_, self.vdd_mv / 1000)
        adc = np.clip(adc + np.rint(rng.normal(0, self.noise_counts, count)).astype(np.int64), 0, 0x3FFF)
        numbers = np.arange(first, first + count)
        raw = adc | range_ << 14 | (numbers & 63) << 18 | levels.astype(np.int64) << 24
        kept = np.ones(count, bool)
        for begin, length in self.faults.lost:
            kept &= (numbers < begin) | (numbers >= begin + length)
        return raw[kept].astype("<u4").tobytes()


@dataclass
class PinnedBoard:
    """A board that draws one current at rest and another while its pin, on input 0, is high."""

    rest_a: float
    invoke_a: float
    rate_hz: float = RATE_HZ

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._left = 0
        self._played = 0.0

    def invoke(self, seconds: float) -> None:
        """Let an invoke of the board's clock pass, and return when the kit has played it, if it measures."""
        with self._lock:
            self._left = max(1, round(seconds * self.rate_hz))
        time.sleep(seconds)
        while self._left and time.monotonic() - self._played < NOT_MEASURING_S:
            time.sleep(PIECE_S)

    def take(self, first: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """As in Circuit."""
        with self._lock:
            high = min(self._left, count)
            self._left -= high
            self._played = time.monotonic()
        levels = np.zeros(count, np.uint8)
        levels[:high] = 1
        return np.where(levels, self.invoke_a, self.rest_a), levels
