"""Runs that belong together: the same board, model, precision and origin."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.errors import HarnessError, nearest
from harness.results.record import Origin, Ram, Record
from harness.results.row import invoke_us, run_row
from harness.results.table import milliseconds, origin_of_time

USUAL = ("board", "model", "precision")


@dataclass(frozen=True)
class Group:
    """Runs of one key, oldest first; `key` maps each column that they were grouped by to its value."""

    key: dict[str, Any]
    records: tuple[Record, ...]

    @property
    def origin(self) -> Origin:
        return self.records[0].invoke.origin

    @property
    def latest(self) -> Record:
        return self.records[-1]

    @property
    def memory_bytes(self) -> int | None:
        """The memory that the board has for a tensor arena, else the size of the firmware's arena."""
        return self.latest.board.memory_bytes or self.latest.ram.arena_size_bytes

    @property
    def samples(self) -> int:
        return sum(len(record.invoke.ticks) for record in self.records)

    @property
    def medians_us(self) -> np.ndarray:
        """The median invoke time of each run that has samples, in microseconds, shape (runs,)."""
        return np.array([np.median(invoke_us(record)) for record in self.records if record.invoke.ticks])

    @property
    def median_us(self) -> float | None:
        """The median of the runs' medians, in microseconds."""
        medians = self.medians_us
        return float(np.median(medians)) if len(medians) else None

    @property
    def resolution_us(self) -> float:
        """The step of the timer that the typical run was timed with, in microseconds."""
        steps = [record.invoke.resolution_us for record in self.records if record.invoke.ticks]
        return statistics.median_high(steps) if steps else 0.0

    @property
    def error_percent(self) -> float | None:
        """The widest error band of the runs' times, in percent; None where they have none."""
        bands = [r.invoke.error_percent for r in self.records if r.invoke.error_percent is not None]
        return max(bands, default=None)

    @property
    def median_time(self) -> str:
        """The median invoke time in words, as far as the timer bears it out."""
        return milliseconds(self.median_us, self.resolution_us)

    @property
    def time_is(self) -> str:
        """The origin of the time in words, with its error band where it is an estimate that has one."""
        return origin_of_time(self.origin, self.error_percent)

    @property
    def typical_us(self) -> float | None:
        """The geometric mean of the runs' medians, in microseconds: what comparisons compare."""
        medians = self.medians_us
        return float(np.exp(np.log(medians).mean())) if len(medians) and medians.min() > 0 else None

    @property
    def typical_time(self) -> str:
        """The typical invoke time in words, as far as the timer bears it out."""
        return milliseconds(self.typical_us, self.resolution_us)

    @property
    def between_percent(self) -> float | None:
        """The standard deviation between the runs' medians, in percent of their mean; None for one run."""
        medians = self.medians_us
        if len(medians) < 2 or not medians.mean():
            return None
        return float(100 * medians.std(ddof=1) / medians.mean())

    @property
    def within_percent(self) -> float | None:
        """The middle half of a run's samples (interquartile range) in percent of its median, typical run."""
        ranges = []
        for record in self.records:
            if len(record.invoke.ticks) > 1:
                p25, median, p75 = np.percentile(invoke_us(record), [25, 50, 75])
                ranges.append(100 * (p75 - p25) / median if median else 0.0)
        return float(np.median(ranges)) if ranges else None

    @property
    def ram(self) -> Ram:
        """The memory figures of the run with the largest arena use, the newest of several."""
        return max(reversed(self.records), key=lambda record: record.ram.arena_used_bytes or -1).ram

    @property
    def arena_used_bytes(self) -> int | None:
        """The largest arena use that a run reported."""
        return self.ram.arena_used_bytes


def group(records: Iterable[Record], by: Sequence[str] = USUAL) -> list[Group]:
    """Group runs by columns of the runs frame, in the order of their keys.

    The origin is always part of the key: a computed time never mixes with a measured one.
    Raises HarnessError for a column that does not exist.
    """
    by = [*by, *([] if "origin" in by else ["origin"])]
    groups: dict[tuple[str, ...], tuple[dict[str, Any], list[Record]]] = {}
    for record in records:
        row = run_row(record)
        for column in by:
            if column not in row:
                raise HarnessError(f"there is no column '{column}' to group by{nearest(column, row)}")
        key = {column: row[column] for column in by}
        groups.setdefault(tuple(str(value) for value in key.values()), (key, []))[1].append(record)
    return [
        Group(key, tuple(sorted(members, key=lambda record: (record.created, record.id))))
        for _, (key, members) in sorted(groups.items())
    ]
