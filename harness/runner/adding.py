"""Firmware images from files: what one is and where it goes, and taking it into the user's cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.boards import Profile
from harness.chips import uf2file
from harness.chips.uf2file import NotUf2
from harness.errors import HarnessError, nearest
from harness.firmware import images, manifest
from harness.firmware.image import Image, Part
from harness.flash.checks import check
from harness.flash.method import Region
from harness.runner import fitting


def add(
    path: Path,
    board: str,
    protocol: str,
    *,
    version: str = "unknown",
    source: str | None = None,
    offset: str | None = None,
    build: str | None = None,
) -> Image:
    """Copy the image in `path` into the cache and enter it in the manifest there.

    Raises HarnessError where the file cannot be read, is no sound image for the board, or does not go there.
    """
    profile = fitting.load(board)
    if protocol not in profile.protocols.supported:
        known = nearest(protocol, profile.protocols.supported)
        raise HarnessError(f"{profile.id}: no firmware speaks '{protocol}'{known}")
    region = examine(profile, path, offset)
    check(profile, [region])
    digest = hashlib.sha256(region.data).hexdigest()
    image = Image(
        board=profile.id,
        protocol=protocol,
        version=version,
        runs_on="virtual" if images.is_virtual(region.data) else "hardware",
        source=source or str(path.resolve()),
        build=build,
        file=f"{digest}.bin",
        part=(Part(name=region.name, offset=region.address, size=len(region.data), sha256=digest),),
    )
    manifest.keep(image, region.data)
    return image


def examine(board: Profile, path: Path, offset: str | None = None) -> Region:
    """Return what is in an image file and where it goes: where `offset` or the file says, or by what it is.

    Raises HarnessError.
    """
    data, at = _read(board, path)
    if offset is not None:
        at = address(offset)
    kind = images.identify(board, str(path), data)
    at = kind.place if at is None else at
    if at is None:
        raise HarnessError(
            f"{path}: neither a merged image nor an application; say where it goes with --offset"
        )
    return Region(path.name, at, data[: kind.length], "firmware")


def _read(board: Profile, path: Path) -> tuple[bytes, int | None]:
    """Return a file's bytes, and the address where it says one (UF2)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error.strerror}") from None
    if not data:
        raise HarnessError(f"{path}: is empty")
    if path.suffix.lower() != ".uf2" and not uf2file.begins(data):
        return data, None
    if board.flash.uf2 is None:
        raise HarnessError(f"{path}: a UF2 file, and {board.id} is flashed by {board.flash.method}")
    try:
        blocks = uf2file.read(data)
    except NotUf2 as error:
        raise HarnessError(f"{path}: is no whole UF2 file: {error}; get it again") from None
    for family in {block.family for block in blocks} - {None, board.flash.uf2.family_id}:
        raise HarnessError(
            f"{path}: a UF2 file for another chip (family {family:#010x}, and {board.id} has "
            f"{board.flash.uf2.family_id:#010x})"
        )
    runs = list(uf2file.join(blocks))
    if len(runs) != 1:
        raise HarnessError(f"{path}: goes to {len(runs)} separate places; an image has one")
    return runs[0][1], runs[0][0]


def address(text: str) -> int:
    """Return an address as a person types it; raises HarnessError."""
    try:
        at = int(text, 0)
    except ValueError:
        at = -1
    if at < 0:
        raise HarnessError(f"'{text}' is no address; write it like 0x400000")
    return at
