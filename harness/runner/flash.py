"""Flash: bring firmware and model onto the board."""

from __future__ import annotations

from pathlib import Path

from harness.emulator.flash_memory import BoardFlash
from harness.runner.prepare import Prepared


def program_virtual(prepared: Prepared, directory: Path) -> None:
    """Put the model into the flash memory, kept in `directory`, that a virtual board will start with."""
    board = prepared.job.board
    BoardFlash(board, directory).program(board.flash.model_region.offset, prepared.deployed.data)
