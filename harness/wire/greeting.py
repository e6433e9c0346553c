"""The first words on a line, and what is at its other end if it does not answer them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from harness.wire.patience import Countdown, Trouble, no_trouble
from harness.wire.port import Port
from harness.wire.protocol import PROTOCOLS, every
from harness.wire.session import NoAnswer

FIRST_ROUND_S = 0.25
LONGEST_ROUND_S = 2.0
"""Between two greetings: those that a starting board has not read yet must fit its line's buffer."""
CONFIRM_S = 1.0
ASKING_S = 0.6
"""For an answer to `ask`, from a firmware that runs."""
LEGIBLE = 0.9
"""The share of text characters by which bytes are text: noise of a wrong speed has about a third."""
SURE = 20
"""Answers in another protocol, each to what was sent after a greeting, that say that it is not understood.

So many, for on a bad line a greeting may get lost again and again.
"""

_T = TypeVar("_T")


def greet(
    port: Port,
    patience: Countdown,
    protocol: str,
    speaks: str,
    say: Callable[[], None],
    hear: Callable[[float], _T | None],
    heard: Callable[[], bytes],
    trouble: Callable[[bytes], Trouble | None] = no_trouble,
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
        trouble: says what they mean if the board prints them as it boots (see `Patience`).
    """

    def stuck() -> bool:
        told = trouble(heard())
        return told is not None and told.final

    def nobody(within: str) -> NoAnswer:
        last = heard()
        told = trouble(last)
        text = f"no board that speaks {speaks} at {port.url}{within}; {_what_answers(last, told)}"
        return NoAnswer(
            text,
            flashing_helps=told is None or told.flashing_helps,
            illegible=bool(last) and not (told or legible(last) or understood(last)),
        )

    round_s, asking, others = FIRST_ROUND_S, b"", 0
    while not patience.over:
        in_vain, answered = stuck(), _answers_in(heard(), protocol)
        say()
        port.write(asking)
        lasts = Countdown(port, CONFIRM_S if in_vain else round_s, within=patience)
        while not lasts.over and _answers_in(heard(), protocol) <= answered:
            answer = hear(lasts.wait())
            if answer is not None:
                return answer
        others += _answers_in(heard(), protocol) > answered
        if others == SURE or (in_vain and stuck()):
            raise nobody("")
        round_s, asking = min(2 * round_s, LONGEST_ROUND_S), _asking()
    raise nobody(f" within {patience.seconds:.3g} s")


def _answers_in(heard: bytes, protocol: str) -> int:
    """Return how often a device has answered `_asking` in a protocol other than this one."""
    return sum(count for name, count in _answers(heard).items() if name != protocol)


def _answers(heard: bytes) -> dict[str, int]:
    return {protocol.name: protocol.answers(heard) for protocol in every()}


def ask(port: Port) -> None:
    """Send what a device answers in whatever protocol it speaks."""
    port.write(_asking())


def understood(heard: bytes) -> bool:
    """Return whether an answer in any protocol is in bytes from a device."""
    return any(_answers(heard).values())


def legible(heard: bytes, least: int = 8) -> bool:
    """Return whether bytes, at least so many, are text."""
    text = sum(byte in _TEXT for byte in heard)
    return len(heard) >= least and text >= LEGIBLE * len(heard)


_TEXT = frozenset(b"\t\r\n\x1b" + bytes(range(0x20, 0x7F)))


def _asking() -> bytes:
    """Return bytes that make a device show its protocol: it answers at least one part of them."""
    return b"".join(protocol.probe for protocol in every())


def _what_answers(heard: bytes, trouble: Trouble | None) -> str:
    """Return a clause about `heard`, the bytes that came from the device and were not what was asked for."""
    answered = next((name for name, count in _answers(heard).items() if count), None)
    if answered is not None:
        return PROTOCOLS.get(answered).hint
    if trouble is not None:
        return trouble.clause
    for protocol in every():
        if protocol.sign is not None and re.search(protocol.sign, heard):
            return protocol.hint
    if not heard:
        return "it sent nothing: check the port, and that a firmware with this protocol is on the board"
    shown = heard[:40].decode("ascii", "backslashreplace")
    return f"it sent something else ({shown!r}): check the baud rate (--baud) and the firmware"
