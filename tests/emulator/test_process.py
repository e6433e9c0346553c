"""Virtual boards as child processes: how they start, what they say, how they end."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from harness.chips import console
from harness.emulator.process import BoardProcess
from harness.errors import BoardError
from harness.wire.patience import Patience
from harness.wire.port import open_port
from harness.wire.protocol import connect
from harness.wire.session import NoAnswer


def test_a_board_that_does_not_start_says_why() -> None:
    with pytest.raises(BoardError, match="virtual xiao_esp32s3 did not start: no file and no bundled model"):
        BoardProcess("xiao_esp32s3", ["--model", "nosuch"])


@pytest.mark.skipif(sys.platform == "win32", reason="processes end otherwise there")
def test_a_board_that_crashed_is_said_to_have() -> None:
    with BoardProcess("xiao_esp32s3") as board:
        os.kill(board.pid, signal.SIGSEGV)
        while board.exit_code is None:
            time.sleep(0.01)
        assert board.last_words() == "ended by a signal (Segmentation fault)"


def test_a_board_that_breaks_is_told_by_the_last_line_of_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "sitecustomize.py"
    broken.write_text(
        "import harness.emulator.board as board\n"
        "def fail(*_): raise ValueError('the board has a screw loose')\n"
        "board.VirtualBoard.power_on = fail\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with BoardProcess("we2") as board, open_port(board.url):
        while board.exit_code is None:
            time.sleep(0.01)
        assert board.last_words() == "ValueError: the board has a screw loose"


@pytest.mark.skipif(sys.platform == "win32", reason="processes end otherwise there")
def test_two_boards_do_not_share_their_flash_memory(tmp_path: Path) -> None:
    options = ["--flash", str(tmp_path)]
    with BoardProcess("we2", options) as first:
        with pytest.raises(BoardError, match=f"{tmp_path}: another virtual board keeps its flash here"):
            BoardProcess("we2", options)
        os.kill(first.pid, signal.SIGKILL)
    with BoardProcess("we2", options) as again:
        assert again.url


@pytest.mark.skipif(sys.platform != "linux", reason="emulated boards exist for Linux alone")
@pytest.mark.parametrize("listen", ["pty", "socket://127.0.0.1:0"])
def test_a_board_is_switched_on_by_the_host_that_opens_its_port_and_its_boot_text_is_not_lost(
    listen: str,
) -> None:
    with BoardProcess("grove_vision_ai", ["--firmware", "none"], listen=listen) as board:
        time.sleep(0.3)  # in which it would have said all that it has to say
        with pytest.raises(NoAnswer, match=r"no firmware boots on it \(bootloader fail \(main-1943\)\)"):
            connect("bench", open_port(board.url), Patience(first_sign_s=60.0, trouble=console.trouble))


@pytest.mark.skipif(sys.platform != "linux", reason="emulated boards exist for Linux alone")
def test_what_a_blank_esp32s3_says_is_heard_behind_rfc_2217_too() -> None:
    options = ["--firmware", "none"]
    with (
        BoardProcess("xiao_esp32s3", options, listen="rfc2217://127.0.0.1:0") as board,
        pytest.raises(NoAnswer, match=r"no firmware boots on it \(invalid header: 0xffffffff\)"),
    ):
        connect("bench", open_port(board.url), Patience(first_sign_s=60.0, trouble=console.trouble))
