"""Virtual boards to flash, and what goes onto them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import boards
from harness.boards import Profile
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.process import BoardProcess
from harness.firmware import virtual
from harness.flash.method import FlashFile, Target


@contextmanager
def running(
    board: Profile, directory: Path, *options: str, listen: str | None = None
) -> Iterator[tuple[BoardProcess, Target]]:
    """Yield a blank virtual board that keeps its flash in `directory`, and how it is flashed."""
    drives = directory / "drives"
    arguments = ["--flash", str(directory), "--drive", str(drives), *options]
    with BoardProcess(str(board.path), arguments, listen=listen) as process:
        press = None if listen and listen.startswith("rfc2217") else process.press
        yield process, Target(board, process.url, press=press, drives=(drives,))


def firmware(board: Profile, protocol: str = "bench") -> list[FlashFile]:
    """Return the virtual firmware as files."""
    return [FlashFile(n, at, data, "firmware") for n, at, data in virtual.build(board, protocol)]


def blob(board: Profile, size: int, seed: int = 0) -> FlashFile:
    """Return incompressible bytes for the board's model region."""
    data = random.Random(seed).randbytes(size)
    return FlashFile("blob", board.flash.model_region.offset, data, "model")


def in_flash(board: Profile, directory: Path, file: FlashFile) -> bytes:
    """Return what a board's flash holds where a file goes, as its core reads it."""
    return BoardFlash(board, directory).read_by_core(file.address, len(file.data))


ESP, WE1, WE2 = (boards.load(name) for name in ("xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2"))
A1101 = boards.load("sensecap_a1101")
