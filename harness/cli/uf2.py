"""`harness uf2`: a file to copy to a boot loader's drive by hand."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options, terminal


@click.command("uf2", short_help="Write a UF2 file to copy to a boot loader's drive by hand.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@options.board("Board that it is for.", required=True)
@click.option("--slot", type=click.IntRange(1), help="Model slot [1]; only for models.")
@options.output("UF2 file to write [FILE with .uf2].")
@options.as_json("Print what was written as JSON.")
def command(file: Path, board: str, slot: int | None, output: Path | None, as_json: bool) -> None:
    """Convert FILE, a TFLite model or a firmware image, to the UF2 file that the board's drive takes."""
    from harness.errors import HarnessError
    from harness.runner.placing import uf2

    made = uf2(file, board, slot)
    target = output or file.with_suffix(".uf2")
    if target.exists() and target.samefile(file):
        raise HarnessError(f"{target}: is the file to convert; name another with -o")
    try:
        target.write_bytes(made.data)
    except OSError as error:
        raise HarnessError(f"{target}: cannot be written: {error.strerror}") from None
    if as_json:
        facts = {
            "path": str(target),
            "use": made.use,
            "address": made.address,
            "blocks": len(made.data) // 512,
        }
        terminal.print_json(facts)
        return
    print(
        terminal.printable(
            f"wrote: {target}, {made.use} at {made.address:#x}, {len(made.data) // 512} blocks"
        )
    )
