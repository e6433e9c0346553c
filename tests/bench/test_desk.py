"""The desk as it is: what a person reads about a board that is attached and not in order.

Each board here is at the other end of a real pseudo-terminal or socket, and `harness` is run as a process.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator

import pytest

from tests.wire.test_greeting import LOOPS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a POSIX thing")

MODEL = "cifar10_mbv2_035_32_int8"


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, timeout=150
    )


@contextlib.contextmanager
def on_a_pty(behave: Callable[[int, bytes], None]) -> Iterator[str]:
    """Yield a terminal's name; `behave(descriptor, received)` is called every 0.1 s, and when bytes come."""
    master, slave = os.openpty()
    tty.setraw(slave)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            ready, _, _ = select.select([master], [], [], 0.1)
            behave(master, os.read(master, 4096) if ready else b"")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join()
        os.close(master)
        os.close(slave)


class Looping:
    """A board that prints the same boot every half second, whatever it is told."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._due = 0.0
        self.received = b""

    def __call__(self, descriptor: int, received: bytes) -> None:
        self.received += received
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + 0.5
            os.write(descriptor, self._text)


def test_a_board_whose_supply_breaks_down_is_told_and_not_flashed() -> None:
    board = Looping(LOOPS["supply"][0])
    with on_a_pty(board) as port:
        done = harness("bench", MODEL, "-b", "xiao_esp32s3", "--port", port)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "its supply breaks down and it starts again ('E BOD: Brownout detector was triggered'): use "
        "another, shorter cable, another USB port or a hub with a supply of its own, and take other devices "
        "off its pins"
    )
    assert b"\xc0\x00\x08" not in board.received, "esptool's SYNC"


def test_a_board_whose_firmware_crashes_over_and_over_is_told_so_before_it_is_flashed() -> None:
    with on_a_pty(Looping(LOOPS["crash"][0])) as port:
        done = harness("bench", MODEL, "-b", "xiao_esp32s3", "--port", port)
    assert done.returncode == 1
    assert "its firmware crashes and starts again ('Guru Meditation Error: Core  0 panic'ed" in done.stderr
    assert "nor can it be flashed" in done.stderr
