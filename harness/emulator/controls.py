"""What resets a virtual board: its button, and the control lines of its port.

DTR and RTS are wired as Espressif's boards have them: RTS alone holds the chip in reset; it comes out of it
into the ROM's loader if DTR is set by then (the transistor circuit of UART bridges), or was set first
(the USB-Serial/JTAG peripheral). Both at once do neither. Opening the port at the touch speed enters the
boot loader of boards with USB CDC.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True)
class ControlLines:
    """What the host has set on its port; None if the transport does not show it or nobody is there."""

    dtr: bool | None = None
    rts: bool | None = None
    baud: int | None = None


class Boot(Enum):
    """What a board does after a reset."""

    APPLICATION = auto()
    LOADER = auto()


class BoardReset(Exception):
    """The board is being reset: whatever ran on it has ended."""


class Controls:
    """Turns buttons and lines into resets. `held`: the board is in reset until further notice."""

    def __init__(self, *, dtr_rts: bool, touch_baud: int | None) -> None:
        """`dtr_rts`: the lines are wired to the chip; `touch_baud`: the speed that enters the boot loader."""
        self._dtr_rts = dtr_rts
        self._touch_baud = touch_baud
        self._lines = ControlLines()
        self._armed = False
        self._due: Boot | None = None
        self.held = False

    def press(self, boot: Boot) -> None:
        """Press the reset button, with the boot button held for Boot.LOADER."""
        self._due = boot

    def changed(self, lines: ControlLines) -> None:
        """Take the lines as they are now."""
        before, self._lines = self._lines, lines
        if lines.baud == self._touch_baud is not None and before.baud != lines.baud:
            self._due = Boot.LOADER
        if not self._dtr_rts:
            return
        if lines.dtr is None or lines.rts is None:
            self._release(False)  # nobody has the port open: the resistors pull both lines up
            return
        was = (before.dtr, before.rts)
        if not self.held and not lines.rts:
            # Setting DTR from rest arms the loader; opening a port sets both lines and does not.
            self._armed = lines.dtr and (was == (False, False) or self._armed)
        if lines.rts and not lines.dtr:
            self.held = True
        elif self.held and not lines.rts:
            self._release(lines.dtr)

    def _release(self, dtr: bool) -> None:
        if self.held:
            self._due = Boot.LOADER if dtr or self._armed else Boot.APPLICATION
            self.held = self._armed = False

    @property
    def resetting(self) -> bool:
        """Whether what runs has to stop now."""
        return self.held or self._due is not None

    def take(self) -> Boot | None:
        """Return what to boot into once the board is out of reset; None while it is held."""
        if self.held:
            return None
        due, self._due = self._due, None
        return due or Boot.APPLICATION
