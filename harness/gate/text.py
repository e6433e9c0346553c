"""Comparisons as tables, and as Markdown and annotations for GitHub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.gate.compare import Comparison, describe
from harness.results.group import Group
from harness.results.table import Table, kibibytes, milliseconds

_HEADLINES = {
    "pass": "no regression",
    "fail": "regression",
    "not enough data": "not enough data",
}
_MARKS = {"pass": "✅", "fail": "❌", "not enough data": "❔"}


def headline(comparisons: Sequence[Comparison]) -> str:
    """Return one line: how many compared, and how many of each outcome."""
    if not comparisons:
        return "nothing to compare"
    outcomes = [comparison.outcome for comparison in comparisons]
    counts = [(outcomes.count(o), o) for o in ("fail", "not enough data", "pass") if o in outcomes]
    return f"{len(outcomes)} compared: {', '.join(f'{n} {outcome}' for n, outcome in counts)}"


def table(comparisons: Sequence[Comparison], title: str = "") -> Table:
    """Return a row a comparison: invoke time and RAM then and now, the change, the outcome and the origin."""
    columns = ("board", "model", "baseline", "now", "change", "interval", "RAM", "origin", "outcome")
    rows = []
    for item in comparisons:
        change, bounds = "–", "–"
        if item.time:
            change = f"{100 * (item.time.ratio - 1):+.1f} %"
            if item.time.spread is not None:
                bounds = f"{100 * (item.time.low - 1):+.1f} … {100 * (item.time.high - 1):+.1f} %"
        rows.append(
            (
                item.board,
                f"{item.model} ({item.precision})",
                _time(item.baseline),
                _time(item.candidate),
                change,
                bounds,
                _ram(item),
                _origins(item),
                _HEADLINES[item.outcome] if item.time and _only_time(item) else item.outcome,
            )
        )
    return Table(title, columns, rows, frozenset({"baseline", "now", "change", "RAM"}))


def findings(comparisons: Sequence[Comparison]) -> list[str]:
    """Return a line for each thing that was found and each note, with what it is about."""
    lines = []
    for item in comparisons:
        lines += [f"{item.name}: {f.text}" for f in item.findings if f.outcome != "pass"]
        lines += [f"{item.name}: note: {note}" for note in item.notes]
    return lines


def differences(comparisons: Sequence[Comparison]) -> list[str]:
    """Return a line a pair that says how the times differ, without a verdict."""
    return [f"{item.name}: {describe(item.time)}" for item in comparisons if item.time]


def _only_time(item: Comparison) -> bool:
    return item.outcome == "pass" or all(f.about == "time" for f in item.findings if f.outcome == item.outcome)


def _time(side: Group | None) -> str:
    return "–" if side is None else f"{milliseconds(side.median_us)} ({len(side.records)})"


def _ram(item: Comparison) -> str:
    if item.candidate is None:
        return "–"
    after = item.candidate.arena_used_bytes
    before = item.baseline.arena_used_bytes if item.baseline else None
    text = kibibytes(after)
    return text if before is None or after is None or before == after else f"{text} ({after - before:+,} B)"


def _origins(item: Comparison) -> str:
    origins = [side.origin for side in (item.baseline, item.candidate) if side]
    return " / ".join(dict.fromkeys(origins))


def github_summary(comparisons: Sequence[Comparison], code: int) -> str:
    """Return Markdown for a GitHub step summary ($GITHUB_STEP_SUMMARY)."""
    shown = table(comparisons)
    marked = [
        (*row[:-1], f"{_MARKS[item.outcome]} {row[-1]}") for row, item in zip(shown.rows, comparisons, strict=True)
    ]
    outcome = {0: "✅ no regression", 1: "❌ regression", 3: "❔ not enough data"}[code]
    text = f"### Invoke time and RAM: {outcome}\n\n{headline(comparisons)}.\n\n"
    text += Table("", shown.columns, marked, shown.right).markdown()
    lines = findings(comparisons)
    if lines:
        text += "\n" + "".join(f"- {line}\n" for line in lines)
    return text + "\nRuns in brackets; each bound of an interval holds with the stated confidence by itself.\n"


def github_annotations(comparisons: Sequence[Comparison]) -> list[str]:
    """Return workflow commands: an error a failure, a warning for each that lacks data.

    Escaped as GitHub's toolkit does it: % CR LF in the message, and : , too in a property.
    """
    lines = []
    for item in comparisons:
        for finding in item.findings:
            if finding.outcome == "pass":
                continue
            level = "error" if finding.outcome == "fail" else "warning"
            title = _escape(f"{finding.about}: {item.name}").replace(":", "%3A").replace(",", "%2C")
            lines.append(f"::{level} title={title}::{_escape(finding.text)}")
    return lines


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def plain(comparisons: Sequence[Comparison], code: int) -> dict[str, Any]:
    """Return the whole result as values for JSON."""
    outcome = {0: "pass", 1: "fail", 3: "not enough data"}[code]
    return {"outcome": outcome, "exit_code": code, "comparisons": [item.plain() for item in comparisons]}
