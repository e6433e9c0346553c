"""`harness cards`: write figures from records into model cards, or show what is understood of one."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.terminal import printable

if TYPE_CHECKING:
    from harness.cards.session import Session

_HELP = {"help_option_names": ["-h", "--help"]}
_WORDS = click.option(
    "--words", type=click.Path(path_type=Path), metavar="FILE.toml", help="More names of headers and boards."
)
_ENCODING = click.option(
    "--encoding", metavar="NAME", help="Encoding of the cards [UTF-8, or as their BOM says]."
)


@click.group(context_settings=_HELP)
def command() -> None:
    """Keep the Invoke Time and RAM columns of model cards in step with records."""


@command.command(context_settings=_HELP)
@click.argument("cards", nargs=-1, required=True, metavar="FILE|DIR...", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "sources",
    multiple=True,
    default=("results",),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Records: a file or a directory (repeatable).",
)
@click.option("--dry-run", is_flag=True, help="Write nothing; print what would change as a unified diff.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a card is out of date.")
@click.option("--allow-estimated", is_flag=True, help="Write figures that were not measured, marked as such.")
@click.option(
    "--digits",
    default="column",
    show_default=True,
    metavar="RULE",
    help="'column', 0 to 9 decimals, or 'sig3'.",
)
@click.option(
    "--map", "maps", multiple=True, metavar="TEXT=MODEL", help="The row with this cell or file is of MODEL."
)
@click.option("--board", metavar="ID", help="Board of figures that no foot-note explains.")
@click.option(
    "--record", "chosen", multiple=True, metavar="ID", help="Where records disagree, take this one."
)
@click.option("--newest", is_flag=True, help="Where records disagree, take the newest.")
@click.option(
    "--factor", default=2.0, show_default=True, help="Ask before a figure changes by more than this."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_WORDS
@_ENCODING
@click.option("--json", "as_json", is_flag=True, help="Print the changes as JSON.")
def update(
    cards: tuple[Path, ...],
    sources: tuple[Path, ...],
    dry_run: bool,
    check: bool,
    allow_estimated: bool,
    digits: str,
    maps: tuple[str, ...],
    board: str | None,
    chosen: tuple[str, ...],
    newest: bool,
    factor: float,
    yes: bool,
    words: Path | None,
    encoding: str | None,
    as_json: bool,
) -> None:
    """Write the figures of records into cards (Markdown, or entries of the model zoo in JSON)."""
    from harness.cards.rules import Rules
    from harness.cards.session import prepare
    from harness.cards.units import parse_digits
    from harness.cards.words import default_words, load_words
    from harness.results.store import read_all

    rules = Rules(
        digits=parse_digits(digits),
        allow_estimated=allow_estimated,
        max_factor=factor,
        accept=yes,
        choose=frozenset(chosen),
        newest=newest,
        board=board,
        models=dict(_mapping(text) for text in maps),
        words=load_words(words) if words else default_words(),
    )
    records, damaged = read_all(*sources)
    for broken in damaged:
        click.echo(f"harness: {broken.path}: {broken.reason}; passed over", err=True)
    if not records:
        click.echo(f"harness: {', '.join(map(str, sources))}: no records", err=True)
    session = prepare(cards, records, rules, encoding)
    for note in session.notes:
        click.echo(printable(f"harness: {note}"), err=True)
    if not dry_run and not check:
        _accept(session)
        session.write()
    if as_json:
        _print_json(session)
    elif dry_run:
        for card in session.changed:
            click.echo(card.diff(), nl=False)
    else:
        _print_changes(session, "is out of date" if check else "written")
    sys.exit(1 if check and session.changed else 0)


@command.command(context_settings=_HELP)
@click.argument("cards", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@_WORDS
@_ENCODING
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(cards: tuple[Path, ...], words: Path | None, encoding: str | None, as_json: bool) -> None:
    """Show what is understood of cards: tables, rows, model files, boards, columns and current values."""
    from harness.cards import planning
    from harness.cards.files import read_card
    from harness.cards.words import default_words, load_words

    known = load_words(words) if words else default_words()
    found = {path: planning.show(read_card(path, encoding).text, known) for path in cards}
    if as_json:
        shown = [{"file": str(path), **dataclasses.asdict(overview)} for path, overview in found.items()]
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    from harness.cli.terminal import console, table

    out = console()
    for path, overview in found.items():
        language = f", language {overview.language}" if overview.language else ""
        out.print(f"{path}: {overview.format}{language}, benchmark tables: {len(overview.tables)}")
        for bench in overview.tables:
            out.print(f"\nline {bench.line}: {', '.join(map(printable, bench.columns))}")
            if bench.boards:
                boards = ", ".join(f"({key}) {board or 'unknown'}" for key, board in bench.boards.items())
                out.print(f"foot-notes: {printable(boards)}")
            rows: list[tuple[object, ...]] = []
            for row in bench.rows:
                model = row.model or "(no model file)"
                for value in row.values:
                    figure = (value.column, value.board, value.text, value.unit, value.origin)
                    rows.append((model, row.line, *figure))
                if not row.values:
                    rows.append((model, row.line, None, None, None, None, None))
            table(out, ("model file", ">line", "column", "board", ">value", "unit", "origin"), rows)
            for row in bench.rows:
                if row.note:
                    out.print(f"line {row.line}: {row.note}")
        for note in overview.notes:
            out.print(note)


def _mapping(text: str) -> tuple[str, str]:
    row, sign, model = text.rpartition("=")
    if not sign or not row or not model:
        raise click.UsageError(
            f"--map {text}: write the text of a cell or a linked file, '=', and a SHA-1 or file"
        )
    return row, model


def _accept(session: Session) -> None:
    """Ask about figures that change more than they are expected to."""
    from harness.errors import HarnessError

    drastic = session.drastic
    if not drastic:
        return
    for path, change in drastic:
        click.echo(printable(f"harness: {path}: {change}"), err=True)
    what = f"{len(drastic)} figures change" if len(drastic) > 1 else "a figure changes"
    limit = f"{what} by more than a factor of {session.rules.max_factor:g}"
    if not sys.stdin.isatty():
        raise HarnessError(f"{limit}; look at --dry-run, and say --yes to write it; nothing was written")
    if not click.confirm(f"harness: {limit}; write it?", err=True):
        raise HarnessError("nothing was written")


def _print_changes(session: Session, verb: str) -> None:
    for card in session.changed:
        for change in card.plan.changes:
            click.echo(printable(f"{card.file.path}: {change}"))
        click.echo(f"{card.file.path}: {verb}")
    if not session.changed:
        names = [str(card.file.path) for card in session.cards]
        click.echo(f"{names[0] if len(names) == 1 else f'{len(names)} cards'}: nothing to change")


def _print_json(session: Session) -> None:
    found = [
        {
            "file": str(card.file.path),
            "changed": card.differs,
            "changes": [dataclasses.asdict(change) for change in card.plan.changes],
        }
        for card in session.cards
    ]
    click.echo(json.dumps({"cards": found, "notes": session.notes}, indent=2, ensure_ascii=False))
