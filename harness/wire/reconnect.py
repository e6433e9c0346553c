"""Coming back to a port or a board that went away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from harness.wire.port import Port, PortError, PortLost
from harness.wire.session import DeviceReset, NoAnswer

RECONNECT_S = 15.0
"""How long a port or a board may stay away."""
REOPEN_EVERY_S = 0.1
RESTARTS = 3
"""Interruptions in a row, without a sample between them, after which a run is given up."""

_T = TypeVar("_T")


def come_back(port: Port, lost: bool, greet: Callable[[float], _T]) -> _T:
    """Return what `greet(deadline)` does once it succeeds; `lost`: the port is to be opened again first.

    Raises PortLost, NoAnswer or DeviceReset where port or board stay away for `RECONNECT_S` seconds.
    """
    deadline = port.now() + RECONNECT_S
    while True:
        try:
            if lost:
                _reopen(port, deadline)
            return greet(deadline)
        except (PortLost, NoAnswer, DeviceReset) as error:
            if port.now() >= deadline:
                raise
            lost = isinstance(error, PortLost)


def stayed_away(port: Port) -> NoAnswer:
    """Return the error to raise where a board that should come back does not."""
    return NoAnswer(f"the board at {port.url} did not come back within {RECONNECT_S:g} s")


def _reopen(port: Port, deadline: float) -> None:
    """Open `port` as soon as it is back; raises PortLost where it is not by `deadline`."""
    while True:
        try:
            port.reopen()
            return
        except PortError as error:
            if port.now() >= deadline:
                raise PortLost(f"port {port.url} did not come back: {error}") from error
        port.pause(REOPEN_EVERY_S)
