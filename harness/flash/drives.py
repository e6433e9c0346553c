"""Finding the drive that a boot loader shows: a mounted file system with INFO_UF2.TXT in it."""

from __future__ import annotations

import os
import re
import shutil
import string
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import assets

INFO = "INFO_UF2.TXT"
_BY_LABEL = Path("/dev/disk/by-label")
_MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True)
class Drive:
    """A boot loader's drive.

    `info` is what its INFO_UF2.TXT says, by key ("Model", "Board-ID"); `device` is what is mounted there,
    if that is known.
    """

    path: Path
    label: str
    info: dict[str, str]
    device: Path | None = None

    @property
    def gone(self) -> bool:
        """Whether it is no longer there."""
        # If nobody unmounts a drive that has been unplugged, its files seem to be there for a while.
        if self.device is not None and not self.device.exists():
            return True
        try:
            (self.path / INFO).stat()
        except OSError:  # not found, or an error of the device
            return True
        return False


def _of_virtual_boards() -> list[Path]:
    return list(_inside([_virtual_root()]))


def own_directory(board: str) -> Path:
    """Make the directory in which this process, a virtual board, shows its drive; `find` looks there.

    Directories of processes that were killed are removed. Raises OSError.
    """
    root = _virtual_root()
    for old in root.iterdir() if root.is_dir() else ():
        if not _runs(old.name.rpartition("-")[2]):
            shutil.rmtree(old, ignore_errors=True)
    made = root / f"{board}-{os.getpid()}"
    made.mkdir(parents=True, exist_ok=True)
    return made


def _runs(pid: str) -> bool:
    if sys.platform == "win32":
        return True  # os.kill would end the process on Windows
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _virtual_root() -> Path:
    """Return where virtual boards that were started by hand show their drives, a directory for each."""
    return assets.user_cache() / "drives"


def find(among: Iterable[Path] = ()) -> list[Drive]:
    """Return the drives of boot loaders: those in (or at) the directories `among`, else all that are mounted.

    The latter include those of virtual boards.
    """
    candidates = dict.fromkeys(_inside(among) if among else [*_mounted(), *_inside(_of_virtual_boards())])
    return [drive for path in candidates if (drive := _read(path)) is not None]


def unmounted(labels: Iterable[str]) -> Path | None:
    """Return the device of a drive with one of these labels that is plugged in but not mounted (Linux)."""
    mounted = {os.path.realpath(source) for source, _ in _mounts()}
    for label in labels:
        device = _BY_LABEL / label
        if device.exists() and os.path.realpath(device) not in mounted:
            return device
    return None


def _inside(roots: Iterable[Path]) -> Iterator[Path]:
    for root in roots:
        yield root
        try:
            yield from sorted(path for path in root.iterdir() if path.is_dir())
        except OSError:
            continue


def _mounted() -> Iterator[Path]:
    if sys.platform == "win32":
        yield from (Path(f"{letter}:/") for letter in string.ascii_uppercase)
    elif sys.platform == "darwin":
        yield from _inside([Path("/Volumes")])
    else:
        yield from (Path(where) for _, where in _mounts())


def _mounts() -> list[tuple[str, str]]:
    """Return (device, mount point) of the mounted FAT file systems (Linux)."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    fields = [line.split(" ") for line in lines]
    return [(f[0], _unescaped(f[1])) for f in fields if f[2] in ("vfat", "msdos", "fat", "fuseblk")]


def _unescaped(path: str) -> str:
    """Return a path from the list of mounts, in which a blank is written as \\040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _label(path: Path, device: Path | None) -> str:
    """Return the label of the drive at a path: the file system's own if it can be had, else the name.

    A desktop mounts a second drive of the same label under another name, and Windows under a letter.
    """
    if sys.platform == "win32":
        import ctypes

        name = ctypes.create_unicode_buffer(261)
        ctypes.windll.kernel32.GetVolumeInformationW(str(path), name, len(name), None, None, None, None, 0)
        return name.value or path.name
    if device is not None and _BY_LABEL.is_dir():
        for link in _BY_LABEL.iterdir():
            if link.resolve() == device.resolve():
                return link.name
    return path.name


def _read(path: Path) -> Drive | None:
    try:
        text = (path / INFO).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    pairs = (line.partition(":") for line in text.splitlines())
    info = {key.strip(): value.strip() for key, colon, value in pairs if colon}
    device = next((Path(device) for device, where in _mounts() if Path(where) == path), None)
    return Drive(path, _label(path, device), info, device)
