"""Taking a firmware image into the user's cache, its hash pinned."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from harness import boards
from harness.boards import Profile
from harness.errors import HarnessError, nearest
from harness.firmware import container, espimage, manifest, uf2file, virtual
from harness.firmware.container import NotAContainer
from harness.firmware.espimage import NotAnImage
from harness.firmware.manifest import Image, Part
from harness.firmware.uf2file import NotUf2


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

    Raises HarnessError where the file cannot be read, is no image for the board, or does not go there.
    """
    profile = boards.load(board)
    if protocol not in profile.protocols.supported:
        known = nearest(protocol, profile.protocols.supported)
        raise HarnessError(f"{profile.id}: no firmware speaks '{protocol}'{known}")
    data, at, virtual_only = _examine(profile, path, offset)
    digest = hashlib.sha256(data).hexdigest()
    image = Image(
        board=profile.id,
        protocol=protocol,
        version=version,
        runs_on="virtual" if virtual_only else "hardware",
        source=source or str(path.resolve()),
        build=build,
        file=f"{digest}.bin",
        part=(Part(name=path.name, offset=at, size=len(data), sha256=digest),),
    )
    _keep(image, data)
    return image


def examine(board: Profile, path: Path) -> tuple[bytes, int]:
    """Return the bytes of an image file and the address that it goes to; raises HarnessError."""
    data, at, _ = _examine(board, path, None)
    return data, at


def _read(path: Path) -> tuple[bytes, int | None]:
    """Return a file's bytes, and the address where it says one (UF2)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error.strerror}") from None
    if not data:
        raise HarnessError(f"{path}: is empty")
    if path.suffix.lower() != ".uf2":
        return data, None
    try:
        runs = list(uf2file.join(uf2file.read(data)))
    except NotUf2 as error:
        raise HarnessError(f"{path}: is no whole UF2 file: {error}; get it again") from None
    if len(runs) != 1:
        raise HarnessError(f"{path}: goes to {len(runs)} separate places; an image has one")
    return runs[0][1], runs[0][0]


def _examine(board: Profile, path: Path, offset: str | None) -> tuple[bytes, int, bool]:
    """Return an image's bytes, where it goes, and whether it is for the virtual board."""
    data, at = _read(path)
    if offset is not None:
        at = _address(offset)
    if board.flash.method == "esptool":
        return _examine_esp(board, path, data, at)
    at = board.flash.image_offset if at is None else at
    if not data.startswith(container.MAGIC):
        if data[0] == espimage.MAGIC:
            raise HarnessError(
                f"{path}: looks like an image for an ESP32, and {board.id} has {board.chip.name}"
            )
        return data, at, False
    try:
        image = container.read(data)
    except NotAContainer as error:
        raise HarnessError(f"{path}: is damaged: {error}") from None
    if image.soc != container.SOCS.get(board.chip.name):
        raise HarnessError(f"{path}: is an image for the {image.soc}, and {board.id} has {board.chip.name}")
    return data[: image.length], at, True


def _examine_esp(board: Profile, path: Path, data: bytes, at: int | None) -> tuple[bytes, int, bool]:
    try:
        image = espimage.read(data)
    except NotAnImage as error:
        raise HarnessError(f"{path}: is no image for {board.chip.name}: {error}") from None
    if image.chip_id != espimage.CHIP_ID:
        chip = espimage.CHIPS.get(image.chip_id, f"chip id {image.chip_id}")
        raise HarnessError(f"{path}: is an image for the {chip}, and {board.id} has the ESP32-S3")
    descriptor = image.descriptor
    merged = data[espimage.TABLE_AT : espimage.TABLE_AT + 2] == espimage.PARTITION_MAGIC
    if at is None:
        if merged:
            at = board.flash.image_offset
        elif descriptor is not None:
            at = next(region.offset for region in board.flash.regions if "firmware" in region.holds)
        else:
            raise HarnessError(
                f"{path}: neither a merged image nor an application; say where it goes with --offset"
            )
    return data, at, descriptor is not None and descriptor.project.startswith(virtual.PROJECT)


def _address(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise HarnessError(f"'{text}' is no address; write it like 0x40000") from None


def _keep(image: Image, data: bytes) -> None:
    """Write the file and then the manifest with it, each whole or not at all."""
    directory = manifest.cache_directory()
    assert image.file is not None
    others = [
        other
        for other in manifest.added()
        if (other.board, other.protocol, other.runs_on) != (image.board, image.protocol, image.runs_on)
    ]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write(directory / image.file, data)
        entries = "\n".join(manifest.to_toml(each) for each in [*others, image])
        _write(directory / manifest.MANIFEST, entries.encode())
    except OSError as error:
        raise HarnessError(f"{directory}: the image cannot be kept here: {error.strerror}") from None


def _write(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(data)
    os.replace(file.name, path)
