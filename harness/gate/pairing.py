"""Which runs are held against which: a model file against itself, else against the file it replaced.

Within a board, protocol and origin (these are never mixed, unless asked to be) a file of the candidate is
held against, in this order: the file of the same SHA-256, whatever it was called; the file that was at its
path; another compilation of its source; a file of its name that nothing else is held against. Of several
set-ups of a file (firmware, clock, profile), the newest is the one that is judged, and an older one only if
the baseline holds just that set-up as well. All the rest is said to be missing, new, or left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from harness.results.group import Group
from harness.results.history import compiled, path_of


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
        self.names = {name for one in groups for name in one.names}
        self.last_run = self.groups[-1].last_run
        self.paths: dict[str, datetime] = {}
        for record in sorted((r for one in groups for r in one.runs), key=lambda r: r.created):
            self.paths[path_of(record)] = record.created


_Place = tuple[Any, ...]
# The parts of a place, in their order; these first three can be asked to be compared across.
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
            return _groups(a[0], b[0])
    pairs: list[Pair] = []
    for place in dict.fromkeys((*before, *after)):
        pairs += _files(before.get(place, []), after.get(place, []))
    return _across(pairs, across) if across else pairs


def _across(pairs: Sequence[Pair], across: frozenset[str]) -> list[Pair]:
    """Pair what has nothing to be held against in its own place with what is nearest in other places."""
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
    parts = zip((*_PARTS, "compiled"), place, other, strict=True)
    return all(a == b or part in across for part, a, b in parts)


def _places(groups: Iterable[Group]) -> dict[_Place, list[_File]]:
    """Return the files of each place: board, protocol, origin, and whether the harness compiled the model."""
    by_file: dict[_Place, dict[str, list[Group]]] = {}
    for one in groups:
        place = (*(getattr(one.key, part) for part in _PARTS), compiled(one.runs[-1]))
        by_file.setdefault(place, {}).setdefault(one.key.model_sha256, []).append(one)
    return {place: [_File(members) for members in files.values()] for place, files in by_file.items()}


def _at(files: Iterable[_File]) -> dict[str, _File]:
    """Return the file that was seen last at each path."""
    there: dict[str, _File] = {}
    for file in files:
        for path, when in file.paths.items():
            if path not in there or there[path].paths[path] < when:
                there[path] = file
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
    match(lambda file: [then[path] for path in file.paths if path in then and now[path] is file])
    match(lambda file: [other for other in old if other.source == file.source])
    rest = [file for file in old if file not in matched.values()]
    match(lambda file: [other for other in rest if other.names & file.names])

    pairs = {id(file): _groups(matched.get(id(file)), file) for file in new}
    result = [item for file in new for item in pairs[id(file)]]
    for file in after:
        if file not in new:
            pairs[id(_successor(file, now))][0].old_candidate += file.groups
    unmatched = [file for file in before if file not in matched.values()]
    for file in unmatched:
        result += _groups(file, None) if file in old else []
    for file in unmatched:
        if file not in old:
            groups = _successor(file, then).groups
            next(item for item in result if item.baseline in groups).old_baseline += file.groups
    return result


def _successor(file: _File, there: Mapping[str, _File]) -> _File:
    """Return what is now at the paths of a file that is at none of them any more."""
    return max((there[path] for path in file.paths), key=lambda other: other.last_run)


def _groups(before: _File | None, after: _File | None) -> list[Pair]:
    """Pair the set-ups and inputs of one file with those of its baseline."""
    if after is None:
        return [Pair(one, None) for one in before.groups] if before else []
    if before is None:
        return [Pair(None, one) for one in after.groups]
    newest = after.groups[-1]
    current = [one for one in reversed(after.groups) if _setup(one) == _setup(newest)]
    pairs: list[Pair] = []
    for one in current:
        same = [other for other in before.groups if other.key.inputs_sha256 == one.key.inputs_sha256]
        found = max(same, key=lambda other: (_setup(other) == _setup(one), other.last_run), default=None)
        pairs.append(Pair(found, one))
    if not any(item.baseline for item in pairs):
        pairs[0].baseline = before.groups[-1]
    held = [item.baseline for item in pairs]
    for one in after.groups:
        if one in current:
            continue
        again = next((b for b in before.groups if b.key == one.key and b not in held), None)
        if again is None:
            pairs[0].old_candidate.append(one)
        else:
            pairs.append(Pair(again, one))
            held.append(again)
    for other in before.groups:
        if other in held:
            continue
        beside = [
            item
            for item in pairs
            if item.baseline and item.baseline.key.inputs_sha256 == other.key.inputs_sha256
        ]
        if beside:
            beside[0].old_baseline.append(other)
        else:
            pairs.append(Pair(other, None))
    return pairs


def _setup(one: Group) -> tuple[Any, ...]:
    """What of a key is neither the model nor its inputs: of this, the newest is what is judged."""
    key = one.key
    return (
        *(key.protocol, key.origin, key.clock_hz, key.estimated_by),
        *(key.firmware, key.firmware_version, key.firmware_hash),
    )
