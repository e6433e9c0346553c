"""The store: a directory that runs are added to, each once and for good.

A run is `ID/record.json`. It is written in a directory of a hidden name, synced, and renamed: whatever
kills the writer, the run is there whole or not at all. Renaming onto a directory that holds something
fails everywhere, so that no writer can take another's name. A `NAME.json` straight in the directory is
read as a record too, which is how a baseline is kept.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import HarnessError
from harness.results.record import SCHEMA_VERSION, Record

RECORD_NAME = "record.json"
_TEMPORARY = ".writing-"
# No writer takes this long between making its temporary directory and renaming it.
_ABANDONED_AFTER_S = 24 * 3600
# Ten million samples; what is larger is some other file, and reading it could exhaust the memory.
_MOST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Damaged:
    """A file that should hold a record and does not: set aside, with the reason."""

    path: Path
    reason: str


class RecordError(HarnessError):
    """A file does not hold a record that can be read; `reason` is the message without the file's name."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason


def new_id() -> str:
    """Return a name for a run that no other run has, and that sorts by time: 20261123T182759Z-5f3a9c01d2."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(5)}"


def ensure_writable(directory: Path | str) -> Path:
    """Prove that a run can be added to `directory`, which is not made before there is one.

    What writers that were killed left behind more than a day ago is swept. Raises HarnessError if the
    directory cannot be made or written, so that a long run does not end with nowhere to put its result.
    """
    directory = Path(directory)
    try:
        # lexists: a dangling link exists as well, and is in the way.
        there = next(place for place in (directory, *directory.absolute().parents) if os.path.lexists(place))
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=there) as probe:
            Path(probe, RECORD_NAME).write_bytes(b"{}")
    except OSError as error:
        raise _unwritable(directory, error) from error
    for left in directory.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(left)
    return directory


def write(record: Record, directory: Path | str) -> Path:
    """Add `record` to the store and return the path of its file, once it is safe on the disk.

    Raises HarnessError if the directory cannot be written, the disk is full, or the id is taken;
    nothing is left behind then.
    """
    directory = Path(directory)
    target = directory / record.id
    data = serialise(record)
    temporary: Path | None = None
    try:
        _make(directory)
        temporary = directory / f"{_TEMPORARY}{secrets.token_hex(8)}"
        temporary.mkdir()
        with open(temporary / RECORD_NAME, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _sync(temporary)
        os.rename(temporary, target)
        _sync(directory)
    except BaseException as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        if target.exists():
            raise HarnessError(
                f"{target}: there is a run of this id already; it is left as it was"
            ) from error
        raise _unwritable(directory, error) from error
    return target / RECORD_NAME


def serialise(record: Record) -> bytes:
    """Return `record` as the store writes it: a JSON object with its digest, a line for each key."""
    values = json.loads(record.model_dump_json())
    values["digest"] = digest(values)
    lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def digest(values: dict[str, Any]) -> str:
    """Return the SHA-256 of a record's values (without its own digest) in their one canonical form."""
    rest = {key: value for key, value in values.items() if key != "digest"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def read(path: Path | str) -> Record:
    """Return the record in a file, or in the directory of one run.

    Raises RecordError with what is wrong: no such file, not JSON, cut short, changed since it was written,
    of a newer schema, or with a key that is missing or of the wrong kind.
    """
    path = Path(path)
    if path.is_dir():
        path = path / RECORD_NAME
    try:
        if path.exists() and not path.is_file():
            raise RecordError(path, "is not a file")
        if path.stat().st_size > _MOST_BYTES:
            raise RecordError(path, f"is larger than any record ({path.stat().st_size} bytes)")
        return parse(path.read_bytes(), path)
    except OSError as error:
        raise RecordError(path, f"cannot be read: {error.strerror or error}") from error


def parse(data: bytes, path: Path) -> Record:
    """Return the record in `data`; `path` is what a RecordError names."""
    if not data.strip():
        raise RecordError(path, "is empty")
    try:
        values = json.loads(data)
    except UnicodeDecodeError as error:
        raise RecordError(path, "is not text") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(path, f"is not JSON, or was cut short ({error})") from error
    if not isinstance(values, dict) or not isinstance(values.get("schema_version"), int):
        raise RecordError(path, "is JSON, but not a record (no schema_version)")
    if values["schema_version"] > SCHEMA_VERSION:
        raise RecordError(
            path,
            f"was written by a newer harness (schema {values['schema_version']}; "
            f"this one reads up to {SCHEMA_VERSION}); upgrade harness to read it",
        )
    if values.get("digest") is not None and values["digest"] != digest(values):
        raise RecordError(path, "was changed after it was written (its digest does not match)")
    try:
        return Record.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        more = f" and {error.error_count() - 1} more" if error.error_count() > 1 else ""
        raise RecordError(path, f"key '{where}': {first['msg'].lower()}{more}") from error


def files(path: Path | str) -> Iterator[Path]:
    """Yield the files that should each hold a record, in the order of their names.

    `path` is a file, the directory of one run, or a store. Raises HarnessError if there is no such path.
    """
    path = Path(path)
    if not path.exists():
        raise HarnessError(f"{path}: no such file or directory; `harness bench` writes records")
    if not path.is_dir():
        yield path
        return
    if (path / RECORD_NAME).exists():
        yield path / RECORD_NAME
        return
    try:
        names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error.strerror}") from error
    for name in names:
        if name.endswith(".json"):
            yield path / name
        elif os.path.lexists(path / name / RECORD_NAME):
            yield path / name / RECORD_NAME


def scan(*paths: Path | str) -> Iterator[Record | Damaged]:
    """Yield each run once, and what is damaged instead of it, holding one record at a time.

    A run found a second time in the same store is damage (it would count twice); the same run reached
    through two of the paths is not.
    """
    seen: dict[str, Path] = {}
    visited: set[Path] = set()
    for path in paths:
        for file in files(path):
            real = file.resolve()
            if real in visited:
                continue
            visited.add(real)
            try:
                record = read(file)
            except RecordError as error:
                yield Damaged(file, error.reason)
                continue
            if record.id in seen:
                yield Damaged(file, f"repeats the run of {seen[record.id]}")
                continue
            seen[record.id] = file
            yield record


def read_all(*paths: Path | str) -> tuple[list[Record], list[Damaged]]:
    """Return every run under `paths`, oldest first, and what had to be set aside."""
    records: list[Record] = []
    damaged: list[Damaged] = []
    for item in scan(*paths):
        if isinstance(item, Record):
            records.append(item)
        else:
            damaged.append(item)
    records.sort(key=lambda record: (record.created, record.id))
    return records, damaged


def _make(directory: Path) -> None:
    if directory.is_dir():
        return
    directory.mkdir(parents=True, exist_ok=True)
    _sync(directory.parent)


def _sync(directory: Path) -> None:
    """Make the names in `directory` durable (POSIX asks for this; Windows has no such call)."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(directory: Path, error: OSError) -> HarnessError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    what_to_do = "free some space, or name another directory" if full else "name another directory"
    return HarnessError(f"{directory}: cannot keep a record here: {error.strerror or error}; {what_to_do}")
