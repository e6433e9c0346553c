"""Images of ESP32 chips, read and built by esptool, and the descriptors that ESP-IDF puts into them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

MAGIC = 0xE9
MOST_SEGMENTS = 16

_CHIP_ID = struct.Struct("<12xH")
_HEADER_BYTES = 24
_HASH_BYTES = 32
_DESCRIPTOR_MAGIC = 0xABCD5432
_DESCRIPTOR = struct.Struct("<II8s32s32s16s16s32s32sHHB3s72s")
_BOOT_DESCRIPTOR = struct.Struct("<B3sI32s24s16s")
_DIO, _80MHZ, _ANY_REVISION = 2, 0xF, 0xFFFF
_MIB = 1 << 20


@dataclass(frozen=True)
class Descriptor:
    """What an application says of itself."""

    project: str
    version: str


class NotAnImage(ValueError):
    """There is no image, or it ends too early."""


def read(chip: str, data: bytes) -> Any:
    """Return esptool's object of the image that `data` begins with, `chip` being esptool's name of the chip.

    What comes behind the image is left alone. Raises NotAnImage; checksum, hash and chip are for the caller
    to judge.
    """
    from esptool.bin_image import LoadFirmwareImage
    from esptool.util import FatalError

    if not data or data[0] != MAGIC:
        raise NotAnImage(f"it does not begin with {MAGIC:#04x}")
    try:
        image = LoadFirmwareImage(chip, data)
    except FatalError as error:
        raise NotAnImage(str(error)) from None
    except (struct.error, TypeError):
        raise NotAnImage(f"it ends after {len(data)} bytes, before its checksum") from None
    except RuntimeError:
        raise NotAnImage("its header does not say whether a hash is appended") from None
    if not image.segments or (image.append_digest and len(image.stored_digest) < _HASH_BYTES):
        raise NotAnImage("it ends before its hash" if image.segments else "it has no segments")
    return image


def length(image: Any) -> int:
    """Return how many bytes an image has, with its checksum and hash."""
    last = image.segments[-1]
    end = int(last.file_offs) + 8 + len(last.data)
    return end - end % 16 + 16 + (_HASH_BYTES if image.append_digest else 0)


def descriptor_of(image: Any) -> Descriptor | None:
    """Return the application descriptor at the start of the first segment; None if there is none."""
    first = image.segments[0].data
    if len(first) < _DESCRIPTOR.size:
        return None
    magic, _, _, version, project, *_ = _DESCRIPTOR.unpack_from(first)
    return Descriptor(_text(project), _text(version)) if magic == _DESCRIPTOR_MAGIC else None


def is_application(image: Any) -> bool:
    """Return whether some of an image stays in flash, which nothing of a boot loader does."""
    return any(image.is_flash_addr(segment.addr) for segment in image.segments)


def chip_of(data: bytes) -> str | None:
    """Return the chip that an image, cut short or not, is for by its header; None if it is none."""
    if len(data) < _HEADER_BYTES or data[0] != MAGIC or not 1 <= data[1] <= MOST_SEGMENTS:
        return None
    return chips().get(_CHIP_ID.unpack_from(data)[0])


@cache
def chips() -> dict[int, str]:
    """Return the chips that esptool knows, by the id that their images have."""
    from esptool.targets import CHIP_DEFS

    every = {getattr(chip, "IMAGE_CHIP_ID", None): chip.CHIP_NAME for chip in CHIP_DEFS.values()}
    return {number: name for number, name in every.items() if number is not None}


def flash_bytes(image: Any) -> int:
    """Return how much flash an image was built for."""
    return int(_MIB << (image.flash_size_freq >> 4))


def build(chip: str, segments: Sequence[tuple[int, bytes]], entry: int, flash_bytes: int) -> bytes:
    """Return an image of (address, bytes) for a flash, with checksum and appended SHA-256."""
    from esptool import bin_image

    image = getattr(bin_image, f"{chip.upper()}FirmwareImage")()
    image.flash_mode, image.max_rev_full = _DIO, _ANY_REVISION
    image.flash_size_freq = (flash_bytes // _MIB).bit_length() - 1 << 4 | _80MHZ
    image.entrypoint = entry
    image.segments = [bin_image.ELFSection(b"", address, data, 0) for address, data in segments]
    return bytes(image.save(None))


def descriptor(project: str, version: str, elf_sha256: bytes, idf: str, date: str, time: str) -> bytes:
    """Return the application descriptor, 256 bytes, that an application's first segment begins with."""
    return _DESCRIPTOR.pack(
        _DESCRIPTOR_MAGIC,
        0,
        bytes(8),
        version.encode(),
        project.encode(),
        time.encode(),
        date.encode(),
        idf.encode(),
        elf_sha256,
        0,
        _ANY_REVISION,
        16,
        bytes(3),
        bytes(72),
    )


def boot_descriptor(idf: str, date: str) -> bytes:
    """Return the descriptor, 80 bytes, that a second-stage boot loader's data segment begins with."""
    return _BOOT_DESCRIPTOR.pack(0x50, bytes(3), 1, idf.encode(), date.encode(), bytes(16))


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "replace")
