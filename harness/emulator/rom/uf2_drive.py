"""The drive that a virtual board's boot loader shows, and burning the UF2 files that are copied to it.

A directory stands for the drive. It appears in boot-loader mode with INFO_UF2.TXT in it, takes a UF2 file
that is copied there, and disappears when all of it has been burnt.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.boards.profile import Uf2
from harness.chips import uf2file
from harness.chips.uf2file import BLOCK_BYTES, NotUf2
from harness.emulator.engine import Line
from harness.emulator.flash_memory import BoardFlash
from harness.errors import HarnessError

INFO = "INFO_UF2.TXT"
SECTOR = 4096
_LOOK_S = 0.01
"""How often to look for a file on the drive."""


class Uf2Drive:
    """The drive of one board."""

    def __init__(self, uf2: Uf2, flash: BoardFlash, drives: Path, info: str) -> None:
        """`drives` is the directory in which it appears, `info` what its INFO_UF2.TXT says."""
        self._uf2 = uf2
        self._flash = flash
        self._info = info
        self._path = drives / uf2.drive_labels[0]
        shutil.rmtree(self._path, ignore_errors=True)  # left behind by a run that was killed

    def serve(self, line: Line) -> None:
        """Show the drive until a whole UF2 file has been burnt; raises BoardReset, from `line`."""
        try:
            self._path.mkdir(parents=True)
            (self._path / INFO).write_text(self._info)
        except OSError as error:
            raise HarnessError(f"{self._path}: cannot show the drive here: {error.strerror}") from None
        try:
            burner = _Burner(self._flash, self._uf2.family_id)
            while not self._look(burner):
                line.read(_LOOK_S)
        finally:
            shutil.rmtree(self._path, ignore_errors=True)

    def _look(self, burner: _Burner) -> bool:
        """Burn what has come to the drive; return whether a file is complete."""
        for path in sorted(self._path.iterdir()):
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
            # The copy was started again after it had been broken off.
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
            return False  # another chip's: UF2 says to ignore it
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
