"""lrzsz at the other end: its receiver takes what the WE2 flasher sends, its sender flashes a virtual WE2."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import threading
import time
import tty
from pathlib import Path

import pytest
import serial

from harness.emulator.flash_memory import BoardFlash
from harness.emulator.rom import we2
from harness.flash.method import Region, Target, enter
from harness.flash.xmodem import CHOICE, QUESTION, READY, preamble
from tests.flash.rig import WE2, blob, firmware, in_flash, running

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("rx") is None, reason="needs lrzsz"),
]


def through(line: int, *command: str) -> bytes:
    """Run a command on a line and return all that came on it meanwhile.

    It goes by way of a socket: on a terminal lrzsz flushes what it does not want, the next prompt among it.
    """
    heard = bytearray()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
        theirs.close()
        while True:
            ready, _, _ = select.select([line, ours], [], [], 60)
            if ours in ready:
                data = b""
                with contextlib.suppress(ConnectionResetError):
                    data = ours.recv(4096)
                if not data:
                    break
                os.write(line, data)
            elif line in ready:
                heard += os.read(line, 1)
                with contextlib.suppress(OSError):  # it has all it wants
                    ours.sendall(heard[-1:])
        assert process.wait(10) == 0
    return bytes(heard)


class LrzszLoader:
    """A boot loader whose words are ours and whose XMODEM receiver is `rx`; `files` is what it received."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._master, slave = os.openpty()
        tty.setraw(slave)
        tty.setraw(self._master)
        self.path = os.ttyname(slave)
        self._slave = slave
        self.files: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _say(self, *lines: str) -> None:
        os.write(self._master, "".join(f"{line}\r\n" for line in lines).encode())

    def _serve(self) -> None:
        os.read(self._master, 1)
        self._say(we2.BANNER, *we2.MENU)
        os.read(self._master, 100)
        self._say(READY.decode())
        answer = b"n"
        while answer == b"n":
            path = self._directory / f"file {len(self.files)}"
            through(self._master, "rx", "-c", "-b", str(path))
            self.files.append(path.read_bytes())
            self._say("", QUESTION.decode())
            answer = os.read(self._master, 1)
        self._say("jump_addr=0x10000000")

    def close(self) -> None:
        self._thread.join(30)
        os.close(self._slave)
        os.close(self._master)


@pytest.mark.parametrize(("mode", "block"), [("xmodem", 128), ("xmodem1k", 1024)])
def test_rx_receives_what_the_flasher_sends(tmp_path: Path, mode: str, block: int) -> None:
    loader = LrzszLoader(tmp_path)
    model = Region("model", 0x280000, os.urandom(100_001), "model")
    target = Target(WE2, loader.path, press=lambda button: None, options={"mode": mode})
    with enter(target) as entered:
        entered.write([model], lambda *_: None)
    loader.close()
    padded = model.data.ljust(-(-len(model.data) // block) * block, b"\xff")
    assert loader.files == [preamble(0x280000).ljust(block, b"\xff"), padded]
    assert loader.files[0][:12] == bytes.fromhex("c05a 00002800 00000000 5ac0")


@pytest.mark.parametrize("options", [["-k"], []], ids=["1024", "128"])
def test_sx_flashes_a_virtual_board(tmp_path: Path, options: list[str]) -> None:
    image = firmware(WE2)[0]
    model = Region("model", 0x900000, blob(WE2, 50_001).data, "model")
    with running(WE2, tmp_path) as (process, _), serial.Serial(process.url, 921600, timeout=5) as port:
        process.press("reset")
        heard = bytearray()
        deadline = time.monotonic() + 5
        while READY not in heard and time.monotonic() < deadline:
            port.write(b"1")
            time.sleep(0.3 if CHOICE in heard else 0.01)
            heard += port.read(port.in_waiting)
        where = preamble(model.address).ljust(128, b"\xff")
        for number, content in enumerate((image.data, where, model.data)):
            (tmp_path / "file").write_bytes(content)
            if number:
                port.write(b"n")
            size = options if number != 1 else []
            heard = through(port.fileno(), "sx", "-b", *size, str(tmp_path / "file"))
            while QUESTION not in heard:
                heard += port.read(1)
        port.write(b"y")
        assert b"jump_addr" in port.read_until(b"jump_addr")
    assert in_flash(WE2, tmp_path, image) == image.data
    assert in_flash(WE2, tmp_path, model) == model.data
    behind = BoardFlash(WE2, tmp_path).read(0x900000 + 50_001, 100)
    assert not behind.strip(b"\x1a\xff"), "only sx's padding follows"
