"""The boot ROM of a virtual RP2040, which says nothing on a serial line.

RP2040 Datasheet, 2.8 (Bootrom): the second stage in flash is run if its CRC is right, else the drive RPI-RP2
appears, as it does with BOOTSEL held. Text of INFO_UF2.TXT: the same, 2.8.4.
"""

from __future__ import annotations

from harness.boards import Profile
from harness.chips import container, filling
from harness.chips.container import NotAContainer
from harness.chips.rp2040 import SECOND_STAGE_BYTES, SOC, boots
from harness.emulator.boot import App, Wiring, hang
from harness.emulator.controls import Boot
from harness.emulator.engine import Line
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.rom.uf2_drive import Uf2Drive

_INFO = f"UF2 Bootloader v2.0\r\nModel: Raspberry Pi RP2 {filling.MARK}\r\nBoard-ID: RPI-RP2\r\n"


class Rp2040Rom:
    """Boots the image in flash, or shows the drive until there is one."""

    def __init__(self, profile: Profile, flash: BoardFlash, wiring: Wiring) -> None:
        assert profile.flash.uf2
        self._offset = profile.flash.image_offset
        self._flash = flash
        self._drive = Uf2Drive(profile.flash.uf2, flash, wiring.drives, _INFO)

    def boot(self, line: Line, how: Boot) -> App:
        if how is Boot.LOADER:
            self._drive.serve(line)
        chip = self._flash.chip(self._offset)
        while not boots(chip.read(self._offset, SECOND_STAGE_BYTES)):
            self._drive.serve(line)
        try:
            image = container.read(chip.read(self._offset + SECOND_STAGE_BYTES, chip.size))
        except NotAContainer:
            line.write(b"virtual board: this image is a program for the chip, which cannot run here\r\n")
            return hang(line)
        if image.soc != SOC or image.sha256 != image.stored_sha256:
            line.write(b"virtual board: this image is damaged, or for another chip: it cannot run here\r\n")
            return hang(line)
        return App(image.protocol, image.version, image.sha256.hex())


def rom(profile: Profile, flash: BoardFlash, wiring: Wiring) -> Rp2040Rom:
    """Return the boot ROM of a board with an RP2040."""
    return Rp2040Rom(profile, flash, wiring)
