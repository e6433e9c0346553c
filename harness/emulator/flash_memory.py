"""The NOR flash of a virtual board: erased to 0xFF, kept in a file where it should survive a restart."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from harness.errors import HarnessError

ERASED = 0xFF


class FlashMemory:
    """`size` bytes of flash, in memory or in a file of exactly that size."""

    def __init__(self, size: int, path: Path | None = None) -> None:
        """Open the flash kept in `path`, or blank flash where there is no such file.

        Raises:
            HarnessError: the file is of another size or cannot be opened.
        """
        self.size = size
        if path is None:
            self._cells = mmap.mmap(-1, size)
            self._cells[:] = bytes([ERASED]) * size
            return
        try:
            fresh = not path.exists() or path.stat().st_size == 0
            with open(path, "w+b" if fresh else "r+b") as file:
                if fresh:
                    file.write(bytes([ERASED]) * size)
                    file.flush()
                elif os.fstat(file.fileno()).st_size != size:
                    found = os.fstat(file.fileno()).st_size
                    raise HarnessError(f"{path}: holds {found} bytes, but this board's flash has {size}")
                self._cells = mmap.mmap(file.fileno(), size)
        except OSError as error:
            raise HarnessError(f"{path}: cannot be used as flash memory: {error.strerror}") from None

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; what lies past the end reads as nothing."""
        return self._cells[offset : min(offset + length, self.size)]

    def program(self, offset: int, data: bytes) -> None:
        """Write `data` at `offset` (erase and program in one).

        Raises:
            ValueError: the data would reach past the end of the flash.
        """
        if offset < 0 or offset + len(data) > self.size:
            raise ValueError(f"{len(data)} bytes at {offset:#x} reach past the {self.size:#x} bytes of flash")
        self._cells[offset : offset + len(data)] = data

    def erase(self, offset: int, length: int) -> None:
        """Set `length` bytes from `offset` to 0xFF."""
        self.program(offset, bytes([ERASED]) * length)

    def flush(self) -> None:
        """Bring the contents to the file."""
        self._cells.flush()
