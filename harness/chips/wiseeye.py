"""Himax's own images, as the vendor's tools write them: which chip one is for, and whether it is sound.

Both chips take one file at the start of flash: boot loaders, a memory descriptor that lists the parts with
their places, and the application. Offsets count bytes from the start of that file.

WE2 (HX6538; `we2_image_gen_local` in HimaxWiseEyePlus/Seeed_Grove_Vision_AI_Module_V2, d3265e20): a part is
a key certificate ("ckBS") and a content certificate of Arm's CryptoCell, then the sections whose SHA-256 the
second certificate has (ARM-software/cryptocell-312-runtime, 91539d62,
codesafe/src/secure_boot_debug/secure_debug/cc3x/secdebug_defs.h; RSA keys of 2048 bits).

WE1 (HX6537-A; `image_gen_cstm` in Seeed-Studio/sscma-example-vision-ai, 0ccba696): a part is a signed header
("BLp") and its payload. What is known of that header is what the vendor's own files show: how long the
payload is, and what kind of part it is. Nothing that can be checked covers the payload.
"""

from __future__ import annotations

import binascii
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

WE1, WE2 = "HX6537-A", "HX6538"
_MAGIC = {b"BLp\x02": WE1, b"ckBS": WE2}
_APPLICATION = {WE1: 4, WE2: 3}
"""The kind of part that an application is, in a memory descriptor."""
_PART_ALIGN = 0x1000

_FLASH = 0x3A000000
"""Where the WE2 sees its flash: certificates have addresses there."""
_CONTENT_MAGIC = b"ccBS"
_KEY_BYTES, _SIGNATURE_BYTES = 256 + 20, 256
_CERTIFICATE = struct.Struct("<4sIII")  # magic, version, offset of the signature in words, flags
_BEFORE_SECTIONS = _CERTIFICATE.size + _KEY_BYTES + 4 + 8  # version of the software, nonce
_SECTION = struct.Struct("<32sIII")  # SHA-256, where it is loaded, most bytes, whether it is encrypted
_STORED = struct.Struct("<II")  # address in flash, bytes
_RANGE_BYTES = 8
_WE2_DESCRIPTOR = struct.Struct("<HHIIIII")  # version, CRC, project, bytes, version, parts, bytes of flash
_WE2_PART = struct.Struct("<IIIIIHH")  # kind, attributes, offset, bytes, where it runs, CRC, 0

_WE1_DESCRIPTOR_AT = 0x20000
_WE1_LENGTH_AT, _WE1_KIND_AT, _WE1_HEADER_BYTES, _WE1_CERTIFICATE_BYTES = 0x244, 0x25C, 0x28C, 0x208
_WE1_CERTIFIED = (3, 4)
_WE1_DESCRIPTOR = struct.Struct("<HHBBHII")  # version, CRC, -, parts, bytes, 0, 0
_WE1_PART = struct.Struct("<IIII")  # kind, attributes, offset, bytes


_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits the other way round."""


class NotSound(ValueError):
    """No whole image, or a damaged one."""


@dataclass(frozen=True)
class _Part:
    kind: int
    offset: int
    size: int
    crc: int = 0

    @property
    def end(self) -> int:
        return self.offset + self.size


def soc_of(data: bytes) -> str | None:
    """Return the SoC whose images, or parts of them, begin as `data` does; None if it is neither."""
    return _MAGIC.get(data[:4])


def check(data: bytes) -> int:
    """Return how many bytes the image has that `data` begins with; raises NotSound."""
    soc = soc_of(data)
    if soc is None:
        raise NotSound("it does not begin as an image of the vendor's tools does")
    try:
        parts = list(_we2_parts(data) if soc == WE2 else _we1_parts(data))
        if _APPLICATION[soc] not in {part.kind for part in parts}:
            raise NotSound("there is no application in it")
        end = max(part.end for part in parts)
        if end > len(data):
            raise NotSound(f"it has {len(data)} of {end} bytes")
        for part in parts:
            if soc_of(data[part.offset : part.end]) != soc:
                raise NotSound(f"no part of an image begins at {part.offset:#x}")
            if soc == WE2:
                _check_we2_part(data, part)
            elif _we1_payload(data, part.offset)[1] > part.end:
                raise NotSound(f"the part at {part.offset:#x} is longer than the memory descriptor says")
    except struct.error:
        raise NotSound(f"it ends after {len(data)} bytes, within a header") from None
    return end


def _we2_parts(data: bytes) -> Iterator[_Part]:
    """Yield what the memory descriptor lists, which is the payload of the first part."""
    at, size, _ = next(_we2_sections(data, 0))
    if at >= _PART_ALIGN:
        raise NotSound(
            f"it is only the part of an image that goes to {at - at % _PART_ALIGN:#x}; give the whole image "
            "(output.img), which begins with the memory descriptor"
        )
    payload = data[max(at, 0) : at + size]
    if not payload:
        raise NotSound("its memory descriptor is not in it")
    descriptor = payload[4 + _RANGE_BYTES * payload[0] :]
    _, crc, _, _, _, count, _ = _WE2_DESCRIPTOR.unpack_from(descriptor)
    _check_descriptor(descriptor, crc)
    for number in range(count):
        kind, _, offset, size, _, part_crc, _ = _WE2_PART.unpack_from(
            descriptor, _WE2_DESCRIPTOR.size + number * _WE2_PART.size
        )
        yield _Part(kind, offset, size, part_crc)


def _we2_sections(data: bytes, at: int) -> Iterator[tuple[int, int, bytes | None]]:
    """Yield offset, size and SHA-256 (None: of what an encrypted one holds) of the sections of a part."""
    _, _, words, _ = _CERTIFICATE.unpack_from(data, at)
    at += 4 * words + _SIGNATURE_BYTES
    magic, _, words, flags = _CERTIFICATE.unpack_from(data, at)
    count = flags >> 16
    if magic != _CONTENT_MAGIC or 4 * words != _BEFORE_SECTIONS + count * _SECTION.size or not count:
        raise NotSound(f"no content certificate at {at:#x}")
    stored = at + 4 * words + _SIGNATURE_BYTES
    for number in range(count):
        digest, _, _, encrypted = _SECTION.unpack_from(data, at + _BEFORE_SECTIONS + number * _SECTION.size)
        address, size = _STORED.unpack_from(data, stored + number * _STORED.size)
        yield address - _FLASH, size, None if encrypted else digest


def _check_we2_part(data: bytes, part: _Part) -> None:
    if part.crc and part.crc != _crc16(data[part.offset : part.end]):
        raise NotSound(f"the CRC of the part at {part.offset:#x} does not match; it is damaged")
    for at, size, digest in _we2_sections(data, part.offset):
        if not part.offset <= at <= at + size <= part.end:
            raise NotSound(f"the part at {part.offset:#x} says that a section of it is at {at:#x}")
        if digest not in (None, hashlib.sha256(data[at : at + size]).digest()):
            raise NotSound(f"the SHA-256 of the section at {at:#x} does not match; it is damaged")


def _we1_parts(data: bytes) -> Iterator[_Part]:
    """Yield what the memory descriptor lists."""
    if soc_of(data[_WE1_DESCRIPTOR_AT:]) != WE1:
        raise NotSound(f"no memory descriptor at {_WE1_DESCRIPTOR_AT:#x}")
    start, end = _we1_payload(data, _WE1_DESCRIPTOR_AT)
    descriptor = data[start:end]
    _, crc, _, count, _, _, _ = _WE1_DESCRIPTOR.unpack_from(descriptor)
    _check_descriptor(descriptor, crc)
    for number in range(count):
        kind, _, offset, size = _WE1_PART.unpack_from(
            descriptor, _WE1_DESCRIPTOR.size + number * _WE1_PART.size
        )
        yield _Part(kind, offset, size)


def _we1_payload(data: bytes, at: int) -> tuple[int, int]:
    """Return where the payload of the part at `at` begins and ends."""
    (size,) = struct.unpack_from(">I", data, at + _WE1_LENGTH_AT)
    (kind,) = struct.unpack_from(">I", data, at + _WE1_KIND_AT)
    start = at + _WE1_HEADER_BYTES + (_WE1_CERTIFICATE_BYTES if kind in _WE1_CERTIFIED else 0)
    return start, start + size


def _check_descriptor(descriptor: bytes, crc: int) -> None:
    if _crc16(descriptor[4:]) != crc:
        raise NotSound("the CRC of its memory descriptor does not match; it is damaged")


def _crc16(data: bytes) -> int:
    """Return the CRC-16 of parts and descriptors: polynomial 0x1021, reflected, from all ones."""
    # The CRC of XMODEM with the bits of each byte, and those of the result, the other way round.
    turned = binascii.crc_hqx(data.translate(_TURNED), 0xFFFF)
    return int(f"{turned:016b}"[::-1], 2)
