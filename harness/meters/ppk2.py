"""Nordic's Power Profiler Kit II, through ppk2-api.

As source meter it supplies the board (0.8 to 5 V), as ampere meter it sits in a supply whose voltage it has
to be told, since its calibration depends on it. It takes 100,000 samples a second, with eight digital inputs.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from harness import extras
from harness.errors import HarnessError
from harness.meters import ppk2_samples as samples
from harness.meters.meter import Block, Facts, Kind, MeterLost, volts

RATE_HZ = 100_000
AMPERES = (200e-9, 1.0)
"""Nordic's user guide of the PPK2: 200 nA to 1 A."""
SUPPLY_V = (0.8, 5.0)
METADATA_TRIES = 5
READ_EVERY_S = 0.004
"""The terminal driver holds 4095 bytes, which is 10 ms of samples."""
BLOCK_S = 0.04
WINDOW_S, TURN_S = 1.0, 0.005
"""The counter tells gaps apart up to 64 samples. Whole turns of it show in how far the samples are behind the
computer's clock: more than TURN_S more, at best, over one window than over the one before."""
USAGE = "ppk2:PORT,source=VOLTS (it supplies the board) or ppk2:PORT,volts=VOLTS (it sits in a supply)"


class Ppk2:
    """A PPK2 at a serial port."""

    def __init__(self, port: str, options: dict[str, str]) -> None:
        """Open it, read its calibration, and switch the board's supply on.

        Raises HarnessError if it is not there, or is no PPK2, or no voltage was given.
        """
        source, told = volts(options, "source"), volts(options, "volts")
        supply = source if source is not None else told
        if supply is None or (source is not None and told is not None):
            raise HarnessError(f"the PPK2 has to know the board's supply: wanted is {USAGE}")
        if not SUPPLY_V[0] <= supply <= SUPPLY_V[1]:
            raise HarnessError(f"the PPK2 works from {SUPPLY_V[0]} to {SUPPLY_V[1]} V, not at {supply:g} V")
        extras.need("ppk2_api", "the Power Profiler Kit II")
        from ppk2_api.ppk2_api import PPK2_API
        from serial import SerialException

        try:
            self._api: Any = PPK2_API(port, timeout=1, exclusive=True)
            _silence(self._api)
            metadata = self._metadata()
            mode = self._api.use_source_meter if source is not None else self._api.use_ampere_meter
            mode()
            self._api.set_source_voltage(round(supply * 1000))
            self._api.toggle_DUT_power("ON")
        except (SerialException, OSError) as error:
            raise HarnessError(f"{port}: the PPK2 cannot be opened: {error}") from None
        try:
            self._converter = samples.Converter(self._api.modifiers, self._api.adc_mult, supply)
        except ValueError as error:
            self._api.ser.close()
            raise HarnessError(f"{port}: the PPK2's calibration is damaged: {error}") from None
        self._port = port
        self._pending = b""
        self._expected = -1
        self._number = 0
        self._lag = _Lag()
        self.facts = Facts(
            "Power Profiler Kit II",
            _serial_number(port),
            RATE_HZ,
            AMPERES,
            supply,
            8,
            None,
            virtual="virtual" in metadata.lower(),
        )

    def _metadata(self) -> str:
        """Return what the kit says of itself, after ppk2-api has taken its calibration from it."""
        said: list[str] = []
        parse = self._api._parse_metadata

        def note(text: str) -> object:
            said.append(text or "")
            return parse(text) if text else None

        self._api._parse_metadata = note
        for _ in range(METADATA_TRIES):
            if self._api.get_modifiers():
                return said[-1]
        raise HarnessError(f"{self._api.ser.port}: what answers there is no PPK2, or it is measuring already")

    def start(self) -> None:
        """As in Meter."""
        self._guard(self._api.ser.reset_input_buffer)
        self._guard(self._api.start_measuring)
        self._lag = _Lag()

    def read(self) -> Block | None:
        """As in Meter."""
        until = time.monotonic() + BLOCK_S
        while (now := time.monotonic()) < until or len(self._pending) < 4:
            if now > until + BLOCK_S:
                return None
            data = self._guard(self._api.get_data)
            self._pending += data
            if not data:
                time.sleep(READ_EVERY_S)
        whole = len(self._pending) // 4 * 4
        block = self._block(np.frombuffer(self._pending[:whole], "<u4"))
        if len(self._pending) < 4:
            self._number += self._lag.turns(self._number)
        return block

    def _block(self, raw: np.ndarray) -> Block:
        """Return the samples up to the first gap; what is behind it waits for the next call."""
        counters = samples.counters(raw)
        if self._expected < 0:
            self._expected = int(counters[0])
        ahead = (counters - self._expected - np.arange(len(raw))) % samples.COUNTER
        cut = int(np.argmax(ahead != ahead[0])) or len(raw)
        self._number += int(ahead[0])
        kept = raw[:cut]
        self._pending = self._pending[4 * cut :]
        block = Block(self._number, self._converter.amperes(kept), samples.levels(kept))
        self._number += cut
        self._expected = (int(counters[cut - 1]) + 1) % samples.COUNTER
        return block

    def stop(self) -> None:
        """As in Meter."""
        try:
            _ = self._api.ser.in_waiting  # ppk2-api would log that the kit has gone
        except OSError:
            return
        self._api.stop_measuring()

    def close(self) -> None:
        """Let go of it; as a source it keeps supplying the board."""
        self.stop()
        self._api.ser.close()

    def _guard(self, call: Any) -> Any:
        from serial import SerialException

        try:
            return call()
        except (SerialException, OSError, TypeError) as error:
            raise MeterLost(f"{self._port}: the PPK2 has gone: {error}") from None


class _Lag:
    """How far the samples are behind the computer's clock, which tells of whole turns of their counter.

    Samples wait in buffers for a time that varies, but are hardly ever all late for a whole window.
    """

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._until = self._started + WINDOW_S
        self._least = float("inf")
        self._before = float("inf")

    def turns(self, number: int) -> int:
        """Return how many samples were lost beyond what the counter says; `number` have been counted."""
        now = time.monotonic()
        self._least = min(self._least, (now - self._started) * RATE_HZ - number)
        if now < self._until:
            return 0
        grown = self._least - self._before
        lost = int(grown // samples.COUNTER) * samples.COUNTER if grown > TURN_S * RATE_HZ else 0
        self._before, self._least, self._until = self._least - lost, float("inf"), now + WINDOW_S
        return lost


def _silence(api: Any) -> None:
    """End a measurement that an earlier program left going: its samples would hide the answers."""
    api.stop_measuring()
    time.sleep(0.1)
    api.ser.reset_input_buffer()


def _serial_number(port: str) -> str | None:
    from serial.tools.list_ports import comports

    return next((found.serial_number for found in comports() if found.device == port), None)


KIND = Kind("ppk2", USAGE, ("source", "volts"), Ppk2)
