"""Flashing ESP32 chips with esptool's own Python API: ROM loader or stub, compressed, compared, verified."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import serial
from esptool.cmds import attach_flash, reset_chip, run_stub, write_flash
from esptool.logger import TemplateLogger, log
from esptool.targets import CHIP_DEFS
from esptool.util import FatalError

from harness.boards.profile import TOUCH_BAUD
from harness.errors import BoardError
from harness.flash import esp_chip
from harness.flash.esp_chip import EspChip
from harness.flash.method import FlashFile, Outcome, Progress, Target
from harness.wire.holders import others_too
from harness.wire.port import PortError, open_port, open_serial

TIMEOUT_S = 3.0
"""esptool's own default: with it esptool need not configure the port again for every command."""
ROM_BAUD = 115200
BACK_S, LOOK_EVERY_S = 10.0, 0.1
"""How long a port may take to come back after a reset, and between two looks."""
_NEGOTIATION_BYTES = 64
_ATTEMPTS = 7
"""esptool's own default. Each is a reset, and half a second in which the chip may answer."""


_NOT_WHAT_WAS_SENT = (
    "what is in flash is not what was sent (MD5). Usual causes: the cable or a hub, the supply, or an image "
    "for a flash mode or frequency that the board cannot take (build it for DIO and 40 MHz); try a short "
    "cable at a port of the computer itself"
)


class EspLoader:
    """A chip in its ROM's loader, with esptool's stub running in it or not."""

    def __init__(self, esp: Any, chip: EspChip, port: str, compress: bool) -> None:
        self._esp = esp
        self._chip = chip
        self._port = port
        self._compress = compress
        self.virtual = chip.virtual
        self.description = str(chip)

    def write(self, files: Sequence[FlashFile], progress: Progress) -> list[Outcome]:
        """Write what differs, file by file, and verify each by its MD5."""
        esp_chip.check_files(self._chip, files, self._port)
        with _errors(self._port):
            return [self._write(file, progress) for file in files]

    def _write(self, file: FlashFile, progress: Progress) -> Outcome:
        started = time.monotonic()
        size = len(file.data)
        expected = hashlib.md5(file.data, usedforsecurity=False).hexdigest()
        progress(file.name, 0, size)
        same = self._esp.flash_md5sum(file.address, size) == expected
        if not same:
            _log().follow = lambda share: progress(file.name, int(share * size), size)
            write_flash(
                self._esp,
                [(file.address, file.data)],
                compress=self._compress,
                no_compress=not self._compress,
            )
            if self._esp.flash_md5sum(file.address, size) != expected:
                raise BoardError(f"{self._port}: {file.name} at {file.address:#x}: {_NOT_WHAT_WAS_SENT}")
        progress(file.name, size, size)
        return Outcome(
            file.name,
            file.address,
            size,
            "same" if same else "written",
            "MD5, by the chip",
            time.monotonic() - started,
        )


@contextmanager
def enter(target: Target) -> Iterator[EspLoader]:
    """Connect to the chip's ROM loader by esptool; reset the chip into its firmware at the end."""
    assert target.port is not None
    assert target.profile.flash.esptool
    chip = target.profile.flash.esptool.chip
    stub = bool(target.options.get("stub", True))
    compress = bool(target.options.get("compress", True))
    _log()
    with contextlib.ExitStack() as stack:
        port = open_serial(target.port, ROM_BAUD, TIMEOUT_S)
        stack.callback(lambda: port.close())
        with _errors(target.port):
            try:
                esp = _connect(target, port, chip)
            except OSError:  # SerialException is one
                port.close()
                port = _come_back(target)
                esp = _connect(target, port, chip)
            esp_chip.refuse_secure_download(esp, target.port)
            if stub:
                esp = run_stub(esp)
            if baud := target.options.get("baud"):
                esp.change_baud(int(str(baud)))
            # A lost port is an error here: the next run will not write again what is in flash by then.
            esp.WRITE_FLASH_ATTEMPTS = 1
            attach_flash(esp)
            found = esp_chip.read(esp)
            esp_chip.check(target.profile, found, target.port)
            esp.flash_set_parameters(found.flash_bytes or esp_chip.wanted(target.profile, "flash"))
            loader = EspLoader(esp, found, target.port, compress)
        try:
            yield loader
        finally:
            # Whatever happened, leave the loader, so that whatever can boot does.
            with contextlib.suppress(Exception):
                _leave(esp, target, _has_lines(port))


def _connect(target: Target, port: Any, chip: str) -> Any:
    """Return esptool's object for the chip, synchronised."""
    by_lines = _has_lines(port)
    if not by_lines:
        _enter_without_lines(target, port)
    esp = CHIP_DEFS[chip](port, port.baudrate)
    if port.port.startswith("rfc2217:"):
        esp.USES_RFC2217 = True
    try:
        esp.connect("default-reset" if by_lines else "no-reset", _ATTEMPTS, warnings=False)
    except FatalError as error:
        if "This chip is" in str(error):
            raise BoardError(
                f"{target.port}: {str(error).split('. ')[0]}; is that the right board?"
            ) from None
        raise BoardError(_no_answer(target, by_lines, str(error))) from None
    return esp


def _come_back(target: Target) -> Any:
    """Return the port of a board that went away as it was reset.

    Firmware that drives the USB port itself goes with its port, and the ROM's has another id and name.
    """
    if target.find_port is None:
        raise BoardError(f"{target.port}: the port went away as the board was reset; plug it in again")
    deadline = time.monotonic() + BACK_S
    while True:
        try:
            return open_serial(target.find_port(), ROM_BAUD, TIMEOUT_S)
        except PortError:
            if time.monotonic() > deadline:
                raise
        time.sleep(LOOK_EVERY_S)


def _enter_without_lines(target: Target, port: Any) -> None:
    """Bring the chip into its loader over a port that has neither DTR nor RTS."""
    if target.press is not None:
        target.press("boot")
    elif not str(target.port).startswith("socket://"):
        before, port.baudrate = port.baudrate, TOUCH_BAUD
        time.sleep(0.1)
        port.baudrate = before
    time.sleep(0.05)
    port.reset_input_buffer()


def _no_answer(target: Target, by_lines: bool, reason: str) -> str:
    if str(target.port).lower().startswith("socket://"):
        with open_port(str(target.port)) as again:
            again.read(_NEGOTIATION_BYTES, TIMEOUT_S)  # raises TelnetPort, if it is one
    said = reason.splitlines()[0].removeprefix("Failed to connect to ESP32-S3: ").rstrip(".")
    if by_lines:
        what = "hold its BOOT button while you press RESET, and try again"
    else:
        what = "this port has no DTR and RTS: enter the loader by BOOT and RESET"
    return f"{target.port}: the ESP32's loader does not answer ({said}); {what}{others_too(str(target.port))}"


def _has_lines(port: Any) -> bool:
    """Return whether the port has DTR and RTS; a socket or a pseudo-terminal has not."""
    if port.port.startswith("rfc2217:"):
        return bool(port.has_lines)
    try:
        return isinstance(port.cts, bool) and not port.port.startswith("socket:")
    except OSError:
        return False


def _leave(esp: Any, target: Target, by_lines: bool) -> None:
    if by_lines:
        reset_chip(esp, "hard-reset")
    elif target.press is not None:
        target.press("reset")
    else:
        reset_chip(esp, "watchdog-reset")


@contextmanager
def _errors(port: str) -> Iterator[None]:
    """Turn what esptool and pyserial raise into one line."""
    try:
        yield
    except FatalError as error:
        if "MD5 of file does not match" in str(error):
            raise BoardError(f"{port}: {_NOT_WHAT_WAS_SENT}") from None
        text = " ".join(line.strip() for line in str(error).splitlines() if line and "http" not in line)
        raise BoardError(f"{port}: {text.rstrip('.')}; reset the board and try again") from None
    except (serial.SerialException, OSError) as error:
        raise BoardError(f"{port}: the port went away while flashing ({error}); plug it in again") from None


class _Log(TemplateLogger):
    """esptool's output: its progress is passed on, the rest is not shown."""

    def __init__(self) -> None:
        self.follow: Callable[[float], None] | None = None
        """Called with the part of a write that is done, 0.0 to 1.0."""

    def print(self, *args: object, **kwargs: object) -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Show nothing."""

    def warning(self, message: str) -> None:
        """Show nothing: what matters is raised as an error as well."""

    def error(self, message: str) -> None:
        """Show nothing: it is raised as well."""

    def stage(self, finish: bool = False) -> None:
        """Do nothing: no stages are shown."""

    def progress_bar(
        self, cur_iter: int, total_iters: int, prefix: str = "", suffix: str = "", bar_length: int = 30
    ) -> None:
        """Pass progress on."""
        if self.follow is not None and total_iters > 0:
            self.follow(cur_iter / total_iters)

    def set_verbosity(self, verbosity: str) -> None:
        """Ignore it: nothing is shown anyway."""


@cache
def _log() -> _Log:
    """Return the logger that esptool has been given."""
    made = _Log()
    log.set_logger(made)
    return made
