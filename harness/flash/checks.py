"""What is wrong with regions, found before a byte of them is sent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.boards import Profile
from harness.boards.profile import Region as MapRegion
from harness.errors import HarnessError
from harness.firmware import container, espimage, virtual
from harness.firmware.container import NotAContainer
from harness.firmware.espimage import CHIP_ID, CHIPS, NotAnImage
from harness.flash.method import Region


def check(board: Profile, regions: Sequence[Region]) -> None:
    """Check regions against the board's flash map, each other, and what images say of themselves.

    Raises HarnessError with the first thing that is wrong.
    """
    for region in regions:
        if not region.data:
            raise HarnessError(f"{region.name}: there is nothing in it to flash")
        _check_place(board, region)
        if region.use == "firmware":
            _check_image(board, region)
    ordered = sorted(regions, key=lambda region: region.address)
    for before, after in pairwise(ordered):
        if before.end > after.address:
            raise HarnessError(
                f"{before.name} ({before.address:#x} to {before.end:#x}) and {after.name} "
                f"(from {after.address:#x}) overlap; write one of them somewhere else"
            )


def refuse_virtual(board: Profile, regions: Sequence[Region]) -> None:
    """Raise HarnessError where a region is an image that runs on virtual boards only."""
    for region in regions:
        if region.use == "firmware" and _is_virtual(region.data):
            raise HarnessError(
                f"{region.name}: this image runs on the virtual {board.id} only, and this is a real one; "
                "build a firmware (firmware/ports, firmware/PROTOCOL.md) or get the vendor's, and add it "
                "with `harness firmware add`"
            )


def _is_virtual(data: bytes) -> bool:
    if data.startswith(container.MAGIC):
        return True
    try:
        descriptor = espimage.read(data).descriptor
    except NotAnImage:
        return False
    return descriptor is not None and descriptor.project.startswith(virtual.PROJECT)


def _check_place(board: Profile, region: Region) -> None:
    where = f"{region.name}: {len(region.data)} bytes at {region.address:#x}"
    memory = next(
        (
            memory
            for memory in board.memories
            if memory.kind == "flash" and memory.base <= region.address < memory.base + memory.size_bytes
        ),
        None,
    )
    if memory is None:
        raise HarnessError(f"{where} are outside {board.id}'s flash ({_flash(board)})")
    if region.end > memory.base + memory.size_bytes:
        raise HarnessError(
            f"{where} go {region.end - memory.base - memory.size_bytes} bytes beyond {board.id}'s flash "
            f"({_flash(board)})"
        )
    if region.address % board.flash.block_bytes:
        raise HarnessError(
            f"{where}: files start on multiples of {board.flash.block_bytes:#x} there; the next is "
            f"{-(-region.address // board.flash.block_bytes) * board.flash.block_bytes:#x}"
        )
    if region.use == "firmware" and region.address == board.flash.image_offset:
        _check_merged(board, region, where)
        return
    inside = [r for r in board.flash.regions if r.offset <= region.address and region.end <= r.end]
    wanted = {"model"} if region.use == "model" else {"firmware", "boot_loader", "partition_table", "data"}
    if not any(wanted & set(r.holds) for r in inside):
        raise HarnessError(f"{where} are not within a region for {region.use}s; {_places(board, wanted)}")


def _check_merged(board: Profile, region: Region, where: str) -> None:
    """A firmware image at the image offset may reach over regions, but not into models or reserves."""
    for other in board.flash.regions:
        if (
            {"model", "reserved"} & set(other.holds)
            and other.offset < region.end
            and region.address < other.end
        ):
            limit = other.offset - region.address
            raise HarnessError(
                f"{where} reach into '{other.name}' at {other.offset:#x}; a firmware image may have at most "
                f"{limit} bytes there"
            )


def _check_image(board: Profile, region: Region) -> None:
    if board.flash.method == "esptool":
        if region.address == espimage.TABLE_AT:
            return
        _check_esp(board, region)
    elif region.data.startswith(container.MAGIC):
        try:
            image = container.read(region.data)
        except NotAContainer as error:
            raise HarnessError(f"{region.name}: {error}; get or build the file again") from None
        wanted = container.SOCS.get(board.chip.name)
        if image.soc != wanted:
            raise HarnessError(
                f"{region.name}: an image for the {image.soc}, but {board.id} has the {wanted}"
            )
        if image.sha256 != image.stored_sha256:
            raise HarnessError(f"{region.name}: its SHA-256 does not match what is in it; get the file again")
    elif region.data[0] == espimage.MAGIC and region.data[12:14] == CHIP_ID.to_bytes(2, "little"):
        raise HarnessError(f"{region.name}: an image for the ESP32-S3, but {board.id} has {board.chip.name}")


def _check_esp(board: Profile, region: Region) -> None:
    if region.data.startswith(container.MAGIC):
        raise HarnessError(f"{region.name}: an image for a Himax chip, but {board.id} has {board.chip.name}")
    try:
        image = espimage.read(region.data)
    except NotAnImage as error:
        raise HarnessError(f"{region.name}: no image for {board.chip.name}: {error}") from None
    if image.chip_id != CHIP_ID:
        chip = CHIPS.get(image.chip_id, f"chip id {image.chip_id}")
        raise HarnessError(f"{region.name}: an image for the {chip}, but {board.id} has the ESP32-S3")
    if image.checksum != image.stored_checksum:
        raise HarnessError(
            f"{region.name}: its checksum is {image.checksum:#04x}, the file says "
            f"{image.stored_checksum:#04x}; it is damaged, get the file again"
        )
    if image.stored_sha256 not in (None, image.sha256):
        raise HarnessError(f"{region.name}: its SHA-256 does not match what is in it; get the file again")


def _flash(board: Profile) -> str:
    return ", ".join(
        f"{memory.base:#x} to {memory.base + memory.size_bytes:#x}"
        for memory in board.memories
        if memory.kind == "flash"
    )


def _places(board: Profile, uses: set[str]) -> str:
    found: list[MapRegion] = [region for region in board.flash.regions if uses & set(region.holds)]
    return "free to use: " + ", ".join(f"{r.name} ({r.offset:#x} to {r.end:#x})" for r in found)
