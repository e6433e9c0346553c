"""lrzsz at the other end: its receiver takes what the WE2 flasher sends, its sender flashes a virtual WE2."""

from __future__ import annotations

import os
import shutil
import threading
import tty
from pathlib import Path

import pytest

from harness.emulator.flash_memory import BoardFlash
from harness.emulator.rom import we2
from harness.flash.method import Region, Target, enter
from harness.flash.xmodem import QUESTION, READY, preamble
from tests.flash.lrzsz import send, through
from tests.flash.rig import WE2, blob, firmware, in_flash, running

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("rx") is None, reason="needs lrzsz"),
]


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


@pytest.mark.parametrize("block", [128, 1024])
def test_rx_receives_what_the_flasher_sends(tmp_path: Path, block: int) -> None:
    loader = LrzszLoader(tmp_path)
    model = Region("model", 0x280000, os.urandom(100_001), "model")
    target = Target(WE2, loader.path, press=lambda button: None, options={"block": str(block)})
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
    where = preamble(model.address).ljust(128, b"\xff")
    with running(WE2, tmp_path) as (process, _):
        said = send(process, [(image.data, options), (where, []), (model.data, options)])
    assert b"jump_addr" in said
    assert in_flash(WE2, tmp_path, image) == image.data
    assert in_flash(WE2, tmp_path, model) == model.data
    behind = BoardFlash(WE2, tmp_path).read(0x900000 + 50_001, 100)
    assert not behind.strip(b"\x1a\xff"), "only sx's padding follows"
