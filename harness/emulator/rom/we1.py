"""The boot loaders of a virtual Grove Vision AI or SenseCAP A1101: the SoC's, and the drive of its USB chip.

A directory stands for the drive. It appears in boot-loader mode with INFO_UF2.TXT in it, takes a UF2 file
that is copied there, and disappears when all of it has been burnt. What the SoC prints about an image that
it does not take: Seeed Studio's forum, topic 270246.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.boards import Profile
from harness.emulator.boot import App, Wiring, hang
from harness.emulator.controls import Boot
from harness.emulator.engine import Line
from harness.emulator.flash_memory import BoardFlash
from harness.errors import HarnessError
from harness.firmware import container, uf2file, virtual
from harness.firmware.container import NotAContainer
from harness.firmware.uf2file import BLOCK_BYTES, NotUf2

INFO = "INFO_UF2.TXT"
SECTOR = 4096
_LOOK_S = 0.01
"""How often the drive is looked at for a file."""


class We1Rom:
    """Boots the image in flash, or shows the drive and burns what is copied to it."""

    def __init__(self, profile: Profile, flash: BoardFlash, wiring: Wiring) -> None:
        assert profile.flash.uf2
        self._profile = profile
        self._uf2 = profile.flash.uf2
        self._soc = container.SOCS[profile.chip.name]
        self._flash = flash
        self._drive = wiring.drives / self._uf2.drive_labels[0]
        shutil.rmtree(self._drive, ignore_errors=True)  # of a run that was cut off

    def boot(self, line: Line, how: Boot) -> App:
        """See Rom.boot."""
        if how is Boot.LOADER:
            self._serve_drive(line)
        return self._start(line)

    def _start(self, line: Line) -> App:
        offset = self._profile.flash.image_offset
        chip = self._flash.chip(offset)
        try:
            image = container.read(chip.read(offset, chip.size))
        except NotAContainer:
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

    def _serve_drive(self, line: Line) -> None:
        """Show the drive until a whole UF2 file has been burnt."""
        try:
            self._drive.mkdir(parents=True)
            (self._drive / INFO).write_text(
                "UF2 Bootloader v2.0.1\r\n"
                f"Model: {self._profile.name} {virtual.MARK}\r\n"
                f"Board-ID: {self._profile.id}-virtual\r\n"
            )
        except OSError as error:
            raise HarnessError(f"{self._drive}: cannot show the drive here: {error.strerror}") from None
        try:
            burner = _Burner(self._flash, self._uf2.family_id)
            while not self._look(burner):
                line.read(_LOOK_S)
        finally:
            shutil.rmtree(self._drive, ignore_errors=True)

    def _look(self, burner: _Burner) -> bool:
        """Burn what has come to the drive; return whether a file is complete."""
        for path in sorted(self._drive.iterdir()):
            if path.name != INFO and path.is_file() and burner.take(path):
                return True
        return False


class _File:
    """A file on the drive, as far as it has been burnt."""

    def __init__(self) -> None:
        self.seen = b""
        self.numbers: set[int] = set()
        self.erased: set[int] = set()


class _Burner:
    """Burns blocks as they come; a file is complete when each of its blocks has been burnt."""

    def __init__(self, flash: BoardFlash, family: int) -> None:
        self._flash = flash
        self._family = family
        self._files: dict[Path, _File] = {}

    def take(self, path: Path) -> bool:
        """Burn the blocks that are new in a file; return whether that was the last."""
        try:
            data = path.read_bytes()
        except OSError:
            return False  # renamed or removed meanwhile
        file = self._files.setdefault(path, _File())
        if not data.startswith(file.seen):
            # Begun anew, after a copy that was broken off.
            file = self._files[path] = _File()
        start = len(file.seen)
        end = len(data) - len(data) % BLOCK_BYTES
        file.seen = data[:end]
        return any(self._block(file, data[at : at + BLOCK_BYTES]) for at in range(start, end, BLOCK_BYTES))

    def _block(self, file: _File, data: bytes) -> bool:
        try:
            block = uf2file.read_block(data)
        except NotUf2:
            return False
        if block.family != self._family:
            return False  # another chip's: UF2 has it ignored
        try:
            chip = self._flash.chip(block.address, len(block.payload))
        except ValueError:
            return False
        for sector in range(block.address // SECTOR, -(-(block.address + len(block.payload)) // SECTOR)):
            if sector not in file.erased:
                file.erased.add(sector)
                chip.erase(sector * SECTOR, SECTOR)
        chip.program(block.address, block.payload)
        file.numbers.add(block.number)
        return len(file.numbers) == block.total


def rom(profile: Profile, flash: BoardFlash, wiring: Wiring) -> We1Rom:
    """Return the boot loader of a board with a WE1."""
    return We1Rom(profile, flash, wiring)
