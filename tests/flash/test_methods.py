"""Every flashing method against the virtual board that understands it: from blank flash to firmware."""

from __future__ import annotations

from pathlib import Path

import pytest
import serial

from harness.boards import Profile
from harness.emulator.flash_memory import BoardFlash
from harness.errors import BoardError
from harness.flash import xmodem
from harness.flash.method import Region, Target, enter
from harness.flash.xmodem import READY
from harness.runner.reach import Reach
from harness.wire.protocol import connect
from tests.flash.rig import A1101, ESP, WE1, WE2, blob, firmware, in_flash, running

SIZE = 70_001


def flash(target: Target, regions: list[Region]) -> list[str]:
    """Flash regions; return what was done with each."""
    steps: dict[str, list[int]] = {}

    def progress(region: str, done: int, total: int) -> None:
        steps.setdefault(region, []).append(done)
        assert total == next(len(r.data) for r in regions if r.name == region)

    with enter(target) as loader:
        assert loader.virtual
        outcomes = loader.write(regions, progress)
    for region in regions:
        assert steps[region.name] == sorted(steps[region.name])
        assert steps[region.name][0] == 0
        assert steps[region.name][-1] == len(region.data)
    assert all(outcome.verified for outcome in outcomes)
    return [outcome.did for outcome in outcomes]


@pytest.mark.parametrize("board", [ESP, WE1, A1101, WE2], ids=lambda board: board.id)
def test_a_blank_board_runs_what_was_flashed_and_holds_every_byte(board: Profile, tmp_path: Path) -> None:
    regions = [*firmware(board), blob(board, SIZE)]
    with running(board, tmp_path) as (process, target):
        assert flash(target, regions) == ["written"] * len(regions)
        with connect("bench", Reach(board, "", process.url).open()) as session:
            assert session.identify().board == board.id
    for region in regions:
        assert in_flash(board, tmp_path, region) == region.data


def test_what_an_esp32_holds_already_is_not_written_again(tmp_path: Path) -> None:
    regions = [*firmware(ESP), blob(ESP, SIZE)]
    with running(ESP, tmp_path) as (_, target):
        flash(target, regions)
        assert flash(target, regions) == ["same"] * 4
        assert flash(target, [*firmware(ESP, "sscma"), regions[-1]]) == ["same", "same", "written", "same"]


@pytest.mark.parametrize("stub", [True, False])
@pytest.mark.parametrize("compress", [True, False])
def test_an_esp32_is_written_by_rom_or_stub_compressed_or_not(
    tmp_path: Path, stub: bool, compress: bool
) -> None:
    regions = [blob(ESP, SIZE), Region("text", 0x600000, b"compressible " * 5000, "model")]
    with running(ESP, tmp_path) as (_, target):
        options: dict[str, object] = {"stub": stub, "compress": compress}
        assert flash(Target(**{**vars(target), "options": options}), regions) == ["written"] * 2
    for region in regions:
        assert in_flash(ESP, tmp_path, region) == region.data
    around = BoardFlash(ESP, tmp_path)
    assert around.read(0x600000 + len(regions[1].data), 100) == b"\xff" * 100


def test_an_esp32_enters_its_loader_by_dtr_and_rts(tmp_path: Path) -> None:
    regions = firmware(ESP)
    with running(ESP, tmp_path, listen="rfc2217://127.0.0.1:0") as (process, target):
        assert target.press is None
        assert flash(target, regions) == ["written"] * 3
        with connect("bench", Reach(ESP, "", process.url).open()) as session:
            assert session.identify().board == ESP.id


@pytest.mark.parametrize("listen", ["pty", "socket://127.0.0.1:0"])
def test_an_esp32_without_these_lines_is_reached_all_the_same(tmp_path: Path, listen: str) -> None:
    with running(ESP, tmp_path, listen=listen) as (process, _):
        by_hand = Target(ESP, process.url)
        assert flash(by_hand, firmware(ESP)) == ["written"] * 3
        if listen == "pty":
            # The touch at 1200 baud gets it out of its firmware; a socket cannot carry that.
            assert flash(by_hand, firmware(ESP)) == ["same"] * 3


@pytest.mark.parametrize("block", ["128", "1024"])
def test_a_we2_takes_both_block_sizes_and_many_models(tmp_path: Path, block: str) -> None:
    models = [
        Region(f"model {n}", at, blob(WE2, 5000 + n, n).data, "model")
        for n, at in enumerate((0x200000, 0x280000, 0xB7B000))
    ]
    with running(WE2, tmp_path) as (_, target):
        options: dict[str, object] = {"block": block}
        flash(Target(**{**vars(target), "options": options}), [*firmware(WE2), *models])
    for region in models:
        assert in_flash(WE2, tmp_path, region) == region.data


def test_a_we2_whose_firmware_answers_needs_no_button(tmp_path: Path) -> None:
    with running(WE2, tmp_path) as (process, target):
        flash(target, firmware(WE2))
        by_hand = Reach(WE2, process.url, process.url).target()
        assert flash(by_hand, [blob(WE2, 3000)]) == ["written"]
    assert in_flash(WE2, tmp_path, blob(WE2, 3000)) == blob(WE2, 3000).data


def test_a_we2_that_is_reset_while_it_is_sent_a_model_is_sent_it_again(tmp_path: Path) -> None:
    model = blob(WE2, 20_000)
    shown: list[int] = []
    with running(WE2, tmp_path, "--baud", "230400") as (process, target):

        def press_once(region: str, done: int, total: int) -> None:
            if shown and done > total // 4 > max(shown):
                process.press("reset")
            shown.append(done)

        with enter(target) as loader:
            loader.write([model], press_once)
    assert shown.count(0) == 2
    assert in_flash(WE2, tmp_path, model) == model.data


def test_a_we2_that_is_reset_again_and_again_is_given_up(tmp_path: Path) -> None:
    with running(WE2, tmp_path, "--baud", "921600") as (process, target), enter(target) as loader:

        def press(region: str, done: int, total: int) -> None:
            if done == 0:
                process.press("reset")

        with pytest.raises(BoardError, match="the board was reset while it was sent blob; try again"):
            loader.write([blob(WE2, 20_000)], press)


def test_a_we2_that_has_to_be_reset_asks_for_its_button_once(tmp_path: Path) -> None:
    asked: list[str] = []
    with running(WE2, tmp_path) as (process, _):

        def person(text: str) -> None:
            asked.append(text)
            process.press("reset")

        by_hand = Reach(WE2, process.url, process.url).target()
        flash(Target(**{**vars(by_hand), "ask": person}), firmware(WE2))
    assert len(asked) == 1
    assert "press its RESET button" in asked[0]
    assert process.url in asked[0]


def test_the_touch_brings_up_a_we1_s_drive_for_each_file(tmp_path: Path) -> None:
    with running(WE1, tmp_path) as (process, target):
        by_touch = Target(WE1, process.url, drives=target.drives)
        regions = [*firmware(WE1), blob(WE1, SIZE)]
        assert flash(by_touch, regions) == ["written"] * 2
        assert flash(by_touch, [blob(WE1, SIZE, 1)]) == ["written"]
    assert in_flash(WE1, tmp_path, blob(WE1, SIZE, 1)) == blob(WE1, SIZE, 1).data
    swapped = BoardFlash(WE1, tmp_path).read(0x30000000, 4)
    assert swapped == blob(WE1, SIZE, 1).data[:4][::-1]


def test_a_board_started_by_hand_shows_its_drive_where_it_is_looked_for(tmp_path: Path) -> None:
    from harness.emulator.process import BoardProcess

    with BoardProcess(str(WE1.path), ["--flash", str(tmp_path)]) as process:
        assert flash(Target(WE1, process.url), firmware(WE1)) == ["written"]


def test_flash_survives_a_restart_and_the_same_bytes_are_found(tmp_path: Path) -> None:
    regions = [*firmware(ESP), blob(ESP, SIZE)]
    with running(ESP, tmp_path) as (_, target):
        flash(target, regions)
    with running(ESP, tmp_path) as (_, target):
        assert flash(target, regions) == ["same"] * 4


@pytest.mark.soak
@pytest.mark.parametrize("board", [ESP, WE2], ids=lambda board: board.id)
def test_another_device_on_the_port_is_one_clear_line(board: Profile, tmp_path: Path) -> None:
    stranger = {ESP.id: WE1, WE2.id: WE1}[board.id]
    with running(stranger, tmp_path, "--firmware", "sscma") as (process, _):
        target = Target(board, process.url, press=process.press)
        with pytest.raises(BoardError) as error, enter(target):
            pass
    assert "\n" not in str(error.value)
    assert process.url in str(error.value)
    assert {ESP.id: "does not answer", WE2.id: "no boot loader within"}[board.id] in str(error.value)


@pytest.mark.soak
def test_a_we2_left_polling_is_brought_back_to_its_menu(tmp_path: Path) -> None:
    with running(WE2, tmp_path) as (process, _):
        with serial.Serial(process.url, 921600, timeout=3) as port:
            process.press("reset")
            heard = b""
            while READY not in heard:
                port.write(b"1")
                heard += port.read(max(1, port.in_waiting))
        silent = Target(WE2, process.url, press=lambda button: None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(xmodem, "RESET_WAIT_S", 8.0)
            assert flash(silent, firmware(WE2)) == ["written"]
