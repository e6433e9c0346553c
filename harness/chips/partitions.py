"""ESP-IDF's partition table (ESP-IDF Programming Guide, Partition Tables)."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

MAGIC = b"\xaa\x50"
TABLE_AT = 0x8000
TABLE_BYTES = 0xC00
APP, DATA = 0, 1
FACTORY = 0
DATA_SUBTYPES = {"otadata": 0x00, "phy_init": 0x01, "nvs": 0x02}
DATA_UNDEFINED = 0x06

_MD5_MAGIC = b"\xeb\xeb"
_ENTRY = struct.Struct("<2sBBII16sI")


@dataclass(frozen=True)
class Partition:
    """An entry of the partition table."""

    name: str
    type: int
    subtype: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.offset + self.size


class BadTable(ValueError):
    """Not a partition table; `entry` and `magic` say where and what is there instead, as the loader does."""

    def __init__(self, message: str, entry: int, magic: int) -> None:
        super().__init__(message)
        self.entry = entry
        self.magic = magic


def build(partitions: Sequence[Partition]) -> bytes:
    """Return the table with its MD5 entry, padded to the size that it has in flash."""
    entries = b"".join(
        _ENTRY.pack(MAGIC, p.type, p.subtype, p.offset, p.size, p.name.encode(), 0) for p in partitions
    )
    md5 = hashlib.md5(entries, usedforsecurity=False).digest()
    return (entries + _MD5_MAGIC + b"\xff" * 14 + md5).ljust(TABLE_BYTES, b"\xff")


def is_selection(data: bytes) -> bool:
    """Return whether bytes say which of several applications is started (ESP-IDF, esp_ota_select_entry_t)."""
    (number,) = struct.unpack("<I", data[:4])
    (crc,) = struct.unpack("<I", data[28:32])
    return number == 0xFFFFFFFF or crc == zlib.crc32(data[:4], 0xFFFFFFFF)


def read(data: bytes) -> list[Partition]:
    """Return the partitions of the table that `data` begins with; raises BadTable."""
    data = data[:TABLE_BYTES]
    found: list[Partition] = []
    for index in range(len(data) // _ENTRY.size):
        at = index * _ENTRY.size
        magic, kind, subtype, offset, size, name, _ = _ENTRY.unpack_from(data, at)
        if magic == MAGIC:
            found.append(
                Partition(name.split(b"\0")[0].decode("utf-8", "replace"), kind, subtype, offset, size)
            )
            continue
        if magic == _MD5_MAGIC and found:
            stored = data[at + 16 : at + 32]
            if hashlib.md5(data[:at], usedforsecurity=False).digest() != stored:
                raise BadTable("the table's MD5 does not match", index, int.from_bytes(magic, "little"))
            return found
        if magic == b"\xff\xff" and found:
            return found
        raise BadTable("no partition table", index, int.from_bytes(magic, "little"))
    raise BadTable("the table has no end", len(found), 0)
