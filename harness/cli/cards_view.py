"""How `harness cards` looks: changes and a table of files, or what is understood of a card."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.terminal import bare_table, console, printable, table

if TYPE_CHECKING:
    from harness.cards.card import Overview
    from harness.cards.session import Planned, Session

# What is done with a figure that is out of date, and how the table of files says it.
WRITE, DRY_RUN, CHECK = "written", "to write", "out of date"


def print_notes(session: Session) -> None:
    """Print what was passed over and why, a line each, on standard error."""
    for text in (*session.left, *session.notes):
        click.echo(printable(f"harness: {text}"), err=True)


def print_session(session: Session, mode: str, nothing_written: bool = False) -> None:
    """Print each change, and a table of the files."""
    for card in session.cards if mode != DRY_RUN else ():
        if card.unwritten is None:
            for change in card.plan.changes:
                click.echo(printable(f"{card.path}: {change}"))
    if any(card.plan.changes for card in session.cards) and mode != DRY_RUN:
        click.echo()
    sources = {card.path: card for card in session.cards}
    rows = [
        (str(card.path), _cells(card, mode, nothing_written), _why(card, sources)) for card in session.cards
    ]
    bare_table(console(), ("file", "cells", "why not"), rows)


def _cells(card: Planned, mode: str, nothing_written: bool) -> str:
    if card.unread is not None:
        return "not read"
    if card.plan.changes and (nothing_written or card.unwritten):
        return f"{len(card.plan.changes)} not written"
    if card.plan.changes:
        return f"{len(card.plan.changes)} {mode}"
    return "none written" if card.left else "up to date"


def _why(card: Planned, cards: Mapping[Path, Planned]) -> str:
    reasons = card.reasons()
    if not reasons and card.source in cards and cards[card.source].left:
        return f"as {card.source}, which it is made from"
    return "; ".join(f"{count} x {why}" if count > 1 else why for why, count in reasons.items())


def print_session_json(session: Session, nothing_written: bool = False) -> None:
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
    click.echo(json.dumps({"cards": found, "notes": session.notes}, indent=2, ensure_ascii=False))


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
