"""`harness firmware`: images that are there, whether they are sound, and new ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options, terminal
from harness.cli.group import CommandGroup

if TYPE_CHECKING:
    from harness.firmware.image import Image


@click.group("firmware", cls=CommandGroup, short_help="List, verify, add and remove firmware images.")
def command() -> None:
    """List, verify, add and remove firmware images."""


@command.command("list", short_help="List the images that there are.")
@options.as_json()
def list_images(as_json: bool) -> None:
    """List the images that ship with the harness and those that were added.

    Of several for the same board and protocol the first is what is flashed.
    """
    from harness.firmware import manifest

    images = manifest.known()
    if as_json:
        terminal.print_json([image.model_dump() for image in images])
        return
    terminal.table(
        terminal.console(),
        ("board", "protocol", "version", "runs on", ">bytes", "sha256", "source"),
        [
            (
                image.board,
                image.protocol,
                image.version,
                "hardware" if image.runs_on == "hardware" else "virtual board",
                sum(part.size for part in image.parts),
                image.parts[-1].sha256[:12],
                image.source,
            )
            for image in images
        ],
    )


@command.command("verify", short_help="Check every image against its manifest.")
@options.as_json()
def verify_images(as_json: bool) -> None:
    """Check every image against the size and the SHA-256 in its manifest."""
    import sys

    from harness.firmware import manifest

    problems = manifest.verify()
    if as_json:
        terminal.print_json([{"image": label, "problem": problem} for label, problem in problems])
    else:
        for label, problem in problems:
            print(terminal.printable(f"{label}: {problem or 'ok'}"))
    sys.exit(1 if any(problem for _, problem in problems) else 0)


@command.command("add")
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@options.board("Board that it is for.", required=True)
@options.protocol("What it speaks: bench, mlperf-tiny, sscma.", required=True)
@click.option("--version", default="unknown", show_default=True, metavar="TEXT", help="Its version.")
@click.option("--source", metavar="TEXT", help="Where it comes from [the file's path].")
@click.option("--offset", metavar="ADDRESS", help="Where the file is written [by what it is].")
@click.option("--build", metavar="TEXT", help="The build hash that it reports when it runs.")
@click.option("--replace", is_flag=True, help="Take the place of the image that is there.")
@options.as_json("Print the new entry as JSON.")
def add_image(
    files: tuple[Path, ...],
    board: str,
    protocol: str,
    version: str,
    source: str | None,
    offset: str | None,
    build: str | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Copy a firmware image into the user's cache and pin its hash.

    From then on it is what is flashed for that board and protocol. FILES are one image (a vendor's, a merged
    one, a UF2 file), its parts (boot loader, partition table, application), or the flasher_args.json of a
    build. Each is looked into: what is damaged, or for another chip, is refused.
    """
    from harness.runner.adding import add

    image = add(
        files,
        board,
        protocol,
        version=version,
        source=source,
        offset=offset,
        build=build,
        replace=replace,
    )
    _show("added", image, as_json)


@command.command("fetch")
@options.board("Board that it is for.", required=True)
@click.option(
    "--from",
    "source",
    metavar="URL|FILE",
    type=click.Path(),
    help="A list like the vendor's, or an image [the vendor's list].",
)
@options.protocol("What it speaks [what the vendor's does].")
@click.option("--replace", is_flag=True, help="Take the place of the image that is there.")
@options.as_json("Print the entry as JSON.")
def fetch_image(board: str, source: str | None, protocol: str | None, replace: bool, as_json: bool) -> None:
    """Bring a vendor's firmware into the user's cache and pin its hash.

    It is taken from the list that the vendor's own web page reads, or from a mirror or a file of that form
    (files on this computer are looked for beside the list). What breaks off is gone on with by the next
    call. The hash is pinned when it is first fetched, and what comes later has to be the same.
    """
    from harness.cli import bench_view
    from harness.runner.fetching import fetch

    with bench_view.flash_progress("fetch") as progress:
        fetched = fetch(board, source, protocol, replace=replace, progress=progress)
    _show("unchanged" if fetched.known else "fetched", fetched.image, as_json)


@command.command("remove")
@options.board("Board that it is for.", required=True)
@options.protocol("What it speaks: bench, mlperf-tiny, sscma.", required=True)
@options.as_json("Print the entries that are gone as JSON.")
def remove_image(board: str, protocol: str, as_json: bool) -> None:
    """Take an image that was added out of the user's cache.

    Images that ship with the harness stay.
    """
    from harness.runner.adding import remove

    gone = remove(board, protocol)
    if as_json:
        terminal.print_json([image.model_dump(mode="json") for image in gone])
        return
    for image in gone:
        _show("removed", image)


def _show(done: str, image: Image, as_json: bool = False) -> None:
    """Print what was done with an image, a line for each of its parts."""
    if as_json:
        terminal.print_json(image.model_dump(mode="json"))
        return
    for part in image.parts:
        print(
            terminal.printable(
                f"{done}: {image.label}, runs on {image.runs_on}: {part.name}, {part.size:,} bytes at "
                f"{part.offset:#x}, sha256 {part.sha256}"
            )
        )
