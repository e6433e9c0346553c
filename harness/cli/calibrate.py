"""`harness calibrate`: how good the time estimate of a board is, and making it better by measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.boards.published import Chip
    from harness.timing.calibrate import Calibration
    from harness.timing.published import Comparison


@click.command("calibrate", short_help="Hold time estimates against figures, and fit them to measurements.")
@click.option("--board", "-b", metavar="ID", help="Board id or profile [with figures: every chip].")
@click.option(
    "--from", "store_path", metavar="DIR", type=click.Path(path_type=Path), help="Records to fit to."
)
@click.option(
    "--models", metavar="DIR", type=click.Path(path_type=Path), help="Where the models of the records are."
)
@click.option(
    "--out",
    "-o",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Overlay to write [BOARD_calibrated.toml].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    board: str | None, store_path: Path | None, models: Path | None, out: Path | None, as_json: bool
) -> None:
    """Show each published time of a board's chip beside its estimate, held out where that is possible.

    With --from, fit the coefficients to the measured records in DIR instead, and write a profile that
    extends the board's with them; it works everywhere that a board id does.
    """
    if store_path is None:
        if models is not None or out is not None:
            raise click.UsageError("--models and --out go with --from")
        _published(board, as_json)
    elif board is None:
        raise click.UsageError("give the --board whose estimate is to be fitted")
    else:
        _fit(board, store_path, models, out, as_json)


def _published(board: str | None, as_json: bool) -> None:
    from harness.timing.published import compare

    found = [compare(chip) for chip in _chips(board)]
    if as_json:
        import json

        click.echo(json.dumps([_as_dict(comparison) for comparison in found], indent=2))
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


def _as_dict(found: Comparison) -> dict[str, Any]:
    rows = [{**asdict(f), "error_percent": f.error_percent} for f in found.figures]
    return {**asdict(found), "figures": rows}


def _show_published(found: Comparison) -> None:
    from harness.cli.forecast_view import beyond
    from harness.cli.terminal import console, facts, table

    out = console()
    table(
        out,
        ("Published", ">ms", ">Estimated ms", ">Error", "How", "Conditions"),
        (
            (
                f.what,
                f"{f.published_ms:.4g}",
                f"{f.estimated_ms:.4g}",
                _signed(f.error_percent),
                f.how,
                f.conditions,
            )
            for f in found.figures
        ),
    )
    out.print()
    held_out = sum(f.how == "held out" for f in found.figures)
    rows = [("Chip", found.chip)]
    if held_out and found.median_error_percent is not None and found.band_percent is not None:
        rows.append(("Held out", f"{held_out} figures, median error {found.median_error_percent:.1f} %"))
        rows.append(
            ("Error band", f"±{found.band_percent:.1f} %: two thirds of the held-out figures are within")
        )
    elif found.band_percent is not None:
        rows.append(
            ("Held out", "none; the error is that of stand-ins, bundled models of about the same shape")
        )
        rows.append(("Error", beyond(found.band_percent)))
    facts(out, rows)


def _signed(percent: float) -> str:
    return f"{round(percent, 1) + 0.0:+.1f} %"  # adding 0.0 makes -0.0 positive


def _fit(board: str, store_path: Path, models: Path | None, out: Path | None, as_json: bool) -> None:
    from harness import boards
    from harness.cli import results
    from harness.errors import HarnessError
    from harness.results import store
    from harness.timing.calibrate import calibrate

    profile = boards.load(board)
    if models is not None and not models.is_dir():
        raise HarnessError(f"{models}: no such directory; give the one that holds the records' models")
    records, damaged = store.read_all(store_path)
    results.warn(damaged)
    found = calibrate(profile, records, store_path.name, models)
    path = out or Path(f"{profile.id}_calibrated.toml")
    try:
        path.write_text(found.text, encoding="utf-8")
    except OSError as error:
        raise HarnessError(f"{path}: cannot be written: {error.strerror or error}") from None
    if as_json:
        import json

        click.echo(json.dumps({**asdict(found), "file": str(path)}, indent=2))
    else:
        _show_fit(found, path)


def _show_fit(found: Calibration, path: Path) -> None:
    from harness.cli.terminal import console, facts, table
    from harness.errors import printable

    out = console()
    table(
        out,
        ("Measured", ">ms", ">Before", ">After", "How"),
        (
            (
                a.name,
                f"{a.known:.4g}",
                _signed(100 * b.error),
                _signed(100 * a.error),
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
