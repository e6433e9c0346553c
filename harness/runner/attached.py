"""What is attached: serial ports and boot-loader drives, the boards they belong to, who holds a port."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import boards
from harness.boards import Profile
from harness.errors import HarnessError
from harness.flash import drives
from harness.wire.holders import Holder, holders

AUTO = "auto"
EMULATED = "emulated"
DRIVE = "drive:"
"""Prefix of the place of a board that is present only as its boot loader's drive."""


@dataclass(frozen=True)
class Attached:
    """A port or a drive. `boards` are the ids that its USB id or its label stands for.

    `location` is the USB socket that it is in, as the system names it; `may_be` are boards of the same
    vendor, if the USB id is none that is known.
    """

    where: str
    kind: str
    boards: tuple[str, ...]
    state: str
    usb_id: str | None
    serial_number: str | None
    description: str
    held_by: tuple[Holder, ...] = ()
    location: str | None = None
    may_be: tuple[str, ...] = ()


@dataclass(frozen=True)
class Device:
    """What stays the same of a USB device that comes back under another name of its port."""

    usb_id: str
    serial_number: str | None
    location: str | None


def everything(board: Profile | None = None) -> list[Attached]:
    """Return all serial ports and boot-loader drives, those of known boards, `board` among them, first."""
    profiles = boards.all_profiles()
    if board is not None and board not in profiles:
        profiles.append(board)
    found = [*(_port(port, profiles) for port in _comports()), *_drives(profiles)]
    return sorted(found, key=lambda item: (not item.boards, item.kind, item.where))


def choose_port(wanted: str | None, board: Profile, drive: Path | None = None) -> str:
    """Return the port to use: the one that was asked for, else that of the attached board, else "emulated".

    "auto" takes the attached board and nothing else; `drive` is the boot loader's that was asked for.

    Raises:
        HarnessError: several attached boards fit and none was asked for; or none does and it was "auto", or
            there is a device that may be the board; or there is no such drive.
    """
    if wanted is not None and wanted != AUTO:
        meant = difflib.get_close_matches(wanted, (AUTO, EMULATED), n=1, cutoff=0.7)
        if meant and wanted != EMULATED and not Path(wanted).exists():
            raise HarnessError(f"no port '{wanted}'; did you mean '{meant[0]}'?")
        return wanted
    if drive is not None and board.flash.drive_labels:
        if not drive.is_dir():
            raise HarnessError(
                f"{drive}: there is no such drive; press the board's button twice, and look with "
                "`harness ports`"
            )
        return f"{DRIVE}{drive}"
    there = everything(board)
    fitting = [item for item in there if board.id in item.boards]
    ports = [item for item in fitting if item.kind == "port"]
    # A boot loader may have a port beside its drive: then both are of one board.
    boards_there = fitting if any(item.state != "boot_loader" for item in ports) else ports
    if len(boards_there) > 1:
        listed = ", ".join(
            f"{item.where} (serial number {item.serial_number})" if item.serial_number else item.where
            for item in boards_there
        )
        options = "--port" if len(ports) == len(boards_there) else "--port or --drive"
        raise HarnessError(f"several boards fit {board.id}: {listed}; choose one with {options}")
    if ports:
        return ports[0].where
    if fitting:
        return f"{DRIVE}{fitting[0].where}"
    maybe = _maybe(board, there)
    if wanted == AUTO:
        ids = ", ".join(usb.id for usb in board.usb)
        look = "plug it in, and look with `harness ports`"
        what = f"{maybe}: if so, name it with --port" if maybe else look
        raise HarnessError(f"no {board.id} is attached (USB id {ids}); {what}")
    if maybe:
        raise HarnessError(f"{maybe}: name it with --port, or take an emulated board with --port {EMULATED}")
    return EMULATED


def _maybe(board: Profile, there: Iterable[Attached]) -> str:
    """Return a clause about ports that no board is known by, of the maker of this one's USB; "" for none."""
    found = [f"{item.where} ({item.usb_id}, {item.description})" for item in there if board.id in item.may_be]
    if not found:
        return ""
    why = (
        "a USB id that its firmware gives it"
        if board.serial.link == "usb_cdc"
        else "the USB id of its bridge"
    )
    return f"{' or '.join(found)} may be the {board.id}, under {why}"


def device(url: str) -> Device | None:
    """Return the USB device behind a port; None if it is none, or has nothing to be known by."""
    names = (url, os.path.realpath(url))  # a link in /dev/serial/by-id, for one
    port = next((port for port in _comports() if port.device in names), None)
    if port is None or port.vid is None or not (port.serial_number or _location(port)):
        return None
    return Device(_usb_id(port), port.serial_number or None, _location(port))


def port_of(wanted: Device) -> str | None:
    """Return the port at which a USB device is now: by its serial number, else by the socket that it is in.

    A boot loader may have another serial number than the firmware, or none; then its USB id is another, too.
    """
    ports = [port for port in _comports() if port.vid is not None]
    numbered = [port for port in ports if wanted.serial_number and port.serial_number == wanted.serial_number]
    socket = _socket(wanted.location)
    there = [
        port
        for port in ports
        if socket
        and _socket(_location(port)) == socket
        and (port in numbered or not port.serial_number or _usb_id(port) != wanted.usb_id)
    ]
    found = [port for port in numbered if port in there] or numbered or there
    # Of several ports of one device, that of the same interface.
    found.sort(key=lambda port: _location(port) != wanted.location)
    return found[0].device if found else None


def _usb_id(port: Any) -> str:
    return f"{port.vid:04X}:{port.pid:04X}"


def _socket(location: str | None) -> str:
    """Return a USB socket's name without the interface behind it."""
    return (location or "").partition(":")[0]


def _location(port: Any) -> str | None:
    return getattr(port, "location", None) or None


def _comports() -> list[Any]:
    from serial.tools.list_ports import comports

    return list(comports())


def _port(port: Any, profiles: Iterable[Profile]) -> Attached:
    ids = [
        (profile.id, usb.state)
        for profile in profiles
        for usb in profile.usb
        if (usb.vendor_id, usb.product_id) == (port.vid, port.pid)
    ]
    known = tuple(dict.fromkeys(name for name, _ in ids))
    alike = [p.id for p in profiles if any(usb.vendor_id == port.vid for usb in p.usb)]
    return Attached(
        where=port.device,
        kind="port",
        boards=known,
        state=ids[0][1] if ids else "",
        usb_id=_usb_id(port) if port.vid is not None else None,
        serial_number=port.serial_number or None,
        description=port.description or "",
        held_by=holders(port.device),
        location=_location(port),
        may_be=() if known else tuple(alike),
    )


def _drives(profiles: Iterable[Profile]) -> Iterator[Attached]:
    for drive in drives.find():
        label = drive.label.upper()
        fits = tuple(p.id for p in profiles if label in p.flash.drive_labels)
        number, about = drive.info.get("Board-ID"), drive.info.get("Model", "")
        yield Attached(str(drive.path), "drive", fits, "boot_loader", None, number, about)
    for profile in profiles:
        device = drives.unmounted(profile.flash.drive_labels)
        if device is not None:
            about = f"not mounted: udisksctl mount -b {device}"
            yield Attached(str(device), "drive", (profile.id,), "boot_loader", None, None, about)
