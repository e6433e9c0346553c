"""What every flashing method is to its caller: regions in, progress out, verified or an error."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from harness.boards import Profile
from harness.errors import HarnessError, nearest
from harness.wire.port import Port

Use = Literal["firmware", "model"]
"""What a region is for."""


@dataclass(frozen=True)
class Region:
    """Bytes and the address that the flashing method writes them to."""

    name: str
    address: int
    data: bytes
    use: Use

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + len(self.data)


@dataclass(frozen=True)
class Outcome:
    """What became of a region: written, or "same" where the board held these bytes already.

    `verified` says how it is known that they arrived; `seconds` is how long the region took.
    """

    region: str
    address: int
    bytes: int
    did: Literal["written", "same"]
    verified: str
    seconds: float


Progress = Callable[[str, int, int], None]
"""Called with a region's name, the bytes of it that are done, and all of them."""


def quiet(region: str, done: int, total: int) -> None:
    """Progress that is not shown."""


def tell_on_stderr(text: str) -> None:
    """Ask a person to do something, on standard error."""
    import sys

    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Target:
    """A board to flash and how it is reached.

    Attributes:
        port: the pyserial URL of its port; None where only its drive is there.
        find_port: returns the port that comes with the firmware where there was none; raises PortError.
        press: presses a button, "reset" or "boot", where the caller can (a virtual board, a wired bench).
        restart: has the running firmware reset the board, over its open port; returns whether it did.
        drives: directories in which drives appear, besides the system's.
        ask: tells a person to press a button.
        options: of the method, such as stub=False.
    """

    profile: Profile
    port: str | None
    find_port: Callable[[], str] | None = None
    press: Callable[[str], None] | None = None
    restart: Callable[[Port], bool] | None = None
    drives: tuple[Path, ...] = ()
    ask: Callable[[str], None] = tell_on_stderr
    options: dict[str, object] = field(default_factory=dict)


class Loader(Protocol):
    """A boot loader that has been entered."""

    virtual: bool
    """Whether it is a virtual board's, by its own account."""
    description: str
    """What it says of itself, for a person."""

    def write(self, regions: Sequence[Region], progress: Progress) -> list[Outcome]:
        """Write regions that have been checked; raises BoardError with the board left as it can be left."""


METHODS: dict[str, str] = {
    "esptool": "harness.flash.esptool",
    "xmodem": "harness.flash.xmodem",
    "uf2": "harness.flash.uf2",
}
"""Flashing method -> module that defines `enter(target) -> AbstractContextManager[Loader]`."""


@contextmanager
def enter(target: Target) -> Iterator[Loader]:
    """Bring the board into its boot loader and yield that; the board starts its firmware at the end.

    Raises:
        HarnessError: the port or drive is not there or may not be used.
        BoardError: the boot loader does not answer, or answers something else.
    """
    method = target.profile.flash.method
    if method not in METHODS:
        raise HarnessError(
            f"{target.profile.id}: unknown flashing method '{method}'{nearest(method, METHODS)}"
        )
    entered: AbstractContextManager[Loader] = importlib.import_module(METHODS[method]).enter(target)
    with entered as loader:
        yield loader
