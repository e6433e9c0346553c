"""`harness emulate`: a virtual board behind a pseudo-terminal or a TCP port."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("emulate", short_help="Run a virtual board on a pseudo-terminal or socket.")
@click.argument("board")
@click.option(
    "--listen",
    default="pty",
    show_default=True,
    metavar="pty|rfc2217://HOST:PORT|socket://HOST:PORT",
    help="Where the board answers; port 0 takes any free one. Only rfc2217 has DTR and RTS.",
)
@click.option(
    "--firmware",
    metavar="PROTOCOL|none",
    default=None,
    help="Put this protocol's virtual firmware into its flash [the board's default; with --flash: none].",
)
@click.option("--model", "models", multiple=True, metavar="MODEL", help="Put this model into its flash.")
@click.option(
    "--flash",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    metavar="DIR",
    help="Keep its flash memory in files here, over restarts [in memory].",
)
@click.option(
    "--drive",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    metavar="DIR",
    help="Where the drive of a board that is flashed by UF2 appears [a new directory].",
)
@click.option("--boot", "loader", is_flag=True, help="Power on with the boot button held.")
@click.option("--lifeline", is_flag=True, hidden=True, help="End when standard input closes.")
def command(
    board: str,
    listen: str,
    firmware: str | None,
    models: tuple[str, ...],
    flash: Path | None,
    drive: Path | None,
    loader: bool,
    lifeline: bool,
) -> None:
    """Run a virtual BOARD until it is ended. The first line printed is the URL of its port.

    In a terminal, Enter presses its reset button, and `boot` and Enter does so with the boot button held;
    the signal SIGUSR1 presses reset, too.
    """
    from harness import boards
    from harness.emulator.run import run

    if firmware is None and flash is None:
        firmware = boards.load(board).protocols.default
    run(
        board,
        listen_on=listen,
        firmware=None if firmware == "none" else firmware,
        models=models,
        flash_directory=flash,
        drives=drive,
        loader=loader,
        lifeline=lifeline,
    )
