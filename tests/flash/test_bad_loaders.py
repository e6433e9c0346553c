"""Loaders that answer garbage, something else, or never: one clear line, and the board is left bootable."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.boards import Profile
from harness.errors import BoardError, HarnessError
from harness.flash import uf2, xmodem
from harness.flash.method import FlashFile, Target, enter
from harness.runner.reach import Reach
from harness.wire.port import PortError
from harness.wire.protocol import connect
from tests.flash.rig import ESP, WE1, WE2, blob, firmware, running


@contextmanager
def talking(words: bytes) -> Iterator[str]:
    """Yield a port at which something says `words` over and over, whatever it is sent."""
    master, slave = os.openpty()
    tty.setraw(slave)
    ended = threading.Event()

    os.set_blocking(master, False)

    def talk() -> None:
        while not ended.wait(0.02):
            with contextlib.suppress(BlockingIOError):  # nobody reads
                os.write(master, words)

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        talker.join()
        os.close(slave)
        os.close(master)


@pytest.mark.parametrize("board", [ESP, WE2], ids=lambda board: board.id)
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (b"", {ESP.id: "does not answer", WE2.id: "the line is silent"}),
        (random.Random(3).randbytes(200), {ESP.id: "does not answer", WE2.id: "what came was"}),
        (b'\r{"type": 1, "name": "INVOKE"}\n', {ESP.id: "does not answer", WE2.id: "what came was"}),
    ],
    ids=["silence", "garbage", "another firmware"],
)
def test_a_loader_that_is_not_there_is_one_clear_line(
    board: Profile, words: bytes, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xmodem, "RESET_WAIT_S", 0.5)
    with (
        talking(words) as url,
        pytest.raises(BoardError, match=expected[board.id]) as error,
        enter(Target(board, url, press=lambda button: None)),
    ):
        pass
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(url)
    assert str(error.value).isprintable()


def test_a_drive_that_never_appears_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uf2, "APPEAR_S", 0.3)
    with (
        talking(b"") as url,
        pytest.raises(BoardError, match="no drive GROVEAI within") as error,
        enter(Target(WE1, url, drives=(tmp_path,))),
    ):
        pass
    assert "press the board's button twice" in str(error.value)


def test_a_file_that_the_drive_does_not_take_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uf2, "TAKE_S", 0.3)
    (tmp_path / "GROVEAI").mkdir()
    (tmp_path / "GROVEAI" / "INFO_UF2.TXT").write_text("Model: somebody's\n")
    with enter(Target(WE1, None, drives=(tmp_path,))) as loader:
        assert not loader.virtual
        with pytest.raises(BoardError, match="the drive is still there"):
            loader.write([blob(WE1, 1000)], lambda *_: None)


def test_several_drives_ask_for_a_choice(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place / "GROVEAI").mkdir(parents=True)
        (tmp_path / place / "GROVEAI" / "INFO_UF2.TXT").write_text("")
    target = Target(WE1, None, drives=(tmp_path / "a", tmp_path / "b"))
    with pytest.raises(HarnessError, match=r"several boot loaders' drives are there.*--drive"), enter(target):
        pass


@pytest.mark.parametrize("board", [ESP, WE2], ids=lambda board: board.id)
def test_a_port_that_is_not_there_is_named(board: Profile) -> None:
    with pytest.raises(PortError, match="no port /dev/nowhere"), enter(Target(board, "/dev/nowhere")):
        pass


@pytest.mark.parametrize("board", [ESP, WE1, WE2], ids=lambda board: board.id)
def test_a_board_whose_loader_is_entered_for_nothing_starts_its_firmware_again(
    board: Profile, tmp_path: Path
) -> None:
    with running(board, tmp_path, "--firmware", "bench") as (process, target):

        class Mind(Exception):
            pass

        if board is not WE1:  # a drive stays until it gets a file
            with pytest.raises(Mind), enter(target):
                raise Mind
        with connect("bench", Reach(board, "", process.url).open()) as session:
            assert session.identify().board == board.id


def test_a_virtual_image_is_refused_by_hardware_and_says_how_to_get_a_real_one(tmp_path: Path) -> None:
    """A drive that does not call itself virtual stands for hardware."""
    from harness.runner.flash import flash

    (tmp_path / "GROVEAI").mkdir()
    (tmp_path / "GROVEAI" / "INFO_UF2.TXT").write_text("Model: Grove Vision AI\nBoard-ID: real\n")
    reached = Reach(WE1, "drive:", None, drives=(tmp_path,))
    with pytest.raises(
        HarnessError, match=r"no bench firmware for the hardware .*PROTOCOL\.md.*firmware add"
    ):
        flash(reached, [], "bench", lambda *_: None)
    with pytest.raises(HarnessError, match="runs on the virtual grove_vision_ai only"):
        flash(reached, firmware(WE1), None, lambda *_: None)
    assert [path.name for path in (tmp_path / "GROVEAI").iterdir()] == ["INFO_UF2.TXT"]


@pytest.mark.parametrize("board", [ESP, WE2], ids=lambda board: board.id)
def test_a_board_that_dies_in_the_middle_is_one_clear_line(board: Profile, tmp_path: Path) -> None:
    with running(board, tmp_path) as (process, target):
        files = [FlashFile("big", 0x400000, blob(board, 300_000).data, "model")]

        def cut(file: str, done: int, total: int) -> None:
            if done > 50_000:
                os.kill(process.pid, 9)

        with pytest.raises(BoardError, match="went away") as error, enter(target) as loader:
            loader.write(files, cut)
    assert "\n" not in str(error.value)
    assert process.url in str(error.value)
