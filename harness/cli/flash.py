"""`harness flash`: firmware and models onto a board."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from click.core import ParameterSource

from harness.cli import options, terminal


def _options_of_methods(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every flashing method, those of other packages among them."""
    from harness.flash.method import FLASHERS, Option

    methods: dict[Option, list[str]] = {}
    for name in FLASHERS.names():
        for option in FLASHERS.get(name).options:
            methods.setdefault(option, []).append(name)
    for option, names in reversed(methods.items()):
        kind: click.ParamType = click.BOOL
        if option.number or option.choices:
            kind = click.Choice(option.choices) if option.choices else click.IntRange(1)
        command = click.option(
            f"--{option.name}/--no-{option.name}" if kind is click.BOOL else f"--{option.name}",
            type=kind,
            default=option.default,
            show_default=option.default is not None,
            help=f"{', '.join(names)}: {option.help[0].lower()}{option.help[1:]}",
        )(command)
    return command


def _given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is not ParameterSource.DEFAULT


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
@options.as_json("Print what was done as JSON.")
@_options_of_methods
@click.pass_context
def command(
    ctx: click.Context,
    board: str,
    port: str,
    firmware: str | None,
    models: tuple[str, ...],
    drive: Path | None,
    as_json: bool,
    **given: object,
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
            options={name: value for name, value in given.items() if _given(ctx, name)},
            progress=progress,
        )
    if as_json:
        terminal.print_json(flash_view.as_json(flashed))
        return
    for line in flash_view.lines(flashed):
        print(terminal.printable(line))
