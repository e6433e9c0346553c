"""What the bytes of a firmware image are: for which chip, sound or not, for hardware or virtual boards."""

from __future__ import annotations

from dataclasses import dataclass

from harness.boards import Profile
from harness.errors import HarnessError
from harness.firmware import container, espimage, virtual
from harness.firmware.container import NotAContainer
from harness.firmware.espimage import BadTable, EspImage, NotAnImage


@dataclass(frozen=True)
class Kind:
    """What an image is. `place` is the address that follows from that; None where none does.

    `length` is how many of the bytes belong to it.
    """

    virtual: bool
    place: int | None
    length: int


def identify(board: Profile, name: str, data: bytes) -> Kind:
    """Return what an image is, which `name` stands for in messages.

    Raises HarnessError where it is no firmware, cut short, damaged, or for another chip than the board's.
    """
    if is_model(data):
        raise HarnessError(f"{name}: a TFLite model, not a firmware image; flash it with --model")
    himax = data.startswith(container.MAGIC)
    if board.flash.method == "esptool":
        if himax:
            raise _for_another(board, name, "a Himax chip")
        return _esp(board, name, data)
    if himax:
        return _container(board, name, data)
    chip = espimage.chip_of(data)
    if chip is not None:
        raise _for_another(board, name, f"the {chip}")
    # The vendors' images for Himax chips come out of a closed tool: nothing can be told of them.
    return Kind(False, board.flash.image_offset, len(data))


def is_model(data: bytes) -> bool:
    """Return whether bytes begin as a TFLite model does."""
    return data[4:8] == b"TFL3"


def is_virtual(data: bytes) -> bool:
    """Return whether bytes are, or hold, an image that runs on virtual boards alone."""
    return data.startswith(container.MAGIC) or virtual.NOTICE in data


def _container(board: Profile, name: str, data: bytes) -> Kind:
    try:
        image = container.read(data)
    except NotAContainer as error:
        raise HarnessError(f"{name}: {error}; get or build the file again") from None
    if image.soc != container.SOCS.get(board.chip.name):
        raise _for_another(board, name, f"the {image.soc}")
    if image.sha256 != image.stored_sha256:
        raise _damaged_hash(name)
    return Kind(True, board.flash.image_offset, image.length)


def _esp(board: Profile, name: str, data: bytes) -> Kind:
    image = _sound_esp(board, name, data)
    place = None
    if data[espimage.TABLE_AT : espimage.TABLE_AT + 2] == espimage.PARTITION_MAGIC:
        place = board.flash.image_offset
        for at in _applications(name, data):
            _sound_esp(board, f"{name}, application at {at:#x}", data[at:])
    elif image.descriptor is not None:
        place = next(region.offset for region in board.flash.regions if "firmware" in region.holds)
    return Kind(is_virtual(data), place, len(data))


def _applications(name: str, data: bytes) -> list[int]:
    """Return where a merged image has applications: it need not fill each partition for one."""
    try:
        table = espimage.read_table(data[espimage.TABLE_AT : espimage.TABLE_AT + espimage.TABLE_BYTES])
    except BadTable as error:
        raise HarnessError(f"{name}: its partition table is damaged: {error}; get the file again") from None
    return [
        part.offset
        for part in table
        if part.type == espimage.APP and data[part.offset : part.offset + 1] == bytes([espimage.MAGIC])
    ]


def _sound_esp(board: Profile, name: str, data: bytes) -> EspImage:
    try:
        image = espimage.read(data)
    except NotAnImage as error:
        raise HarnessError(f"{name}: no image for {board.chip.name}: {error}") from None
    if image.chip_id != espimage.CHIP_ID:
        chip = espimage.CHIPS.get(image.chip_id, f"chip with id {image.chip_id}")
        raise _for_another(board, name, f"the {chip}")
    if image.checksum != image.stored_checksum:
        raise HarnessError(
            f"{name}: its checksum is {image.checksum:#04x}, the file says {image.stored_checksum:#04x}; it "
            "is damaged, get the file again"
        )
    if image.stored_sha256 not in (None, image.sha256):
        raise _damaged_hash(name)
    return image


def _for_another(board: Profile, name: str, chip: str) -> HarnessError:
    return HarnessError(f"{name}: an image for {chip}, but {board.id} has {board.chip.name}")


def _damaged_hash(name: str) -> HarnessError:
    return HarnessError(f"{name}: its SHA-256 does not match what is in it; get the file again")
