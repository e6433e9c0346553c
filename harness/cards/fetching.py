"""Model files by their hash: in a directory of them, in the cache, or at the address that a card links."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness import assets
from harness.cards.models import Reference
from harness.download import FetchError, Progress, discard, download, on_the_web
from harness.errors import HarnessError

LARGEST = 1 << 29
"""No model for a microcontroller has so many bytes; a server that sends more sends something else."""

NO_ADDRESS = "the card has no address of it on the web"


@dataclass
class Files:
    """The model files of some directories, found by what is in them."""

    _by_hash: dict[str, Path] = field(default_factory=dict)
    _by_name: dict[str, list[Path]] = field(default_factory=dict)

    @classmethod
    def of(cls, directories: Iterable[Path]) -> Files:
        """Read the .tflite files in directories. Raises HarnessError for one that is not there."""
        found = cls()
        for directory in directories:
            if not directory.is_dir():
                raise HarnessError(f"--models {directory}: no such directory")
            for path in sorted(directory.rglob("*.tflite")):
                if path.is_file():
                    found._take(path)
        return found

    def _take(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise HarnessError(f"{path}: cannot be read: {error.strerror or error}") from error
        for digest in digests(data):
            self._by_hash.setdefault(digest, path)
        self._by_name.setdefault(path.name, []).append(path)

    def find(self, model: Reference, by_name: bool = False) -> Path | None:
        """Return the file of a model: by its hash or, if it has none and `by_name` is set, by its name."""
        proofs = [digest for digest in (model.sha1, model.md5) if digest]
        for digest in proofs:
            if digest in self._by_hash:
                return self._by_hash[digest]
        named = self._by_name.get(model.file, [])
        return named[0] if by_name and not proofs and len(named) == 1 else None


def digests(data: bytes) -> tuple[str, str]:
    """Return the SHA-1 and the MD5 of a file's bytes, in hex."""
    sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    return sha1, hashlib.md5(data, usedforsecurity=False).hexdigest()


def cached(model: Reference) -> Path | None:
    """Return where a model is in the cache, None if it is not or is damaged."""
    path = _place(model)
    try:
        return path if path is not None and not _unlike(model, path.read_bytes()) else None
    except OSError:
        return None


def fetch(model: Reference, progress: Progress = lambda done, total: None) -> Path:
    """Return a model's file from the cache, or bring it there from its address.

    What arrived before a transfer broke off is kept, and the next transfer continues it. Raises FetchError
    if there is no address or no hash to check, if the server does not have the file, or if what it
    has is another one.
    """
    path = _place(model)
    if path is None:
        raise FetchError(
            f"{model.file}: nothing to check it by: no SHA-1 in its name, no MD5 beside its address"
        )
    if found := cached(model):
        return found
    if not on_the_web(model.url):
        raise FetchError(f"{model.file}: {NO_ADDRESS}")
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download(model.url, part, LARGEST, progress)
        if unlike := _unlike(model, part.read_bytes()):
            discard(part)
            raise FetchError(f"{model.url}: {unlike}")
        os.replace(part, path)
        discard(part)
    except OSError as error:
        raise FetchError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _place(model: Reference) -> Path | None:
    """Return where a model is kept, None for one without a hash."""
    proof = model.sha1 or model.md5
    return assets.user_cache() / "models" / proof / model.file if proof else None


def _unlike(model: Reference, data: bytes) -> str | None:
    """Say how bytes differ from what is known of a model, None if they do not."""
    sha1, md5 = digests(data)
    if model.sha1 and sha1 != model.sha1:
        return f"its SHA-1 is {sha1}, not the one in its name"
    if model.md5 and md5 != model.md5:
        return f"its MD5 is {md5}, not {model.md5}, which stands beside its address"
    return None
