"""`harness compile`: run Vela with a board's settings and keep its summary."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options, terminal
from harness.errors import HarnessError, printable

if TYPE_CHECKING:
    from harness.boards import Profile
    from harness.check.forecast import Time
    from harness.models.vela import Compiled


@click.command("compile")
@click.argument("model")
@options.board(required=True)
@options.output("Compiled file [MODEL_vela.tflite].")
@options.as_json()
def command(model: str, board: str, output: Path | None, as_json: bool) -> None:
    """Compile MODEL (a .tflite file or a bundled model) for the NPU of a board.

    Vela's summary and its figures by layer are kept beside the compiled file, as _summary.csv and
    _per-layer.csv.
    """
    from harness import boards
    from harness.check import forecast
    from harness.models import tflite, vela
    from harness.models.resolve import resolve

    profile = boards.load(board)
    source = resolve(model)
    if profile.vela is None:
        with_npu = ", ".join(p.id for p in boards.all_profiles() if p.vela is not None)
        raise HarnessError(
            f"{profile.id} has no NPU to compile for, it runs the int8 model as it is "
            f"(boards with one: {with_npu})"
        )
    output = output or Path(f"{Path(source.name).stem}_vela.tflite")
    compiled = vela.compile(
        source.data,
        source.name,
        accelerator=profile.vela.accelerator,
        settings=profile.vela.settings(),
    )
    files = _write(compiled, output, Path(source.name))
    time = forecast.time(tflite.parse(compiled.data, str(output)), profile, compiled)
    if as_json:
        terminal.print_json(_facts(compiled, profile, files, time))
    else:
        click.echo(_text(compiled, profile, files, time))


def _write(compiled: Compiled, output: Path, source: Path) -> list[str]:
    """Write the compiled model and Vela's tables; return the paths."""
    from harness.models.cache import write_atomically

    if output.is_dir() or output.name in ("", ".."):
        raise HarnessError(f"{output}: is a directory; give the path of a file with -o")
    if output.exists() and source.exists() and output.samefile(source):
        raise HarnessError(f"{output}: this is the model itself; give another file with -o")
    files = {
        output: compiled.data,
        output.with_name(f"{output.stem}_summary.csv"): compiled.summary_csv.encode(),
        output.with_name(f"{output.stem}_per-layer.csv"): compiled.layers_csv.encode(),
    }
    for path, data in files.items():
        try:
            write_atomically(path, data)
        except OSError as error:
            raise HarnessError(f"{path}: cannot be written: {error.strerror or error}") from None
    return [str(path) for path in files]


def _facts(compiled: Compiled, profile: Profile, files: list[str], time: Time) -> dict[str, Any]:
    return {
        "model": compiled.name,
        "source_sha256": compiled.source_sha256,
        "sha256": compiled.sha256,
        "files": files,
        "board": profile.id,
        "vela": {
            "version": compiled.version,
            "settings": dict(compiled.settings),
            "summary": compiled.summary,
        },
        "estimate": {
            "origin": "estimated",
            "by": f"Vela {compiled.version}",
            "cycles": compiled.cycles,
            "seconds": compiled.seconds,
        },
        "invoke": {
            "origin": "estimated",
            "seconds": time.seconds,
            "error_percent": time.band_percent,
            "error_below_percent": time.below_percent,
        },
        "sram_bytes": compiled.sram_bytes,
        "flash_bytes": compiled.flash_bytes,
        "npu_operators": compiled.npu_operators,
        "cpu_operators": list(compiled.cpu_operators),
        "cpu_reasons": list(compiled.cpu_reasons),
    }


def _text(compiled: Compiled, profile: Profile, files: list[str], time: Time) -> str:
    from harness.cli.forecast_view import rounded, time_text

    megahertz = float(compiled.summary["core_clock"]) / 1e6
    counts = Counter(compiled.cpu_operators)
    left = ", ".join(f"{name} ({n})" if n > 1 else name for name, n in counts.items()) or "none"
    if compiled.npu_operators:
        on_npu = [
            f"  NPU time        {rounded(compiled.seconds * 1e3)} ms estimated by Vela "
            f"({compiled.cycles:,} cycles at {megahertz:g} MHz; CPU operators not counted)",
            f"  invoke          {time_text(time)} (estimated for {profile.id}: with flash, caches, core)",
            f"  SRAM            {compiled.sram_bytes:,} bytes of the tensor arena",
            f"  flash           {compiled.flash_bytes:,} bytes of weights and commands",
            f"  NPU subgraphs   {compiled.npu_operators}",
        ]
    else:
        on_npu = ["  NPU             nothing of this model runs on it; the board's CPU runs all of it"]
    lines = [
        f"{files[0]}: compiled from {compiled.name} by Vela {compiled.version} for {compiled.accelerator}",
        *on_npu,
        f"  CPU operators   {left}",
        *(f"    {reason}" for reason in compiled.cpu_reasons),
        f"  kept            {', '.join(files[1:])}",
    ]
    return "\n".join(printable(line) for line in lines)
