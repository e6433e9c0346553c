"""Which processes have a device open, as far as this user may see it (Linux; nothing is known elsewhere)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Holder:
    """A process that has a port open."""

    pid: int
    name: str


def holders(device: str) -> tuple[Holder, ...]:
    """Return the processes that have a device open, as far as this user may see it (Linux)."""
    target = os.path.realpath(device)
    found = []
    for process in _numbered(Path("/proc")):
        try:
            descriptors = list((process / "fd").iterdir())
        except OSError:
            continue
        if any(_points_to(link, target) for link in descriptors):
            found.append(Holder(int(process.name), _name(process)))
    return tuple(found)


def named(found: Iterable[Holder]) -> str:
    """Return processes as a message names them; "" for none."""
    return ", ".join(f"{holder.name} (process {holder.pid})" for holder in found)


def others_too(device: str) -> str:
    """Return a clause about other processes that have a device open and so take its bytes; "" for none."""
    others = named(holder for holder in holders(device) if holder.pid != os.getpid())
    return f"; {others} has it open, too: close that and try again" if others else ""


def _numbered(root: Path) -> Iterable[Path]:
    try:
        return sorted(
            (path for path in root.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)
        )
    except OSError:
        return []


def _points_to(link: Path, target: str) -> bool:
    try:
        return os.readlink(link) == target
    except OSError:
        return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "?"
