"""How long to wait for a device: every such time is named here, and here is how it is used up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from harness.wire.port import Port

LONGEST_WAIT_S = 0.5
"""Longest single wait, and so about the most that one late wait uses up of a patience."""
PUNCTUAL_S = 0.25
"""A wait that ends later than this shows that this process stood still."""
LAST_LOOK_S = 0.1
_NOTHING_S = 1e-6


class Trouble(Protocol):
    """What is wrong with a board by its console's words: in a clause, and whether waiting is in vain."""

    @property
    def clause(self) -> str: ...
    @property
    def final(self) -> bool: ...
    @property
    def flashing_helps(self) -> bool: ...


def no_trouble(printed: bytes) -> Trouble | None:
    """Return None: nothing is known of what the boards print."""
    return None


@dataclass(frozen=True)
class Patience:
    """Seconds that a device is waited for; the defaults are for a board that is attached.

    Attributes:
        first_sign_s: how long a silent line may stay silent before the first answer to a greeting.
        request_s: for the reply to a request, from a device that is not invoking or that replies meanwhile.
        slow_request_s: the same for what takes long: to load a model, to hash flash, to end a run; and for a
            port that has gone, or a board that was reset, to come back.
        invoke_s: for one invoke.
        trouble: says what the console of a board that does not answer means, and whether to wait on.
    """

    first_sign_s: float = 5.0
    request_s: float = 10.0
    slow_request_s: float = 30.0
    invoke_s: float = 60.0
    trouble: Callable[[bytes], Trouble | None] = no_trouble


DEFAULT = Patience()


class Countdown:
    """A patience that is used up by waiting for a port, and by nothing else.

    A wait that ends late says that this process stood still (stopped, or starved by others): the device may
    have answered meanwhile, or may have stood still, too. So no more than was to be waited counts, and the
    line is looked at once more before it is over.
    """

    def __init__(self, port: Port, seconds: float, within: Countdown | None = None) -> None:
        """`within`: another countdown that runs at the same time, and whose end ends this one as well."""
        self._now = port.now
        self._within = within
        self.seconds = seconds
        self.renew()

    def renew(self, seconds: float | None = None) -> None:
        """Begin anew, with `seconds` left (None: all of them)."""
        self._left = self.seconds if seconds is None else seconds
        self._since = self._now()
        self._waiting = 0.0
        self._look_owed = self._look_given = False

    def wait(self, at_most: float = math.inf) -> float:
        """Return how long the next read may wait, in seconds; at most 0.5."""
        if self._within is not None:
            at_most = self._within.wait(at_most)
        self._use_up()
        self._look_given, self._look_owed = self._look_owed, False
        left = LAST_LOOK_S if self._look_given and self._used_up else self._left
        self._waiting = max(0.0, min(left, at_most, LONGEST_WAIT_S))
        return self._waiting

    @property
    def over(self) -> bool:
        """Whether to give up; ask only after handling what the last read returned."""
        self._use_up()
        if self._within is not None and self._within.over:
            return True
        return self._used_up and not self._look_owed

    @property
    def _used_up(self) -> bool:
        return self._left <= _NOTHING_S

    def _use_up(self) -> None:
        now = self._now()
        spent = now - self._since
        if spent > self._waiting + PUNCTUAL_S:
            self._look_owed = not self._look_given  # once, or a slow computer never gives up
        elif self._waiting:
            self._look_given = False
        self._left -= min(spent, self._waiting + PUNCTUAL_S)
        self._since, self._waiting = now, 0.0
