"""Baselines: records that others are held against, from a file, a directory, or a git revision."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path, PurePosixPath

from harness.errors import HarnessError
from harness.results.record import Record
from harness.results.store import Damaged, ensure_writable, read_all, serialise

USUAL = "results/baseline"
_GIT = "git:"


def load(where: str | Path) -> tuple[list[Record], list[Damaged]]:
    """Return the records of a baseline.

    Args:
        where: a file, a directory, or `git:REV[:PATH]` for what the repository here holds under PATH
            (`results/baseline` unless given) at a revision.

    Raises HarnessError if there is no such baseline or no record in it.
    """
    if is_git(where):
        records, damaged = _from_git(str(where)[len(_GIT) :])
    else:
        if not Path(where).exists():
            raise HarnessError(f"{where}: there is no such baseline; `harness gate --update` makes one")
        records, damaged = read_all(where)
    if not records and not damaged:
        raise HarnessError(f"{where}: the baseline holds no record")
    return records, damaged


def is_git(where: str | Path) -> bool:
    """Say whether a baseline is named by a git revision."""
    return str(where).startswith(_GIT)


def _from_git(name: str) -> tuple[list[Record], list[Damaged]]:
    revision, _, path = name.partition(":")
    path = path or USUAL
    if not revision or revision.startswith("-"):
        raise HarnessError(f"git:{name}: give a revision, as in git:main or git:v1.2:{USUAL}")
    try:
        top = _git("rev-parse", "--show-toplevel").decode().strip()
        archive = _git("-C", top, "archive", "--format=tar", revision, "--", path)
    except FileNotFoundError:
        raise HarnessError(f"git:{name}: git is not installed") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise HarnessError(f"git:{name}: {said[-1] if said else 'git failed'}") from error
    with tempfile.TemporaryDirectory() as directory, tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(directory, filter="data")
        records, damaged = read_all(Path(directory, *PurePosixPath(path).parts))
        inside = [Damaged(item.path.relative_to(directory), item.reason) for item in damaged]
    return records, inside


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], capture_output=True, check=True).stdout


def renew(directory: Path, records: Sequence[Record], replaced: Iterable[Record] = ()) -> list[Path]:
    """Add `records` to the baseline in `directory` instead of `replaced`; return the files written.

    Files are named `BOARD-MODEL-PRECISION-N.json`, so that a renewal shows in version control as a change; N
    counts all that share the rest of the name, be they of one model or of several. What the directory holds
    besides `replaced` stays.
    """
    ensure_writable(directory)
    directory.mkdir(parents=True, exist_ok=True)
    gone = {record.id for record in (*replaced, *records)}
    files = sorted(directory.glob("*.json"))
    old = [file for file in files if (held := read_all(file)[0]) and held[0].id in gone]
    taken = {file.name for file in files if file not in old}
    written = []
    for record in sorted(records, key=lambda one: (one.model.file, one.created, one.id)):
        stem = "-".join(_safe(part) for part in (record.board.id, record.model.name, record.model.precision))
        name = next(name for n in count(1) if (name := f"{stem}-{n}.json") not in taken)
        taken.add(name)
        written.append(_replace(directory / name, serialise(record)))
    for file in old:
        if file not in written:
            file.unlink()
    return written


def _safe(part: str) -> str:
    return "".join(c if c.isalnum() or c in "._" else "_" for c in part)


def _replace(path: Path, data: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise HarnessError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path
