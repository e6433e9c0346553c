"""What a protocol is to the rest of the harness, and which ones there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.registry import Registry
from harness.wire.patience import DEFAULT, Patience

if TYPE_CHECKING:
    from harness.wire.port import Port
    from harness.wire.session import Session


@dataclass(frozen=True)
class Protocol:
    """A protocol that firmware speaks.

    Attributes:
        name: what profiles, options and records call it.
        hint: what to do about a board that turns out to speak it, as a clause.
        connect: greets the device on a port and returns the session; raises NoAnswer.
        probe: bytes to which a device that speaks it answers, whatever it has been doing.
        answers: how many answers to `probe` are in bytes from a device.
        sign: a regular expression for what only it says unasked; None if it says nothing.
        firmware: "module:function" of what a virtual board runs, given DeviceInfo, Engine and how often the
            board has booted (see `harness.emulator.firmware`); None if there is none.
        image: how one gets its firmware for a real board, as a clause.
        stock: if boards are sold with it, what it cannot give, as a clause; None if they are not.
    """

    name: str
    hint: str
    connect: Callable[[Port, Patience], Session]
    probe: bytes
    answers: Callable[[bytes], int]
    sign: bytes | None = None
    firmware: str | None = None
    image: str = "build one (firmware/ports, or your own to firmware/PROTOCOL.md)"
    stock: str | None = None


PROTOCOLS: Registry[Protocol] = Registry(
    "harness.protocols",
    "protocol",
    {
        "bench": "harness.wire.bench_client:PROTOCOL",
        "sscma": "harness.wire.sscma_client:PROTOCOL",
        "mlperf-tiny": "harness.wire.mlperf_client:PROTOCOL",
    },
)
"""In the order in which a device is asked: MLPerf Tiny comes last, as its commands have no line end."""


def every() -> list[Protocol]:
    """Return all protocols."""
    return [PROTOCOLS.get(name) for name in PROTOCOLS.names()]


def connect(protocol: str, port: Port, patience: Patience = DEFAULT) -> Session:
    """Greet the device on `port`; `patience` says how long to wait for it, now and later.

    Raises HarnessError for an unknown protocol, NoAnswer if the device is silent or something else answers.
    """
    return PROTOCOLS.get(protocol).connect(port, patience)
