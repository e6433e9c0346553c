"""Contents of images for virtual boards: marks that no real image has, and bytes that run on no chip."""

from __future__ import annotations

import hashlib

from harness.boards import Profile

VERSION = "1.0+virtual"
MARK = "(virtual board)"
"""What a virtual board's boot loader prints, so that it is not taken for a real one."""
NOTICE = b"for the virtual board alone, there is no program for the chip in it"
"""What stands in every image for a virtual board."""
MAC_PREFIX = bytes([0x02]) + b"virt"
"""First bytes of a virtual board's MAC address: locally administered, so no chip has them."""
_PROGRAM_BYTES = 4096


def notice(board: Profile, part: str) -> bytes:
    """Return what a part of an image is, in 256 bytes of text."""
    return (f"{board.id} {part} {VERSION}: ".encode() + NOTICE + b"\n").ljust(256, b"\0")


def program(board: Profile, protocol: str) -> bytes:
    """Return bytes that stand for the firmware of a board and a protocol."""
    return filler(f"{board.id} {protocol} {VERSION}", _PROGRAM_BYTES)


def filler(seed: str, size: int) -> bytes:
    """Return bytes that stand for a program: as dense as code, and different for each seed."""
    return hashlib.shake_256(seed.encode()).digest(size)
