"""`harness emulate`: a virtual board on a pseudo-terminal or a socket."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("emulate", short_help="Run a virtual board on a pseudo-terminal or socket.")
@click.argument("board")
@click.option(
    "--listen",
    default="pty",
    show_default=True,
    metavar="pty|socket://HOST:PORT",
    help="Where the board answers; port 0 takes any free one.",
)
@click.option("--model", "models", multiple=True, metavar="MODEL", help="Put this model into its flash.")
@click.option(
    "--flash",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    metavar="DIR",
    help="Keep its flash memory in files here, over restarts [in memory, blank].",
)
@click.option("--lifeline", is_flag=True, hidden=True, help="End when standard input closes.")
def command(
    board: str,
    listen: str,
    models: tuple[str, ...],
    flash: Path | None,
    lifeline: bool,
) -> None:
    """Run a virtual BOARD until it is ended. The first line printed is the URL of its port."""
    from harness.emulator.board import run

    run(board, listen_on=listen, models=models, flash_directory=flash, lifeline=lifeline)
