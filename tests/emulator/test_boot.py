"""What a virtual board finds in flash after a reset: firmware that runs, or the real loader's complaint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import boards
from harness.boards import Profile
from harness.chips import filling, partitions
from harness.emulator.board import BoardLine, VirtualBoard, load_firmware, load_models
from harness.emulator.boot import App, Wiring, rom
from harness.emulator.controls import BoardReset, Boot, Controls
from harness.emulator.engine import EngineError
from harness.emulator.engine_process import EngineTemplate
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.tflm_engine import TflmRuntime
from harness.firmware import virtual
from harness.models import bundled, vela
from tests.emulator.lines import MemoryLine
from tests.firmware import made

SMALL = "mnist_mbv2_035_32_int8"
WIRED = Wiring(lines=True, drives=Path("nowhere"))


def booted(board: Profile, flash: BoardFlash, tmp_path: Path) -> tuple[App | None, str]:
    """Return the firmware that was found (None: none) and what was printed meanwhile."""
    line = MemoryLine()
    try:
        app = rom(board, flash, Wiring(lines=True, drives=tmp_path)).boot(line, Boot.APPLICATION)
    except BoardReset:
        app = None
    return app, line.received.decode()


@pytest.mark.parametrize(
    "board_id", ["xiao_esp32s3", "grove_vision_ai", "sensecap_a1101", "grove_vision_ai_we2"]
)
@pytest.mark.parametrize("protocol", ["bench", "sscma"])
def test_the_image_in_flash_says_what_runs(board_id: str, protocol: str, tmp_path: Path) -> None:
    board = boards.load(board_id)
    flash = BoardFlash(board)
    load_firmware(board, flash, protocol)
    app, _ = booted(board, flash, tmp_path)
    assert app is not None
    assert (app.protocol, app.version) == (protocol, filling.VERSION)
    assert app.build_hash == virtual.build_hash(board, virtual.build(board, protocol))


def esp(change: Callable[[BoardFlash], None]) -> tuple[App | None, str]:
    board = boards.load("xiao_esp32s3")
    flash = BoardFlash(board)
    load_firmware(board, flash, "bench")
    change(flash)
    return booted(board, flash, Path())


def at(address: int, data: bytes) -> Callable[[BoardFlash], None]:
    return lambda flash: flash.program(address, data)


def image(address: int, chip: made.Chip) -> Callable[[BoardFlash], None]:
    return at(address, made.boot_loader(chip))


ESP_TROUBLE = {
    "blank": (at(0, b"\xff" * 0x50000), "invalid header: 0xffffffff"),
    "another chip's loader": (image(0, made.C3), "mismatch chip ID, expected 9, found 5"),
    "flipped bit in the loader": (at(0x200, b"\0\1\2"), "csum err:0x"),
    "loader's hash": (at(0x4, b"\1"), "SHA-256 comparison failed:"),
    "no table": (at(0x8000, b"\xff" * 0xC00), "flash_parts: partition 0 invalid magic number 0xffff"),
    "damaged table": (at(0x8004, b"\x77"), "Failed to verify partition table"),
    "table without an application": (
        at(0x8000, made.table(made.NVS)),
        "No bootable app partitions",
    ),
    "no application": (at(0x40000, b"\xff" * 8192), "has invalid magic byte (nothing flashed here?)"),
    "half of an application": (at(0x40100, b"\xff" * 8192), "image at 0x40000 is not whole: "),
    "another chip's application": (image(0x40000, made.PLAIN), "mismatch chip ID, expected 9, found 0"),
    "flipped bit in the application": (at(0x40300, b"\0\1\2"), "esp_image: Checksum failed. Calculated 0x"),
    "application's hash": (at(0x40004, b"\1"), "Image hash failed - image is corrupt"),
    "a real program": (image(0x40000, made.S3), "a program for the chip, which cannot run here"),
}


@pytest.mark.parametrize("trouble", ESP_TROUBLE)
def test_an_esp32s3_says_why_it_does_not_boot(trouble: str) -> None:
    change, message = ESP_TROUBLE[trouble]
    app, printed = esp(change)
    assert app is None
    assert message in printed
    assert printed.startswith("ESP-ROM:esp32s3-20210327\r\n")


def test_without_a_partition_for_models_there_are_none() -> None:
    parts = [partitions.Partition("factory", 0, 0, 0x40000, 0x390000)]
    app, printed = esp(at(0x8000, partitions.build(parts)))
    assert app is not None
    assert app.regions == ()
    assert "no partition 'models' at 0x400000" in printed


@pytest.mark.parametrize(
    ("board_id", "blank", "other"),
    [
        (
            "grove_vision_ai_we2",
            "himax_sec_SB_image_process FAIL",
            "the image is for HX6537-A, this is HX6538",
        ),
        ("grove_vision_ai", "verification fail : sec_code = 0x3", "verification fail : sec_code = 0x4"),
    ],
)
def test_a_himax_board_says_why_it_does_not_boot(
    board_id: str, blank: str, other: str, tmp_path: Path
) -> None:
    board = boards.load(board_id)
    flash = BoardFlash(board)
    assert booted(board, flash, tmp_path) == (None, booted(board, flash, tmp_path)[1])
    assert blank in booted(board, flash, tmp_path)[1]
    load_firmware(board, flash, "bench")
    middle = board.flash.image_offset + 2000
    flash.program(middle, bytes([flash.read(middle, 1)[0] ^ 1]))
    app, printed = booted(board, flash, tmp_path)
    assert app is None
    assert "FAIL" in printed or "sec_code = 0x4" in printed
    stranger = boards.load("we2" if board_id == "grove_vision_ai" else "grove_vision_ai")
    flash.program(board.flash.image_offset, virtual.build(stranger, "bench")[0][2])
    app, printed = booted(board, flash, tmp_path)
    assert app is None
    assert other in printed


@pytest.mark.parametrize(
    ("board_id", "data"), [("grove_vision_ai_we2", made.we2()), ("grove_vision_ai", made.we1())]
)
def test_a_himax_board_says_that_a_vendor_s_program_cannot_run_here(
    board_id: str, data: bytes, tmp_path: Path
) -> None:
    board = boards.load(board_id)
    flash = BoardFlash(board)
    flash.program(board.flash.image_offset, data)
    app, printed = booted(board, flash, tmp_path)
    assert app is None
    assert "virtual board: " in printed
    assert "cannot run here" in printed


def started(board: Profile, flash: BoardFlash) -> str:
    """Return what a board prints from power-on until its firmware waits for the host."""
    line = MemoryLine()
    controls = Controls(dtr_rts=False, touch_baud=None)
    with pytest.raises(_Over):
        VirtualBoard(board, flash, rom(board, flash, WIRED), _NoEngines()).power_on(_Once(line, controls))
    return line.received.decode("ascii", "replace")


class _NoEngines(EngineTemplate):
    """A boot needs no engine."""

    def __init__(self) -> None:
        pass

    def prepare(self) -> None:
        pass


class _Over(Exception):
    """The board was reset once."""


class _Once(BoardLine):
    def out_of_reset(self) -> Boot:
        raise _Over


def test_the_firmware_complains_of_flash_without_a_model() -> None:
    board = boards.load("grove_vision_ai")
    flash = BoardFlash(board)
    load_firmware(board, flash, "bench")
    assert "no model in flash at 0x30000000" in started(board, flash)
    load_models(board, flash, [SMALL])
    assert "no model" not in started(board, flash)


def test_a_model_for_another_npu_fails_with_the_words_of_arm_s_driver() -> None:
    board = boards.load("grove_vision_ai_we2")
    assert board.vela
    flash = BoardFlash(board)
    load_firmware(board, flash, "bench")
    made = vela.compile(
        bundled.build(SMALL), SMALL, accelerator="ethos-u55-128", settings=board.vela.settings()
    )
    flash.program(0x400000, made.data)
    runtime = TflmRuntime(board, flash)
    [image] = runtime.load(0x400000).inputs
    with pytest.raises(EngineError, match=r"npu\.macs_per_cc=6 optimizer\.macs_per_cc=7"):
        runtime.invoke([bytes(image.bytes)], False)


def test_the_core_of_a_we1_reads_words_the_right_way_round_and_flash_holds_them_swapped() -> None:
    board = boards.load("grove_vision_ai")
    flash = BoardFlash(board)
    flash.program_for_core(0x30000000, b"\x1c\x00\x00\x00TFL3rest")
    assert flash.read(0x30000000, 8) == b"\x00\x00\x00\x1c3LFT"
    assert flash.read_by_core(0x30000004, 4) == b"TFL3"
    assert flash.read_by_core(0x30000005, 6) == b"FL3res"
    flash.program_for_core(0x10000000, b"code")
    assert flash.read(0x10000000, 4) == b"code"
