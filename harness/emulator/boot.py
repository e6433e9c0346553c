"""From reset to firmware: what a boot ROM finds in flash, and which ROM a board has."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.boards import Profile
from harness.chips.family import family_of
from harness.emulator.controls import Boot
from harness.emulator.engine import Line
from harness.emulator.flash_memory import BoardFlash
from harness.errors import HarnessError


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
    """The chip's surroundings: whether its port has DTR and RTS, and where its drive appears."""

    lines: bool
    drives: Path


class Rom(Protocol):
    """What runs first after a reset."""

    def boot(self, line: Line, how: Boot) -> App:
        """Return the firmware to run; serves the loader for Boot.LOADER, and waits if nothing boots.

        Raises BoardReset, from `line`, when the board is reset meanwhile.
        """


def rom(profile: Profile, flash: BoardFlash, wiring: Wiring) -> Rom:
    """Return the boot ROM of a board; raises HarnessError if its chip's family has none."""
    family = family_of(profile)
    if family.rom is None:
        raise HarnessError(f"{profile.id}: boards with chips of the family {family.name} cannot be emulated")
    module, _, function = family.rom.partition(":")
    made: Rom = getattr(importlib.import_module(module), function)(profile, flash, wiring)
    return made


def hang(line: Line) -> App:
    """Do nothing, like a board that has nothing to run, until BoardReset."""
    while True:
        line.read(None)
