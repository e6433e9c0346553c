"""What is wrong with files to flash, found before a byte of them is sent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.boards import Profile
from harness.boards.profile import Region
from harness.chips.family import Piece
from harness.errors import HarnessError
from harness.firmware import images
from harness.flash.method import FlashFile


def check(board: Profile, files: Sequence[FlashFile]) -> None:
    """Check files against the board's flash map, each other, and what images say of themselves.

    Raises HarnessError with the first thing that is wrong.
    """
    for file in files:
        if not file.data:
            raise HarnessError(f"{file.name}: there is nothing in it to flash")
        _check_place(board, file)
    firmware = [Piece(file.name, file.data, file.address) for file in files if file.use == "firmware"]
    if firmware:
        images.arrange(board, firmware)
    ordered = sorted(files, key=lambda file: file.address)
    for before, after in pairwise(ordered):
        if before.end > after.address:
            raise HarnessError(
                f"{before.name} ({before.address:#x} to {before.end:#x}) and {after.name} "
                f"(from {after.address:#x}) overlap; write one of them somewhere else"
            )


def refuse_virtual(board: Profile, files: Sequence[FlashFile]) -> None:
    """Raise HarnessError if a file is an image that runs on virtual boards only."""
    for file in files:
        if file.use == "firmware" and images.is_virtual(file.data):
            raise HarnessError(
                f"{file.name}: this image runs on the virtual {board.id} only, and this is a real one; "
                "build a firmware (firmware/ports, firmware/PROTOCOL.md) or get the vendor's, and add it "
                "with `harness firmware add`"
            )


def _check_place(board: Profile, file: FlashFile) -> None:
    where = f"{file.name}: {len(file.data)} bytes at {file.address:#x}"
    memory = next(
        (
            memory
            for memory in board.memories
            if memory.kind == "flash" and memory.base <= file.address < memory.base + memory.size_bytes
        ),
        None,
    )
    if memory is None:
        raise HarnessError(f"{where} are outside {board.id}'s flash ({_flash(board)})")
    if file.end > memory.base + memory.size_bytes:
        raise HarnessError(
            f"{where} go {file.end - memory.base - memory.size_bytes} bytes beyond {board.id}'s flash "
            f"({_flash(board)})"
        )
    if file.address % board.flash.block_bytes:
        raise HarnessError(
            f"{where}: files start on multiples of {board.flash.block_bytes:#x} there; the next is "
            f"{-(-file.address // board.flash.block_bytes) * board.flash.block_bytes:#x}"
        )
    if file.use == "firmware":
        _check_reach(board, file, where)
    elif not any(place.offset <= file.address and file.end <= place.end for place in _places(board)):
        raise HarnessError(f"{where} are not within a region for models; {free_places(board)}")


def _places(board: Profile) -> list[Region]:
    """Return the regions that a model may be written to."""
    return [region for region in board.flash.regions if "model" in region.holds]


def free_places(board: Profile) -> str:
    """Return a clause on where a model may be written to."""
    return "free to use: " + ", ".join(f"{r.name} ({r.offset:#x} to {r.end:#x})" for r in _places(board))


def _check_reach(board: Profile, file: FlashFile, where: str) -> None:
    """A part of a firmware may reach over regions, but not into models or reserves."""
    for other in board.flash.regions:
        if {"model", "reserved"} & set(other.holds) and other.offset < file.end and file.address < other.end:
            room = max(0, other.offset - file.address)
            raise HarnessError(
                f"{where} reach into '{other.name}' at {other.offset:#x}; a firmware image may have at most "
                f"{room} bytes there"
            )


def _flash(board: Profile) -> str:
    return ", ".join(
        f"{memory.base:#x} to {memory.base + memory.size_bytes:#x}"
        for memory in board.memories
        if memory.kind == "flash"
    )
