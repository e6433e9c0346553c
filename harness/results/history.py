"""What came before: which rows another one replaced, and how far runs of one kind lie apart."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.results.group import Group
from harness.results.key import Key, key_of
from harness.results.key import same_inputs as same_inputs_of_runs
from harness.results.record import Record
from harness.results.row import invoke_us
from harness.results.usable import unusable

LEAST_RUNS = 3
"""Runs of one kind that it takes to say how such runs differ."""


def slot_of(record: Record) -> tuple[str, bool]:
    """Return the key by which a new model file replaces an old one.

    That is its path, in one spelling, and whether what ran was compiled from the file there: both may be
    benched side by side.
    """
    path = os.path.normpath(record.model.file.replace("\\", "/"))
    return path, record.model.source_sha256 is not None


def succession(groups: Sequence[Group]) -> dict[int, int]:
    """Return for each group that was replaced, by its place in `groups`, the place of its replacement.

    A group is replaced by the next one, in the order of their newest runs, of the same board, protocol,
    inputs and origin, in which either the file at the same path is another one, or the same file ran with
    another firmware, clock or profile. Two files of one name at two paths do not replace each other.
    """
    order = sorted(range(len(groups)), key=lambda place: groups[place].last_run)
    found: dict[int, int] = {}
    for number, place in enumerate(order):
        one = groups[place]
        for later in order[number + 1 :]:
            other = groups[later]
            if (
                other.key != one.key
                and _place(other) == _place(one)
                and same_inputs(one, other)
                and _follows(one, other)
            ):
                found[place] = later
                break
    return found


def same_inputs(one: Group, other: Group) -> bool:
    """Say whether two groups had the same inputs."""
    return same_inputs_of_runs(one.latest, other.latest)


def _follows(one: Group, other: Group) -> bool:
    if other.key.model_sha256 == one.key.model_sha256:
        return True
    last = one.runs[-1]
    return any(slot_of(run) == slot_of(last) and run.created >= last.created for run in other.runs)


def _place(one: Group) -> tuple[object, ...]:
    key = one.key
    return key.board, key.protocol, key.origin


def counterpart(one: Group, others: Sequence[Group]) -> Group | None:
    """Return the group with usable runs that `one` repeats, or replaced, None if there is none.

    It is of the same board, protocol, clock, inputs and origin, and of the same file or of one at its path;
    the same key goes before the same file, and that before another one, then the newest.
    """
    slots = {slot_of(run) for run in one.runs}
    found = [
        other
        for other in others
        if other.records
        and same_inputs(one, other)
        and (*_place(other), other.key.clock_hz) == (*_place(one), one.key.clock_hz)
        and (other.key.model_sha256 == one.key.model_sha256 or slots & {slot_of(run) for run in other.runs})
    ]
    return max(
        found,
        key=lambda other: (
            other.key == one.key,
            other.key.model_sha256 == one.key.model_sha256,
            other.last_run,
        ),
        default=None,
    )


@dataclass(frozen=True)
class Spread:
    """How runs of one kind differ: the standard deviation of the logarithms of their medians, as a share.

    `degrees` of freedom say how well it is known, `runs` how many runs it is from.
    """

    share: float
    degrees: int
    runs: int


def run_to_run(records: Iterable[Record], like: Sequence[Record]) -> Spread | None:
    """Return how runs such as `like` differ from one another, None if there are too few to say.

    Args:
        records: the history to look in. Runs count that are usable and repeat one of `like` (see
            `harness.results.key`) on the same specimen; `like` itself does not count. It takes
            LEAST_RUNS of a kind; kinds are pooled.
    """
    wanted = {_kind(record) for record in like}
    known = {record.id for record in like}
    logs: dict[tuple[Key, str | None], list[float]] = {}
    for record in records:
        if record.id in known or _kind(record) not in wanted or unusable(record) is not None:
            continue
        known.add(record.id)
        median = float(np.median(invoke_us(record)))
        if median > 0:
            logs.setdefault(_kind(record), []).append(math.log(median))
    enough = [values for values in logs.values() if len(values) >= LEAST_RUNS]
    degrees = sum(len(values) - 1 for values in enough)
    if not degrees:
        return None
    squares = sum(float(np.var(values, ddof=1)) * (len(values) - 1) for values in enough)
    return Spread(math.sqrt(squares / degrees), degrees, degrees + len(enough))


def _kind(record: Record) -> tuple[Key, str | None]:
    return key_of(record), record.board.serial_number
