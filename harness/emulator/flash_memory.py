"""The NOR flash of a virtual board: erased to 0xFF, kept in files if it is to survive a restart."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from harness.boards import Profile
from harness.chips.uf2file import swap_words
from harness.errors import HarnessError
from harness.models.cache import write_atomically

ERASED = 0xFF


class FlashChip:
    """`size` bytes of flash from address `base` on, in memory or in a file of exactly that size."""

    def __init__(self, size: int, path: Path | None = None, base: int = 0) -> None:
        """Open the flash kept in `path`, or blank flash if there is no such file.

        Raises:
            HarnessError: the file is of another size or cannot be opened.
        """
        self.size = size
        self.base = base
        if path is None:
            self._cells = mmap.mmap(-1, size)
            self._cells[:] = bytes([ERASED]) * size
            return
        try:
            if not path.exists() or path.stat().st_size == 0:
                # All or nothing: if this process is killed, the next start must not find half a flash.
                write_atomically(path, bytes([ERASED]) * size)
            with open(path, "r+b") as file:
                found = os.fstat(file.fileno()).st_size
                if found != size:
                    raise HarnessError(f"{path}: holds {found} bytes, but this board's flash has {size}")
                self._cells = mmap.mmap(file.fileno(), size)
        except OSError as error:
            raise HarnessError(f"{path}: cannot be used as flash memory: {error.strerror}") from None

    def covers(self, address: int, length: int) -> bool:
        """Say whether all of `length` bytes from `address` are in this chip."""
        return self.base <= address and address + length <= self.base + self.size

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes from `address`; bytes outside the chip are left out."""
        start = max(address - self.base, 0)
        return self._cells[start : max(min(address - self.base + length, self.size), start)]

    def program(self, address: int, data: bytes) -> None:
        """Write `data` at `address` (erase and program in one).

        Raises:
            ValueError: not all of it is in this chip.
        """
        if not self.covers(address, len(data)):
            raise ValueError(f"{len(data)} bytes at {address:#x} are not all in flash")
        start = address - self.base
        self._cells[start : start + len(data)] = data

    def erase(self, address: int, length: int) -> None:
        """Set `length` bytes from `address` to 0xFF."""
        self.program(address, bytes([ERASED]) * length)


class BoardFlash:
    """All flash of a board under one map of addresses, as its profile gives them."""

    def __init__(self, profile: Profile, directory: Path | None = None) -> None:
        """Make blank flash, or open what `directory` keeps: one file for each flash memory.

        Raises:
            HarnessError: the directory or a file in it cannot be used.
        """
        if directory is not None:
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise HarnessError(f"{directory}: cannot keep flash memory here: {error.strerror}") from None
        self.chips = {
            memory.name: FlashChip(
                memory.size_bytes, directory / f"{memory.name}.bin" if directory else None, memory.base
            )
            for memory in profile.memories
            if memory.kind == "flash"
        }
        swapped = set(profile.flash.word_swapped)
        self._swapped = [region for region in profile.flash.regions if set(region.holds) & swapped]

    def chip(self, address: int, length: int = 1) -> FlashChip:
        """Return the chip that holds `length` bytes from `address`; raises ValueError if none does."""
        for chip in self.chips.values():
            if chip.covers(address, length):
                return chip
        raise ValueError(f"{length} bytes at {address:#x} are not all in flash")

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes from `address`; raises ValueError if not all are in flash."""
        return self.chip(address, length).read(address, length)

    def program(self, address: int, data: bytes) -> None:
        """Write `data` at `address`; raises ValueError if not all of it is in flash."""
        self.chip(address, len(data)).program(address, data)

    def read_by_core(self, address: int, length: int) -> bytes:
        """Return `length` bytes as the core reads them where flash is mapped; raises ValueError.

        On the WE1 the core sees each 32-bit word of the model flash with its bytes reversed, which is why
        the boot loader is given them reversed: the flash cells hold what was in the UF2 file.
        """
        if not self._is_swapped(address, length):
            return self.read(address, length)
        first = address - address % 4
        words = swap_words(self.read(first, -(-(address + length - first) // 4) * 4))
        return words[address - first : address - first + length]

    def program_for_core(self, address: int, data: bytes) -> None:
        """Write `data` so that the core reads it at `address` (of a word); raises ValueError."""
        swapped = self._is_swapped(address, len(data))
        self.program(address, swap_words(data) if swapped else data)

    def _is_swapped(self, address: int, length: int) -> bool:
        return any(region.offset < address + length and address < region.end for region in self._swapped)
