"""Runs that may be averaged: those of one key that are usable, and what was left out of them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from harness.errors import HarnessError, nearest
from harness.results.key import Key, key_of, source_sha256
from harness.results.record import Origin, Ram, Record
from harness.results.row import invoke_us, run_row
from harness.results.table import milliseconds, origin_of_time
from harness.results.usable import LeftOut, unusable

USUAL = ("board", "model", "precision")
# Words for what the key knows by its hash: runs of one key stay together whatever they are called.
_WORDS = frozenset({"model", "model_file", "board_name"})


@dataclass(frozen=True)
class Group:
    """Runs of one key, oldest first.

    Args:
        key: what they are repetitions of.
        by: the columns that were asked for, with their values.
        records: the usable runs; every figure is of these alone, and there may be none.
        left_out: the other runs of this key, each with the reason.
    """

    key: Key
    by: dict[str, Any]
    records: tuple[Record, ...]
    left_out: tuple[LeftOut, ...] = field(default=())

    @property
    def origin(self) -> Origin:
        return self.key.origin

    @property
    def runs(self) -> tuple[Record, ...]:
        """All runs, the ones left out too, oldest first."""
        return _by_age([*self.records, *(item.record for item in self.left_out)])

    @property
    def latest(self) -> Record:
        """The newest usable run; the newest of all if none is usable."""
        return self.records[-1] if self.records else self.runs[-1]

    @property
    def last_run(self) -> datetime:
        """When the newest run of all was made."""
        return self.runs[-1].created

    @property
    def names(self) -> tuple[str, ...]:
        """What the model was called, the latest name first: a file keeps its identity when it is renamed."""
        return tuple(dict.fromkeys(record.model.name for record in reversed(self.runs)))

    @property
    def source_sha256(self) -> str:
        """The SHA-256 of the file that the model was compiled from, else of the deployed file itself."""
        return source_sha256(self.latest.model)

    @property
    def memory_bytes(self) -> int | None:
        """The memory that the board has for a tensor arena, else the size of the firmware's arena."""
        return self.latest.board.memory_bytes or self.latest.ram.arena_size_bytes

    @property
    def samples(self) -> int:
        return sum(len(record.invoke.ticks) for record in self.records)

    @property
    def medians_us(self) -> np.ndarray:
        """The median invoke time of each run, in microseconds, shape (runs,)."""
        return np.array([np.median(invoke_us(record)) for record in self.records])

    @property
    def median_us(self) -> float | None:
        """The median of the runs' medians, in microseconds."""
        medians = self.medians_us
        return float(np.median(medians)) if len(medians) else None

    @property
    def resolution_us(self) -> float:
        """The step of the timer that the typical run was timed with, in microseconds."""
        steps = [record.invoke.resolution_us for record in self.records]
        return statistics.median_high(steps) if steps else 0.0

    @property
    def error_percent(self) -> float | None:
        """How much longer than the runs' times a measured one may be, in percent, the widest of all; None
        if they have no error band."""
        bands = [r.invoke.error_percent for r in self.records if r.invoke.error_percent is not None]
        return max(bands, default=None)

    @property
    def error_below_percent(self) -> float | None:
        """How much shorter than the runs' times a measured one may be, in percent, the widest of all."""
        invokes = (r.invoke for r in self.records if r.invoke.error_percent is not None)
        below = (i.error_percent if i.error_below_percent is None else i.error_below_percent for i in invokes)
        return max((share for share in below if share is not None), default=None)

    @property
    def median_time(self) -> str:
        """The median invoke time in words, as far as the timer bears it out."""
        return milliseconds(self.median_us, self.resolution_us)

    @property
    def time_is(self) -> str:
        """The origin of the time in words, with its error band if it is an estimate that has one."""
        return origin_of_time(self.origin, self.error_percent, self.error_below_percent)

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
        used = (record.ram for record in reversed(self.records) if record.ram.arena_used_bytes is not None)
        return max(
            used,
            key=lambda ram: ram.arena_used_bytes or 0,
            default=Ram(origin=self.latest.ram.origin, method="no usable run reports it"),
        )

    @property
    def arena_used_bytes(self) -> int | None:
        """The largest arena use that a usable run reported."""
        return self.ram.arena_used_bytes


def group(records: Iterable[Record], by: Sequence[str] = USUAL) -> list[Group]:
    """Group runs that repeat one another, in the order of the columns `by`, then of their first runs.

    Runs of different keys never share a group, whatever columns are asked for, so that no average mixes two
    model files, inputs, protocols, firmwares or origins. A column that is no part of the key, such as
    serial_number, divides further. Raises HarnessError for a column that does not exist.
    """
    groups: dict[tuple[Any, ...], list[tuple[dict[str, Any], Record]]] = {}
    for record in _by_age(records):
        row = run_row(record)
        for column in by:
            if column not in row:
                raise HarnessError(f"there is no column '{column}' to group by{nearest(column, row)}")
        values = {column: row[column] for column in by}
        finer = tuple(str(value) for column, value in values.items() if column not in _WORDS)
        groups.setdefault((key_of(record), *finer), []).append((values, record))
    made = [_group(key[0], members) for key, members in groups.items()]
    return sorted(made, key=lambda one: [str(value) for value in (*one.by.values(), one.origin)])


def _group(key: Key, members: list[tuple[dict[str, Any], Record]]) -> Group:
    """Return the group of some runs of one key, given oldest first with their values of the columns."""
    judged = [(record, unusable(record)) for _, record in members]
    return Group(
        key,
        by=members[-1][0],
        records=tuple(record for record, reason in judged if reason is None),
        left_out=tuple(LeftOut(record, reason) for record, reason in judged if reason is not None),
    )


def left_out(groups: Iterable[Group]) -> list[LeftOut]:
    """Return the runs that count in no figure of these groups, oldest first, each with the reason."""
    found = [item for one in groups for item in one.left_out]
    return sorted(found, key=lambda item: (item.record.created, item.record.id))


def _by_age(records: Iterable[Record]) -> tuple[Record, ...]:
    return tuple(sorted(records, key=lambda record: (record.created, record.id)))
