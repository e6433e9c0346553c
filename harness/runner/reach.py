"""Reach: the board's port, whatever is behind it, and how the board is brought into its boot loader.

This is the one place that knows that a board may be an emulated one.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.boards import Profile
from harness.emulator.process import BoardProcess
from harness.emulator.tflm import require_runtime
from harness.errors import BoardError, HarnessError
from harness.flash.method import Target, as_firmware_port
from harness.runner.attached import DRIVE, EMULATED, Device, choose_port, device, port_of
from harness.runner.emulated import flash_directory
from harness.runner.returning import ReturningPort
from harness.wire.port import Port, PortMissing, SerialPort

PortKind = Literal["emulated", "serial", "pty", "socket", "rfc2217"]


@dataclass(frozen=True)
class Reach:
    """A board within reach.

    Attributes:
        port: as the user named it; `url` is what pyserial opens, None if only a drive is there.
        blank: nothing is in its flash, so there is nothing to greet.
        starting: it has just been switched on.
        device: the USB device behind the port, by which it is found again; None if it is none.
        asked_baud: the line speed that the user asked for; None = the profile's.
    """

    board: Profile
    port: str
    url: str | None
    press: Callable[[str], None] | None = None
    drives: tuple[Path, ...] = ()
    blank: bool = False
    starting: bool = False
    process: BoardProcess | None = None
    device: Device | None = None
    asked_baud: int | None = None

    @property
    def baud(self) -> int:
        """The line speed at which the firmware is spoken to."""
        return self.asked_baud or self.board.serial.baud

    @property
    def emulated(self) -> bool:
        """Whether the board is a child of this process."""
        return self.process is not None

    @property
    def speed_matters(self) -> bool:
        """Whether another line speed makes a difference: a socket has none, nor has the board's own USB."""
        own = self.device is not None and self.device.usb_id in [usb.id for usb in self.board.usb]
        nominal = own and self.board.serial.baud_is == "nominal"
        return self.url is not None and port_kind(self.url) != "socket" and not self.emulated and not nominal

    @property
    def serial_number(self) -> str | None:
        """The USB serial number of the device behind the port, if it has one."""
        return self.device.serial_number if self.device is not None else None

    def open(self, *, starting: bool = False) -> Port:
        """Open the port; raises PortError, or BoardError if an emulated board has ended."""
        baud = self.baud
        if self.process is not None:
            port: SerialPort = VirtualPort(self.process, baud)
        elif self.device is not None:
            port = ReturningPort(self._port(), baud, self.device)
        else:
            port = SerialPort(self._port() if self.url is None else self.url, baud)
        return as_firmware_port(self.board, port, starting)

    def target(self, options: dict[str, object] | None = None) -> Target:
        """Return the board as something to flash."""
        return Target(
            self.board,
            self.url,
            find_port=self._port if self.url is None or self.device is not None else None,
            press=self.press,
            restart=None if self.press else self._restart,
            drives=self.drives,
            options=options or {},
        )

    def _port(self) -> str:
        """Return where the port is now: that of the device, or that which has come with the firmware.

        Raises PortMissing.
        """
        if self.device is not None and (where := port_of(self.device) or self.url):
            return where
        try:
            found = choose_port(None, self.board)
        except HarnessError as error:
            raise PortMissing(str(error)) from None
        if found == EMULATED or found.startswith(DRIVE):
            raise PortMissing(f"no port of {self.board.id}: its firmware does not start, or it is unplugged")
        return found

    def _restart(self, port: Port) -> bool:
        from harness.wire.bench_link import ask_for_reset

        return ask_for_reset(port)


class VirtualPort(SerialPort):
    """The port of a virtual board's process; once the process has ended, there is nothing to wait for."""

    def __init__(self, process: BoardProcess, baud: int) -> None:
        self._process = process
        super().__init__(process.url, baud)

    def reopen(self) -> None:
        """Open (again); raises BoardError with the process's last words if it has ended."""
        if (told := ended(self._process)) is not None:
            raise BoardError(told)
        super().reopen()


def ended(process: BoardProcess | None) -> str | None:
    """Return how a virtual board ended, in its last words; None if it runs, or if there is none."""
    if process is None or process.exit_code is None:
        return None
    return f"the virtual board ended: {process.last_words()}"


class Shelf:
    """The boards of a bench: each is reached once, and an emulated one lives as long as the shelf."""

    def __init__(self, drive: Path | None = None, baud: int | None = None) -> None:
        """Take what the user said of an attached board.

        Args:
            drive: where its boot loader's drive is; None = look for it.
            baud: the line speed of its firmware; None = the profile's.
        """
        self._drive = drive
        self._baud = baud
        self._stack = ExitStack()
        self._emulated: dict[str, Reach] = {}
        """By the profile's hash."""

    def start(self, board: Profile) -> None:
        """Switch an emulated board on, which takes its time, and do not wait for it.

        Raises HarnessError if this computer cannot run one.
        """
        running = self._emulated.get(board.sha256)
        if running is None or ended(running.process) is not None:
            self._emulated[board.sha256] = self._stack.enter_context(_emulated(board))

    @contextmanager
    def reach(self, board: Profile, port: str) -> Iterator[Reach]:
        """Yield the board at `port`; an emulated one is started if it does not run.

        Whatever goes wrong on an emulated board that has ended is told with its last words.

        Raises HarnessError if this computer cannot run one, BoardError if it does not start.
        """
        if port != EMULATED:
            url = None if port.startswith(DRIVE) else port
            drives = (self._drive,) if self._drive else ()
            known = device(url) if url else None
            yield Reach(board, port, url, drives=drives, device=known, asked_baud=self._baud)
            return
        self.start(board)
        reached = self._emulated[board.sha256]
        assert reached.process is not None
        reached = replace(reached, url=reached.process.url)
        # The next caller finds a board that has been running, with something in its flash.
        self._emulated[board.sha256] = replace(reached, blank=False, starting=False)
        try:
            yield reached
        except HarnessError as error:
            if (told := ended(reached.process)) is None:
                raise
            raise BoardError(told) from error

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@contextmanager
def _emulated(board: Profile) -> Iterator[Reach]:
    """Yield an emulated board that has just been switched on, its `url` not known yet."""
    require_runtime()
    with ExitStack() as stack:
        flash, blank = stack.enter_context(flash_directory(board))
        drives = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-")))
        options = ["--flash", str(flash), "--drive", str(drives)]
        process = stack.enter_context(
            BoardProcess(str(board.path), options, listen=_listen(board), wait=False)
        )
        # A board whose loader is entered by DTR and RTS is entered by them; the others have buttons.
        press = None if board.flash.enter == "dtr_rts" else process.press
        yield Reach(
            board,
            EMULATED,
            None,
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
