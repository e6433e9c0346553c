"""How commands print for people: tables that are pretty in a terminal and plain in a pipe."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

# How words that say what a figure or an outcome is worth look in a terminal.
_STYLES = {
    "measured": "bold",
    "emulated": "cyan",
    "estimated": "magenta",
    "published": "blue",
    "pass": "green",
    "no regression": "green",
    "fail": "bold red",
    "regression": "bold red",
    "not enough data": "yellow",
}


def console() -> Console:
    """Return a console on standard output; in a pipe no line is folded to a width.

    Characters that the output's encoding lacks are escaped rather than an error.
    """
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    found = Console(highlight=False, markup=False, emoji=False)
    if not found.is_terminal:
        found.width = 10_000
    return found


def facts(out: Console, rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one a line, values below each other."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold" if out.is_terminal else None)
    table.add_column(overflow="fold")
    for key, value in rows:
        table.add_row(key, printable(value))
    _print(out, table)


def table(out: Console, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table after an empty line; a heading that starts with ">" has its column set flush right.

    Whole numbers get thousands separators, None and "" leave a cell empty.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=False, padding=(0, 1))
    for heading in headings:
        right = heading.startswith(">")
        table.add_column(
            heading.removeprefix(">"), justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(_cell(value), style=_STYLES.get(str(value), "")) for value in row))
    out.print()
    _print(out, table)


def _print(out: Console, table: object) -> None:
    """Print `table` without the spaces that fill its lines up where nobody sees them."""
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    out.file.writelines(line.rstrip() + "\n" for line in captured.get().splitlines())


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return printable(str(value))
