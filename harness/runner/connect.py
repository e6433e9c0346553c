"""Connect: find or start the board, open its port, greet the firmware.

This is the one place that knows that a board may be a virtual one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.boards import Profile
from harness.emulator.process import BoardProcess
from harness.emulator.tflm import require_runtime
from harness.errors import BoardError, HarnessError
from harness.runner.flash import program_virtual
from harness.runner.plan import Settings
from harness.runner.prepare import Prepared
from harness.wire.port import SerialPort, open_port
from harness.wire.session import Session, connect

EMULATED = "emulated"

PortKind = Literal["emulated", "serial", "pty", "socket", "rfc2217"]


@dataclass(frozen=True)
class Connection:
    """A greeted board and how it was reached."""

    session: Session
    port: str
    port_kind: PortKind
    serial_number: str | None


def choose_port(wanted: str | None, board: Profile) -> str:
    """Return the port to use: the one that was asked for, else that of the attached board, else "emulated".

    Raises:
        HarnessError: several attached boards fit and none was asked for.
    """
    if wanted is not None:
        return wanted
    from serial.tools.list_ports import comports

    ids = {(usb.vendor_id, usb.product_id) for usb in board.usb}
    found = sorted(port.device for port in comports() if (port.vid, port.pid) in ids)
    if len(found) > 1:
        raise HarnessError(f"several ports fit {board.id}: {', '.join(found)}; choose one with --port")
    return found[0] if found else EMULATED


class VirtualPort(SerialPort):
    """The port of a virtual board's process: once that has ended, there is nothing to wait for."""

    def __init__(self, process: BoardProcess) -> None:
        self._process = process
        super().__init__(process.url)

    def reopen(self) -> None:
        """Open (again); raises BoardError with the process's last words where it has ended."""
        if self._process.exit_code is not None:
            raise BoardError(f"the virtual board ended: {self._process.last_words()}")
        super().reopen()


@contextmanager
def connection(prepared: Prepared, settings: Settings, port: str) -> Iterator[Connection]:
    """Yield the board with the model in its flash, greeted; a virtual board ends with the context.

    Raises:
        HarnessError: the port is not there, is in use, or may not be opened.
        BoardError: nothing answers on it, or not with the protocol that was asked for.
    """
    board = prepared.job.board
    protocol = settings.protocol or board.protocols.default
    with ExitStack() as stack:
        if port == EMULATED:
            require_runtime()
            flash = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-")))
            program_virtual(prepared, flash)
            process = stack.enter_context(BoardProcess(str(board.path), ["--flash", str(flash)]))
            line: SerialPort = VirtualPort(process)
        else:
            line = open_port(port, board.serial.baud)
        stack.callback(line.close)
        session = stack.enter_context(connect(protocol, line))
        yield Connection(session, port, port_kind(port), _serial_number(port))


def port_kind(port: str) -> PortKind:
    """Return what kind of port a pyserial URL names."""
    if port == EMULATED:
        return "emulated"
    if port.startswith("socket://"):
        return "socket"
    if port.startswith("rfc2217://"):
        return "rfc2217"
    return "pty" if "/pts/" in port else "serial"


def _serial_number(url: str) -> str | None:
    from serial.tools.list_ports import comports

    return next((port.serial_number for port in comports() if port.device == url), None)
