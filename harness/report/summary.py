"""The summary: a row for runs that repeat one another, each figure with its origin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC
from typing import Any

from harness.results.changes import About, changes
from harness.results.group import USUAL, Group, group, left_out
from harness.results.history import counterpart, succession
from harness.results.key import short
from harness.results.naming import apart
from harness.results.record import Record
from harness.results.table import Table, change, kibibytes, percent
from harness.results.usable import LeftOut

# How the verification of a usable run reads.
VERDICTS = {
    "exact": "exact",
    "within_tolerance": "within tolerance",
    "not_available": "not verified",
}
# What may have changed from one row to the next that took its place, in a word or two.
_REPLACED: dict[About, str] = {
    "model": "file",
    "firmware": "firmware",
    "clock": "clock",
    "profile": "profile",
}


def baseline_of(groups: Sequence[Group], baseline: Sequence[Record]) -> dict[int, Group]:
    """Return the baseline of each group that has one, by the group's place in `groups`."""
    known = group(baseline)
    found = ((place, counterpart(one, known)) for place, one in enumerate(groups))
    return {place: other for place, other in found if other is not None}


def suffixes(groups: Sequence[Group], shown: Iterable[str] = (*USUAL, "origin")) -> list[str]:
    """Return what to write beside each group's name: what tells it apart, whether another row replaced it,
    and what else its file is called; "" for nothing.

    Args:
        shown: the columns that a reader sees in any case.
    """
    replaced = succession(groups)
    texts = []
    for place, (one, told) in enumerate(zip(groups, apart(groups, shown), strict=True)):
        parts = [told] if told else []
        if place in replaced:
            parts.append(f"earlier {_what_changed(one, groups[replaced[place]])}")
        if len(one.names) > 1:
            parts.append(f"also {', '.join(one.names[1:])}")
        texts.append(", ".join(parts))
    return texts


def _what_changed(before: Group, after: Group) -> str:
    """Say in a word or two what took another's place: `file`, `firmware and profile`."""
    found = [item.about for item in changes(before.runs[-1], after.runs[-1])]
    return " and ".join(_REPLACED[about] for about in found if about in _REPLACED)


def replacements(groups: Sequence[Group]) -> list[str]:
    """Return a line for each group that another one replaced: what changed, and the time before and after."""
    lines = []
    for place, successor in succession(groups).items():
        one, other = groups[place], groups[successor]
        causes = [item.text for item in changes(one.runs[-1], other.runs[-1]) if item.about in _REPLACED]
        first = next(run for run in other.runs if run.created >= one.last_run)
        when = f"{first.created.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        line = f"{other.names[0]} on {other.key.board}, since {when}: {', '.join(causes)}"
        if one.median_us and other.median_us:
            before, after = (f"{side.median_time} ({side.time_is})" for side in (one, other))
            line += f": before {before}, after {after}, {change(other.median_us / one.median_us)}"
        lines.append(line)
    return lines


def table(groups: Sequence[Group], baseline: Sequence[Record] = ()) -> Table:
    """Return a row a group: invoke time, its spreads, RAM, outputs, and the change since the baseline.

    A group without a usable run has no row (see `set_aside`).
    """
    by = list(groups[0].by) if groups else [*USUAL]
    keys = by if "origin" in by else [*by, "origin"]
    held = baseline_of(groups, baseline)
    figures = ["invoke time", "spread", "between runs", "runs", "RAM", "RAM from", "outputs"]
    columns = (*keys, *figures, *(["since baseline"] if held else []))
    named = "model" if "model" in keys else keys[0]
    rows = []
    for place, (one, words) in enumerate(zip(groups, suffixes(groups, keys), strict=True)):
        if not one.records:
            continue
        shown = {**one.by, "origin": one.time_is}
        texts = {name: "–" if shown[name] is None else str(shown[name]) for name in keys}
        if words:
            texts[named] += f" ({words})"
        change_since = [since(one, held.get(place))] if held else []
        rows.append((*texts.values(), *_cells(one), *change_since))
    right = {"invoke time", "spread", "between runs", "runs", "RAM", "since baseline"}
    return Table(columns, rows, frozenset(right))


def set_aside(groups: Iterable[Group]) -> Table:
    """Return a row for each run that counts in no figure: what it was, its RAM, and why it is left out."""
    rows = [_set_aside(item) for item in left_out(groups)]
    columns = ("run", "board", "model", "protocol", "samples", "RAM", "left out because")
    return Table(columns, rows, frozenset({"samples", "RAM"}))


def _set_aside(item: LeftOut) -> tuple[str, ...]:
    record = item.record
    used = record.ram.arena_used_bytes
    return (
        *(record.id, record.board.id, f"{record.model.name} ({short(record.model.sha256)})"),
        *(record.firmware.protocol, str(len(record.invoke.ticks))),
        *(f"{kibibytes(used)} {record.ram.origin}" if used is not None else "–", item.reason),
    )


def plain(groups: Sequence[Group], baseline: Sequence[Record] = ()) -> list[dict[str, Any]]:
    """Return the summary as values, with units in the names; figures are null if no run is usable."""
    held = baseline_of(groups, baseline)
    replaced = succession(groups)
    return [
        {
            **one.by,
            **asdict(one.key),
            "setup": one.key.setup,
            "source_sha256": one.source_sha256,
            "model_file": one.latest.model.file,
            "model_unproven": one.latest.model.unproven,
            "also_named": " ".join(one.names[1:]) or None,
            "replaced_by": groups[replaced[place]].key.setup if place in replaced else None,
            "runs": len(one.records),
            "samples": one.samples,
            "invoke_median_us": one.median_us,
            "invoke_iqr_percent": one.within_percent,
            "run_to_run_percent": one.between_percent,
            "error_percent": one.error_percent,
            "error_below_percent": one.error_below_percent,
            "arena_used_bytes": one.arena_used_bytes,
            "memory_bytes": one.memory_bytes,
            "ram_origin": one.ram.origin,
            "verdict": verdict(one) if one.records else None,
            "left_out": len(one.left_out),
            "left_out_because": "; ".join(dict.fromkeys(item.reason for item in one.left_out)) or None,
            "baseline_invoke_median_us": held[place].median_us if place in held else None,
            "baseline_setup": held[place].key.setup if place in held else None,
        }
        for place, one in enumerate(groups)
    ]


def worst_verified(one: Group) -> Record:
    """Return the usable run of a group whose verification is the worst, the newest of several."""
    order = ("not_available", "within_tolerance", "exact")
    return min(reversed(one.records), key=lambda record: order.index(record.verification.verdict))


def verdict(one: Group) -> str:
    """Return the worst verification of a group's usable runs."""
    return worst_verified(one).verification.verdict


def ram(one: Group) -> str:
    """Write the arena use, and its share of the memory that the board has for it."""
    used, memory = one.arena_used_bytes, one.memory_bytes
    share = f" ({percent(100 * used / memory, 0)})" if used is not None and memory else ""
    return f"{kibibytes(used)}{share}"


def since(one: Group, baseline: Group | None) -> str:
    """Write the change of the median invoke time since the baseline, and what else changed since then."""
    if baseline is None or not one.median_us or not baseline.median_us:
        return "–"
    changed = _what_changed(baseline, one)
    return change(one.median_us / baseline.median_us) + (f" (other {changed})" if changed else "")


def _cells(one: Group) -> tuple[str, ...]:
    return (
        one.median_time,
        percent(one.within_percent),
        percent(one.between_percent),
        str(len(one.records)),
        ram(one),
        one.ram.origin if one.arena_used_bytes is not None else "–",
        VERDICTS[verdict(one)],
    )
