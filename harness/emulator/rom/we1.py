"""The boot loaders of a virtual Grove Vision AI or SenseCAP A1101: the SoC's, and the drive of its USB chip.

What the SoC prints about an image that it does not take: Seeed Studio's forum, topic 270246.
"""

from __future__ import annotations

from harness.boards import Profile
from harness.chips import container, filling, wiseeye
from harness.chips.container import NotAContainer
from harness.chips.himax import SOCS
from harness.emulator.boot import App, Wiring, hang
from harness.emulator.controls import Boot
from harness.emulator.engine import Line
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.rom.uf2_drive import Uf2Drive


class We1Rom:
    """Boots the image in flash, or shows the drive and burns what is copied to it."""

    def __init__(self, profile: Profile, flash: BoardFlash, wiring: Wiring) -> None:
        assert profile.flash.uf2
        self._offset = profile.flash.image_offset
        self._soc = SOCS[profile.chip.name]
        self._flash = flash
        info = (
            "UF2 Bootloader v2.0.1\r\n"
            f"Model: {profile.name} {filling.MARK}\r\n"
            f"Board-ID: {profile.id}-virtual\r\n"
        )
        self._drive = Uf2Drive(profile.flash.uf2, flash, wiring.drives, info)

    def boot(self, line: Line, how: Boot) -> App:
        if how is Boot.LOADER:
            self._drive.serve(line)
        chip = self._flash.chip(self._offset)
        try:
            image = container.read(chip.read(self._offset, chip.size))
        except NotAContainer:
            if wiseeye.soc_of(chip.read(self._offset, 4)) is not None:
                line.write(b"virtual board: this image is a program for the chip, which cannot run here\r\n")
                return hang(line)
            return self._fail(line, 0x3)
        if image.soc != self._soc or image.sha256 != image.stored_sha256:
            return self._fail(line, 0x4)
        line.write(b"bootloader pass\r\n")
        return App(image.protocol, image.version, image.sha256.hex())

    def _fail(self, line: Line, code: int) -> App:
        line.write(
            f"memory descriptor verification fail : sec_code = {code:#x}\r\n"
            "bootloader fail (main-1943)\r\n".encode()
        )
        return hang(line)
