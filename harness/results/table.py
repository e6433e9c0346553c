"""A table of strings, to be shown or written as Markdown, and how figures are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """Columns and rows; a column named in `right` is aligned to the right."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    right: frozenset[str] = field(default_factory=frozenset)

    def markdown(self) -> str:
        """Return the table as a pipe table."""
        rules = ["---:" if column in self.right else "---" for column in self.columns]
        lines = [self.columns, rules, *self.rows]
        return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\r", "").replace("\n", "<br>")


def milliseconds(time_us: float | None) -> str:
    """Write a time given in microseconds as milliseconds with four significant digits: `54.21 ms`."""
    if time_us is None:
        return "–"
    value = time_us / 1000
    digits = 0 if value >= 1000 else 1 if value >= 100 else 2 if value >= 10 else 3
    return f"{value:,.{digits}f} ms"


def kibibytes(count: int | None) -> str:
    """Write a count of bytes as KiB with one decimal where it needs one: `117.2 KiB`, `512 KiB`."""
    if count is None:
        return "–"
    return f"{count / 1024:,.1f}".removesuffix(".0") + " KiB"


def percent(value: float | None, digits: int = 1) -> str:
    """Write a share or spread that is in percent: `1.2 %`."""
    return "–" if value is None else f"{value:.{digits}f} %"


def change(ratio: float, digits: int = 1) -> str:
    """Write a ratio as the change that it is: 1.05 is `+5.0 %`."""
    return f"{100 * (ratio - 1):+.{digits}f} %"
