"""What seems to be at the other end of a line that does not answer as it should."""

from __future__ import annotations

import re

from harness.wire import messages as m
from harness.wire.framing import Decoder, encode

_SIGNS: tuple[tuple[bytes, str], ...] = (
    (rb"m-ready|m-init-done|m-name-dut|e-\[", "it speaks MLPerf Tiny's text: use --protocol mlperf-tiny"),
    (
        rb'\{\s*"type"\s*:',
        "it speaks the vendor's AT commands: use --protocol sscma, or flash the bench firmware",
    ),
    (rb"waiting for download|ESP-ROM:", "it is in the ESP32's boot loader: reset it, or flash a firmware"),
    (rb"CCC|\x15\x15\x15", "it waits for an XMODEM transfer: reset it to leave the boot loader"),
)

ASKING = encode(m.pack(0, 1, m.Hello(m.OLDEST_VERSION, m.VERSION, 0, 512))) + b"\r\nAT+ID?\r\nname%"
"""Bytes that make a device show which protocol it speaks. The greeting is of a session that nobody uses."""


def what_answers(heard: bytes) -> str:
    """Return a clause about `heard`, the bytes that came from the device and were not what was asked for."""
    if Decoder(4096).feed(b"\x00" + heard + b"\x00"):
        return "it speaks the bench protocol: use --protocol bench"
    for pattern, text in _SIGNS:
        if re.search(pattern, heard):
            return text
    if not heard:
        return "it sent nothing: check the port, and that a firmware with this protocol is on the board"
    shown = heard[:40].decode("ascii", "backslashreplace")
    return f"it sent something else ({shown!r}): check the baud rate and the firmware"
