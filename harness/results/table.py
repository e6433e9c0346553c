"""A table of strings that is shown on a terminal or written as Markdown, and how figures are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

# How words that say something about trust or outcome look on a terminal.
_STYLES = {
    "regression": "bold red",
    "fail": "bold red",
    "slower": "red",
    "faster": "green",
    "no regression": "green",
    "pass": "green",
    "not enough data": "yellow",
    "undecided": "yellow",
    "measured": "bold",
    "emulated": "cyan",
    "estimated": "magenta",
    "published": "blue",
}


@dataclass(frozen=True)
class Table:
    """Columns and rows; a column named in `right` is aligned to the right."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    right: frozenset[str] = field(default_factory=frozenset)

    def markdown(self) -> str:
        """Return the table as a pipe table, without its title."""
        rules = ["---:" if column in self.right else "---" for column in self.columns]
        lines = [self.columns, rules, *self.rows]
        return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)

    def show(self) -> None:
        """Print the table on the terminal."""
        from rich import box
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(title=self.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        for column in self.columns:
            table.add_column(column, justify="right" if column in self.right else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        Console().print(table)


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
    """Write a count of bytes as KiB with one decimal: `117.2 KiB`."""
    return "–" if count is None else f"{count / 1024:,.1f} KiB"


def percent(value: float | None, digits: int = 1) -> str:
    """Write a share or spread that is in percent: `1.2 %`."""
    return "–" if value is None else f"{value:.{digits}f} %"


def change(ratio: float, digits: int = 1) -> str:
    """Write a ratio as the change that it is: 1.05 is `+5.0 %`."""
    return f"{100 * (ratio - 1):+.{digits}f} %"
