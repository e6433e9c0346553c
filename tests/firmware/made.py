"""Images of the vendors' forms, made here: headers as their own tools write them, and noise for programs.

The forms are those of files in public repositories: of the WE2 `output.img` in Stevemwa/CC_himax_version
(62590271), whose tool's logs lie beside it; of the WE1 `tools/*.uf2` in Seeed-Studio/Seeed_Arduino_GroveAI
(d749eb08); of ESP32 chips what esptool's `elf2image` and ESP-IDF's `gen_esp32part.py` write.
"""

from __future__ import annotations

import hashlib
import random
import struct
from dataclasses import dataclass

from esptool import bin_image

from harness.chips import partitions
from harness.chips.partitions import Partition

FF = b"\xff"


def noise(size: int, seed: int = 0) -> bytes:
    """Return bytes that stand for a program."""
    return random.Random(seed).randbytes(size)


def crc(data: bytes) -> int:
    """Return the CRC-16 of Himax's tools bit by bit: CRC-16/MCRF4XX of the catalogue of CRC algorithms."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return value


# ---- WE2: a table, and parts of two certificates and the sections that they vouch for


def we2_part(at: int, size: int, sections: list[bytes], *, encrypted: bool = False) -> bytes:
    """Return a part of an image that goes to `at`."""
    key = b"ckBS" + struct.pack("<III", 0x10000, 0x52, 0) + noise(312, 1) + noise(256, 2)
    content = b"ccBS" + struct.pack(
        "<III", 0x10000, (304 + 44 * len(sections)) // 4, len(sections) << 16 | 0xF
    )
    content += noise(276, 3) + struct.pack("<I8x", 1)
    where, stored, programs = at + 584 + 304 + 52 * len(sections) + 256, b"", b""
    for section in sections:
        digest = noise(32, 9) if encrypted else hashlib.sha256(section).digest()
        content += digest + struct.pack("<III", 0x34000000, 0x10000, int(encrypted))
        stored += struct.pack("<II", 0x3A000000 + where, len(section))
        programs += section
        where += len(section)
    return (key + content + noise(256, 4) + stored + programs).ljust(size, FF)


def we2(application: bytes | None = None, *, encrypted: bool = False) -> bytes:
    """Return a whole image, as we2_image_gen_local's output.img: two boot loaders and an application."""
    application = noise(9000, 5) if application is None else application
    parts = [
        (0, 0x3000, 0x2000, we2_part(0x3000, 0x2000, [noise(5000, 6)])),
        (1, 0x1000, 0x2000, we2_part(0x1000, 0x2000, [noise(4000, 7)])),
        (3, 0x5000, 0x4000, we2_part(0x5000, 0x4000, [application, noise(100, 8)], encrypted=encrypted)),
    ]
    table = b"".join(struct.pack("<IIIIIHH", k, 0x04AC0001, at, n, 0, crc(d), 0) for k, at, n, d in parts)
    table += struct.pack("<IIIIIHH", 2, 0x04AC0001, 0, 0x1000, 0, 0, 0)
    rest = struct.pack("<IIIII", 0x44332211, 24 + len(table), 2, len(parts) + 1, 1 << 24) + table
    descriptor = b"\x06\x1c\x01\0" + noise(48, 9) + b"\2\2" + struct.pack("<H", crc(rest)) + rest
    image = bytearray(we2_part(0, 0x1000, [descriptor]).ljust(0x9000, FF))
    for _, at, size, data in parts:
        image[at : at + size] = data
    return bytes(image)


# ---- WE1: parts with a signed header, and a descriptor at 0x20000


def we1_part(kind: int, payload: bytes) -> bytes:
    """Return a part of an image."""
    header = bytearray(b"BLp\2\x20\0\0\3" + noise(0x28C - 8, kind))
    header[0x244:0x248] = struct.pack(">I", len(payload))
    header[0x25C:0x260] = struct.pack(">I", kind)
    return bytes(header) + (noise(0x208, 3) if kind in (3, 4) else b"") + payload


def we1(application: bytes | None = None) -> bytes:
    """Return a whole image, as image_gen_cstm's output.img."""
    program = we1_part(3, noise(9000, 5) if application is None else application)
    loader = we1_part(1, noise(4000, 6))
    places = [
        (1, 0, len(loader)),
        (0, 0x10000, len(loader)),
        (3, 0x20000, 0x1000),
        (4, 0x22000, len(program)),
    ]
    table = b"".join(struct.pack("<IIII", kind, 0x41, at, size) for kind, at, size in places)
    rest = struct.pack("<BBHII", 6, len(places), 16 + len(table), 0, 0) + table
    descriptor = we1_part(4, b"\3\1" + struct.pack("<H", crc(rest)) + rest)
    image = bytearray(FF * (0x22000 + len(program)))
    for at, data in [(0, loader), (0x10000, loader), (0x20000, descriptor), (0x22000, program)]:
        image[at : at + len(data)] = data
    return bytes(image)


def pico(program: bytes | None = None) -> bytes:
    """Return an RP2040 image: a second stage with its CRC-32 (CRC-32/MPEG-2), and a program."""
    stage = noise(252, 10)
    value = 0xFFFFFFFF
    for byte in stage:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return stage + struct.pack("<I", value) + (noise(9000, 5) if program is None else program)


# ---- ESP32 chips: esptool's own images, and a table as ESP-IDF's tool writes it


@dataclass(frozen=True)
class Chip:
    """Addresses of a chip: of constants in flash, of code in RAM, of data in RAM (esptool's MEMORY_MAP)."""

    name: str
    constants: int
    code: int
    data: int


S3 = Chip("ESP32S3", 0x3C000020, 0x40374000, 0x3FCE2810)
C3 = Chip("ESP32C3", 0x3C000020, 0x4037C000, 0x3FCD5820)
C6 = Chip("ESP32C6", 0x42800020, 0x40800000, 0x4086C410)
PLAIN = Chip("ESP32", 0x3F400020, 0x40080000, 0x3FFF0000)


def esp(chip: Chip, segments: list[tuple[int, bytes]], flash_mib: int = 4) -> bytes:
    """Return an image that esptool builds."""
    image = getattr(bin_image, f"{chip.name}FirmwareImage")()
    # esptool, targets: FLASH_SIZES is 0 for 1 MB, 1 for 2 MB, and so on; FLASH_FREQUENCY 0xF is 80 MHz.
    image.flash_size_freq = (flash_mib.bit_length() - 1) << 4 | 0xF
    image.entrypoint = chip.code
    image.segments = [bin_image.ELFSection(b"", address, data, 0) for address, data in segments]
    return bytes(image.save(None))


def application(chip: Chip = S3, program: bytes | None = None) -> bytes:
    """Return an application."""
    program = noise(8000, 5) if program is None else program
    return esp(chip, [(chip.constants, noise(512, 11)), (chip.code, program)])


def boot_loader(chip: Chip = S3, flash_mib: int = 4) -> bytes:
    """Return a second-stage boot loader: nothing of it stays in flash."""
    return esp(chip, [(chip.data, noise(256, 12)), (chip.code, noise(4000, 13))], flash_mib)


NVS = Partition("nvs", 1, 2, 0x9000, 0x5000)
OTADATA = Partition("otadata", 1, 0, 0xE000, 0x2000)


def table(*rows: Partition) -> bytes:
    """Return a partition table; the first application's place is 0x10000 unless `rows` say otherwise."""
    return partitions.build(rows or (NVS, OTADATA, Partition("factory", 0, 0, 0x10000, 0x100000)))


def merged(parts: dict[int, bytes]) -> bytes:
    """Return parts in one file, as esptool's merge-bin puts them there."""
    image = bytearray(FF * max(at + len(data) for at, data in parts.items()))
    for at, data in parts.items():
        image[at : at + len(data)] = data
    return bytes(image)


def merged_esp(chip: Chip = S3) -> bytes:
    """Return boot loader, table and application in one file."""
    return merged({0: boot_loader(chip), 0x8000: table(), 0x10000: application(chip)})
