"""Firmware images from files: what they are and where they go, and taking them into the user's cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness import boards
from harness.boards import Profile, UnknownBoard
from harness.chips import uf2file
from harness.chips.family import Piece
from harness.chips.uf2file import NotUf2
from harness.errors import HarnessError, nearest
from harness.firmware import images, manifest
from harness.firmware.image import Image, Part
from harness.flash.checks import check
from harness.flash.method import FlashFile
from harness.runner import fitting


def add(
    paths: Sequence[Path],
    board: str,
    protocol: str,
    *,
    version: str = "unknown",
    source: str | None = None,
    offset: str | None = None,
    build: str | None = None,
    replace: bool = False,
) -> Image:
    """Copy the image in `paths`, one file or its parts, into the cache and enter it in the manifest there.

    Raises HarnessError if a file cannot be read, is no sound image for the board, or does not go there, and
    if another image is there that is not to be replaced.
    """
    profile = fitting.load(board)
    check_protocol(profile, protocol)
    return enter(
        profile,
        protocol,
        examine(profile, paths, offset),
        version=version,
        source=source or ", ".join(str(path.resolve()) for path in paths),
        build=build,
        replace=replace,
    )


def remove(board: str, protocol: str) -> list[Image]:
    """Take what was added for a board and a protocol out of the cache, and return it.

    Raises HarnessError if nothing was, or if it cannot be taken out.
    """
    with suppress(UnknownBoard):  # its profile may be gone, too
        board = boards.load(board).id
    return manifest.remove(board, protocol)


def check_protocol(board: Profile, protocol: str) -> None:
    """Raise HarnessError if no firmware of the board speaks `protocol`."""
    if protocol not in board.protocols.supported:
        known = nearest(protocol, board.protocols.supported)
        raise HarnessError(f"{board.id}: no firmware speaks '{protocol}'{known}")


def enter(
    board: Profile,
    protocol: str,
    files: Sequence[FlashFile],
    *,
    version: str,
    source: str,
    build: str | None = None,
    replace: bool = False,
) -> Image:
    """Keep the parts of an image that `examine` returned; raises HarnessError as `add` does."""
    check(board, files)
    digests = [hashlib.sha256(file.data).hexdigest() for file in files]
    image = Image(
        board=board.id,
        protocol=protocol,
        version=version,
        runs_on="virtual" if any(images.is_virtual(file.data) for file in files) else "hardware",
        source=source,
        build=build,
        part=tuple(
            Part(name=file.name, offset=file.address, size=len(file.data), sha256=sha, file=f"{sha}.bin")
            for file, sha in zip(files, digests, strict=True)
        ),
    )
    manifest.keep(image, [file.data for file in files], replace)
    return image


def examine(board: Profile, paths: Sequence[Path], offset: str | None = None) -> list[FlashFile]:
    """Return the parts of a firmware image, each with its address: from the files, or by what they are.

    `offset` is where the only file goes. Raises HarnessError.
    """
    pieces = [piece for path in paths for piece in _of_file(board, path)]
    if offset is not None:
        if len(pieces) != 1:
            raise HarnessError(f"--offset says where one file goes, and these are {len(pieces)}")
        pieces = [Piece(pieces[0].name, pieces[0].data, address(offset))]
    return place(board, pieces)


def place(board: Profile, pieces: Sequence[Piece]) -> list[FlashFile]:
    """Return files with their addresses, as parts of a firmware image; raises HarnessError."""
    arranged = images.arrange(board, pieces)
    return [FlashFile(one.name, int(one.address or 0), one.data, "firmware") for one in arranged]


def _of_file(board: Profile, path: Path) -> list[Piece]:
    """Return what a file holds: an image or a part of one, or the list of parts of an ESP-IDF build."""
    data = read(path)
    if path.suffix.lower() == ".json":
        return [Piece(part.name, read(part), at) for at, part in _listed(path, data)]
    return [unpacked(board, str(path), Piece(path.name, data))]


def read(path: Path) -> bytes:
    """Return the bytes of a file; raises HarnessError if there are none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error.strerror}") from None
    if not data:
        raise HarnessError(f"{path}: is empty")
    return data


def _listed(path: Path, data: bytes) -> list[tuple[int, Path]]:
    """Return addresses and files in the flasher_args.json of an ESP-IDF build."""
    try:
        files = json.loads(data)["flash_files"]
        return [(int(at, 0), path.parent / name) for at, name in files.items()]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise HarnessError(f"{path}: is not the flasher_args.json of an ESP-IDF build") from None


def unpacked(board: Profile, path: str, piece: Piece) -> Piece:
    """Return what a UF2 file holds, with the address that it says, or a file that is none as it is.

    Raises HarnessError, with `path` for the file, if it is damaged or for another chip.
    """
    if not path.lower().endswith(".uf2") and not uf2file.begins(piece.data):
        return piece
    try:
        blocks = uf2file.read(piece.data)
    except NotUf2 as error:
        raise HarnessError(f"{path}: is no whole UF2 file: {error}; get it again") from None
    families = {block.family for block in blocks}
    chips = " and ".join(sorted(uf2file.chip(family) for family in families))
    if board.flash.uf2 is None:
        raise HarnessError(
            f"{path}: a UF2 file for {chips}, and {board.id} is flashed by {board.flash.method}"
        )
    if families != {board.flash.uf2.family_id}:
        raise HarnessError(
            f"{path}: a UF2 file for {chips}, but {board.id} has {board.chip.name} (family "
            f"{board.flash.uf2.family_id:#010x})"
        )
    runs = list(uf2file.join(blocks))
    if len(runs) != 1:
        raise HarnessError(f"{path}: goes to {len(runs)} separate places; an image has one")
    return Piece(piece.name, runs[0][1], runs[0][0])


def address(text: str) -> int:
    """Return an address as a person types it; raises HarnessError."""
    try:
        at = int(text, 0)
    except ValueError:
        at = -1
    if at < 0:
        raise HarnessError(f"'{text}' is no address; write it like 0x400000")
    return at
