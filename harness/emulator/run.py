"""The process of a virtual board: its port, its buttons, and its end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from harness import boards
from harness.boards.profile import TOUCH_BAUD
from harness.emulator.board import BoardLine, VirtualBoard, engines_of, load_firmware, load_models
from harness.emulator.boot import Wiring, rom
from harness.emulator.controls import Boot, Controls
from harness.emulator.engine import Line
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.line import VirtualLine
from harness.emulator.listening import listen
from harness.emulator.tflm import require_runtime
from harness.emulator.transport import Endpoint
from harness.emulator.troubles import Troubles
from harness.errors import HarnessError
from harness.flash.drives import own_directory

if TYPE_CHECKING:
    from filelock import FileLock

    from harness.boards.profile import Profile

READ_BYTES = 1 << 16
BUTTONS = {"": Boot.APPLICATION, "reset": Boot.APPLICATION, "boot": Boot.LOADER}
"""The button that a line on standard input presses; "boot" is reset with the boot button held."""


class EndpointLine:
    """An endpoint as the line of what runs on the board."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def read(self, timeout: float | None) -> bytes:
        return self._endpoint.read(READ_BYTES, 1.0 if timeout is None else timeout)

    def write(self, data: bytes) -> None:
        self._endpoint.write(data)

    def wake(self) -> None:
        self._endpoint.wake()


def run(
    board: str,
    *,
    listen_on: str,
    firmware: str | None = None,
    models: Sequence[str] = (),
    flash_directory: Path | None = None,
    drives: Path | None = None,
    troubles: Troubles | None = None,
    loader: bool = False,
    lifeline: bool = False,
    line: VirtualLine | None = None,
    stock: str = "1.0",
    meter: bool = False,
) -> None:
    """Run a virtual board until the process is told to end; prints the URL of its port first.

    Args:
        board: a board id or the path of a profile.
        listen_on: where it answers (see `harness.emulator.listening.listen`).
        firmware: protocol of the virtual firmware to put into its flash; None = leave flash as it is.
        models: models to put into its flash.
        flash_directory: where its flash memory is kept; None = in memory, blank.
        drives: directory in which the drive of a board that is flashed by UF2 appears; None = a new one.
        troubles: what is wrong with the board itself; None = nothing.
        loader: power on with the boot button held.
        lifeline: end when standard input closes, that is, with whoever started this.
        line: what bytes go through on their way; None = as fast as they come, and unharmed.
        stock: which generation of the stock firmware the protocol sscma is, "1.0" or "2.0".
        meter: supply it from a virtual power meter, whose name is printed on a second line.

    Raises:
        HarnessError: the board, a model or the place to listen on is not there, or its flash is in use.
    """
    require_runtime()
    profile = boards.load(board)
    flash = BoardFlash(profile, flash_directory)
    engines = engines_of(profile, flash)
    with contextlib.ExitStack() as stack:
        if flash_directory is not None:
            stack.callback(_hold(flash_directory).release)
        if firmware is not None:
            load_firmware(profile, flash, firmware)
        if models:  # reading them takes NumPy, which is slow to import
            load_models(profile, flash, models)
        if drives is None and profile.flash.drive_labels:
            drives = own_directory(profile.id)
            stack.callback(shutil.rmtree, drives, ignore_errors=True)
        endpoint = stack.enter_context(_listening(listen_on, line))
        controls = _controls(profile, endpoint)

        def press(boot: Boot) -> None:
            controls.press(boot)
            endpoint.wake()

        endpoint.on_lines = controls.changed
        _on_signals(press)
        if lifeline or sys.stdin.isatty():
            threading.Thread(target=_buttons, args=(press, stack if lifeline else None), daemon=True).start()
        print(endpoint.url, flush=True)
        pin = stack.enter_context(_metered()) if meter else None
        if profile.flash.drive_labels and not lifeline:
            print(f"its drive appears in {drives}", file=sys.stderr)
        board_rom = rom(profile, flash, Wiring("lines" in endpoint.shows, drives or Path()))
        power = VirtualBoard(profile, flash, board_rom, engines, stock, pin)
        end: Line = EndpointLine(endpoint)
        with contextlib.suppress(KeyboardInterrupt):
            # A host powers its board; without one, what the board prints at first would be lost.
            while not loader and not controls.resetting and not endpoint.wait_for_host(1.0):
                pass
            if line is not None:
                end = stack.enter_context(line.attach(endpoint, lambda: press(Boot.APPLICATION)))
            power.troubles = troubles or power.troubles
            power.power_on(BoardLine(end, controls), Boot.LOADER if loader else Boot.APPLICATION)


@contextlib.contextmanager
def _listening(listen_on: str, line: VirtualLine | None) -> Iterator[Endpoint]:
    endpoint = listen(listen_on)
    with contextlib.closing(endpoint):
        if line is not None and line.vanishes and not endpoint.can_vanish:
            raise HarnessError(
                f"--faults vanish needs --listen socket://HOST:PORT: a {listen_on} cannot come back as it was"
            )
        yield endpoint


def _controls(profile: Profile, endpoint: Endpoint) -> Controls:
    """Return what a host can reset the board with: DTR and RTS, or a touch at a certain baud rate."""
    by_lines = profile.flash.enter == "dtr_rts"
    has_lines = "lines" in endpoint.shows
    touch = profile.flash.touch_baud
    if by_lines and not has_lines:
        touch = TOUCH_BAUD  # it takes their place
    return Controls(dtr_rts=by_lines and has_lines, touch_baud=touch)


def _on_signals(press: Callable[[Boot], None]) -> None:
    """End at SIGTERM, and press the reset button at SIGUSR1 if the system has it."""
    signal.signal(signal.SIGTERM, _end)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, lambda signum, frame: press(Boot.APPLICATION))
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)


@contextlib.contextmanager
def _metered() -> Iterator[Callable[[float], None]]:
    """Yield the pin of a board that a virtual meter supplies; prints the meter's name."""
    from harness.emulator.ppk2 import PinnedBoard, VirtualPpk2

    # Made-up currents, of the size that such boards draw.
    circuit = PinnedBoard(rest_a=0.025, invoke_a=0.080)
    with VirtualPpk2(listen("pty"), circuit) as kit:
        print(f"ppk2:{kit.endpoint.url},source=3.3", flush=True)
        yield circuit.invoke


def _hold(flash_directory: Path) -> FileLock:
    """Keep other virtual boards from the same flash memory; raises HarnessError if one is there."""
    from filelock import FileLock, Timeout

    lock = FileLock(flash_directory / "in-use.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise HarnessError(
            f"{flash_directory}: another virtual board keeps its flash here; end it, or name another place"
        ) from None
    return lock


def _end(signum: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _buttons(press: Callable[[Boot], None], lifeline: contextlib.ExitStack | None) -> None:
    """Press buttons as standard input says; its end ends the board if there is something to undo."""
    # By descriptor: a thread that holds the lock of sys.stdin would abort the interpreter at its end.
    pending = b""
    while True:
        try:
            data = os.read(0, 4096)
        except OSError:
            return  # a terminal that this process is in the background of
        if not data:
            break
        *words, pending = (pending + data).split(b"\n")
        for word in words:
            boot = BUTTONS.get(word.decode("ascii", "replace").strip())
            if boot is not None:
                press(boot)
    if lifeline is not None:
        # Flash files are memory maps, which the system writes back.
        lifeline.close()
        os._exit(0)
