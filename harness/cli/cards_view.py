"""How `harness cards` looks: changes and a table of files, or what is understood of a card."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.terminal import bare_table, console, print_json, printable, table

if TYPE_CHECKING:
    from harness.cards.benching import CardRun
    from harness.cards.card import Overview
    from harness.cards.updating import Planned, Update
    from harness.runner import Observer

# What is done with a figure that is out of date, and how the table of files says it.
WRITE, CHECK = "written", "out of date"


def print_notes(session: Update) -> None:
    """Print what was passed over and why, a line each, on standard error."""
    for text in (*session.left, *session.notes):
        click.echo(printable(f"harness: {text}"), err=True)


def print_session(session: Update, mode: str, nothing_written: bool = False) -> None:
    """Print each change, and a table of the files."""
    for card in session.cards:
        if card.unwritten is None:
            for change in card.plan.changes:
                click.echo(printable(f"{card.path}: {change}"))
    if any(card.plan.changes for card in session.cards):
        click.echo()
    rows = [
        (str(card.path), _cells(card, mode, nothing_written), _why(card, session)) for card in session.cards
    ]
    bare_table(console(), ("file", "cells", "why not"), rows)


def _cells(card: Planned, mode: str, nothing_written: bool) -> str:
    if card.unread is not None:
        return "not read"
    if card.plan.changes and (nothing_written or card.unwritten):
        return f"{len(card.plan.changes)} not written"
    if card.plan.changes:
        return f"{len(card.plan.changes)} {mode}"
    if card.left:
        return "none written"
    return "up to date" if card.plan.rows else "no record"


def _why(card: Planned, session: Update) -> str:
    """Return why figures are left, and whether the card differs from what it is a copy of."""
    reasons = [f"{count} x {why}" if count > 1 else why for why, count in card.reasons().items()]
    if not reasons and any(other.path == card.source and other.left for other in session.cards):
        reasons.append(f"as {card.source}, which it is made from")
    differs = sum(one.path == card.path for one in session.disagreements)
    if differs:
        reasons.append(f"differs from what it is a copy of in {_count(differs, 'figure')}")
    return "; ".join(reasons)


def print_session_json(session: Update, nothing_written: bool = False) -> None:
    """Print the changes, and what was left, as JSON."""
    found = [
        {
            "file": str(card.path),
            "changed": card.differs,
            "written": card.differs and card.unwritten is None and not nothing_written,
            "source": str(card.source) if card.source else None,
            "changes": [dataclasses.asdict(change) for change in card.plan.changes],
            "left": [dataclasses.asdict(left) for left in card.plan.left],
            "problem": card.unread or card.unwritten,
        }
        for card in session.cards
    ]
    disagreements = [
        {"file": str(one.path), "line": one.line, "text": one.text} for one in session.disagreements
    ]
    shown = {"cards": found, "disagreements": disagreements, "notes": session.notes}
    print_json(shown)


def print_runs(runs: Sequence[CardRun], seconds: float, invokes: int) -> None:
    """Print what would be benched, board by board, and what cannot be."""
    rows = [(run.want.board, run.want.bench.file, _state(run)) for run in runs]
    bare_table(console(), ("board", "model", "what"), rows)
    to_do = [run for run in runs if run.to_do]
    fetched = len({run.want.bench for run in to_do if run.fetched})
    boards = len({run.want.board for run in to_do})
    missing = [run.want.bench for run in runs if run.missing]
    recorded = len(runs) - len(to_do) - len(missing)
    click.echo(
        f"\n{_count(len(to_do), 'run')} on {_count(boards, 'board')}, {_count(fetched, 'file')} to fetch "
        f"first; {_count(len(set(missing)), 'file')} missing; {recorded} have a record\n"
        f"{invokes} invokes a run take {_time(seconds)} in all by the cards' own times, flashing not counted"
    )


def print_runs_json(runs: Sequence[CardRun], seconds: float) -> None:
    """Print what would be benched as JSON."""
    found = [
        {
            "board": run.want.board,
            "file": run.want.bench.file,
            "sha1": run.want.bench.sha1,
            "md5": run.want.bench.md5,
            "url": run.want.bench.url or None,
            "record": run.record,
            "path": str(run.path) if run.path else None,
            "fetch": run.fetched,
            "missing": run.missing,
            "places": [{"file": str(path), "line": line} for path, line in run.want.places],
        }
        for run in runs
    ]
    print_json({"runs": found, "invoke_seconds": round(seconds, 3)})


def begin(observer: Observer, run: CardRun, number: int, total: int) -> None:
    """Show on a terminal which run begins."""
    from harness.cli.bench_view import TerminalProgress  # loads what benches, which only `cards bench` needs

    if isinstance(observer, TerminalProgress):
        observer.begin(f"[{number}/{total}] {run.want.board} {run.want.bench.file[:40]}")


def _state(run: CardRun) -> str:
    if run.record:
        return f"has record {run.record}"
    if run.missing:
        return f"missing: {run.missing}"
    return "fetch and bench" if run.fetched else f"bench {run.path}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def print_overviews(found: Mapping[Path, Overview]) -> None:
    """Print the tables of cards as they are understood, a line for each figure."""
    out = console()
    for path, overview in found.items():
        language = f", language {overview.language}" if overview.language else ""
        out.print(printable(f"{path}: {overview.format}{language}, benchmark tables: {len(overview.tables)}"))
        for bench in overview.tables:
            title = f" ({bench.title})" if bench.title else ""
            columns = ", ".join(bench.columns) or "no measured column"
            out.print(printable(f"\0line {bench.line}{title}: {columns}").replace("\\x00", "\n"))
            if bench.boards:
                boards = ", ".join(f"({key}) {board or 'unknown'}" for key, board in bench.boards.items())
                out.print(f"foot-notes: {printable(boards)}")
            rows: list[tuple[object, ...]] = []
            for row in bench.rows:
                model = row.model or (f"{row.label} (no model file)" if row.label else "(no model file)")
                for value in row.values:
                    figure = (value.column, value.board, value.text or "-", value.unit, value.origin)
                    rows.append((model, row.line, *figure))
                if not row.values:
                    rows.append((model, row.line, None, None, None, None, None))
            table(out, ("model file", ">line", "column", "board", ">value", "unit", "origin"), rows)
            for row in bench.rows:
                if row.note:
                    out.print(printable(f"line {row.line}: {row.note}"))
        for note in overview.notes:
            out.print(printable(note))
