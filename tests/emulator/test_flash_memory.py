"""Flash memory of a virtual board: erased to ones, bounded, and kept in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.emulator.flash_memory import FlashMemory
from harness.errors import HarnessError


def test_new_flash_is_blank_and_takes_what_is_programmed() -> None:
    flash = FlashMemory(4096)
    assert flash.read(0, 4096) == b"\xff" * 4096
    flash.program(100, b"model")
    assert flash.read(99, 7) == b"\xffmodel\xff"
    flash.erase(101, 2)
    assert flash.read(100, 5) == b"m\xff\xffel"


def test_contents_survive_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    FlashMemory(4096, path).program(0, b"kept")
    again = FlashMemory(4096, path)
    assert again.read(0, 5) == b"kept\xff"
    assert path.stat().st_size == 4096


def test_programming_past_the_end_is_refused_and_changes_nothing() -> None:
    flash = FlashMemory(16)
    with pytest.raises(ValueError, match="reach past"):
        flash.program(12, b"12345")
    assert flash.read(0, 16) == b"\xff" * 16


def test_a_file_of_another_size_is_named_with_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    path.write_bytes(b"\xff" * 10)
    with pytest.raises(HarnessError, match="holds 10 bytes, but this board's flash has 4096"):
        FlashMemory(4096, path)
