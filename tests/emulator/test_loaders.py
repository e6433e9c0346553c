"""What a virtual board's boot loader makes of a host that talks nonsense, or breaks off and begins anew."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import boards
from harness.chips import uf2file
from harness.chips.esp32 import VARIANTS
from harness.emulator.boot import Wiring, rom
from harness.emulator.controls import BoardReset, Boot
from harness.emulator.flash_memory import BoardFlash, FlashChip
from harness.emulator.rom import slip
from harness.emulator.rom.esp32_loader import RomLoader
from harness.emulator.rom.we1 import We1Rom
from tests.emulator.lines import MemoryLine

READ_REGISTER, SYNC, MEM_BEGIN, MEM_DATA, DEFLATE_BEGIN, DEFLATE_DATA = 0x0A, 0x08, 0x05, 0x07, 0x10, 0x11
FAMILY = 0xEF32C892
COMMANDS = sorted({*range(2, 21), 0xD0, 0xD1, 0xD2, 0xD3, 0xEE} - {0x04, 0x12})
"""All but those that start the firmware."""
FLASH = FlashChip(1 << 20)
WE2_FLASH = BoardFlash(boards.load("grove_vision_ai_we2"))


def packet(command: int, data: bytes, checked: bytes = b"") -> bytes:
    given = 0xEF
    for byte in checked:
        given ^= byte
    return slip.encode(struct.pack("<BBHI", 0, command, len(data), given) + data)


def answers(*packets: bytes) -> list[tuple[int, int, int]]:
    """Return (command, value, status) of each answer of the ROM's loader."""
    line = MemoryLine(*packets)
    with contextlib.suppress(BoardReset):
        RomLoader(FLASH, line, "esp", VARIANTS["Espressif ESP32-S3"]).serve()
    found = []
    for answer in slip.SlipDecoder().feed(bytes(line.received)):
        _, command, _, value = struct.unpack_from("<BBHI", answer)
        found.append((command, value, answer[-3]))
    return found


NUMBERS = st.sampled_from([0, 1, 64, 4096, 65536, 0x400000, 0xFFFFFFFF]) | st.integers(0, 0xFFFFFFFF)
PACKETS = st.builds(
    lambda command, numbers, rest: packet(command, struct.pack(f"<{len(numbers)}I", *numbers) + rest, rest),
    st.sampled_from(COMMANDS),
    st.lists(NUMBERS, max_size=6),
    st.binary(max_size=40),
)


@given(st.lists(PACKETS | st.binary(max_size=60).map(slip.encode), max_size=8))
def test_whatever_is_sent_the_esp32_s_loader_still_answers(sent: list[bytes]) -> None:
    heard = answers(*sent, packet(SYNC, b""))
    assert [command for command, _, _ in heard[-8:]] == [SYNC] * 8


def test_a_packet_that_is_too_short_is_refused() -> None:
    assert answers(packet(READ_REGISTER, b"\0")) == [(READ_REGISTER, 0, 0x05)]
    assert answers(packet(READ_REGISTER, struct.pack("<I", 0x40001000))) == [(READ_REGISTER, 9, 0)]


def test_more_than_memory_holds_is_refused() -> None:
    begin = packet(MEM_BEGIN, struct.pack("<IIII", 1024, 1, 1024, 0x40370000))
    block = bytes(16384)
    blocks = [packet(MEM_DATA, struct.pack("<IIII", 16384, n, 0, 0) + block) for n in range(20)]
    assert answers(begin, *blocks)[-1] == (MEM_DATA, 0, 0x06)
    bomb = zlib.compress(bytes(64 << 20), 9)
    start = packet(DEFLATE_BEGIN, struct.pack("<IIII", 4096, 1, len(bomb), 0))
    sent = packet(DEFLATE_DATA, struct.pack("<IIII", len(bomb), 0, 0, 0) + bomb, bomb)
    assert answers(start, sent)[-1] == (DEFLATE_DATA, 0, 0x06)


class Drive:
    """A virtual Grove Vision AI that shows its drive, looked at once at a time."""

    def __init__(self, directory: Path) -> None:
        self.board = boards.load("grove_vision_ai")
        self.flash = BoardFlash(self.board)
        self.path = directory / "GROVEAI"
        made = rom(self.board, self.flash, Wiring(lines=False, drives=directory))
        assert isinstance(made, We1Rom)
        self.rom = made

    def taken(self, *steps: tuple[str, bytes]) -> bool:
        """Write files one after the other, each looked at; return whether the last was acknowledged."""
        line = _Steps(self.path, list(steps))
        with contextlib.suppress(BoardReset):
            self.rom.boot(line, Boot.LOADER)
        return not line.steps and not line.waited


class _Steps(MemoryLine):
    """The line of a board whose host does one step whenever the board waits on it."""

    def __init__(self, drive: Path, steps: list[tuple[str, bytes]]) -> None:
        super().__init__()
        self._drive = drive
        self.steps = steps
        self.waited = False

    def read(self, timeout: float | None) -> bytes:
        if timeout is None:
            raise BoardReset  # the drive has gone
        if not self.steps:
            self.waited = True
            raise BoardReset
        name, data = self.steps.pop(0)
        (self._drive / name).write_bytes(data)
        return b""


def test_a_copy_that_was_broken_off_may_be_begun_anew_with_another_file(tmp_path: Path) -> None:
    drive = Drive(tmp_path)
    first, second = (
        uf2file.build(bytes([fill]) * size, 0x10000000, FAMILY) for fill, size in ((1, 9000), (2, 5000))
    )
    assert drive.taken(("firmware.uf2", first[:6000]), ("firmware.uf2", second))
    assert drive.flash.read(0x10000000, 5000) == b"\2" * 5000


def test_a_file_beside_one_that_was_broken_off_is_taken_for_itself(tmp_path: Path) -> None:
    drive = Drive(tmp_path)
    long, short = (uf2file.build(b"\1" * size, 0x10000000, FAMILY) for size in (9000, 2000))
    assert drive.taken(("a.uf2", long[:6000]), ("b.uf2", short))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no UF2 file" * 100,
        uf2file.build(b"other family", 0x10000000, 0xE48BFF56),
        uf2file.build(b"outside of flash", 0x20000000, FAMILY),
    ],
    ids=["nothing", "text", "another chip's", "outside"],
)
def test_what_is_no_file_for_the_board_is_not_acknowledged(tmp_path: Path, content: bytes) -> None:
    drive = Drive(tmp_path)
    assert not drive.taken(("file", content), ("file", content))
    assert drive.flash.read(0x10000000, 1 << 20) == b"\xff" * (1 << 20)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6))
def test_whatever_is_sent_the_we2_s_loader_comes_to_no_harm(sent: list[bytes]) -> None:
    board = boards.load("grove_vision_ai_we2")
    line = MemoryLine(b"1", b"1", *sent)
    with contextlib.suppress(BoardReset):
        rom(board, WE2_FLASH, Wiring(lines=False, drives=Path())).boot(line, Boot.APPLICATION)
    assert line.received.startswith(b"1st BL Modem Build")
