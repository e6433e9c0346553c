"""Which boot loader a virtual board with a Himax chip has."""

from __future__ import annotations

from harness.boards import Profile
from harness.chips.himax import SOCS
from harness.emulator.boot import Rom, Wiring
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.rom.we1 import We1Rom
from harness.emulator.rom.we2 import We2Rom


def rom(profile: Profile, flash: BoardFlash, wiring: Wiring) -> Rom:
    """Return the boot loader of a board with a WE1 or a WE2."""
    made = We1Rom if SOCS[profile.chip.name] == "HX6537-A" else We2Rom
    return made(profile, flash, wiring)
