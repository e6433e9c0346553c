"""The first words on a line, and what seems to be at its other end where they are not answered."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from harness.wire import messages as m
from harness.wire.framing import Decoder, encode
from harness.wire.port import Port
from harness.wire.session import NoAnswer

SHARE_TO_ASK = 0.2
"""Part of a greeting's time-out that goes into finding out what else is there."""

_T = TypeVar("_T")

_SIGNS: tuple[tuple[bytes, str], ...] = (
    (rb"m-ready|m-init-done|m-name-dut|e-\[", "it speaks MLPerf Tiny's text: use --protocol mlperf-tiny"),
    (
        rb'\{\s*"type"\s*:',
        "it speaks the vendor's AT commands: use --protocol sscma, or flash the bench firmware",
    ),
    (rb"waiting for download|ESP-ROM:", "it is in the ESP32's boot loader: reset it, or flash a firmware"),
    (rb"CCC|\x15\x15\x15", "it waits for an XMODEM transfer: reset it to leave the boot loader"),
)

_ASKING = encode(m.pack(0, 1, m.Hello(m.OLDEST_VERSION, m.VERSION, 0, 512))) + b"\r\nAT+ID?\r\nname%"
"""Bytes that make a device show which protocol it speaks. The greeting is of a session that nobody uses."""


def _what_answers(heard: bytes) -> str:
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


def greet(
    port: Port,
    timeout_s: float,
    speaks: str,
    call: Callable[[float], _T | None],
    listen: Callable[[float], _T | None],
    heard: Callable[[], bytes],
) -> _T:
    """Return what the device answers to a greeting; raises NoAnswer with what seems to be there instead.

    Args:
        speaks: what the device should speak, in words.
        call: greets until the time that it is given, and returns the answer, None where there is none.
        listen: the same without a word of its own, after the device was asked for all protocols.
        heard: returns the last bytes that came and were not understood.
    """
    deadline = port.now() + timeout_s
    answer = call(deadline - SHARE_TO_ASK * timeout_s)
    if answer is None:
        port.write(_ASKING)
        answer = listen(deadline)
    if answer is None:
        raise NoAnswer(
            f"no board that speaks {speaks} at {port.url} within {timeout_s:.3g} s; {_what_answers(heard())}"
        )
    return answer
