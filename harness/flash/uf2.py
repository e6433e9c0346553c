"""Flashing the Grove Vision AI and the SenseCAP A1101: a UF2 file, copied to the boot loader's drive.

The boot loader is entered again for each file; the drive goes away to acknowledge it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness import boards
from harness.boards import Profile
from harness.chips import filling, uf2file
from harness.errors import BoardError, HarnessError
from harness.flash import drives
from harness.flash.drives import Drive
from harness.flash.method import FlashFile, Outcome, Progress, Target
from harness.wire.port import PortError, open_serial

APPEAR_S = 60.0
"""How long a drive may take to appear after the touch; mounting takes a while."""
BUTTON_WAIT_S = 60.0
TOUCH_S = 0.1
TOUCH_EVERY_S = 2.0
TAKE_S = 120.0
"""How long a drive may take to burn a file, after it has been written, before it goes away."""
BACK_S = 30.0
"""How long the port may take to come back after the drive has gone."""
LOOK_EVERY_S = 0.01
CHUNK_BYTES = 64 << 10


class Uf2Loader:
    """The boot loader's drive; it is entered again for every file after the first."""

    def __init__(self, target: Target, drive: Drive) -> None:
        self._target = target
        self._drive: Drive | None = drive
        self.virtual = filling.MARK in drive.info.get("Model", "")
        self.description = (
            f"drive {drive.label} ({drive.info.get('Model', 'no model given')}) at {drive.path}"
        )

    def write(self, files: Sequence[FlashFile], progress: Progress) -> list[Outcome]:
        """Copy each file as its own UF2 file, and wait for the drive to go away."""
        return [self._write(file, progress) for file in files]

    def _write(self, file: FlashFile, progress: Progress) -> Outcome:
        started = time.monotonic()
        drive = self._drive or _enter(self._target)
        self._drive = None
        data = to_uf2(self._target.profile, file)
        size = len(file.data)
        progress(file.name, 0, size)
        path = drive.path / f"{file.use}.uf2"
        _copy(path, data, drive, lambda done: progress(file.name, size * done // len(data), size))
        _wait_until_gone(drive, file)
        progress(file.name, size, size)
        return Outcome(
            file.name,
            file.address,
            size,
            "written",
            "the drive took the file and went away",
            time.monotonic() - started,
        )


def to_uf2(board: Profile, file: FlashFile) -> bytes:
    """Return a file as a UF2 file, its words swapped if the board's profile says so."""
    assert board.flash.uf2
    swap = file.use in board.flash.uf2.word_swapped
    data = uf2file.swap_words(file.data) if swap else file.data
    return uf2file.build(data, file.address, board.flash.uf2.family_id)


@contextmanager
def enter(target: Target) -> Iterator[Uf2Loader]:
    """Yield the boot loader's drive; what is written to it starts by itself."""
    yield Uf2Loader(target, _enter(target))


def _enter(target: Target) -> Drive:
    """Return the board's drive, after making it appear if it is not there yet."""
    found = _drives(target)
    if len(found) > 1:
        paths = ", ".join(str(drive.path) for drive in found)
        raise HarnessError(f"several boot loaders' drives are there: {paths}; choose one with --drive")
    if found:
        return found[0]
    has_port = target.port is not None or target.find_port is not None
    patience = APPEAR_S if has_port or target.press else BUTTON_WAIT_S
    deadline = time.monotonic() + patience
    touch_at = 0.0
    while not (found := _drives(target)):
        now = time.monotonic()
        if now > deadline:
            raise BoardError(_not_there(target, patience))
        if now >= touch_at and _unmounted(target) is None:
            # A board that is still starting misses a touch.
            touch_at = now + (TOUCH_EVERY_S if has_port else patience)
            _touch(target)
        time.sleep(LOOK_EVERY_S)
    return found[0]


def _drives(target: Target) -> list[Drive]:
    assert target.profile.flash.uf2
    ours = target.profile.flash.uf2.drive_labels
    found = []
    for drive in drives.find(target.drives):
        label = drive.label.upper()
        if label in ours:
            found.append(drive)
        elif drive.path in target.drives:
            # Mounted under another name: trust whoever named it, unless its label says otherwise.
            other = next((p for p in boards.all_profiles() if label in p.flash.drive_labels), None)
            if other is not None:
                raise HarnessError(f"{drive.path}: the drive of {other.id}, not of {target.profile.id}")
            found.append(drive)
    return found


def _unmounted(target: Target) -> Path | None:
    """Return the device of the board's drive if that is there, and nobody has mounted it (yet)."""
    assert target.profile.flash.uf2
    if target.drives:
        return None  # it is to appear elsewhere
    return drives.unmounted(target.profile.flash.uf2.drive_labels)


def _touch(target: Target) -> None:
    """Bring the board into its boot loader by opening its port at 1200 baud, or by its button."""
    assert target.profile.flash.uf2
    if target.port is None and target.find_port is None:
        if target.press is not None:
            target.press("boot")
        else:
            target.ask(
                f"{target.profile.name}: press its button twice now (waiting {BUTTON_WAIT_S:.0f} s for its "
                "drive)"
            )
        return
    deadline = time.monotonic() + BACK_S
    while True:
        try:
            port = open_serial(_port(target), target.profile.flash.uf2.touch_baud, 1.0)
            break
        except PortError:
            # Gone while the drive was there: it comes back with the firmware that was just flashed.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    time.sleep(TOUCH_S)
    port.close()


def _port(target: Target) -> str:
    if target.find_port is not None:
        return target.find_port()
    assert target.port is not None
    return target.port


def _copy(path: Path, data: bytes, drive: Drive, report: Callable[[int], None]) -> None:
    try:
        with path.open("wb") as file:
            for at in range(0, len(data), CHUNK_BYTES):
                file.write(data[at : at + CHUNK_BYTES])
                file.flush()
                os.fsync(file.fileno())
                report(min(at + CHUNK_BYTES, len(data)))
    except OSError as error:
        # The drive may go as soon as it has the last block, before the system has closed the file.
        if not drive.gone:
            raise BoardError(
                f"{path}: cannot be written ({error.strerror}); unplug the board, plug it in and try again"
            ) from None


def _wait_until_gone(drive: Drive, file: FlashFile) -> None:
    deadline = time.monotonic() + TAKE_S
    while not drive.gone:
        if time.monotonic() > deadline:
            raise BoardError(
                f"{drive.path}: the drive is still there {TAKE_S:.0f} s after {file.name} was copied to "
                "it, so it was not taken; is this the right board? Unplug it, plug it in and try again"
            )
        time.sleep(LOOK_EVERY_S)


def _not_there(target: Target, patience_s: float) -> str:
    assert target.profile.flash.uf2
    device = _unmounted(target)
    if device is not None:
        return f"the drive {device.name} is there but not mounted; mount it: udisksctl mount -b {device}"
    labels = target.profile.flash.uf2.drive_labels
    return (
        f"{target.port or target.profile.name}: no drive {' or '.join(labels)} within {patience_s:.0f} s; "
        "press the board's button twice (or name the drive's directory with --drive)"
    )
