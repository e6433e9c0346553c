"""Comparisons as a table, as lines, and as values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.gate.compare import Comparison, describe
from harness.results.group import Group
from harness.results.table import Table, change, kibibytes

_HEADLINES = {
    "pass": "no regression",
    "fail": "regression",
    "not enough data": "not enough data",
}


def headline(comparisons: Sequence[Comparison]) -> str:
    """Return one line: how many compared, and how many of each outcome."""
    if not comparisons:
        return "nothing to compare"
    outcomes = [comparison.outcome for comparison in comparisons]
    counts = [(outcomes.count(o), o) for o in ("fail", "not enough data", "pass") if o in outcomes]
    return f"{len(outcomes)} compared: {', '.join(f'{n} {outcome}' for n, outcome in counts)}"


def table(comparisons: Sequence[Comparison]) -> Table:
    """Return a row a comparison: invoke time and RAM then and now, the change, the outcome and the origin.

    There is a column of what else changed if anything did.
    """
    shown = any(item.causes for item in comparisons)
    columns = (
        *("board", "model", "precision", "baseline", "now", "change", "interval", "RAM", "origin"),
        *(("changed",) if shown else ()),
        "outcome",
    )
    rows = []
    for item in comparisons:
        by, bounds = "–", "–"
        if item.time:
            by = change(item.time.ratio)
            if item.time.spread is not None:
                bounds = f"{change(item.time.low).removesuffix(' %')} … {change(item.time.high)}"
        outcome = _HEADLINES[item.outcome] if item.time and _only_time(item) else item.outcome
        rows.append(
            (
                *(item.board, item.called, item.precision),
                *(_time(item.baseline), _time(item.candidate), by, bounds, _ram(item), _origins(item)),
                *((", ".join(cause.about for cause in item.causes),) if shown else ()),
                outcome,
            )
        )
    return Table(columns, rows, frozenset({"baseline", "now", "change", "RAM"}))


def findings(comparisons: Sequence[Comparison]) -> list[str]:
    """Return a line for each thing that was found, each cause that no finding names, and each note."""
    lines = []
    for item in comparisons:
        wrong = [finding for finding in item.findings if finding.outcome != "pass"]
        lines += [f"{item.name}: {finding.text}" for finding in wrong]
        lines += [f"{item.name}: note: {cause.text}" for cause in item.causes if not wrong]
        lines += [f"{item.name}: note: {note}" for note in item.notes]
    return lines


def difference_table(comparisons: Sequence[Comparison]) -> Table:
    """Return a row a pair without a verdict: slower, faster, or no difference shown."""
    shown = table(comparisons)
    rows = [(*row[:-1], difference(item)) for row, item in zip(shown.rows, comparisons, strict=True)]
    return Table((*shown.columns[:3], "A", "B", *shown.columns[5:-1], "B is"), rows, shown.right | {"A", "B"})


def difference(item: Comparison) -> str:
    """Say in a word how the candidate's time differs, if the interval shows that it does."""
    if item.time is None:
        return "not in A" if item.baseline is None else "not in B" if item.candidate is None else "not timed"
    if item.time.low > 1:
        return "slower"
    return "faster" if item.time.high < 1 else "not shown to differ"


def differences(comparisons: Sequence[Comparison]) -> list[str]:
    """Return a line a pair that says how the times differ, and each thing else that does."""
    lines = []
    for item in comparisons:
        if item.time:
            lines.append(f"{item.name}: {describe(item.time)}")
        said = [cause.text for cause in item.causes] + list(item.notes)
        lines += [f"{item.name}: {text.removesuffix(' (allowed)')}" for text in said]
    return lines


def plain_difference(item: Comparison) -> dict[str, Any]:
    """Return a pair as values for JSON, without the gate's verdicts."""
    plain = item.plain()
    return {key: plain[key] for key in plain if key not in ("outcome", "findings")} | {
        "b_is": difference(item)
    }


def _only_time(item: Comparison) -> bool:
    return item.outcome == "pass" or all(
        f.about == "time" for f in item.findings if f.outcome == item.outcome
    )


def _time(side: Group | None) -> str:
    return "–" if side is None or not side.records else f"{side.typical_time} ({len(side.records)})"


def _ram(item: Comparison) -> str:
    if item.candidate is None:
        return "–"
    after = item.candidate.arena_used_bytes
    before = item.baseline.arena_used_bytes if item.baseline else None
    if after is None:
        return kibibytes(after)
    text = f"{kibibytes(after)} {item.candidate.ram.origin}"
    return text if before is None or before == after else f"{text} ({after - before:+,} B)"


def _origins(item: Comparison) -> str:
    origins = [side.time_is for side in (item.baseline, item.candidate) if side]
    return " / ".join(dict.fromkeys(origins))


def plain(comparisons: Sequence[Comparison], code: int) -> dict[str, Any]:
    """Return the whole result as values for JSON."""
    outcome = {0: "pass", 1: "fail", 3: "not enough data"}[code]
    return {"outcome": outcome, "exit_code": code, "comparisons": [item.plain() for item in comparisons]}
