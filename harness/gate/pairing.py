"""Which runs are held against which: a model file against itself, else against the file it replaced.

Within a board, protocol and origin (these are never mixed, unless asked to be) a file of the candidate is
held against, in this order: the file of the same SHA-256, whatever it was called; the file that was at its
path; another compilation of its source; a file of its name that nothing else is held against. Of several
set-ups of a file (firmware, clock, profile), the newest is the one that is judged, and an older one only if
the baseline holds just that set-up as well. All the rest is said to be missing, new, or left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from harness.results.group import Group
from harness.results.history import same_inputs, slot_of


@dataclass
class Pair:
    """A row of both sides, or of one if the other has none, and the rows that are left out beside it."""

    baseline: Group | None
    candidate: Group | None
    old_baseline: list[Group] = field(default_factory=list)
    old_candidate: list[Group] = field(default_factory=list)


class _File:
    """One model file on one side, in one place: all its groups, and where and when it ran."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = sorted(groups, key=lambda one: one.last_run)
        self.sha256 = groups[0].key.model_sha256
        self.source = groups[0].source_sha256
        self.last_run = self.groups[-1].last_run
        self.slots: dict[tuple[str, bool], datetime] = {}
        self.names: set[tuple[str, bool]] = set()
        for record in sorted((r for one in groups for r in one.runs), key=lambda r: r.created):
            slot = slot_of(record)
            self.slots[slot] = record.created
            self.names.add((record.model.name, slot[1]))


_Place = tuple[Any, ...]
_There = dict[tuple[str, bool], _File]
# The parts of a place, in their order; each can be asked to be compared across.
_PARTS = ("board", "protocol", "origin")


def pair(
    baseline: Sequence[Group], candidate: Sequence[Group], across: frozenset[str], alone: bool = False
) -> list[Pair]:
    """Pair the groups of two sides.

    Args:
        across: parts of a place ("board", "protocol", "origin") that may differ in a pair if nothing of the
            very same place is there.
        alone: if there is a single file in a single place on either side, pair them whatever they are.
    """
    before, after = _places(baseline), _places(candidate)
    if alone:
        a, b = ([file for files in side.values() for file in _current(files)] for side in (before, after))
        if len(a) == len(b) == 1:
            alike = _hold(b[0], a[0])
            return alike + _unheld(a[0], alike)
    pairs: list[Pair] = []
    for place in dict.fromkeys((*before, *after)):
        pairs += _files(before.get(place, []), after.get(place, []))
    return _across(pairs, across) if across else pairs


def _across(pairs: Sequence[Pair], across: frozenset[str]) -> list[Pair]:
    """Pair groups that have no counterpart in their own place with the nearest in other places."""
    result = [item for item in pairs if item.baseline and item.candidate]
    missing = _places(item.baseline for item in pairs if item.baseline and not item.candidate)
    new = _places(item.candidate for item in pairs if item.candidate and not item.baseline)
    for place, files in missing.items():
        others = [other for other in new if _may_meet(place, other, across)]
        others.sort(key=lambda other: -sum(a == b for a, b in zip(place, other, strict=True)))
        rest = list(files)
        for other in others:
            made = _files(rest, new[other])
            met = [item for item in made if item.baseline and item.candidate]
            old = [file for file in rest if any(item.baseline in file.groups for item in met)]
            now = [file for file in new[other] if any(item.candidate in file.groups for item in met)]
            taken = [one for file in (*old, *now) for one in file.groups]
            result += [item for item in made if item.baseline in taken or item.candidate in taken]
            rest = [file for file in rest if file not in old]
            new[other] = [file for file in new[other] if file not in now]
        result += [Pair(one, None) for file in rest for one in file.groups]
    return result + [Pair(None, one) for files in new.values() for file in files for one in file.groups]


def _may_meet(place: _Place, other: _Place, across: frozenset[str]) -> bool:
    return all(a == b or part in across for part, a, b in zip(_PARTS, place, other, strict=True))


def _places(groups: Iterable[Group]) -> dict[_Place, list[_File]]:
    """Return the files of each place: board, protocol and origin."""
    by_file: dict[_Place, dict[str, list[Group]]] = {}
    for one in groups:
        place = (*(getattr(one.key, part) for part in _PARTS),)
        by_file.setdefault(place, {}).setdefault(one.key.model_sha256, []).append(one)
    return {place: [_File(members) for members in files.values()] for place, files in by_file.items()}


def _at(files: Iterable[_File]) -> _There:
    """Return the file that was seen last at each path."""
    there: _There = {}
    for file in files:
        for slot, when in file.slots.items():
            if slot not in there or there[slot].slots[slot] < when:
                there[slot] = file
    return there


def _current(files: Sequence[_File]) -> list[_File]:
    """Return the files that are still at a path where they ran."""
    there = _at(files).values()
    return [file for file in files if file in there]


def _files(before: Sequence[_File], after: Sequence[_File]) -> list[Pair]:
    then, now = _at(before), _at(after)
    old, new = _current(before), _current(after)
    matched: dict[int, _File] = {}

    def match(rule: Callable[[_File], list[_File]]) -> None:
        for file in new:
            found = rule(file) if id(file) not in matched else []
            if found:
                matched[id(file)] = max(found, key=lambda other: other.last_run)

    match(lambda file: [other for other in before if other.sha256 == file.sha256])
    match(lambda file: [then[slot] for slot in file.slots if slot in then and now[slot] is file])
    match(lambda file: [other for other in old if other.source == file.source])
    rest = [file for file in old if file not in matched.values()]
    match(lambda file: [other for other in rest if other.names & file.names])

    pairs = {id(file): _hold(file, matched.get(id(file))) for file in new}
    result = [item for file in new for item in pairs[id(file)]]
    for file in after:
        if file not in new:
            pairs[id(_successor(file, now))][0].old_candidate += file.groups
    gone = [file for file in before if file not in old and file not in matched.values()]
    for file in before:
        result += _unheld(file, result) if file not in gone else []
    for file in gone:
        groups = _successor(file, then).groups
        next(item for item in result if item.baseline in groups).old_baseline += file.groups
    return result


def _successor(file: _File, there: _There) -> _File:
    """Return what is now at the paths of a file that is at none of them any more."""
    return max((there[slot] for slot in file.slots), key=lambda other: other.last_run)


def _hold(after: _File, before: _File | None) -> list[Pair]:
    """Hold the newest set-up of a file, with each of its inputs, against a file of the baseline."""
    known = before.groups if before else []
    newest = after.groups[-1]
    pairs: list[Pair] = []
    for one in reversed(after.groups):
        if _setup(one) == _setup(newest):
            same = [other for other in known if same_inputs(other, one)]
            found = max(same, key=lambda other: (_setup(other) == _setup(one), other.last_run), default=None)
            pairs.append(Pair(found, one))
    if known and not any(item.baseline for item in pairs):
        pairs[0].baseline = known[-1]
    for one in after.groups:
        if _setup(one) == _setup(newest):
            continue
        held = [item.baseline for item in pairs]
        again = next((other for other in known if other.key == one.key and other not in held), None)
        if again:
            pairs.append(Pair(again, one))
        else:
            pairs[0].old_candidate.append(one)
    return pairs


def _unheld(before: _File, pairs: Sequence[Pair]) -> list[Pair]:
    """Return the groups of a baseline's file that have no candidate, as pairs without one.

    Those that a newer one with the same inputs stands for are left out beside it.
    """
    beside = [item for item in pairs if item.baseline in before.groups]
    missing: list[Pair] = []
    for one in reversed(before.groups):
        if any(item.baseline is one for item in beside):
            continue
        newer = [item for item in (*beside, *missing) if item.baseline and same_inputs(item.baseline, one)]
        if newer:
            newer[0].old_baseline.append(one)
        else:
            missing.append(Pair(one, None))
    return missing


def _setup(one: Group) -> tuple[Any, ...]:
    """The parts of a key besides the model and its inputs; the newest set-up is the one that is judged."""
    key = one.key
    return (
        *(key.protocol, key.origin, key.clock_hz, key.estimated_by),
        *(key.firmware, key.firmware_version, key.firmware_hash),
    )
