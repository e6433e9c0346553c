"""The boot loader of a virtual Grove Vision AI WE2, with the words of the real one.

Messages: HimaxWiseEyePlus/Seeed_Grove_Vision_AI_Module_V2 README, its issue 62 (the menu), and boot logs in
edgeimpulse/edge-impulse-cli issue 53; "(virtual board)" is this project's. What the real one prints about an
image that it does not take is not published: here the same line says FAIL.
"""

from __future__ import annotations

import struct

from harness.boards import Profile
from harness.chips import container, filling, wiseeye
from harness.chips.container import NotAContainer
from harness.chips.himax import SOCS
from harness.emulator.boot import App, Wiring, hang
from harness.emulator.controls import Boot
from harness.emulator.engine import Line
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.rom.xmodem_receiver import XmodemReceiver

BANNER = f"1st BL Modem Build DATE=Nov 30 2023, 0x0002000b {filling.MARK}"
MENU = ("-" * 60, "[0] Reboot system", f"[1] Xmodem download and burn FW image {filling.MARK}", "-" * 60)
READY = "Send data using the xmodem protocol from your terminal"
QUESTION = "Do you want to end file transmission and reboot system? (y)"
LARGEST_IMAGE = 1 << 20
SECTOR = 4096
_PREAMBLE = struct.Struct("<2sII2s")


class We2Rom:
    """First boot loader: a window for a key, XMODEM, and the image check."""

    def __init__(self, profile: Profile, flash: BoardFlash, wiring: Wiring) -> None:
        assert profile.flash.xmodem
        self._soc = SOCS[profile.chip.name]
        self._offset = profile.flash.image_offset
        self._window = profile.flash.xmodem.window_s
        self._flash = flash.chip(self._offset)

    def boot(self, line: Line, how: Boot) -> App:
        """As in Rom; there is no button for the boot loader, so `how` makes no difference."""
        while True:
            while line.read(0):
                pass  # sent while the chip was in reset, when it hears nothing
            milliseconds = round(self._window * 1000)
            _say(
                line,
                BANNER,
                f"Please input any key to enter X-Modem mode in {milliseconds} ms",
                "waiting input key...",
            )
            if not self._key(line):
                return self._start(line)
            self._menu(line)

    def _key(self, line: Line) -> bool:
        return bool(line.read(self._window))

    def _menu(self, line: Line) -> None:
        """Show the menu until it is left by a reboot."""
        while True:
            _say(line, *MENU)
            while not (choice := line.read(None).replace(b"\r", b"").replace(b"\n", b"")):
                pass
            if choice[:1] == b"0":
                return
            if choice[:1] == b"1":
                _say(line, filling.MARK, READY)
                if self._files(line):
                    return

    def _files(self, line: Line) -> bool:
        """Take files; return whether to reboot (False: a transfer was broken off)."""
        address = self._offset
        while True:
            burner = _Burner(self, address)
            if not XmodemReceiver(line, burner.block).receive():
                return False
            position = burner.finish()
            address = self._offset if position is None else position
            _say(line, "", QUESTION)
            while (answer := line.read(None)[-1:]) not in (b"y", b"n"):
                pass
            if answer == b"y":
                return True

    def burn(self, address: int, data: bytes) -> bool:
        """Write data, erasing each sector that is entered; False if it may not be written there."""
        limit = LARGEST_IMAGE if address < LARGEST_IMAGE else self._flash.size
        if address + len(data) > limit:
            return False
        for sector in range(-(-address // SECTOR) * SECTOR, address + len(data), SECTOR):
            self._flash.erase(sector, min(SECTOR, self._flash.size - sector))
        self._flash.program(address, data)
        return True

    def _start(self, line: Line) -> App:
        _say(line, f"slot flash_offset {self._offset:#010x}")
        try:
            image = container.read(self._flash.read(self._offset, LARGEST_IMAGE))
        except NotAContainer as error:
            vendor_s = wiseeye.soc_of(self._flash.read(self._offset, 4)) is not None
            return self._fail(
                line, "virtual board: a program for the chip cannot run here" if vendor_s else str(error)
            )
        if image.soc != self._soc:
            return self._fail(line, f"the image is for {image.soc}, this is {self._soc}")
        if image.sha256 != image.stored_sha256:
            return self._fail(line, "SHA-256 mismatch")
        _say(
            line,
            "New MemDesp himax_sec_SB_image_process PASS",
            "set_memory_s_ns",
            "bl_status = 0x800000",
            "jump_addr=0x10000000",
        )
        return App(image.protocol, image.version, image.sha256.hex())

    def _fail(self, line: Line, reason: str) -> App:
        _say(line, f"New MemDesp himax_sec_SB_image_process FAIL ({reason})")
        return hang(line)


class _Burner:
    """Where the blocks of one file go. The first is kept back: alone it may be a model's preamble."""

    def __init__(self, rom: We2Rom, address: int) -> None:
        self._rom = rom
        self._address = address
        self._first: bytes | None = None
        self._only = True

    def block(self, data: bytes) -> bool:
        """Take a block; return False at the end of flash."""
        if self._first is None:
            self._first = data
            return True
        if self._only:
            self._only = False
            if not self._burn(self._first):
                return False
        return self._burn(data)

    def finish(self) -> int | None:
        """Take note of the file's end; return the flash position if it was a preamble."""
        if self._first is None or not self._only:
            return None
        start, position, offset, end = _PREAMBLE.unpack_from(self._first)
        filling = self._first[_PREAMBLE.size :].strip(b"\xff")
        if (start, end) == (b"\xc0\x5a", b"\x5a\xc0") and not filling:
            return int(position + offset)
        self._burn(self._first)
        return None

    def _burn(self, data: bytes) -> bool:
        done = self._rom.burn(self._address, data)
        self._address += len(data)
        return done


def _say(line: Line, *lines: str) -> None:
    line.write("".join(f"{text}\r\n" for text in lines).encode())
