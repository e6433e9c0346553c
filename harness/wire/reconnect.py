"""Reconnecting to a port or a board that went away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from harness.wire.patience import Countdown
from harness.wire.port import Port, PortError, PortLost
from harness.wire.session import DeviceReset, NoAnswer

REOPEN_EVERY_S = 0.1
TRY_S = 2.0
"""How long to wait for one answer to a greeting before trying the port again."""
RESTARTS = 3
"""A run is given up after more interruptions than this in a row without a sample between them."""

_T = TypeVar("_T")


def reconnect(port: Port, away_s: float, lost: bool, greet: Callable[[Countdown], _T]) -> _T:
    """Greet until it succeeds, and return what `greet(patience)` returned; `lost`: reopen the port first.

    Raises PortLost, NoAnswer or DeviceReset if port or board stay away for `away_s` seconds.
    """
    away = Countdown(port, away_s)
    while True:
        try:
            if lost:
                _reopen(port, away)
            return greet(Countdown(port, TRY_S, within=away))
        except (PortLost, NoAnswer, DeviceReset) as error:
            if away.over:
                raise
            lost = isinstance(error, PortLost)
        port.pause(away.wait(REOPEN_EVERY_S))


def stayed_away(port: Port, away_s: float) -> NoAnswer:
    """Return the error to raise if a board that should come back does not."""
    return NoAnswer(f"the board at {port.url} did not come back within {away_s:g} s")


def _reopen(port: Port, away: Countdown) -> None:
    """Open `port` as soon as it is back; raises PortLost if it is not in time."""
    while True:
        try:
            port.reopen()
            return
        except PortError as error:
            if away.over:
                raise PortLost(f"port {port.url} did not come back: {error}") from error
        port.pause(away.wait(REOPEN_EVERY_S))
