"""The summary: a row for runs that belong together, each figure with its origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.results.group import USUAL, Group, group
from harness.results.record import Record
from harness.results.table import Table, change, kibibytes, percent

# How a verification reads.
VERDICTS = {
    "exact": "exact",
    "within_tolerance": "within tolerance",
    "differs": "differ",
    "not_available": "not verified",
}


def baseline_of(groups: Sequence[Group], baseline: Sequence[Record]) -> dict[int, Group]:
    """Return the baseline of each group that has one, by the group's place in `groups`.

    A baseline is of the same board, model, precision and origin; a group of other columns has none.
    """
    known = {_key(side.key): side for side in group(baseline)}
    return {
        place: known[_key(one.key)]
        for place, one in enumerate(groups)
        if set(USUAL) <= set(one.key) and _key(one.key) in known
    }


def _text(value: Any) -> str:
    return "–" if value is None else str(value)


def _key(key: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(key[column] for column in (*USUAL, "origin"))


def table(groups: Sequence[Group], baseline: Sequence[Record] = ()) -> Table:
    """Return a row a group: invoke time, its spreads, RAM, outputs, and the change since the baseline."""
    keys = list(groups[0].key) if groups else [*USUAL, "origin"]
    held = baseline_of(groups, baseline)
    figures = ["invoke time", "spread", "between runs", "runs", "RAM", "RAM from", "outputs"]
    columns = (*keys, *figures, *(["since baseline"] if held else []))
    rows = []
    for place, one in enumerate(groups):
        change_since = [since(one, held.get(place))] if held else []
        rows.append(
            (
                *(one.time_is if name == "origin" else _text(value) for name, value in one.key.items()),
                *_cells(one),
                *change_since,
            )
        )
    right = {"invoke time", "spread", "between runs", "runs", "RAM", "since baseline"}
    return Table(columns, rows, frozenset(right))


def plain(groups: Sequence[Group], baseline: Sequence[Record] = ()) -> list[dict[str, Any]]:
    """Return the summary as values, with units in the names."""
    held = baseline_of(groups, baseline)
    return [
        {
            **one.key,
            "runs": len(one.records),
            "samples": one.samples,
            "invoke_median_us": one.median_us,
            "invoke_iqr_percent": one.within_percent,
            "run_to_run_percent": one.between_percent,
            "error_percent": one.error_percent,
            "arena_used_bytes": one.arena_used_bytes,
            "memory_bytes": one.memory_bytes,
            "ram_origin": one.ram.origin,
            "verdict": verdict(one),
            "baseline_invoke_median_us": held[place].median_us if place in held else None,
        }
        for place, one in enumerate(groups)
    ]


def worst_verified(one: Group) -> Record:
    """Return the run of a group whose verification is the worst, the newest of several."""
    order = ("differs", "not_available", "within_tolerance", "exact")
    return min(reversed(one.records), key=lambda record: order.index(record.verification.verdict))


def verdict(one: Group) -> str:
    """Return the worst verification of a group's runs."""
    return worst_verified(one).verification.verdict


def ram(one: Group) -> str:
    """Write the arena use, and its share of the memory that the board has for it."""
    used, memory = one.arena_used_bytes, one.memory_bytes
    share = f" ({percent(100 * used / memory, 0)})" if used is not None and memory else ""
    return f"{kibibytes(used)}{share}"


def since(one: Group, baseline: Group | None) -> str:
    """Write the change of the median invoke time since the baseline, where there is one."""
    if baseline is None or not one.median_us or not baseline.median_us:
        return "–"
    return change(one.median_us / baseline.median_us)


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
