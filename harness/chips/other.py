"""Chips of no known family: a user's board whose firmware is there already, or a simulator."""

from __future__ import annotations

from collections.abc import Iterator

from harness.boards import Profile
from harness.chips.family import Family, Finding, Kind


class Other(Family):
    """Any chip: its images are taken as they are, and none can be emulated."""

    name = "other"
    chips = ()

    def findings(self, board: Profile) -> Iterator[Finding]:
        yield from ()

    def recognise(self, data: bytes) -> None:
        """Return that nothing is known of the image."""

    def identify(self, board: Profile, name: str, data: bytes) -> Kind:
        return Kind(False, board.flash.image_offset, len(data))


OTHER = Other()
