"""`harness bench`: the main job."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli import options, signals


@click.command("bench", short_help="Bench models on boards, attached or emulated.")
@click.argument("models", nargs=-1, metavar="[MODEL ...]")
@options.boards()
@click.option(
    "--port",
    metavar="URL|auto|emulated",
    help="Serial port of the board, or an emulated one [the attached board; emulated when there is none].",
)
@click.option(
    "--drive",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the boot loader's drive is, for boards that are flashed by UF2 [looked for].",
)
@options.baud("Line speed of the firmware on an attached board [the board's].")
@options.invokes(10)
@options.warmup()
@options.inputs()
@options.protocol()
@click.option(
    "--no-flash",
    is_flag=True,
    help="Bench what is on the attached board and write nothing; MODEL may be FILE@ADDRESS, @ADDRESS or "
    "nothing.",
)
@click.option("--layers/--no-layers", default=True, show_default=True, help="Time each operator, too.")
@click.option(
    "--invoke-timeout",
    metavar="SECONDS",
    type=click.FloatRange(0, min_open=True),
    help="How long one invoke may take [20 times its estimate, at least a minute].",
)
@click.option(
    "--meter",
    metavar="KIND:WHERE",
    help="Measure the energy, too, as in ppk2:/dev/ttyACM1,source=3.3 (see the README).",
)
@click.option(
    "--allow-differing", is_flag=True, help="Exit with 0 even if outputs differ from the reference's."
)
@options.output("Directory that records are added to.", metavar="DIR", default="results")
@options.as_json("Print the records as JSON.")
def command(
    models: tuple[str, ...],
    boards: tuple[str, ...],
    port: str | None,
    drive: Path | None,
    baud: int | None,
    invokes: int,
    warmup: int,
    inputs: tuple[str, ...],
    protocol: str | None,
    layers: bool,
    invoke_timeout: float | None,
    no_flash: bool,
    meter: str | None,
    allow_differing: bool,
    output: Path,
    as_json: bool,
) -> None:
    """Bench each MODEL (a .tflite file, a folder of them, or the name of a bundled model) on each board.

    Without arguments: the bundled person model on XIAO ESP32-S3, Grove Vision AI and Grove Vision AI WE2. A
    file of a folder that cannot be benched is left out with the reason.

    With --no-flash, what is on the board is benched: the models that it lists, or those named by file or
    address. A run whose model the firmware cannot prove is recorded as unproven.

    Exits with 1 if a run failed, if its outputs differ from the reference's, or if nothing could be benched.
    """
    from harness import bench
    from harness.cli import bench_view

    observer = bench_view.observer()
    with observer:
        result = bench(
            models,
            boards,
            invokes=invokes,
            warmup=warmup,
            inputs=inputs,
            protocol=protocol,
            port=port,
            drive=drive,
            profile_layers=layers,
            invoke_timeout_s=invoke_timeout,
            no_flash=no_flash,
            baud=baud,
            meter=meter,
            out=output,
            observer=observer,
        )
    if as_json:
        bench_view.print_json(result)
    else:
        bench_view.print_table(result)
    wrong = [] if allow_differing else result.differing
    bench_view.print_failures(result, wrong)
    if result.interrupted:
        sys.exit(signals.status())
    sys.exit(1 if result.failures or wrong or not result.records else 0)
