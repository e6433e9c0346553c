"""How commands print for people: tables that are pretty in a terminal and plain in a pipe."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from harness.errors import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

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


# What stands for a character that a terminal lacks; any other is escaped.
_PLAIN = str.maketrans({"±": "+-", "×": "x", "–": "-", "…": "...", "→": "->", "µ": "u"})
_ERRORS = "harness.plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end].translate(_PLAIN)
    return lacking.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(_ERRORS, _plain)


class _Pipe(io.FileIO):
    """A pipe whose reader may go: the command goes on all the same, to its records and its exit code."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def prepare() -> None:
    """Set standard output and error up for people and pipes.

    Characters that the encoding lacks, or a terminal of the locale "C", become plain ones or are escaped, and
    a reader that closes its pipe, as `head` does, ends nothing.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue  # closed, or a test's
        encoding = "ascii" if _has_plain_locale() else stream.encoding
        if stream.isatty():
            stream.reconfigure(encoding=encoding, errors=_ERRORS)
            continue
        stream.flush()
        # What Python leaves unbuffered (-u) is written line by line.
        lines = stream.line_buffering or stream.write_through
        pipe = io.BufferedWriter(_Pipe(stream.fileno(), "wb", closefd=False))
        setattr(sys, name, io.TextIOWrapper(pipe, encoding, _ERRORS, line_buffering=lines))


def _has_plain_locale() -> bool:
    """Say whether the locale was set to plain ASCII, for which Python writes UTF-8 all the same."""
    if os.environ.keys() & {"PYTHONIOENCODING", "PYTHONUTF8"}:
        return False
    found = (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    return next(filter(None, found), None) in ("C", "POSIX")


def flush() -> None:
    """Write what is left of standard output; raises OSError if it cannot be, as on a full disk."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = None  # or Python would try again as it exits
        raise


def print_json(value: object) -> None:
    """Print a value as JSON, in ASCII, which no encoding changes and no terminal obeys."""
    import json

    click.echo(json.dumps(value, indent=2))


def print_file(data: str | bytes) -> None:
    """Print what is meant for a file, such as Markdown or a diff: anywhere but on a terminal as UTF-8."""
    if isinstance(data, str) and isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        data = data.encode()
    click.echo(data, nl=False)


def console() -> Console:
    """Return a console on standard output; in a pipe no line is folded to a width."""
    from rich.console import Console

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
        table.add_row(key, _cell(value))
    _print(out, table)


def table(out: Console, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print `bare_table` after an empty line."""
    out.print()
    bare_table(out, headings, rows)


def bare_table(out: Console, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; a heading that starts with ">" has its column set flush right.

    Whole numbers get thousands separators, None and "" leave a cell empty. On a terminal too narrow for the
    words of a row beside each other there is a paragraph a row instead.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if fits(out, headings, cells):
        _print(out, _table(out, headings, cells))
        return
    title = headings[0].removeprefix(">")
    names = [f"  {heading.removeprefix('>')}" for heading in headings[1:]]
    for number, (first, *others) in enumerate(cells):
        if number:
            out.print()
        out.print(f"{title} {first}".strip())
        facts(out, [(name, cell) for name, cell in zip(names, others, strict=True) if cell])


def fits(out: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Say whether a table can be read on `out`: numbers on one line, text broken between words alone."""
    if not out.is_terminal:
        return True
    widths = []
    for heading, *cells in zip(headings, *rows, strict=True):
        words = heading.removeprefix(">").split()
        for cell in cells:
            words += [cell] if heading.startswith(">") else cell.split()
        widths.append(max(map(len, words), default=0))
    return sum(widths) + 3 * len(widths) <= out.width


def _table(out: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
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
        table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
    return table


def _style(cell: str) -> str:
    # An estimate's band follows its origin: "estimated -6/+9 %", "estimated, up to ×2.1".
    return _STYLES.get(cell) or _STYLES.get(re.split("[ ,]", cell, maxsplit=1)[0], "")


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
    # Before the table is laid out: "+-" is wider than what it stands for.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return printable(str(value)).encode(encoding, _ERRORS).decode(encoding)
