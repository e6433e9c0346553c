"""Which processes have a device open, as far as this user may see it (Linux; nothing is known elsewhere).

What programs of other users have open is not shown to everybody, but their locks are: those of `flock`, and
the lock files of older programs.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_LOCK_FILES = Path("/var/lock")
_CLOSE = "close it and try again"
_TAKERS = {
    "ModemManager": "it tries every new port for a modem: wait a few seconds, or keep it off with the rule "
    "that `harness ports --udev` prints",
    "brltty": "it takes USB bridges for Braille displays: switch it off (sudo systemctl mask --now "
    "brltty-udev brltty)",
    "ser2net": "use the port that it serves (rfc2217://HOST:PORT), or stop it",
}
"""What to do about programs that have a port, by the kernel's name of them."""
_UNASKED = ("ModemManager", "brltty")
"""Those that nobody told to take it."""


@dataclass(frozen=True)
class Holder:
    """A process that has a port open; `user` is whose it is, "" if that is not known."""

    pid: int
    name: str
    user: str = ""


def holders(device: str) -> tuple[Holder, ...]:
    """Return the processes that have a device open, as far as this user may see it (Linux)."""
    target = os.path.realpath(device)
    found = [*_with_descriptor(target), *_with_lock(target), *_with_lock_file(target)]
    return tuple(_holder(pid) for pid in dict.fromkeys(found))


def takers() -> tuple[Holder, ...]:
    """Return the programs that run here and are known to take ports that nobody gave them."""
    everybody = (_holder(int(process.name)) for process in _numbered(_PROC))
    return tuple(holder for holder in everybody if holder.name in _UNASKED)


def named(found: Iterable[Holder]) -> str:
    """Return processes as a message names them, with their user if that is another one; "" for none."""
    me = _user(os.getuid()) if hasattr(os, "getuid") else ""
    return ", ".join(
        f"{holder.name} (process {holder.pid}{f', of {holder.user}' if holder.user not in ('', me) else ''})"
        for holder in found
    )


def in_use(device: str) -> str:
    """Return a clause about who has a device that cannot be opened for that, and what to do."""
    found = holders(device)
    if found := tuple(holder for holder in found if holder.pid != os.getpid()) or found:
        by = named(found)
    elif found := takers():
        by = f"a program of another user, probably {named(found)}"
    else:
        return f"another program, of another user: `sudo fuser -v {device}` names it; close it and try again"
    return f"{by}; {next((_TAKERS[holder.name] for holder in found if holder.name in _TAKERS), _CLOSE)}"


def others_too(device: str) -> str:
    """Return a clause about other processes that have a device open and so take its bytes; "" for none."""
    others = named(holder for holder in holders(device) if holder.pid != os.getpid())
    return f"; {others} has it open, too: close that and try again" if others else ""


def _with_descriptor(target: str) -> Iterator[int]:
    for process in _numbered(_PROC):
        with contextlib.suppress(OSError):
            if any(_points_to(link, target) for link in (process / "fd").iterdir()):
                yield int(process.name)


def _with_lock(target: str) -> Iterator[int]:
    """Yield who has a lock on the device (proc_locks(5): the PID, and the file as MAJOR:MINOR:INODE)."""
    with contextlib.suppress(OSError):
        status = os.stat(target)
        file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        for line in (_PROC / "locks").read_text(encoding="utf-8", errors="replace").splitlines():
            if match := re.search(rf" (\d+) {file} ", line):
                yield int(match[1])


def _with_lock_file(target: str) -> Iterator[int]:
    """Yield who has left a lock file for the device, if that process still runs (FHS, /var/lock)."""
    with contextlib.suppress(OSError, ValueError):
        text = (_LOCK_FILES / f"LCK..{Path(target).name}").read_text(encoding="utf-8")
        pid = int(text.split()[0])
        if (_PROC / str(pid)).exists():
            yield pid


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


def _holder(pid: int) -> Holder:
    process = _PROC / str(pid)
    try:
        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
        return Holder(pid, name, _user(process.stat().st_uid))
    except OSError:
        return Holder(pid, "?")


def _user(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)
