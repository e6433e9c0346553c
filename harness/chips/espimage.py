"""Images of ESP32 chips: the ROM's image format, the application descriptor in it, and the partition table.

Formats as ESP-IDF documents them (Application Image Format; Partition Tables): a header of 24 bytes,
segments, a checksum byte at the end of a multiple of 16, and the SHA-256 over all of it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

MAGIC = 0xE9
CHIPS = {0: "ESP32", 2: "ESP32-S2", 5: "ESP32-C3", 9: "ESP32-S3", 12: "ESP32-C2", 13: "ESP32-C6"}
"""Chip ids of images, for messages."""
DESCRIPTOR_MAGIC = 0xABCD5432
CHECKSUM_SEED = 0xEF
MOST_SEGMENTS = 16

_HEADER = struct.Struct("<BBBBIB3sHBHH4sB")
_SEGMENT = struct.Struct("<II")
_DESCRIPTOR = struct.Struct("<II8s32s32s16s16s32s32sHHB3s72s")
_BOOT_DESCRIPTOR = struct.Struct("<B3sI32s24s16s")
_PARTITION = struct.Struct("<2sBBII16sI")
_DIO, _8MB_80MHZ, _NO_WP_PIN, _ANY_REVISION = 2, 0x3F, 0xEE, 0xFFFF

TABLE_BYTES = 0xC00
TABLE_AT = 0x8000
PARTITION_MAGIC = b"\xaa\x50"
TABLE_MD5_MAGIC = b"\xeb\xeb"
APP, DATA = 0, 1
FACTORY = 0
DATA_SUBTYPES = {"otadata": 0x00, "phy_init": 0x01, "nvs": 0x02}
DATA_UNDEFINED = 0x06


@dataclass(frozen=True)
class Segment:
    """Bytes and the address they are loaded or mapped at."""

    address: int
    data: bytes


@dataclass(frozen=True)
class Descriptor:
    """What an application says of itself."""

    project: str
    version: str


@dataclass(frozen=True)
class EspImage:
    """An image as it is in flash, sound or not: what was read, and what it should have been.

    `stored_sha256` is None if the header says that none is appended; `length` counts everything.
    """

    chip_id: int
    entry: int
    segments: tuple[Segment, ...]
    checksum: int
    stored_checksum: int
    sha256: bytes
    stored_sha256: bytes | None
    length: int

    @property
    def descriptor(self) -> Descriptor | None:
        """The application descriptor at the start of the first segment; None if there is none."""
        if not self.segments or len(self.segments[0].data) < _DESCRIPTOR.size:
            return None
        fields = _DESCRIPTOR.unpack_from(self.segments[0].data)
        if fields[0] != DESCRIPTOR_MAGIC:
            return None
        return Descriptor(project=_text(fields[4]), version=_text(fields[3]))


class NotAnImage(ValueError):
    """There is no image: the first byte is wrong, or the segments reach beyond the data."""

    def __init__(self, message: str, first_word: int) -> None:
        super().__init__(message)
        self.first_word = first_word


@dataclass(frozen=True)
class Partition:
    """An entry of the partition table."""

    name: str
    type: int
    subtype: int
    offset: int
    size: int


def read(data: bytes) -> EspImage:
    """Read the image that `data` begins with; what comes behind it is left alone.

    Raises NotAnImage; checksum, hash and chip are for the caller to judge.
    """
    first_word = int.from_bytes(data[:4].ljust(4, b"\xff"), "little")
    if len(data) < _HEADER.size:
        raise NotAnImage(f"{len(data)} bytes are too short for an image's header", first_word)
    header = _HEADER.unpack_from(data)
    magic, count, entry, chip_id, appended = header[0], header[1], header[4], header[7], header[12]
    if magic != MAGIC:
        raise NotAnImage(f"the first byte is {magic:#04x} and not {MAGIC:#04x}", first_word)
    if not 1 <= count <= MOST_SEGMENTS:
        raise NotAnImage(f"{count} segments, where 1 to {MOST_SEGMENTS} are possible", first_word)
    segments = []
    at = _HEADER.size
    for number in range(count):
        if at + _SEGMENT.size > len(data):
            raise NotAnImage(f"it ends before segment {number}", first_word)
        address, size = _SEGMENT.unpack_from(data, at)
        at += _SEGMENT.size
        if at + size > len(data):
            raise NotAnImage(
                f"segment {number} of {size} bytes goes {at + size - len(data)} bytes beyond the end",
                first_word,
            )
        segments.append(Segment(address, data[at : at + size]))
        at += size
    end = at - at % 16 + 16
    if end + (32 if appended else 0) > len(data):
        raise NotAnImage("it ends before its checksum and hash", first_word)
    return EspImage(
        chip_id=chip_id,
        entry=entry,
        segments=tuple(segments),
        checksum=checksum(b"".join(segment.data for segment in segments)),
        stored_checksum=data[end - 1],
        sha256=hashlib.sha256(data[:end]).digest(),
        stored_sha256=data[end : end + 32] if appended else None,
        length=end + (32 if appended else 0),
    )


def chip_of(data: bytes) -> str | None:
    """Return the chip that an image, cut short or not, is for by its header; None if it is none."""
    if len(data) < _HEADER.size or data[0] != MAGIC or not 1 <= data[1] <= MOST_SEGMENTS:
        return None
    return CHIPS.get(_HEADER.unpack_from(data)[7])


def checksum(data: bytes) -> int:
    """Return the XOR over all bytes, from the seed on, that images and the serial protocol end in."""
    # Folded in halves as one large number, which is about a hundred times as fast as byte by byte.
    size = 1 << max(0, len(data) - 1).bit_length()
    folded = int.from_bytes(data, "little")
    while size > 1:
        size //= 2
        folded = folded >> 8 * size ^ folded & (1 << 8 * size) - 1
    return folded ^ CHECKSUM_SEED


def build(segments: Sequence[Segment], entry: int, chip_id: int) -> bytes:
    """Return an image with checksum and appended SHA-256."""
    image = bytearray(
        _HEADER.pack(
            MAGIC,
            len(segments),
            _DIO,
            _8MB_80MHZ,
            entry,
            _NO_WP_PIN,
            bytes(3),
            chip_id,
            0,
            0,
            _ANY_REVISION,
            bytes(4),
            1,
        )
    )
    for segment in segments:
        image += _SEGMENT.pack(segment.address, len(segment.data)) + segment.data
    image += bytes(15 - len(image) % 16) + bytes([checksum(b"".join(segment.data for segment in segments))])
    return bytes(image) + hashlib.sha256(image).digest()


def descriptor(project: str, version: str, elf_sha256: bytes, idf: str, date: str, time: str) -> bytes:
    """Return the application descriptor, 256 bytes, that an application's first segment begins with."""
    return _DESCRIPTOR.pack(
        DESCRIPTOR_MAGIC,
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


def partition_table(partitions: Sequence[Partition]) -> bytes:
    """Return the table with its MD5 entry, padded to the size that it has in flash."""
    entries = b"".join(
        _PARTITION.pack(PARTITION_MAGIC, p.type, p.subtype, p.offset, p.size, p.name.encode(), 0)
        for p in partitions
    )
    md5 = hashlib.md5(entries, usedforsecurity=False).digest()
    return (entries + TABLE_MD5_MAGIC + b"\xff" * 14 + md5).ljust(TABLE_BYTES, b"\xff")


class BadTable(ValueError):
    """Not a partition table; `entry` and `magic` say where and what is there instead, as the loader does."""

    def __init__(self, message: str, entry: int, magic: int) -> None:
        super().__init__(message)
        self.entry = entry
        self.magic = magic


def read_table(data: bytes) -> list[Partition]:
    """Return the partitions of a table; raises BadTable."""
    found: list[Partition] = []
    for index in range(len(data) // _PARTITION.size):
        at = index * _PARTITION.size
        magic, kind, subtype, offset, size, name, _ = _PARTITION.unpack_from(data, at)
        if magic == PARTITION_MAGIC:
            found.append(Partition(_text(name), kind, subtype, offset, size))
            continue
        if magic == TABLE_MD5_MAGIC and found:
            stored = data[at + 16 : at + 32]
            if hashlib.md5(data[:at], usedforsecurity=False).digest() != stored:
                raise BadTable("the table's MD5 does not match", index, int.from_bytes(magic, "little"))
            return found
        if magic == b"\xff\xff" and found:
            return found
        raise BadTable("no partition table", index, int.from_bytes(magic, "little"))
    return found


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "replace")
