"""What seems to be at the other end of a line that does not answer as it should."""

from __future__ import annotations

import re

_SIGNS: tuple[tuple[bytes, str], ...] = (
    (rb"m-ready|m-init-done|m-name-dut|e-\[", "it speaks MLPerf Tiny's text: use --protocol mlperf-tiny"),
    (
        rb'\{\s*"type"\s*:',
        "it speaks the vendor's AT commands: use --protocol sscma, or flash the bench firmware",
    ),
    (
        rb"waiting for download|ESP-ROM:",
        "it is in the ESP32's boot loader: reset it, or flash a firmware",
    ),
    (rb"CCC|\x15\x15\x15", "it waits for an XMODEM transfer: reset it to leave the boot loader"),
)

ASKING = b"\r\nAT+ID?\r\nname%"
"""Text that makes a device of another protocol show itself."""


def what_answers(heard: bytes) -> str:
    """Return a clause about `heard`, the bytes that came from the device outside any frame."""
    for pattern, text in _SIGNS:
        if re.search(pattern, heard):
            return text
    if not heard:
        return "it sent nothing: check the port, and that a bench firmware is on the board"
    shown = heard[:40].decode("ascii", "backslashreplace")
    return f"it sent something else ({shown!r}): check the baud rate and the firmware"
