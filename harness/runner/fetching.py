"""Fetch: the firmware that a board's vendor gives out, from the vendor's list, a mirror of it, or a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from harness.boards import Profile
from harness.chips.family import Piece
from harness.download import FetchError, discard, download, on_the_web
from harness.errors import HarnessError
from harness.firmware import manifest, vendors
from harness.firmware.image import Image
from harness.runner import adding, fitting

Progress = Callable[[str, int, int], None]
_HASHES = {32: "md5", 40: "sha1", 64: "sha256"}
"""What a checksum in a list is, by its length in hex."""
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Fetched:
    """An image in the cache; `known` if these very bytes had been there already."""

    image: Image
    known: bool


@dataclass(frozen=True)
class _Bin:
    """A file of a firmware: its name, its place on the web or on this computer, what a list says of it."""

    name: str
    where: str
    address: int | None = None
    checksum: str = ""


def fetch(
    board: str,
    source: str | None = None,
    protocol: str | None = None,
    *,
    replace: bool = False,
    progress: Progress = lambda name, done, total: None,
) -> Fetched:
    """Bring a board's stock firmware into the cache, and pin its hash.

    Args:
        source: the address or the path of a list like the vendor's, or of an image [the vendor's list].
        protocol: what it speaks [what the vendor's does].
        replace: whether it takes the place of another image that is there.
        progress: told a file's name, how many bytes of it are here, and of how many.

    Raises HarnessError if a file cannot be had, is not what the list says, is no sound image for the board,
    or is not what was pinned.
    """
    profile = fitting.load(board)
    known = vendors.listing(profile.id)
    source = source or (known.url if known else None)
    protocol = protocol or (known.protocol if known else None)
    if source is None:
        raise HarnessError(f"{profile.id}: no list of its vendor is known; give one with --from URL or FILE")
    if protocol is None:
        raise HarnessError(f"{profile.id}: say what the firmware speaks, with --protocol")
    adding.check_protocol(profile, protocol)
    version, pieces = _offered(profile, source, known is not None and source == known.url, progress)
    files = adding.place(profile, pieces)
    digests = [hashlib.sha256(file.data).hexdigest() for file in files]
    there = manifest.find(profile.id, protocol, "hardware")
    pinned = [part.sha256 for part in there.parts] if there else []
    if there and not replace and (there.source, there.version) == (source, version) and pinned != digests:
        raise HarnessError(
            f"{source}: version {version} is not what was fetched first (SHA-256 {digests[0][:12]}..., "
            f"pinned {pinned[0][:12]}...); nothing was changed, and --replace takes what is there now"
        )
    image = adding.enter(profile, protocol, files, version=version, source=source, replace=replace)
    return Fetched(image, pinned == digests)


def _offered(board: Profile, source: str, is_list: bool, progress: Progress) -> tuple[str, list[Piece]]:
    """Return version and files of what is at `source`: a list, or an image itself."""
    itself = _Bin(_last(source), source)
    data = _bring(board, itself, progress)
    if is_list or data.lstrip()[:1] in (b"{", b"["):
        version, bins = _first(source, data)
        return version, [_piece(board, one, _bring(board, one, progress)) for one in bins]
    return _UNKNOWN, [_piece(board, itself, data)]


def _first(source: str, data: bytes) -> tuple[str, list[_Bin]]:
    """Return version and files of the first firmware in a list, which is the one that its vendor flashes."""
    try:
        first = json.loads(data)["firmwares"][0]
        bins = [
            _Bin(
                _last(one["url"]),
                _beside(source, one["url"]),
                _number(one["address"]),
                str(one.get("checksum")),
            )
            for one in first["bins"]
        ]
        if not bins:
            raise ValueError
        return str(first.get("version") or _UNKNOWN), bins
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise FetchError(
            f"{source}: is not a list of firmware of the known form (firmwares, bins, url, address); "
            "give the image itself, as --from URL or by `harness firmware add`"
        ) from None


def _number(value: Any) -> int:
    return int(value, 0) if isinstance(value, str) else int(value)


def _last(where: str) -> str:
    """Return the name of a file without what leads to it."""
    return Path(urlsplit(where).path).name if on_the_web(where) else Path(where).name


def _beside(source: str, where: str) -> str:
    """Return where a file of a list is: with a list on this computer, beside it."""
    return urljoin(source, where) if on_the_web(source) else str(Path(source).parent / _last(where))


def _piece(board: Profile, one: _Bin, data: bytes) -> Piece:
    """Return a file as a part of an image, after comparing it with what the list says of it."""
    kind = _HASHES.get(len(one.checksum))
    found = hashlib.new(kind, data, usedforsecurity=False).hexdigest() if kind else ""
    if kind and found != one.checksum.lower():
        raise FetchError(f"{one.where}: its {kind.upper()} is {found}, and its list says {one.checksum}")
    return adding.unpacked(board, one.where, Piece(one.name, data, one.address))


def _bring(board: Profile, one: _Bin, progress: Progress) -> bytes:
    """Return a file's bytes. What breaks off is kept, and gone on with by the next call."""
    if not on_the_web(one.where):
        return adding.read(Path(one.where))
    largest = sum(memory.size_bytes for memory in board.memories if memory.kind == "flash")
    part = manifest.cache_directory() / f"{hashlib.sha256(one.where.encode()).hexdigest()[:16]}.part"
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        download(one.where, part, largest, lambda done, total: progress(one.name, done, total or done))
        data = part.read_bytes()
        discard(part)
    except OSError as error:
        raise HarnessError(f"{part}: cannot be written: {error.strerror}") from None
    return data
