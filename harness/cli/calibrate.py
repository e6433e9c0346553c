"""`harness calibrate`: how good the time estimate of a board is, and making it better by measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options, terminal

if TYPE_CHECKING:
    from harness.boards.published import Chip
    from harness.timing.calibrate import Calibration
    from harness.timing.published import ChipFit


@click.command("calibrate", short_help="Hold time estimates against figures, and fit them to measurements.")
@options.board("Board id or profile [with figures: every chip].")
@click.option("--held-out", is_flag=True, help="Show only whole models, each without its architecture.")
@click.option("--tables", is_flag=True, help="Print the [estimate] tables that the figures give a profile.")
@options.records("Records to fit to: a directory or a file.", default=None)
@click.option(
    "--models", metavar="DIR", type=click.Path(path_type=Path), help="Where the models of the records are."
)
@options.output("Overlay to write [BOARD_calibrated.toml].")
@options.as_json()
def command(
    board: str | None,
    held_out: bool,
    tables: bool,
    store: Path | None,
    models: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Show each published time of a board's chip beside its estimate by a fit to the other architectures.

    With --from, fit the coefficients to the measured records in DIR instead, and write a profile that
    extends the board's with them; it works everywhere that a board id does.
    """
    if store is None:
        if models is not None or output is not None:
            raise click.UsageError("--models and --output go with --from")
        if tables and as_json:
            raise click.UsageError("--tables are TOML; leave out --json")
        if tables:
            _tables(board)
        else:
            _published(board, held_out, as_json)
    elif board is None:
        raise click.UsageError("give the --board whose estimate is to be fitted")
    elif held_out or tables:
        raise click.UsageError("--held-out and --tables are of published figures; leave out --from")
    else:
        _fit(board, store, models, output, as_json)


def _tables(board: str | None) -> None:
    from harness.timing import published

    if board is None:
        raise click.UsageError("give the --board whose tables are wanted")
    for chip in _chips(board):
        click.echo(published.tables(chip).rstrip())


def _published(board: str | None, held_out: bool, as_json: bool) -> None:
    from harness.timing.published import compare

    found = [compare(chip) for chip in _chips(board)]
    if held_out:
        found = [replace(comparison, figures=comparison.held_out) for comparison in found]
    if as_json:
        terminal.print_json([_as_dict(comparison) for comparison in found])
        return
    for comparison in found:
        _show_published(comparison)


def _chips(board: str | None) -> Sequence[Chip]:
    from harness import boards
    from harness.boards import published
    from harness.errors import HarnessError

    if board is None:
        return published.chips()
    profile = boards.load(board)
    chip = published.for_board(profile.id)
    if chip is None:
        raise HarnessError(
            f"no figure is published for the chip of {profile.id}; measure, and give --from DIR"
        )
    return [chip]


def _as_dict(found: ChipFit) -> dict[str, Any]:
    rows = [{**asdict(f), "ratio": f.ratio} for f in found.figures]
    return {**asdict(found), "figures": rows}


def _show_published(found: ChipFit) -> None:
    from harness.cli.terminal import console, facts, table
    from harness.results.table import band

    out = console()
    table(
        out,
        ("Published", ">ms", ">Estimated ms", ">Ratio", "How", "Library", "Conditions"),
        (
            (
                f.what,
                f"{f.published_ms:.4g}",
                None if f.estimated_ms is None else f"{f.estimated_ms:.4g}",
                None if f.ratio is None else f"{f.ratio:.2f}",
                f.how,
                f.library,
                f.conditions,
            )
            for f in found.figures
        ),
    )
    out.print()
    rows = [("Chip", found.chip)]
    if found.band and found.median_factor and found.worst_factor:
        kinds = sorted({f.architecture or "" for f in found.held_out})
        rows += [
            (
                "Held out",
                f"{len(found.held_out)} whole models of {len(kinds)} architectures ({', '.join(kinds)}), "
                "each estimated by a fit to the others",
            ),
            (
                "Off by",
                f"a factor of {found.median_factor:.2f} in the median, {found.worst_factor:.2f} at worst",
            ),
            (
                "Band",
                f"{band(100 * (found.band.high - 1), 100 * (1 - found.band.low))}, "
                f"{found.band.low:.2f} to {found.band.high:.2f} times the estimate; "
                f"{found.coverage:.0%} of the held-out times are inside",
            ),
        ]
    facts(out, rows)
    out.print()


def _fit(board: str, store: Path, models: Path | None, output: Path | None, as_json: bool) -> None:
    from harness import boards
    from harness.cli import results
    from harness.errors import HarnessError
    from harness.results.store import read_all
    from harness.timing.calibrate import calibrate

    profile = boards.load(board)
    if models is not None and not models.is_dir():
        raise HarnessError(f"{models}: no such directory; give the one that holds the records' models")
    records, damaged = read_all(store)
    results.warn(damaged)
    found = calibrate(profile, records, store.name, models)
    path = output or Path(f"{profile.id}_calibrated.toml")
    try:
        path.write_text(found.text, encoding="utf-8")
    except OSError as error:
        raise HarnessError(f"{path}: cannot be written: {error.strerror or error}") from None
    if as_json:
        terminal.print_json({**asdict(found), "file": str(path)})
    else:
        _show_fit(found, path)


def _show_fit(found: Calibration, path: Path) -> None:
    from harness.cli.terminal import console, facts, table
    from harness.errors import printable

    out = console()
    table(
        out,
        ("Measured", ">ms", ">Before ms", ">Ratio", ">After ms", ">Ratio", "How"),
        (
            (
                a.name,
                f"{a.known:.4g}",
                f"{b.estimated:.4g}",
                f"{b.known / b.estimated:.2f}",
                f"{a.estimated:.4g}",
                f"{a.known / a.estimated:.2f}",
                "held out" if a.held_out else "fitted",
            )
            for b, a in zip(found.before, found.after, strict=True)
        ),
    )
    out.print()
    facts(
        out,
        [
            ("Records", f"{found.records} measured of {found.board}"),
            (
                "Median error",
                f"{found.median_before_percent:.1f} % before, {found.median_after_percent:.1f} % after",
            ),
            ("Written", f"{path} (use it as --board {path})"),
        ],
    )
    for reason in found.left_out:
        click.echo(printable(f"left out: {reason}"))
