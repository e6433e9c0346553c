"""The outcome of a gate for GitHub Actions: a step summary and annotations."""

from __future__ import annotations

from collections.abc import Sequence

from harness.gate.compare import Comparison
from harness.gate.text import findings, headline, table
from harness.results.table import Table

_MARKS = {"pass": "✅", "fail": "❌", "not enough data": "❔"}


def summary(comparisons: Sequence[Comparison], code: int) -> str:
    """Return Markdown for a GitHub step summary ($GITHUB_STEP_SUMMARY)."""
    shown = table(comparisons)
    marked = [
        (*row[:-1], f"{_MARKS[item.outcome]} {row[-1]}")
        for row, item in zip(shown.rows, comparisons, strict=True)
    ]
    outcome = {0: "✅ no regression", 1: "❌ regression", 3: "❔ not enough data"}[code]
    text = f"### Invoke time and RAM: {outcome}\n\n{headline(comparisons)}.\n\n"
    text += Table(shown.columns, marked, shown.right).markdown()
    lines = findings(comparisons)
    if lines:
        text += "\n" + "".join(f"- {line}\n" for line in lines)
    return (
        text + "\nRuns in brackets; each bound of an interval holds with the stated confidence by itself.\n"
    )


def workflow_commands(comparisons: Sequence[Comparison]) -> list[str]:
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
