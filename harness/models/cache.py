"""What was made before and is kept: compiled models with their sources, and other entries by kind.

A directory of entries for each kind, each complete or absent: it is filled under a temporary name and
renamed. Each has a SHA-256 over all of it, so what was damaged since is dropped and made anew. Nothing
depends on the cache but time, and the int8 source behind a compiled model (`vela.source_of`). It is in the
user's cache directory, or where HARNESS_CACHE_DIR says; if that cannot be written, nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import assets

_FORMAT = 1  # of an entry; entries of another are not looked at
_VELA = "vela"
_ABANDONED_S = 3600.0  # an entry that is still being filled after this belongs to a process that was ended

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """Files by name, and what is to be known about them, as JSON takes it."""

    files: Mapping[str, bytes]
    facts: Mapping[str, Any]


def key(request: Mapping[str, Any]) -> str:
    """Return the name of the entry for a request: equal for equal requests, whatever their order."""
    text = json.dumps({"format": _FORMAT, **request}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def load(name: str, kind: str = _VELA) -> Entry | None:
    """Return the entry `name` of a kind, None if there is none; a damaged one is removed and is none."""
    path = _entries(kind) / name
    try:
        meta = json.loads((path / "entry.json").read_bytes())
        files = {file: (path / file).read_bytes() for file in meta["files"]}
        if meta["sha256"] == _digest(files, meta["facts"]):
            with contextlib.suppress(OSError):
                os.utime(path)  # `store` drops what was not used for longest
            return Entry(files, meta["facts"])
    except FileNotFoundError:
        if not path.exists():
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    shutil.rmtree(path, ignore_errors=True)
    return None


def store(
    name: str, entry: Entry, *, kind: str = _VELA, output: str | None = None, most_bytes: int | None = None
) -> None:
    """Keep an entry of a kind; failure to write it is no error.

    With `output` it can be found, too, by the SHA-256 of its file of that name. With `most_bytes` the entries
    of its kind that were not used for longest go, until all of them take no more.
    """
    meta = {"files": list(entry.files), "facts": entry.facts, "sha256": _digest(entry.files, entry.facts)}
    entries = _entries(kind)
    with contextlib.suppress(OSError):
        entries.mkdir(parents=True, exist_ok=True)
        filling = Path(tempfile.mkdtemp(prefix=".filling-", dir=entries))
        try:
            for file, data in entry.files.items():
                (filling / file).write_bytes(data)
            (filling / "entry.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
            # Another process may have been first: then the rename fails, and its entry is as good.
            with contextlib.suppress(OSError):
                filling.rename(entries / name)
        finally:
            shutil.rmtree(filling, ignore_errors=True)
        if output is not None:
            by_output = _by_output(kind)
            by_output.mkdir(parents=True, exist_ok=True)
            write_atomically(by_output / _sha256(entry.files[output]), name.encode())
        if most_bytes is not None:
            _trim(entries, name, most_bytes)


def _trim(entries: Path, newest: str, most_bytes: int) -> None:
    """Remove what was used longest ago, but not `newest`, until `most_bytes` are left; raises OSError."""
    aged: list[tuple[float, Path]] = []
    now = time.time()
    for path in entries.iterdir():
        with contextlib.suppress(OSError):
            used = path.stat().st_mtime
            if path.name.startswith(".filling-"):
                if now - used > _ABANDONED_S:
                    shutil.rmtree(path, ignore_errors=True)
            else:
                aged.append((used if path.name != newest else math.inf, path))
    total = 0
    for _, path in sorted(aged, reverse=True):
        total += sum(file.stat().st_size for file in path.iterdir())
        if total > most_bytes and path.name != newest:
            shutil.rmtree(path, ignore_errors=True)


def find_output(sha256: str) -> Entry | None:
    """Return the entry whose output file has this SHA-256 (in hex), None if there is none."""
    if not _HEX.fullmatch(sha256):
        return None
    try:
        name = (_by_output() / sha256).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    entry = load(name) if _HEX.fullmatch(name) else None
    if entry is None or sha256 not in {_sha256(data) for data in entry.files.values()}:
        return None
    return entry


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all; raises OSError."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        try:
            file.write(data)
            file.close()
            os.chmod(file.name, 0o666 & ~_umask())
            os.replace(file.name, path)
        except BaseException:
            file.close()
            os.unlink(file.name)
            raise


def _umask() -> int:
    """Return the permissions that new files go without: temporary files are private, results are not."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest(files: Mapping[str, bytes], facts: Mapping[str, Any]) -> str:
    digests = {file: _sha256(data) for file, data in files.items()}
    return _sha256(json.dumps([digests, facts], sort_keys=True).encode())


def _entries(kind: str = _VELA) -> Path:
    return assets.user_cache() / kind / "entries"


def _by_output(kind: str = _VELA) -> Path:
    return assets.user_cache() / kind / "by-output"
