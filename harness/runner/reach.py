"""Reach: the board's port, whatever is behind it, and how the board is brought into its boot loader.

This is the one place that knows that a board may be an emulated one.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.boards import Profile
from harness.emulator.process import BoardProcess
from harness.emulator.tflm import require_runtime
from harness.errors import BoardError
from harness.flash.method import Target
from harness.runner.emulated import flash_directory
from harness.wire.port import Port, PortMissing, SerialPort

AUTO = "auto"
EMULATED = "emulated"
DRIVE = "drive:"
"""What the place of a board begins with of which only the boot loader's drive is there."""

PortKind = Literal["emulated", "serial", "pty", "socket", "rfc2217"]


@dataclass(frozen=True)
class Reach:
    """A board within reach.

    Attributes:
        port: as the user named it; `url` is what pyserial opens, None where only a drive is there.
        blank: nothing is in its flash, so there is nothing to greet.
        starting: it has just been switched on.
    """

    board: Profile
    port: str
    url: str | None
    press: Callable[[str], None] | None = None
    drives: tuple[Path, ...] = ()
    blank: bool = False
    starting: bool = False
    process: BoardProcess | None = None

    @property
    def emulated(self) -> bool:
        """Whether the board is a child of this process."""
        return self.process is not None

    def open(self, *, starting: bool = False) -> Port:
        """Open the port; raises PortError, or BoardError where an emulated board has ended."""
        baud = self.board.serial.baud
        if self.process is not None:
            port: SerialPort = VirtualPort(self.process, baud)
        else:
            port = SerialPort(self._port() if self.url is None else self.url, baud)
        if self.board.flash.xmodem is None:
            return port
        from harness.runner.quiet import QuietPort

        return QuietPort(port, self.board.flash.xmodem.window_s, starting=starting)

    def target(self, options: dict[str, object] | None = None) -> Target:
        """Return the board as something to flash."""
        return Target(
            self.board,
            self.url,
            find_port=self._port if self.url is None else None,
            press=self.press,
            restart=None if self.press else self._restart,
            drives=self.drives,
            options=options or {},
        )

    def _port(self) -> str:
        """Return the port that has come with the firmware, once the drive has gone; raises PortMissing."""
        from harness.runner.attached import choose_port

        found = choose_port(None, self.board)
        if found == EMULATED or found.startswith(DRIVE):
            raise PortMissing(f"no port of {self.board.id}: its firmware does not start, or it is unplugged")
        return found

    def _restart(self, port: Port) -> bool:
        from harness.wire.bench_link import ask_for_reset

        return ask_for_reset(port)


class VirtualPort(SerialPort):
    """The port of a virtual board's process: once that has ended, there is nothing to wait for."""

    def __init__(self, process: BoardProcess, baud: int) -> None:
        self._process = process
        super().__init__(process.url, baud)

    def reopen(self) -> None:
        """Open (again); raises BoardError with the process's last words where it has ended."""
        if self._process.exit_code is not None:
            raise BoardError(f"the virtual board ended: {self._process.last_words()}")
        super().reopen()


@contextmanager
def reach(board: Profile, port: str, drive: Path | None = None) -> Iterator[Reach]:
    """Yield the board on `port`; an emulated one is started, and ends with the context.

    Raises HarnessError where this computer cannot run one, BoardError where it does not start.
    """
    if port != EMULATED:
        url = None if port.startswith(DRIVE) else port
        yield Reach(board, port, url, drives=(drive,) if drive else ())
        return
    require_runtime()
    with ExitStack() as stack:
        flash, blank = stack.enter_context(flash_directory(board))
        drives = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-")))
        process = stack.enter_context(
            BoardProcess(
                str(board.path), ["--flash", str(flash), "--drive", str(drives)], listen=_listen(board)
            )
        )
        # A board whose loader is entered by DTR and RTS is entered by them; the others have buttons.
        press = None if board.flash.enter == "dtr_rts" else process.press
        yield Reach(
            board,
            port,
            process.url,
            press=press,
            drives=(drives,),
            blank=blank,
            starting=True,
            process=process,
        )


def _listen(board: Profile) -> str | None:
    needs_lines = board.flash.enter == "dtr_rts" or sys.platform == "win32"
    return "rfc2217://127.0.0.1:0" if needs_lines else None


def port_kind(port: str) -> PortKind:
    """Return what kind of port a pyserial URL names."""
    if port == EMULATED:
        return "emulated"
    if port.startswith("socket://"):
        return "socket"
    if port.startswith("rfc2217://"):
        return "rfc2217"
    return "pty" if "/pts/" in port else "serial"
