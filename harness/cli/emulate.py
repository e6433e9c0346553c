"""`harness emulate`: a virtual board behind a pseudo-terminal or a TCP port."""

from __future__ import annotations

import math
from pathlib import Path

import click

from harness.cli import options


@click.command("emulate", short_help="Run a virtual board on a pseudo-terminal or socket.")
@options.board(required=True)
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
@click.option(
    "--sscma",
    "stock",
    type=click.Choice(["1.0", "2.0"]),
    default="1.0",
    show_default=True,
    help="Which generation of the vendor's stock firmware the protocol sscma is.",
)
@options.models("Put this model into its flash (repeatable).")
@click.option(
    "--flash",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    metavar="DIR",
    help="Keep its flash memory in files here, over restarts [in memory].",
)
@click.option("--trouble", metavar="SPEC", default="", help="What is wrong with the board, as above.")
@click.option(
    "--drive",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    metavar="DIR",
    help="Where the drive of a board that is flashed by UF2 appears [a new directory].",
)
@click.option("--boot", "loader", is_flag=True, help="Power on with the boot button held.")
@click.option(
    "--baud",
    type=click.IntRange(300, 100_000_000),
    help="Line speed in bits per second, 8N1 [unlimited].",
)
@click.option(
    "--latency",
    "latency_ms",
    type=click.FloatRange(0, 10_000),
    default=0.0,
    metavar="MS",
    help="Delay bytes by so many milliseconds, each way [0].",
)
@click.option("--faults", metavar="SPEC", default="", help="Faults of the line, as listed above.")
@click.option(
    "--meter", is_flag=True, help="Supply it from a virtual power meter; the second line printed names that."
)
@click.option("--lifeline", is_flag=True, hidden=True, help="End when standard input closes.")
def command(
    board: str,
    listen: str,
    firmware: str | None,
    stock: str,
    models: tuple[str, ...],
    flash: Path | None,
    trouble: str,
    drive: Path | None,
    loader: bool,
    baud: int | None,
    latency_ms: float,
    faults: str,
    meter: bool,
    lifeline: bool,
) -> None:
    """Run a virtual board until this command is ended. The first line printed is the URL of its port; opening
    it switches the board on.

    In a terminal, Enter presses its reset button, and `boot` and Enter does so with the boot button held;
    the signal SIGUSR1 presses reset, too.

    \b
    Faults of the line, separated by commas:
      drop=RATE flip=RATE dup=RATE insert=RATE   bytes lost, changed, doubled, made up
      burst=RATE[:BYTES]                         BYTES (64) in a row turned to noise
      stall=RATE[:SECONDS]                       the line rests for SECONDS (1)
      reset@WHEN                                 the board resets
      vanish@WHEN[:SECONDS]                      the port goes away for SECONDS (2)
      seed=N                                     of the random numbers (0)
    RATE is a probability for each byte on the line (0.001 or 1/1000); WHEN is a number
    of bytes since the start, both ways together (40000), or a time (1.5s).

    \b
    Troubles of the board itself, separated by commas:
      silent                                     its firmware says and hears nothing
      boot-loop                                  it resets whenever its firmware starts
      invoke                                     every invoke fails
      clock=FACTOR                               its clock runs FACTOR times as fast
      name=ID version=TEXT                       its firmware is another board's, or another one
    """
    from harness import boards
    from harness.emulator.faults import parse_faults
    from harness.emulator.line import VirtualLine
    from harness.emulator.run import run
    from harness.emulator.troubles import parse_troubles

    if math.isnan(latency_ms):
        raise click.BadParameter("nan is no time", param_hint="'--latency'")
    line = (
        VirtualLine(baud, latency_ms / 1000, parse_faults(faults)) if baud or latency_ms or faults else None
    )
    if firmware is None and flash is None:
        firmware = boards.load(board).protocols.default
    run(
        board,
        listen_on=listen,
        firmware=None if firmware == "none" else firmware,
        models=models,
        flash_directory=flash,
        troubles=parse_troubles(trouble),
        drives=drive,
        loader=loader,
        lifeline=lifeline,
        line=line,
        stock=stock,
        meter=meter,
    )
