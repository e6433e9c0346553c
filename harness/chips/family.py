"""What the rest of the harness asks of a chip family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.boards import Profile
from harness.errors import HarnessError
from harness.registry import Registry

BuiltPart = tuple[str, int, bytes]
"""Name, address and bytes of a part of an image."""
Finding = tuple[tuple[str | int, ...], str]
"""A key of a profile, as the path to it, and what is wrong there."""


@dataclass(frozen=True)
class Piece:
    """A file of a firmware image; `address` is where it goes, None if that is to follow from what it is."""

    name: str
    data: bytes
    address: int | None = None


@dataclass(frozen=True)
class Trouble:
    """Words on the console of a board that does not get as far as its firmware, or not further.

    Attributes:
        words: a regular expression for them.
        clause: what is wrong and what to do; {} stands for the words as they came.
        restarts: the board starts again after them, and this many in a row make a boot loop; 0 = it stays.
        least: fewer of them mean nothing.
        flashing_helps: whether another firmware may be the cure.
    """

    words: bytes
    clause: str
    restarts: int = 0
    least: int = 1
    flashing_helps: bool = True


class Family(ABC):
    """Chips that boot in the same way.

    Attributes:
        name: what a profile's `chip.family` calls it.
        chips: the chips that are known, by the name in `chip.name`.
        rom: "module:function" of the virtual boot ROM (see `harness.emulator.boot.Rom`); None if there is
            none, and the family cannot be emulated.
        begins: a regular expression for what its consoles print when a boot begins or gets further; None if
            nothing is known of them.
        troubles: what they print if it does not, what tells most first (see `harness.chips.console`).
    """

    name: ClassVar[str]
    chips: ClassVar[tuple[str, ...]]
    rom: ClassVar[str | None] = None
    begins: ClassVar[bytes | None] = None
    troubles: ClassVar[tuple[Trouble, ...]] = ()

    def findings(self, board: Profile) -> Iterator[Finding]:
        """Yield what is wrong with a profile that names this family."""
        if board.chip.name not in self.chips:
            known = ", ".join(self.chips)
            yield ("chip", "name"), f"no chip of the family {self.name}; known: {known}"

    @abstractmethod
    def recognise(self, data: bytes) -> str | None:
        """Return the chip that an image is for, as "the X", if its format is this family's."""

    def length(self, board: Profile, name: str, data: bytes) -> int:
        """Return how many bytes the image has that `data` begins with: all of them, unless it says otherwise.

        Raises HarnessError, with `name` for the image, if it is no sound image for the board's chip.
        """
        return len(data)

    def arrange(self, board: Profile, pieces: Sequence[Piece]) -> list[Piece]:
        """Return the pieces of an image, each with its address, without what follows its last byte.

        No other family recognises any of them. One file at the profile's place for images, unless a family
        knows better. Raises HarnessError if the board's chip would not start them.
        """
        if len(pieces) > 1:
            names = ", ".join(piece.name for piece in pieces)
            raise HarnessError(f"{names}: firmware for {board.id} is one file, and these are {len(pieces)}")
        (piece,) = pieces
        return [placed(piece, board.flash.image_offset, self.length(board, piece.name, piece.data))]

    def virtual_parts(self, board: Profile, protocol: str) -> list[BuiltPart]:
        """Return the parts of the image that makes the virtual `board` speak `protocol`.

        Raises HarnessError if the family cannot be emulated.
        """
        raise HarnessError(f"{board.id}: boards with chips of the family {self.name} cannot be emulated")

    def build_hash(self, parts: list[BuiltPart]) -> str:
        """Return what the firmware in a virtual image reports as its build hash, in hex."""
        raise NotImplementedError


FAMILIES: Registry[Family] = Registry(
    "harness.chips",
    "chip family",
    {
        "esp32": "harness.chips.esp32:ESP32",
        "himax": "harness.chips.himax:HIMAX",
        "rp2040": "harness.chips.rp2040:RP2040",
        "other": "harness.chips.other:OTHER",
    },
)


def family_of(board: Profile) -> Family:
    """Return the family of a board's chip; raises HarnessError if no family has that name."""
    return FAMILIES.get(board.chip.family)


def placed(piece: Piece, address: int, length: int | None = None) -> Piece:
    """Return a piece at its only address; raises HarnessError if it was to go to another one."""
    if piece.address not in (None, address):
        raise HarnessError(f"{piece.name}: goes to {address:#x}, not to {piece.address:#x}")
    return Piece(piece.name, piece.data[:length], address)


def for_another(board: Profile, name: str, chip: str) -> HarnessError:
    """Return the error about an image for another chip than the board's."""
    return HarnessError(f"{name}: an image for {chip}, but {board.id} has {board.chip.name}")


def damaged_hash(name: str) -> HarnessError:
    """Return the error about an image whose hash is not that of its bytes."""
    return HarnessError(f"{name}: its SHA-256 does not match what is in it; get the file again")
