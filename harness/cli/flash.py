"""`harness flash`: firmware and models onto a board."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options, terminal


@click.command("flash", short_help="Flash firmware and models onto a board.")
@options.board(required=True)
@click.option(
    "--port", default="auto", show_default=True, metavar="URL|auto|emulated", help="Serial port of the board."
)
@click.option(
    "--firmware",
    metavar="PROTOCOL|FILE|none",
    help="Protocol of the firmware, or a file [the board's default; with models: none].",
)
@options.models("Model (repeatable).", metavar="MODEL[@ADDRESS]")
@click.option(
    "--drive",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the boot loader's drive is [looked for].",
)
@click.option("--stub/--no-stub", default=True, show_default=True, help="ESP32: run esptool's flasher stub.")
@click.option("--compress/--no-compress", default=True, show_default=True, help="ESP32: send compressed.")
@click.option(
    "--block",
    type=click.Choice(["1024", "128"]),
    default="1024",
    show_default=True,
    help="WE2: XMODEM block size in bytes.",
)
@options.as_json("Print what was done as JSON.")
def command(
    board: str,
    port: str,
    firmware: str | None,
    models: tuple[str, ...],
    drive: Path | None,
    stub: bool,
    compress: bool,
    block: str,
    as_json: bool,
) -> None:
    """Flash a board through its boot loader and verify what was written.

    Models that the board's NPU needs compiled are compiled first. Without an ADDRESS they are placed one
    behind the other from the start of the board's region for models.
    """
    from harness.cli import bench_view, flash_view
    from harness.runner.api import flash_board

    with bench_view.flash_progress() as progress:
        flashed = flash_board(
            board,
            port,
            firmware=firmware,
            models=models,
            drive=drive,
            options={
                "stub": stub,
                "compress": compress,
                "mode": "xmodem1k" if block == "1024" else "xmodem",
            },
            progress=progress,
        )
    if as_json:
        terminal.print_json(flash_view.as_json(flashed))
        return
    for line in flash_view.lines(flashed):
        print(terminal.printable(line))
