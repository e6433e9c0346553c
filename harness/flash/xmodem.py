"""Flashing the Grove Vision AI WE2: its boot loader's window after reset, and XMODEM.

The conversation is that of HimaxWiseEyePlus/Seeed_Grove_Vision_AI_Module_V2 (README, flash image update;
xmodem_send.py).
"""

from __future__ import annotations

import binascii
import contextlib
import io
import logging
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from xmodem import XMODEM

from harness.chips import filling
from harness.errors import BoardError, printable
from harness.flash.method import FlashFile, Outcome, Progress, Target
from harness.wire.holders import others_too
from harness.wire.port import Port, PortLost, open_port

KEY = b"1"
KEY_EVERY_S = 0.01
CHOICE_EVERY_S = 0.5
SETTLE_S = 0.02
"""So that ten keys fall into the boot loader's window of 100 ms."""
CHOICE = b"[1] Xmodem download and burn FW image"
READY = b"Send data using the xmodem protocol from your terminal"
QUESTION = b"Do you want to end file transmission and reboot system? (y)"
BANNER = b"1st BL Modem"
WINDOW = b"Please input any key to enter X-Modem mode"
POLL = b"C"
CANCEL = b"\x18\x18"
POLLS_ALONE = 4
"""Polls without an announcement before them that show a boot loader left in receive mode by someone before.

Fewer can be what was under way when the reset that was asked for came."""
MODES = {1024: "xmodem1k", 128: "xmodem"}
"""Bytes a block -> the library's name for it."""

RESET_WAIT_S = 3.0
"""How long a board that was reset by itself may take to show its boot loader; then it is reset again."""
RESETS = 10
"""Tries: the window is short, and a busy computer may miss it."""
BUTTON_WAIT_S = 60.0
ANSWER_S = 30.0
"""How long the boot loader may take over burning what it was sent."""
BOOT_S = 30.0
"""How long the boot loader may take to start the firmware, or to say why it does not."""
BOOTED = b"jump_addr"
REJECTED = b"himax_sec_SB_image_process FAIL"
RETRIES = 10
RESTARTS = 2
"""How often a file is sent again after a reset in the middle of it."""
DRAIN_S = 0.3
"""Long enough for the last bytes of a sender that has given up to arrive."""
REMEMBERED = 512
FILLER = b"\xff"
"""What fills up a last block: it leaves flash as erased."""
_PREAMBLE = struct.Struct("<2sII2s")

# The library reports every repeated block on its logger; what counts comes back as a result.
logging.getLogger("xmodem").addHandler(logging.NullHandler())
logging.getLogger("xmodem").propagate = False


class _Modem(XMODEM):
    """The library's sender with the standard library's checksum, which is faster and runs for every block."""

    def calc_crc(self, data: bytes, crc: int = 0) -> int:
        """Return XMODEM's CRC-16."""
        return binascii.crc_hqx(data, crc)


class _WasReset(BoardError):
    """The board was reset while it was sent a file, for example because its button was pressed late."""


class _WindowMissed(BoardError):
    """The board did not show its boot loader: it is not there, or it started its firmware."""


class We2Loader:
    """The boot loader in its receive mode; `again` leads back to it from its window after a reset."""

    def __init__(self, port: Port, heard: bytes, block: int, again: Callable[[], bytes]) -> None:
        self._port = port
        self._block = block
        self._again = again
        # The poll that showed that it receives is the first answer the library waits for.
        self._held = bytearray(POLL)
        self._said = b""
        self._at_question = False
        self.virtual = filling.MARK.encode() in heard
        self.description = "WE2 boot loader" + (" of a virtual board" if self.virtual else "")

    def write(self, files: Sequence[FlashFile], progress: Progress) -> list[Outcome]:
        """Send each file; a model after a preamble with its address."""
        outcomes = []
        for file in files:
            started = time.monotonic()
            for attempts_left in reversed(range(RESTARTS + 1)):
                try:
                    self._write(file, progress)
                    break
                except _WasReset:
                    if not attempts_left:
                        raise
                    self._again()
                    self._held[:] = POLL
            outcomes.append(
                Outcome(
                    file.name,
                    file.address,
                    len(file.data),
                    "written",
                    "CRC-16 of each block, by the boot loader",
                    time.monotonic() - started,
                )
            )
        return outcomes

    def _write(self, file: FlashFile, progress: Progress) -> None:
        if file.use == "model":
            self._send(f"the address of {file.name}", preamble(file.address), lambda done: None)
        size = len(file.data)
        progress(file.name, 0, size)
        self._send(file.name, file.data, lambda done: progress(file.name, min(done, size), size))

    def leave(self) -> None:
        """Have the boot loader start the firmware."""
        if self._at_question:
            self._port.write(b"y")
        else:
            # In the middle of receiving: two cancellations lead back to the menu, whose 0 reboots.
            self._port.write(CANCEL)
            self._port.pause(0.1)
            self._port.write(b"0")
        # Send nothing: a byte in the window after the reboot would lead back here.
        heard = bytearray()
        deadline = self._port.now() + BOOT_S
        while BOOTED not in heard and REJECTED not in heard and self._port.now() < deadline:
            heard += self._port.read(4096, deadline - self._port.now())

    def _send(self, what: str, data: bytes, report: Callable[[int], None]) -> None:
        if self._at_question:
            self._port.write(b"n")
            self._at_question = False
        block = self._block
        modem = _Modem(self._get, self._put, mode=MODES[block], pad=FILLER)

        def on_block(total: int, sent: int, errors: int) -> None:
            report(sent * block)

        self._said = b""
        if not modem.send(io.BytesIO(data), retry=RETRIES, timeout=ANSWER_S, quiet=True, callback=on_block):
            # What was sent counts as a key in the window, and must not be taken for a choice in the menu.
            self._port.pause(DRAIN_S)
            self._raise_where_reset(what, self._said + self._port.read(4096, 0))
            raise BoardError(
                f"{self._port.url}: the boot loader broke off {what}; reset the board and try again"
                f"{self._last_words()}"
            )
        self._wait_for_question(what)

    def _raise_where_reset(self, what: str, heard: bytes) -> None:
        if BANNER in heard:
            raise _WasReset(f"{self._port.url}: the board was reset while it was sent {what}; try again")

    def _wait_for_question(self, what: str) -> None:
        heard = bytearray(self._held)
        deadline = self._port.now() + ANSWER_S
        while QUESTION not in heard:
            left = deadline - self._port.now()
            if left <= 0:
                raise BoardError(
                    f"{self._port.url}: the boot loader did not say that {what} is burnt; reset the board "
                    "and try again"
                )
            heard += self._port.read(4096, left)
            self._raise_where_reset(what, bytes(heard))
        self._held.clear()
        self._at_question = True

    def _get(self, size: int, timeout: float = 1.0) -> bytes | None:
        """Return bytes from the line as the library asks for them; None if none came in time."""
        if not self._held:
            self._held += self._port.read(4096, timeout)
            self._said = (self._said + self._held)[-REMEMBERED:]
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken or None

    def _put(self, data: bytes, timeout: float = 1.0) -> int:
        self._port.write(bytes(data))
        return len(data)

    def _last_words(self) -> str:
        text = bytes(self._held).strip(b"C\x15\x18\r\n ")
        return f" (it said {printable(text[-80:].decode('ascii', 'replace'))!r})" if text else ""


def preamble(address: int) -> bytes:
    """Return the file of one block that tells the boot loader where the next file goes."""
    return _PREAMBLE.pack(b"\xc0\x5a", address, 0, b"\x5a\xc0")


@contextmanager
def enter(target: Target) -> Iterator[We2Loader]:
    """Lead the boot loader into receiving XMODEM; have it start the firmware at the end."""
    assert target.port is not None
    port = open_port(target.port, int(str(target.options.get("baud") or target.profile.serial.baud)))
    try:
        heard = _reach_menu(target, port)
        block = int(str(target.options.get("block", "1024")))
        loader = We2Loader(port, heard, block, lambda: _flood(target, port, RESET_WAIT_S))
        try:
            yield loader
        finally:
            # If the port is lost, the error that found this out is on its way already.
            with contextlib.suppress(PortLost):
                loader.leave()
    finally:
        port.close()


def _reach_menu(target: Target, port: Port) -> bytes:
    """Have the board reset, and lead its boot loader to receiving; return all that was heard."""
    if target.restart is not None and target.restart(port):
        with contextlib.suppress(_WindowMissed):
            return _flood_anew(target, port, RESET_WAIT_S)
    if target.press is None:
        target.ask(
            f"{target.profile.name} on {target.port}: press its RESET button now (waiting "
            f"{BUTTON_WAIT_S:.0f} s)"
        )
        return _flood_anew(target, port, BUTTON_WAIT_S)
    for left in reversed(range(RESETS)):
        target.press("reset")
        try:
            return _flood_anew(target, port, RESET_WAIT_S)
        except _WindowMissed:
            if not left:
                raise
    raise AssertionError("unreachable")


def _flood_anew(target: Target, port: Port, patience: float) -> bytes:
    """Flood a board that is being reset, and ignore what it said before."""
    port.pause(SETTLE_S)  # the window is open for longer than this
    port.reset_buffers()
    return _flood(target, port, patience)


def _flood(target: Target, port: Port, patience: float) -> bytes:
    """Send keys until the menu is there, choose XMODEM; return all that was heard."""
    heard = bytearray()
    deadline = port.now() + patience
    key_at = 0.0
    while not _receiving(heard):
        now = port.now()
        if now >= deadline:
            raise _WindowMissed(_not_reached(target, bytes(heard), patience))
        if now >= key_at:
            port.write(KEY)
            # A flood until the menu appears; then the choice, repeated in case it got lost.
            key_at = now + (KEY_EVERY_S if CHOICE not in heard else CHOICE_EVERY_S)
        heard += port.read(4096, KEY_EVERY_S)
        if heard.endswith(POLL * POLLS_ALONE) and READY not in heard:
            # Back to the menu, whose text shows whether the board is a virtual one.
            port.write(CANCEL)
            heard.clear()
    return bytes(heard)


def _receiving(heard: bytearray) -> bool:
    """Whether the boot loader has announced that it receives, and polls for a file."""
    behind = heard.rpartition(READY)[2].lstrip(b"\r\n")
    return READY in heard and bool(behind) and not behind.strip(POLL)


def _not_reached(target: Target, heard: bytes, patience: float) -> str:
    where = f"{target.port}: no boot loader within {patience:.0f} s"
    others = others_too(str(target.port))
    if not heard:
        return f"{where}, the line is silent; check the cable, and reset the board when asked to{others}"
    if BOOTED in heard or b"slot flash_offset" in heard:
        return f"{where}, the board started its firmware instead; try again{others}"
    said = printable(heard[-60:].decode("ascii", "replace"))
    return f"{where}, what came was {said!r}; check the baud rate, and reset the board when asked to{others}"
