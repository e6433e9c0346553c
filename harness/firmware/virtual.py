"""Firmware images for the virtual boards: valid containers whose program is run by the board's emulator.

What is inside them runs on no chip. The emulator takes protocol and version from the container that was
flashed, and runs the firmware of that protocol. Building is deterministic; the hashes are pinned in
firmware/manifest.toml, which `python -m harness.firmware.virtual` prints anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from harness import boards
from harness.boards import Profile
from harness.chips.family import BuiltPart, family_of
from harness.chips.filling import VERSION
from harness.firmware.image import Image, Part, to_toml

SOURCE = "built by this project (harness.firmware.virtual)"


def build(board: Profile, protocol: str) -> list[BuiltPart]:
    """Return the parts of the image that makes the virtual `board` speak `protocol`.

    Raises HarnessError if the board cannot be emulated.
    """
    return family_of(board).virtual_parts(board, protocol)


def build_hash(board: Profile, parts: list[BuiltPart]) -> str:
    """Return what the firmware of an image reports as its build hash, in hex."""
    return family_of(board).build_hash(parts)


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
#
# Each part has a name, the address that the flashing method writes it to, its size in bytes, its SHA-256, and
# the file beside this one that holds it; left out: the harness builds the part when it is needed.
"""


def image(board: Profile, protocol: str) -> Image:
    """Return the manifest's entry of a virtual image; raises HarnessError if the board cannot be emulated."""
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
    for board in boards.all_profiles():
        for protocol in board.protocols.supported:
            yield to_toml(image(board, protocol))


if __name__ == "__main__":
    print(_HEADER)
    print("\n".join(_entries()), end="")
