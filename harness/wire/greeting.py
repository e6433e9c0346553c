"""The first words on a line, and what is at its other end if it does not answer them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from harness.wire.patience import Countdown
from harness.wire.port import Port
from harness.wire.protocol import PROTOCOLS, every
from harness.wire.session import NoAnswer

FIRST_ROUND_S = 0.25
LONGEST_ROUND_S = 2.0
"""Between two greetings: those that a starting board has not read yet must fit its line's buffer."""
CONFIRM_S = 1.0
SURE = 20
"""Answers in another protocol, each to what was sent after a greeting, that say that it is not understood.

So many, for on a bad line a greeting may get lost again and again.
"""

_T = TypeVar("_T")

_BOOT = re.compile(rb"ESP-ROM:|1st BL |bootloader pass|himax_sec_SB_image_process PASS")
"""Printed when a boot begins or gets further: text before it does not say what the board does now."""
_IN_LOADER = "it is in the ESP32's boot loader: reset it, or flash a firmware"
_STUCK = (
    (rb"waiting for download", _IN_LOADER),
    (
        rb"\[1\] Xmodem download|(?:^|[\r\n])C{3,}\Z|\x15{3,}\Z",
        "it is in its XMODEM boot loader: reset it to leave that",
    ),
    (
        rb"invalid header: \S+|csum err:\S+|mismatch chip ID|SHA-256 comparison failed"
        rb"|load partition table error|No bootable app partitions|cannot run here"
        rb"|himax_sec_SB_image_process FAIL[^\r\n]*|bootloader fail[^\r\n]*",
        "no firmware boots on it ({}): flash one",
    ),
)
"""Text after which a board does nothing but wait to be flashed or reset, as its real loader prints it."""


def greet(
    port: Port,
    patience: Countdown,
    protocol: str,
    speaks: str,
    say: Callable[[], None],
    hear: Callable[[float], _T | None],
    heard: Callable[[], bytes],
) -> _T:
    """Return what the device answers to a greeting; raises NoAnswer with what seems to be there instead.

    A board that is still starting is waited for. What shows that something else is there ends the wait: an
    answer in another protocol to what was asked after the greeting, as a line keeps order, time and again; or
    the text of a boot that got nowhere.

    Args:
        protocol, speaks: what the device should speak, by name and in words.
        say: sends a greeting.
        hear: reads for at most so many seconds, and returns the answer once it is there.
        heard: returns the last bytes that came and were not the answer.
    """
    round_s, asking, others = FIRST_ROUND_S, b"", 0
    while not patience.over:
        stuck, answered = _stuck(heard()), _answers_in(heard(), protocol)
        say()
        port.write(asking)
        lasts = Countdown(port, CONFIRM_S if stuck else round_s, within=patience)
        while not lasts.over and _answers_in(heard(), protocol) <= answered:
            answer = hear(lasts.wait())
            if answer is not None:
                return answer
        others += _answers_in(heard(), protocol) > answered
        if others == SURE or (stuck and _stuck(heard())):
            raise _nobody(port, speaks, "", heard())
        round_s, asking = min(2 * round_s, LONGEST_ROUND_S), _asking()
    raise _nobody(port, speaks, f" within {patience.seconds:.3g} s", heard())


def _nobody(port: Port, speaks: str, within: str, heard: bytes) -> NoAnswer:
    return NoAnswer(f"no board that speaks {speaks} at {port.url}{within}; {_what_answers(heard)}")


def _answers_in(heard: bytes, protocol: str) -> int:
    """Return how often a device has answered `_asking` in a protocol other than this one."""
    return sum(count for name, count in _answers(heard).items() if name != protocol)


def _answers(heard: bytes) -> dict[str, int]:
    return {protocol.name: protocol.answers(heard) for protocol in every()}


def _asking() -> bytes:
    """Return bytes that make a device show its protocol: it answers at least one part of them."""
    return b"".join(protocol.probe for protocol in every())


def _stuck(heard: bytes) -> str | None:
    """Return a clause about a board that is stuck in its boot loader; None if it may still start."""
    last = max((start.start() for start in _BOOT.finditer(heard)), default=0)
    for pattern, clause in _STUCK:
        if match := re.search(pattern, heard[last:]):
            return clause.format(match[0].decode("ascii", "backslashreplace"))
    return None


def _what_answers(heard: bytes) -> str:
    """Return a clause about `heard`, the bytes that came from the device and were not what was asked for."""
    answered = next((name for name, count in _answers(heard).items() if count), None)
    if answered is not None:
        return PROTOCOLS.get(answered).hint
    if clause := _stuck(heard):
        return clause
    for protocol in every():
        if protocol.sign is not None and re.search(protocol.sign, heard):
            return protocol.hint
    if b"ESP-ROM:" in heard:
        return _IN_LOADER
    if not heard:
        return "it sent nothing: check the port, and that a firmware with this protocol is on the board"
    shown = heard[:40].decode("ascii", "backslashreplace")
    return f"it sent something else ({shown!r}): check the baud rate and the firmware"
