"""UF2 files: blocks of 512 bytes, each with its own target address.

Format: Microsoft's UF2 specification (microsoft/uf2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

BLOCK_BYTES = 512
PAYLOAD_BYTES = 256
LARGEST_PAYLOAD = 476
FIRST_MAGIC, SECOND_MAGIC, LAST_MAGIC = 0x0A324655, 0x9E5D5157, 0x0AB16F30
FAMILY_PRESENT = 0x2000

_HEAD = struct.Struct("<8I")
_FAMILIES = {
    0xE48BFF56: "RP2040",
    0xE48BFF57: "RP2350",
    0xE48BFF59: "RP2350",
    0x68ED2B88: "SAMD21",
    0x55114460: "SAMD51",
    0xADA52840: "nRF52840",
    0x1C5F21B0: "ESP32",
    0xBFDD4EEE: "ESP32-S2",
    0xC47E5767: "ESP32-S3",
    0xD42BA06C: "ESP32-C3",
    0x540DDF62: "ESP32-C6",
    0xEF32C892: "HX6537-A",
}
"""Some of those in microsoft/uf2, utils/uf2families.json, and what the WE1's boot loader takes."""


class NotUf2(ValueError):
    """Not a UF2 block."""


@dataclass(frozen=True)
class Block:
    """One block; `family` is None if its flag does not say that there is one."""

    address: int
    payload: bytes
    number: int
    total: int
    family: int | None


def build(data: bytes, address: int, family: int) -> bytes:
    """Return the UF2 file that burns `data` to `address` on; the last block is padded with zeros."""
    parts = [data[at : at + PAYLOAD_BYTES] for at in range(0, len(data), PAYLOAD_BYTES)]
    out = bytearray()
    for number, part in enumerate(parts):
        out += _HEAD.pack(
            FIRST_MAGIC,
            SECOND_MAGIC,
            FAMILY_PRESENT,
            address + number * PAYLOAD_BYTES,
            PAYLOAD_BYTES,
            number,
            len(parts),
            family,
        )
        out += part.ljust(BLOCK_BYTES - _HEAD.size - 4, b"\0") + struct.pack("<I", LAST_MAGIC)
    return bytes(out)


def chip(family: int | None) -> str:
    """Return a UF2 family, as a clause for messages."""
    if family is None:
        return "a chip that it does not say"
    return f"the {_FAMILIES[family]}" if family in _FAMILIES else f"another chip (family {family:#010x})"


def begins(data: bytes) -> bool:
    """Return whether a file begins with a UF2 block."""
    return data[:8] == struct.pack("<2I", FIRST_MAGIC, SECOND_MAGIC)


def read_block(data: bytes) -> Block:
    """Read one block of 512 bytes; raises NotUf2."""
    if len(data) != BLOCK_BYTES:
        raise NotUf2(f"a block of {len(data)} bytes, where {BLOCK_BYTES} are wanted")
    first, second, flags, address, size, number, total, family = _HEAD.unpack_from(data)
    if (first, second) != (FIRST_MAGIC, SECOND_MAGIC) or data[-4:] != struct.pack("<I", LAST_MAGIC):
        raise NotUf2("a block without the marks of UF2")
    if size > LARGEST_PAYLOAD or number >= total:
        raise NotUf2(f"block {number} of {total} with {size} bytes is impossible")
    return Block(
        address,
        data[_HEAD.size : _HEAD.size + size],
        number,
        total,
        family if flags & FAMILY_PRESENT else None,
    )


def read(data: bytes) -> list[Block]:
    """Return the blocks of a file; raises NotUf2 if it is cut short or a block is damaged."""
    if not data or len(data) % BLOCK_BYTES:
        raise NotUf2(f"{len(data)} bytes are no whole number of blocks of {BLOCK_BYTES} bytes")
    blocks = [read_block(data[at : at + BLOCK_BYTES]) for at in range(0, len(data), BLOCK_BYTES)]
    if len(blocks) != blocks[0].total or {block.number for block in blocks} != set(range(len(blocks))):
        raise NotUf2(f"it has {len(blocks)} of {blocks[0].total} blocks")
    return blocks


def join(blocks: Iterable[Block]) -> Iterator[tuple[int, bytes]]:
    """Yield (address, bytes) for every run of blocks that follow each other without a gap."""
    start, data = 0, bytearray()
    for block in sorted(blocks, key=lambda block: block.address):
        if data and block.address != start + len(data):
            yield start, bytes(data)
            data.clear()
        if not data:
            start = block.address
        data += block.payload
    if data:
        yield start, bytes(data)


def swap_words(data: bytes) -> bytes:
    """Return `data` padded with zeros to whole 32-bit words, with the bytes of each word reversed."""
    import array

    words = array.array("I", data.ljust(-(-len(data) // 4) * 4, b"\0"))
    assert words.itemsize == 4
    words.byteswap()
    return words.tobytes()
