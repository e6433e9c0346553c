"""A trace from a file: `file:trace.csv`, as other programs export it.

The header names the columns with their units: a time (`time_s`, `Timestamp(ms)`), a current (`current_a`,
`Current(uA)`), and as far as there are any a voltage (`voltage_v`) and digital inputs (`d0`, `D1`, or
`D0-D7` as nRF Connect's Power Profiler writes them). Samples are evenly spaced.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness.errors import HarnessError
from harness.meters.meter import Block, Facts, Kind, volts

ROWS = 10_000
USAGE = "file:TRACE.csv,volts=VOLTS"
_UNITS = {
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6},
    "current": {"a": 1.0, "ma": 1e-3, "ua": 1e-6, "na": 1e-9},
    "voltage": {"v": 1.0, "mv": 1e-3},
}
_NAMES = {"timestamp": "time", "t": "time", "amperes": "current", "i": "current", "volts": "voltage"}


class Recorded:
    """A meter that plays a file."""

    def __init__(self, where: str, options: dict[str, str]) -> None:
        """Raises HarnessError if the file is not there or is no such table."""
        self._path = Path(where)
        self._volts = volts(options, "volts")
        try:
            self._file = self._path.open(newline="", encoding="utf-8-sig")
            self._columns = _Columns(self._path, next(csv.reader(self._file), []))
        except OSError as error:
            raise HarnessError(f"{where}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise HarnessError(f"{where}: is no CSV file") from None
        self._blocks = self._read_all()
        first = next(self._blocks, None)
        if first is None or len(first[0]) < 2:
            raise HarnessError(f"{where}: has no samples")
        times = first[0]
        step = (times[-1] - times[0]) / (len(times) - 1)
        if step <= 0:
            raise HarnessError(f"{where}: its times do not rise")
        self._ahead: tuple[np.ndarray, Block] | None = first
        self._next = 0
        if self._columns.voltage is None and self._volts is None:
            raise HarnessError(f"{where}: has no voltage; give the board's supply: {USAGE}")
        self.facts = Facts(
            f"recording {self._path.name}",
            None,
            1 / step,
            (0.0, float("inf")),
            self._volts,
            8 if self._columns.levels else 0,
            None,
            recorded=True,
        )

    def start(self) -> None:
        """As in Meter."""

    def read(self) -> Block:
        """As in Meter; raises EOFError at the end."""
        if self._ahead is not None:
            (_, block), self._ahead = self._ahead, None
            return block
        found = next(self._blocks, None)
        if found is None:
            raise EOFError
        return found[1]

    def stop(self) -> None:
        """As in Meter."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_all(self) -> Iterator[tuple[np.ndarray, Block]]:
        first = 0
        rows: list[list[str]] = []
        for row in csv.reader(self._file):
            if row:
                rows.append(row)
            if len(rows) == ROWS:
                yield self._block(rows, first)
                first += len(rows)
                rows = []
        if rows:
            yield self._block(rows, first)

    def _block(self, rows: list[list[str]], first: int) -> tuple[np.ndarray, Block]:
        c = self._columns
        try:
            times = np.array([float(row[c.time[0]]) for row in rows]) * c.time[1]
            amperes = np.array([float(row[c.current[0]]) for row in rows], np.float64) * c.current[1]
            volts = None
            if c.voltage is not None and self._volts is None:
                volts = np.array([float(row[c.voltage[0]]) for row in rows], np.float64) * c.voltage[1]
            levels = np.array([c.level_bits(row) for row in rows], np.uint8)
        except (ValueError, IndexError):
            raise HarnessError(
                f"{self._path}: lines {first + 2} to {first + len(rows) + 1}: a number is missing or damaged"
            ) from None
        return times, Block(
            first,
            amperes.astype(np.float32),
            levels,
            None if volts is None else volts.astype(np.float32),
        )


class _Columns:
    """Which column holds what, and in which unit."""

    def __init__(self, path: Path, header: list[str]) -> None:
        found: dict[str, tuple[int, float]] = {}
        self.levels: list[tuple[int, int]] = []
        self._packed: int | None = None
        for place, title in enumerate(header):
            name = title.strip().lower()
            if name == "d0-d7":
                self._packed = place
                self.levels = [(place, bit) for bit in range(8)]
            elif match := re.fullmatch(r"d([0-7])", name):
                self.levels.append((place, int(match[1])))
            elif match := re.fullmatch(r"([a-z]+)[ _(\[]*([a-z\u00b5]+)[)\]]?", name):
                kind = _NAMES.get(match[1], match[1])
                unit = match[2].replace("\u00b5", "u")
                if unit in _UNITS.get(kind, {}):
                    found[kind] = (place, _UNITS[kind][unit])
        if "time" not in found or "current" not in found:
            raise HarnessError(
                f"{path}: its header names no time and current with their units, such as time_s,current_a,d0"
            )
        self.time, self.current, self.voltage = found["time"], found["current"], found.get("voltage")

    def level_bits(self, row: list[str]) -> int:
        """Return the digital inputs of a row as bits."""
        if self._packed is not None:
            return sum(1 << bit for bit, level in enumerate(row[self._packed].strip()) if level == "1")
        return sum(1 << bit for place, bit in self.levels if row[place].strip() not in ("0", ""))


KIND = Kind("file", USAGE, ("volts",), Recorded)
