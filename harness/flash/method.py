"""What every flashing method offers: it writes files to flash, reports progress, and verifies or raises."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from harness.boards import Profile
from harness.errors import HarnessError
from harness.registry import Registry
from harness.wire.port import Port

Use = Literal["firmware", "model"]
"""What a file to flash is for."""


@dataclass(frozen=True)
class FlashFile:
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
    """What became of a file: written, or "same" if the board held these bytes already.

    `verified` says how it is known that they arrived; `seconds` is how long the file took.
    """

    file: str
    address: int
    bytes: int
    did: Literal["written", "same"]
    verified: str
    seconds: float


Progress = Callable[[str, int, int], None]
"""Called with the name of a file or of a step, how much of it is done, and of how much."""


def no_progress(file: str, done: int, total: int) -> None:
    """Show no progress."""


def tell_on_stderr(text: str) -> None:
    """Ask a person to do something, on standard error."""
    import sys

    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Target:
    """A board to flash and how it is reached.

    Attributes:
        port: the pyserial URL of its port; None if only its drive is there.
        find_port: returns the port as it is called now, which may change with a reset, or come with the
            firmware; raises PortError. None if `port` stays what it is.
        press: presses a button, "reset" or "boot", if the caller can (a virtual board, a wired bench).
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

    @property
    def table(self) -> Mapping[str, Any]:
        """What the profile's table of a method from outside says, key by key; empty if there is none."""
        own = self.profile.flash.others.get(self.profile.flash.method)
        return own.values if own is not None else {}


class Loader(Protocol):
    """A boot loader that has been entered."""

    virtual: bool
    """Whether it says that it belongs to a virtual board."""
    description: str
    """What it says of itself, to show to a person."""

    def write(self, files: Sequence[FlashFile], progress: Progress) -> list[Outcome]:
        """Write files that have been checked; raises BoardError, with the board left as well as possible."""


@dataclass(frozen=True)
class Option:
    """Something that a user may choose about a flashing method: yes or no, one of `choices`, or a `number`.

    The command line spells it `--name`; `name` is also its key in `Target.options`. Methods may share one.
    """

    name: str
    help: str
    default: bool | str | None
    choices: tuple[str, ...] = ()
    number: bool = False


@dataclass(frozen=True)
class Flasher:
    """A flashing method.

    Attributes:
        name: what a profile's `flash.method` calls it.
        enter: "module:function" of a function that takes a Target, brings the board into its boot loader,
            and returns a context manager of it; the board starts its firmware at the end.
        options: what a user may choose.
        port: "module:function" of a function that takes the open port of the firmware, and whether the board
            has just been switched on, and returns the port to use, for a board whose boot loader listens on
            the same line; None if it does not.
        findings: yields what a profile lacks for this method, as (path to a key, what is wrong there); its
            own table is `profile.flash.others[name]`.
    """

    name: str
    enter: str
    options: tuple[Option, ...] = ()
    port: str | None = None
    findings: Callable[[Profile], Iterator[tuple[tuple[str | int, ...], str]]] = lambda profile: iter(())


FLASHERS: Registry[Flasher] = Registry(
    "harness.flashers",
    "flashing method",
    {
        "esptool": "harness.flash.flashers:ESPTOOL",
        "xmodem": "harness.flash.flashers:XMODEM",
        "uf2": "harness.flash.flashers:UF2",
    },
)


def check_options(board: Profile, options: Mapping[str, object]) -> None:
    """Raise HarnessError if an option is of another flashing method than the board's."""
    method = board.flash.method
    own = [option.name for option in FLASHERS.get(method).options]
    for name in options:
        if name not in own:
            raise HarnessError(f"--{name} has no meaning for {board.id}, which is flashed by {method}")


@contextmanager
def enter(target: Target) -> Iterator[Loader]:
    """Bring the board into its boot loader and yield that; the board starts its firmware at the end.

    Raises:
        HarnessError: the port or drive is not there or may not be used.
        BoardError: the boot loader does not answer, or answers something else.
    """
    entered: AbstractContextManager[Loader] = _named(FLASHERS.get(target.profile.flash.method).enter)(target)
    with entered as loader:
        yield loader


def as_firmware_port(board: Profile, port: Port, starting: bool) -> Port:
    """Return the port over which to speak to the firmware; `starting`: it has just been switched on."""
    place = FLASHERS.get(board.flash.method).port
    if place is None:
        return port
    made: Port = _named(place)(port, starting=starting)
    return made


def _named(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
