"""From reset to firmware: what a boot ROM finds in flash, and which ROM a board has."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.boards import Profile
from harness.emulator.controls import Boot
from harness.emulator.engine import Line
from harness.emulator.flash_memory import BoardFlash


@dataclass(frozen=True)
class App:
    """Firmware that was found sound in flash: what it speaks, and the regions it looks for models in.

    `build_hash` is the SHA-256 of the image that was booted, in hex; `regions` None means all of the profile.
    """

    protocol: str
    version: str
    build_hash: str
    regions: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Wiring:
    """What is around the chip: whether its port has DTR and RTS, and where its drive appears."""

    lines: bool
    drives: Path


class Rom(Protocol):
    """What runs first after a reset."""

    def boot(self, line: Line, how: Boot) -> App:
        """Return the firmware to run; serves the loader for Boot.LOADER, and waits where nothing boots.

        Raises BoardReset, from `line`, when the board is reset meanwhile.
        """


ROMS: dict[str, str] = {
    "esptool": "harness.emulator.rom.esp32s3",
    "xmodem": "harness.emulator.rom.we2",
    "uf2": "harness.emulator.rom.we1",
}
"""Flashing method -> module of the ROM that understands it, which defines `rom(profile, flash, wiring)`."""


def rom(profile: Profile, flash: BoardFlash, wiring: Wiring) -> Rom:
    """Return the boot ROM of a board."""
    made: Rom = importlib.import_module(ROMS[profile.flash.method]).rom(profile, flash, wiring)
    return made


def hang(line: Line) -> App:
    """Do nothing, as a board does that has nothing to run; ends in BoardReset."""
    while True:
        line.read(None)
