"""Chips of no known family: a user's board whose firmware is there already, or a simulator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.boards import Profile
from harness.chips.family import Family, Finding, Piece
from harness.errors import HarnessError


class Other(Family):
    """Any chip: its images are taken as they are, and none can be emulated."""

    name = "other"
    chips = ()

    def findings(self, board: Profile) -> Iterator[Finding]:
        yield from ()

    def recognise(self, data: bytes) -> None:
        """Return that nothing is known of the image."""

    def arrange(self, board: Profile, pieces: Sequence[Piece]) -> list[Piece]:
        """Leave each piece where it is to go, within the profile's regions for firmware."""
        found = []
        for piece in pieces:
            at = board.flash.image_offset if piece.address is None else piece.address
            end = at + len(piece.data)
            held = [
                r for r in board.flash.regions if "model" not in r.holds and r.offset <= at and end <= r.end
            ]
            if at != board.flash.image_offset and not held:
                raise HarnessError(f"{piece.name}: {at:#x} to {end:#x} is not within a region for firmware")
            found.append(Piece(piece.name, piece.data, at))
        return found


OTHER = Other()
