"""Flash memory of a virtual board: erased to ones, bounded, and kept in files."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from harness import boards
from harness.emulator.flash_memory import BoardFlash, FlashChip
from harness.errors import HarnessError


def test_new_flash_is_blank_and_takes_what_is_programmed() -> None:
    flash = FlashChip(4096, base=0x1000)
    assert flash.read(0x1000, 4096) == b"\xff" * 4096
    flash.program(0x1064, b"model")
    assert flash.read(0x1063, 7) == b"\xffmodel\xff"
    flash.erase(0x1065, 2)
    assert flash.read(0x1064, 5) == b"m\xff\xffel"


def test_contents_survive_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    FlashChip(4096, path).program(0, b"kept")
    assert FlashChip(4096, path).read(0, 5) == b"kept\xff"
    assert path.stat().st_size == 4096


@pytest.mark.parametrize("address", [12, 16, 0xFFFFFFFF])
def test_programming_past_the_end_is_refused_and_changes_nothing(address: int) -> None:
    flash = FlashChip(16)
    with pytest.raises(ValueError, match="not all in flash"):
        flash.program(address, b"12345")
    assert flash.read(0, 16) == b"\xff" * 16
    assert flash.read(address, 100) == b"\xff" * max(0, 16 - address)


def test_a_file_of_another_size_is_named_with_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    path.write_bytes(b"\xff" * 10)
    with pytest.raises(HarnessError, match="holds 10 bytes, but this board's flash has 4096"):
        FlashChip(4096, path)


def test_a_disk_that_fills_up_leaves_no_half_of_a_flash_memory(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs POSIX limits")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(HarnessError, match="cannot be used as flash memory"):
            FlashChip(1 << 20, tmp_path / "flash.bin")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


def test_a_board_with_two_flash_memories_has_both_under_one_map(tmp_path: Path) -> None:
    profile = boards.load("grove_vision_ai")
    flash = BoardFlash(profile, tmp_path / "kept")
    flash.program(0x10000000, b"firmware")
    flash.program(0x30100000, b"model")
    again = BoardFlash(profile, tmp_path / "kept")
    assert again.read(0x10000000, 8) == b"firmware"
    assert again.read(0x30100000, 5) == b"model"
    with pytest.raises(ValueError, match="0x20000000"):
        again.read(0x20000000, 1)
