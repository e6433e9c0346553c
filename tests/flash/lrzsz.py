"""lrzsz at a line, as people use it: what it needs, and a transfer to a virtual WE2's boot loader."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import serial

from harness.emulator.process import BoardProcess
from harness.flash.xmodem import CHOICE, QUESTION, READY

PRESS_AGAIN_S = 5.0


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


def lead_to_receiver(process: BoardProcess, port: serial.Serial) -> None:
    """Reset a virtual WE2 and choose XMODEM in its menu, until its receiver is ready."""
    heard = bytearray()
    pressed = None
    while READY not in heard:
        assert process.exit_code is None
        # Its window for a key is short: who misses it presses the button again.
        if CHOICE not in heard and (pressed is None or time.monotonic() - pressed > PRESS_AGAIN_S):
            process.press("reset")
            pressed = time.monotonic()
        port.write(b"1")
        time.sleep(0.3 if CHOICE in heard else 0.01)
        heard += port.read(port.in_waiting)


def send(process: BoardProcess, files: Sequence[tuple[bytes, list[str]]]) -> bytes:
    """Reset a virtual WE2, lead it to its receiver, send files with `sx` and its options; start the board.

    Returns what it said from then on, up to the start of its firmware.
    """
    with serial.Serial(process.url, 921600, timeout=60) as port, tempfile.TemporaryDirectory() as place:
        lead_to_receiver(process, port)
        for number, (content, options) in enumerate(files):
            file = Path(place) / "file"
            file.write_bytes(content)
            if number:
                port.write(b"n")
            heard = bytearray(through(port.fileno(), "sx", "-b", *options, str(file)))
            while QUESTION not in heard:
                heard += port.read(1)
        port.write(b"y")
        heard = bytearray()
        while b"jump_addr" not in heard and b"FAIL" not in heard:  # without a firmware nothing starts
            heard += port.read(1)
        return bytes(heard)
