"""Baselines: records that others are held against, from a file, a directory, or a git revision."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
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

    Raises HarnessError where there is no such baseline or no record in it.
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


def renew(directory: Path, records: Sequence[Record]) -> list[Path]:
    """Make `records` the baseline of their boards and models in `directory`; return the files written.

    Files are named `BOARD-MODEL-PRECISION-N.json`, so that a renewal shows in version control as a change.
    What the directory held for the same board, model and precision is replaced; the rest stays.
    """
    ensure_writable(directory)
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for (board, model, precision), runs in _by_key(records).items():
        stem = "-".join(_safe(part) for part in (board, model, precision))
        for number, record in enumerate(runs, 1):
            written.append(_replace(directory / f"{stem}-{number}.json", serialise(record)))
    renewed = set(_by_key(records))
    for file in sorted(directory.glob("*.json")):
        old = [_key(record) for record in read_all(file)[0]]
        if file not in written and old and old[0] in renewed:
            file.unlink()
    return written


def _by_key(records: Sequence[Record]) -> dict[tuple[str, str, str], list[Record]]:
    keys: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        keys.setdefault(_key(record), []).append(record)
    return keys


def _key(record: Record) -> tuple[str, str, str]:
    return record.board.id, record.model.name, record.model.precision


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
