"""What the commands that work with records share: how they warn, print and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.results import Record
    from harness.results.store import Damaged
    from harness.results.table import Table


def warn(damaged: Sequence[Damaged]) -> None:
    """Name each file that was set aside, on standard error."""
    for item in damaged:
        click.echo(f"harness: warning: set aside {item.path}: {item.reason}", err=True)


def history(store: Path) -> Callable[[], list[Record]]:
    """Return what reads all runs of a store, once and only when it is asked for."""

    @cache
    def read() -> list[Record]:
        from harness.results.store import read_all

        return read_all(store)[0] if store.is_dir() else []

    return read


def none_found(what: Sequence[str], store: Path) -> str:
    """Say that no run was found, and what to do."""
    if what:
        return f"no run found by {' '.join(what)}; `harness report --table runs --from {store}` lists all"
    return f"no run found in {store}; `harness bench` makes some"


def show(table: Table) -> None:
    """Print a table of records on standard output."""
    from harness.cli import terminal

    headings = [f">{name}" if name in table.right else name for name in table.columns]
    terminal.table(terminal.console(), headings, table.rows)


def write(path: Path | str, data: str | bytes) -> None:
    """Write a file that was asked for. Raises HarnessError if it cannot be written."""
    try:
        Path(path).write_bytes(data.encode() if isinstance(data, str) else data)
    except OSError as error:
        raise HarnessError(f"{path}: cannot be written: {error.strerror or error}") from error
