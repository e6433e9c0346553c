"""The container of firmware images for virtual boards whose chip's images have no header of their own.

A header of 96 bytes (magic, SoC, protocol, version, length, CRC-32 of all that,
SHA-256 of the payload), then the payload.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass

MAGIC = b"HX-VIRT1"

_HEADER = struct.Struct("<8s16s16s16sII32s")
_CHECKED = 60


@dataclass(frozen=True)
class Container:
    """An image as it is in flash, sound or not. `length` counts header and payload."""

    soc: str
    protocol: str
    version: str
    length: int
    sha256: bytes
    stored_sha256: bytes


class NotAContainer(ValueError):
    """There is no container, or its header is damaged, or data ends before it does."""


def build(soc: str, protocol: str, version: str, payload: bytes) -> bytes:
    """Return the container."""
    head = struct.pack(
        "<8s16s16s16sI", MAGIC, soc.encode(), protocol.encode(), version.encode(), len(payload)
    )
    return head + struct.pack("<I", zlib.crc32(head)) + hashlib.sha256(payload).digest() + payload


def read(data: bytes) -> Container:
    """Read the container that `data` begins with; raises NotAContainer."""
    if len(data) < _HEADER.size:
        raise NotAContainer(f"{len(data)} bytes are too short for its header")
    magic, soc, protocol, version, size, crc, stored = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise NotAContainer("it does not begin as an image for a virtual board does")
    if zlib.crc32(data[:_CHECKED]) != crc:
        raise NotAContainer("its header is damaged")
    end = _HEADER.size + size
    if end > len(data):
        raise NotAContainer(f"it has {len(data)} of {end} bytes")
    return Container(
        _text(soc),
        _text(protocol),
        _text(version),
        end,
        hashlib.sha256(data[_HEADER.size : end]).digest(),
        stored,
    )


def soc_of(data: bytes) -> str | None:
    """Return the SoC that a container, sound or not, is for by its header; None if it is none."""
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        return None
    return _text(_HEADER.unpack_from(data)[1])


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode("utf-8", "replace")
