"""What every firmware of a virtual board offers to it: bytes in, bytes out, work for its engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum, auto

from harness.emulator.engine import Line


class Exit(Enum):
    """Why `serve` returned."""

    RESET = auto()


class Firmware(ABC):
    """One boot of a firmware. It does no input or output of its own and lives longer than any one line."""

    reset_asked = False
    """Whether the host has asked for a reset of the board."""

    def __init__(self) -> None:
        self._out = bytearray()

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether `step` has work to do now."""

    @property
    @abstractmethod
    def buffered(self) -> int:
        """Bytes held for line and host at the moment."""

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """Take bytes from the line."""

    @abstractmethod
    def step(self) -> None:
        """Begin an invoke if one is due, and carry on with what the engine has done."""

    def take_output(self) -> bytes:
        """Return the bytes that are due on the line, and forget them."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def serve(self, line: Line) -> Exit:
        """Answer on `line` until a reset is asked for; raises LineClosed when the line goes.

        The device's state outlives the line: serve the next line with the same object.
        """
        while True:
            self._write(line)
            if self.reset_asked:
                return Exit.RESET
            data = line.read(0 if self.busy else None)
            if data:
                self.receive(data)
                self._write(line)  # before work that may take long
            self.step()

    def _write(self, line: Line) -> None:
        if self._out:
            line.write(self.take_output())
