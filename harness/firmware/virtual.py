"""Firmware images for the virtual boards: valid containers whose program is run by the board's emulator.

What is inside them runs on no chip. The emulator takes protocol and version from the container that was
flashed, and runs the firmware of that protocol. Building is deterministic; the hashes are pinned in
firmware/manifest.toml, which `python -m harness.firmware.virtual` prints anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from harness.boards import Profile
from harness.errors import HarnessError
from harness.firmware import container, espimage
from harness.firmware.espimage import Partition, Segment

if TYPE_CHECKING:
    from harness.firmware.manifest import Image

VERSION = "1.0+virtual"
PROJECT = "harness-virtual-"
"""What an application's name begins with, the protocol behind it."""
MARK = "(virtual board)"
"""What a virtual board's boot loader puts into its words, so that it is not taken for a real one."""
NOTICE = b"for the virtual board alone, there is no program for the chip in it"
"""What stands in every image for a virtual board."""
MAC_PREFIX = bytes([0x02]) + b"virt"
"""How a virtual board's MAC address begins: locally administered, so that no chip has it."""
SOURCE = "built by this project (harness.firmware.virtual)"

_IDF, _DATE, _TIME = "none (virtual board)", "Jan  1 2026", "00:00:00"
_DROM, _IRAM, _ENTRY = 0x3C000020, 0x40374000, 0x40374000
_BOOT_DRAM, _BOOT_IRAM = 0x3FCE2810, 0x403C8700
_PROGRAM_BYTES = 4096

BuiltPart = tuple[str, int, bytes]
"""Name, address and bytes of a part of an image."""


def build(board: Profile, protocol: str) -> list[BuiltPart]:
    """Return the parts of the image that makes the virtual `board` speak `protocol`.

    Raises HarnessError for a board whose flashing method has no images for virtual boards.
    """
    try:
        make = _BUILDERS[board.flash.method]
    except KeyError:
        raise HarnessError(
            f"{board.id}: no virtual firmware for boards flashed by {board.flash.method}"
        ) from None
    return make(board, protocol)


def _esp32s3(board: Profile, protocol: str) -> list[BuiltPart]:
    program = _program(board, protocol)
    descriptor = espimage.descriptor(
        PROJECT + protocol, VERSION, hashlib.sha256(program).digest(), _IDF, _DATE, _TIME
    )
    app = espimage.build(
        [Segment(_DROM, descriptor + _notice(board, protocol)), Segment(_IRAM, program)], _ENTRY
    )
    loader = espimage.build(
        [
            Segment(_BOOT_DRAM, espimage.boot_descriptor(_IDF, f"{_DATE} {_TIME}") + _notice(board, "boot")),
            Segment(_BOOT_IRAM, _filler("second-stage boot loader", 2048)),
        ],
        _BOOT_IRAM,
    )
    table = espimage.partition_table(_partitions(board))
    return [
        ("boot loader", _use(board, "boot_loader"), loader),
        ("partition table", _use(board, "partition_table"), table),
        ("application", _use(board, "firmware"), app),
    ]


def _partitions(board: Profile) -> list[Partition]:
    found = []
    for region in board.flash.regions:
        if "firmware" in region.holds:
            found.append(
                Partition(region.name, espimage.APP, espimage.FACTORY, region.offset, region.size_bytes)
            )
        elif "model" in region.holds or "data" in region.holds:
            subtype = espimage.DATA_SUBTYPES.get(region.name, espimage.DATA_UNDEFINED)
            found.append(Partition(region.name, espimage.DATA, subtype, region.offset, region.size_bytes))
    return found


def _himax(board: Profile, protocol: str) -> list[BuiltPart]:
    image = container.build(
        container.SOCS[board.chip.name],
        protocol,
        VERSION,
        _notice(board, protocol) + _program(board, protocol),
    )
    return [("firmware", board.flash.image_offset, image)]


_BUILDERS: dict[str, Callable[[Profile, str], list[BuiltPart]]] = {
    "esptool": _esp32s3,
    "xmodem": _himax,
    "uf2": _himax,
}


def _use(board: Profile, use: str) -> int:
    return next(region.offset for region in board.flash.regions if use in region.holds)


def _notice(board: Profile, part: str) -> bytes:
    return (f"{board.id} {part} {VERSION}: ".encode() + NOTICE + b"\n").ljust(256, b"\0")


def _program(board: Profile, protocol: str) -> bytes:
    return _filler(f"{board.id} {protocol} {VERSION}", _PROGRAM_BYTES)


def _filler(seed: str, size: int) -> bytes:
    """Return bytes that stand where a program would be: as dense as code, and different for each seed."""
    return hashlib.shake_256(seed.encode()).digest(size)


def build_hash(board: Profile, parts: list[BuiltPart]) -> str:
    """Return what the firmware of an image reports as its build hash: the SHA-256 that ends or heads it."""
    data = parts[-1][2]
    if board.flash.method == "esptool":
        return espimage.read(data).sha256.hex()
    return container.read(data).sha256.hex()


_HEADER = """\
# Firmware images: those that ship with the harness here, those that were added (`harness firmware add`) in a
# file like this one in the user's cache. Printed by `python -m harness.firmware.virtual`.
#
# board      id of the profile that it is for
# protocol   what it speaks: bench, mlperf-tiny, sscma
# version    its version; +virtual is for what runs on a virtual board
# runs_on    hardware, or virtual: such an image is a valid container for the virtual board's boot ROM, and
#            what is in it runs on no chip
# source     where it is from
# build      what the firmware reports as its build hash when it runs: a bench takes a board with another one
#            for out of date; left out: any will do
# file       name of the file beside this one; left out: the harness builds the image when it is needed
#
# Each part has a name, the address that the flashing method writes it to, its size in bytes and its SHA-256.
"""


def image(board: Profile, protocol: str) -> Image:
    """Return the manifest's entry of a virtual image; raises HarnessError as `build` does."""
    from harness.firmware.manifest import Image, Part

    built = build(board, protocol)
    return Image(
        board=board.id,
        protocol=protocol,
        version=VERSION,
        runs_on="virtual",
        source=SOURCE,
        build=build_hash(board, built),
        part=tuple(
            Part(name=name, offset=offset, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, offset, data in built
        ),
    )


def _entries() -> Iterator[str]:
    from harness import boards
    from harness.firmware.manifest import to_toml

    for board in boards.all_profiles():
        for protocol in board.protocols.supported:
            yield to_toml(image(board, protocol))


if __name__ == "__main__":
    print(_HEADER)
    print("\n".join(_entries()), end="")
