"""Himax's WiseEye chips: WE1 and WE2.

The vendor's images are read by `harness.chips.wiseeye`; those for virtual boards, in which there is no
program to sign, are in this project's container.
"""

from __future__ import annotations

from harness.boards import Profile
from harness.chips import container, filling, wiseeye
from harness.chips.container import NotAContainer
from harness.chips.family import BuiltPart, Family, Trouble, damaged_hash, for_another
from harness.chips.wiseeye import WE1, WE2, NotSound
from harness.errors import HarnessError

SOCS = {"Himax HX6538 (WE2)": WE2, "Himax HX6537-A (WE1)": WE1}
"""Chip name in a board profile -> SoC of its images."""


class Himax(Family):
    """WE1, whose USB chip shows a drive, and WE2, whose boot loader takes XMODEM."""

    name = "himax"
    chips = tuple(SOCS)
    rom = "harness.emulator.rom.himax:rom"
    begins = rb"1st BL |bootloader pass|himax_sec_SB_image_process PASS"
    troubles = (
        Trouble(
            rb"\[1\] Xmodem download|(?:^|[\r\n])C{3,}\Z|\x15{3,}\Z",
            "it is in its XMODEM boot loader: reset it to leave that",
        ),
        Trouble(
            rb"himax_sec_SB_image_process FAIL[^\r\n]*|bootloader fail[^\r\n]*",
            "no firmware boots on it ({}): flash one",
        ),
        Trouble(
            rb"1st BL Modem Build[^\r\n]*",
            "it starts over and over ('{}'): try another cable and supply, take the camera off, then flash "
            "it again",
            restarts=3,
            least=3,
        ),
    )

    def recognise(self, data: bytes) -> str | None:
        soc = _soc_of(data)
        return f"the {soc}" if soc in SOCS.values() else None

    def length(self, board: Profile, name: str, data: bytes) -> int:
        soc = _soc_of(data)
        if soc not in (None, SOCS[board.chip.name]):
            raise for_another(board, name, f"the {soc}")
        if data.startswith(container.MAGIC):
            return sound_container(name, data).length
        try:
            return wiseeye.check(data)
        except NotSound as error:
            raise HarnessError(f"{name}: no image for {board.chip.name}: {error}") from None

    def virtual_parts(self, board: Profile, protocol: str) -> list[BuiltPart]:
        payload = filling.notice(board, protocol) + filling.program(board, protocol)
        image = container.build(SOCS[board.chip.name], protocol, filling.VERSION, payload)
        return [("firmware", board.flash.image_offset, image)]

    def build_hash(self, parts: list[BuiltPart]) -> str:
        """Return the SHA-256 in the container's header."""
        return container.read(parts[-1][2]).sha256.hex()


HIMAX = Himax()


def _soc_of(data: bytes) -> str | None:
    return container.soc_of(data) or wiseeye.soc_of(data)


def sound_container(name: str, data: bytes) -> container.Container:
    """Return the container that an image is; raises HarnessError if it is cut short or damaged."""
    try:
        image = container.read(data)
    except NotAContainer as error:
        raise HarnessError(f"{name}: {error}; get or build the file again") from None
    if image.sha256 != image.stored_sha256:
        raise damaged_hash(name)
    return image
