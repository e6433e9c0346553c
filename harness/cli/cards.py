"""`harness cards`: write figures from records into model cards, bench what they ask for, or show one."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options, signals, terminal
from harness.cli.group import CommandGroup
from harness.cli.terminal import printable

if TYPE_CHECKING:
    from harness.cards.rules import Rules
    from harness.cards.updating import Update
    from harness.cards.wanted import Want
    from harness.results.record import Record
    from harness.runner import Observer

_WORDS = click.option(
    "--words", type=click.Path(path_type=Path), metavar="FILE.toml", help="More names of headers and boards."
)
_ENCODING = click.option(
    "--encoding", metavar="NAME", help="Encoding of the cards [UTF-8, or as their BOM says]."
)
_CARDS = click.argument(
    "cards", nargs=-1, required=True, metavar="FILE|DIR...", type=click.Path(path_type=Path)
)
_RULES = (
    click.option(
        "--only",
        type=click.Choice(["time", "ram"]),
        help="Write only times or only RAM [both].",
    ),
    click.option("--by-name", is_flag=True, help="Identify a file without a hash by its name."),
    click.option("--add-metrics", is_flag=True, help="Add a metric that an entry of the zoo lacks."),
    click.option(
        "--allow-estimated", is_flag=True, help="Write figures that were not measured, marked as such."
    ),
    click.option(
        "--digits",
        default="column",
        show_default=True,
        metavar="RULE",
        help="'column', 0 to 9 decimals, or 'sig3'.",
    ),
    click.option(
        "--map",
        "maps",
        multiple=True,
        metavar="TEXT=MODEL",
        help="Take the row with this cell or linked file for MODEL.",
    ),
    click.option(
        "--record", "chosen", multiple=True, metavar="ID", help="If records disagree, use this one."
    ),
    click.option("--newest", is_flag=True, help="If records disagree, use the newest."),
    click.option(
        "--factor",
        default=2.0,
        show_default=True,
        help="Ask before a figure changes by a larger factor.",
    ),
    options.yes(),
    _WORDS,
    _ENCODING,
    options.as_json("Print the changes as JSON."),
)


def _with_rules(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what may be written."""
    for option in reversed(_RULES):
        function = option(function)
    return function


@click.group(cls=CommandGroup)
def command() -> None:
    """Keep the Invoke Time and RAM columns of model cards in step with records."""


@command.command()
@_CARDS
@options.records_of_several()
@click.option("--dry-run", is_flag=True, help="Write nothing; print what would change as a unified diff.")
@click.option(
    "--check", is_flag=True, help="Write nothing; exit 1 if a card is out of date or a record is not used."
)
@click.option("--strict", is_flag=True, help="Write nothing at all if anything is refused.")
@options.board("Board of the figures that no footnote assigns to one.")
@_with_rules
def update(
    cards: tuple[Path, ...],
    stores: tuple[Path, ...],
    dry_run: bool,
    check: bool,
    strict: bool,
    board: str | None,
    encoding: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Write the figures of records into cards (Markdown, or entries of the model zoo in JSON).

    Files and cells are updated independently. The exit code is 0 if everything is up to date and 1 if a
    figure could not be written.
    """
    rules = _rules(board=board, **given)
    mode = "dry run" if dry_run else "check" if check else "write"
    sys.exit(_update(cards, _records(stores), rules, encoding, mode, strict, as_json))


@command.command()
@_CARDS
@click.option(
    "--models",
    "folders",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where model files are (repeatable); others are fetched from where the cards link them.",
)
@options.boards("Only this board (repeatable).")
@click.option(
    "--port",
    metavar="URL|auto|emulated",
    help="Serial port of the board [the attached one; with --allow-estimated else an emulated one].",
)
@options.invokes(100)
@options.warmup()
@options.protocol()
@click.option("--offline", is_flag=True, help="Fetch nothing.")
@click.option("--again", is_flag=True, help="Also bench models that already have a record.")
@click.option("--dry-run", is_flag=True, help="Print what would be benched and which files are missing.")
@options.output("Directory in which records are looked up and stored.", metavar="DIR", default="results")
@_with_rules
def bench(
    cards: tuple[Path, ...],
    folders: tuple[Path, ...],
    boards: tuple[str, ...],
    port: str | None,
    invokes: int,
    warmup: int,
    protocol: str | None,
    offline: bool,
    again: bool,
    dry_run: bool,
    output: Path,
    encoding: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Bench the models that cards list on the boards that they list, and write the results into the cards.

    A model that has a record is not benched again, so repeating an interrupted call resumes it.
    """
    from harness.cards import benching, fetching
    from harness.cards.updating import wants
    from harness.cli import bench_view, cards_view
    from harness.results.store import read_all

    rules = _rules(**given)
    found, unknown, unread = wants(cards, rules.words, encoding)
    wanted_boards = _boards(boards, found)
    records = read_all(output)[0] if output.exists() else []
    # What an emulated board says of a time may only be written if that was asked for.
    port = port or (None if rules.allow_estimated else "auto")
    runs = benching.plan_runs(
        found,
        records,
        rules,
        fetching.Files.of(folders),
        wanted_boards,
        offline,
        again,
        estimates=port == "emulated",
    )
    for remark in (*unread, *unknown):
        click.echo(printable(f"harness: {remark}"), err=True)
    seconds = benching.least_seconds(runs, invokes + warmup)
    if dry_run:
        if as_json:
            cards_view.print_runs_json(runs, seconds)
        else:
            cards_view.print_runs(runs, seconds, invokes + warmup)
        sys.exit(1 if unread or any(run.missing for run in runs) else 0)
    observer = bench_view.observer()
    with observer:
        came = benching.make(
            runs,
            lambda path, board: _bench(path, board, observer, port, invokes, warmup, protocol, output),
            lambda run: lambda done, total: observer.progress("fetch", done, total or done),
            lambda run, number, total: cards_view.begin(observer, run, number, total),
        )
    missing = [run for run in runs if run.missing]
    for text in [f"{run.want.bench.file}: {run.missing}" for run in missing] + came.failures:
        click.echo(printable(f"harness: {text}"), err=True)
    left = sum(run.to_do for run in runs) - came.made
    click.echo(f"harness: {came.made} benched, {left} left, {len(missing)} without a file", err=True)
    if came.interrupted:
        click.echo("harness: interrupted; run the same command again to resume", err=True)
        sys.exit(signals.status())
    code = _update(
        cards, _records([output]) if output.exists() else [], rules, encoding, "write", False, as_json
    )
    sys.exit(1 if came.failures or missing else code)


@command.command()
@_CARDS
@_WORDS
@_ENCODING
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(cards: tuple[Path, ...], words: Path | None, encoding: str | None, as_json: bool) -> None:
    """Show what is understood of cards: tables, rows, model files, boards, columns and current values.

    Of a directory, only files with a benchmark table are shown.
    """
    from harness.cards.updating import overviews
    from harness.cards.words import default_words, load_words
    from harness.cli.cards_view import print_overviews

    found, unread = overviews(cards, load_words(words) if words else default_words(), encoding)
    for text in unread:
        click.echo(printable(f"harness: {text}"), err=True)
    if as_json:
        shown = [{"file": str(path), **dataclasses.asdict(overview)} for path, overview in found.items()]
        terminal.print_json(shown)
    else:
        print_overviews(found)
    sys.exit(1 if unread else 0)


def _bench(
    path: Path,
    board: str,
    observer: Observer,
    port: str | None,
    invokes: int,
    warmup: int,
    protocol: str | None,
    out: Path,
) -> tuple[list[str], bool]:
    """Bench one file on one board; return what failed, and whether the user broke it off."""
    import harness

    result = harness.bench(
        [str(path)],
        [board],
        invokes=invokes,
        warmup=warmup,
        protocol=protocol,
        port=port,
        out=out,
        observer=observer,
    )
    failures = [failure.message for failure in result.failures]
    return failures + [skip.reason for skip in result.skipped], result.interrupted


def _boards(given: Sequence[str], wants: Sequence[Want]) -> list[str]:
    """Return the ids of the boards that were named; raises HarnessError for one that no card asks for."""
    from harness.boards import load
    from harness.cards.wanted import boards_of
    from harness.errors import HarnessError, nearest

    asked = boards_of(wants)
    ids = [load(name).id for name in given]
    for board in ids:
        if board not in asked:
            raise HarnessError(f"--board {board}: no card asks for it{nearest(board, asked)}")
    return ids


def _rules(
    only: str | None,
    by_name: bool,
    add_metrics: bool,
    allow_estimated: bool,
    digits: str,
    maps: tuple[str, ...],
    chosen: tuple[str, ...],
    newest: bool,
    factor: float,
    yes: bool,
    words: Path | None,
    board: str | None = None,
) -> Rules:
    """Return the rules that the options of a command say."""
    from harness.cards.rules import Rules
    from harness.cards.units import QUANTITIES, parse_digits
    from harness.cards.words import default_words, load_words

    return Rules(
        digits=parse_digits(digits),
        allow_estimated=allow_estimated,
        max_factor=factor,
        accept=yes,
        choose=frozenset(chosen),
        newest=newest,
        board=board,
        models=dict(_mapping(text) for text in maps),
        only=frozenset(quantity for quantity in QUANTITIES if only in (None, quantity)),
        by_name=by_name,
        add_metrics=add_metrics,
        words=load_words(words) if words else default_words(),
    )


def _mapping(text: str) -> tuple[str, str]:
    row, sign, model = text.rpartition("=")
    if not sign or not row or not model:
        raise click.UsageError(
            f"--map {text}: write the text of a cell or a linked file, '=', and a SHA-1 or file"
        )
    return row, model


def _records(sources: Sequence[Path]) -> list[Record]:
    from harness.results.store import read_all

    records, damaged = read_all(*sources)
    for broken in damaged:
        click.echo(printable(f"harness: {broken.path}: {broken.reason}; passed over"), err=True)
    if not records:
        click.echo(printable(f"harness: {', '.join(map(str, sources))}: no records"), err=True)
    return records


def _update(
    cards: Sequence[Path],
    records: Sequence[Record],
    rules: Rules,
    encoding: str | None,
    mode: str,
    strict: bool,
    as_json: bool,
) -> int:
    """Plan an update, write it unless `mode` is "check" or "dry run", and say what came of it.

    Returns the exit code.
    """
    from harness.cards.updating import prepare
    from harness.cli import cards_view

    session = prepare(cards, records, rules, encoding)
    if mode == "write" and session.drastic and _accepts(session):
        session = prepare(cards, records, dataclasses.replace(rules, accept=True), encoding)
    kept = mode == "write" and strict and bool(session.left)
    if mode == "write" and not kept:
        session.write()
    cards_view.print_notes(session)
    if kept and session.changed:
        click.echo("harness: nothing was written, as something was refused (--strict)", err=True)
    if as_json:
        cards_view.print_session_json(session, nothing_written=kept or mode != "write")
    elif mode == "dry run":
        for card in session.changed:
            terminal.print_file(card.diff())
    else:
        cards_view.print_session(session, cards_view.CHECK if mode == "check" else cards_view.WRITE, kept)
    stale = mode == "check" and (session.changed or session.disagreements)
    return 1 if session.left or stale else 0


def _accepts(session: Update) -> bool:
    """Ask about figures that change more than they are expected to; without a terminal they are refused."""
    drastic = session.drastic
    if not sys.stdin.isatty():
        return False
    for path, left in drastic:
        click.echo(printable(f"harness: {path}: {left}"), err=True)
    what = f"{len(drastic)} figures change" if len(drastic) > 1 else "a figure changes"
    limit = f"{what} by more than a factor of {session.rules.max_factor:g}"
    return click.confirm(f"harness: {limit}; write it?", err=True)
