"""Which firmware images there are: those that ship with the package and those that the user has added.

Both are manifests of the same form. An image of the first is built by `harness.firmware.virtual`; one that
was added is kept in the user's cache, each part a file under its hash.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pydantic import Field, ValidationError

from harness import assets
from harness.boards import Profile
from harness.errors import HarnessError
from harness.firmware import virtual
from harness.firmware.image import Entry, Image, Part, RunsOn, to_toml
from harness.models.cache import write_atomically

MANIFEST = "manifest.toml"


class _Manifest(Entry):
    images: tuple[Image, ...] = Field(default=(), alias="image")


def shipped() -> tuple[Image, ...]:
    """Return the images that ship with the package."""
    return _read(assets.directory("firmware") / MANIFEST)


def cache_directory() -> Path:
    """Return the directory of images that the user has added, which need not exist."""
    return assets.user_cache() / "firmware"


def added() -> tuple[Image, ...]:
    """Return the images that the user has added; raises HarnessError if their manifest is damaged."""
    path = cache_directory() / MANIFEST
    return _read(path) if path.exists() else ()


def known() -> tuple[Image, ...]:
    """Return all images; of those for the same board and protocol, the one that is used comes first."""
    return (*reversed(added()), *shipped())


def find(board: str, protocol: str, runs_on: RunsOn) -> Image | None:
    """Return the image to use: the one added last, else the shipped one; None if there is none."""
    for image in known():
        if image.key == (board, protocol, runs_on):
            return image
    return None


def for_board(board: Profile, protocol: str, runs_on: RunsOn) -> Image | None:
    """Return the image that makes `board` speak `protocol`; None if there is none.

    No manifest lists a virtual board of the user's own: its image needs the profile alone.
    """
    found = find(board.id, protocol, runs_on)
    if found is None and runs_on == "virtual" and protocol in board.protocols.supported:
        found = virtual.image(board, protocol)
    return found


def contents(image: Image, board: Profile) -> list[tuple[Part, bytes]]:
    """Return the bytes of each part, checked against size and hash in the manifest.

    Raises HarnessError if they are missing, cut short or changed.
    """
    try:
        return _contents(image, board)
    except _Unsound as error:
        raise HarnessError(f"{image.label}: {error}") from None


class _Unsound(Exception):
    """An image that is damaged, with what is wrong with it."""


def _contents(image: Image, board: Profile) -> list[tuple[Part, bytes]]:
    made: dict[str, bytes] = {}
    if not image.files:
        made = {name: data for name, _, data in virtual.build(board, image.protocol)}
    got = [made.get(part.name, b"") if part.file is None else _kept(part.file) for part in image.parts]
    for part, data in zip(image.parts, got, strict=True):
        _check(part, data)
    return list(zip(image.parts, got, strict=True))


def _kept(file: str) -> bytes:
    path = cache_directory() / file
    try:
        return path.read_bytes()
    except OSError as error:
        raise _Unsound(
            f"{path}: cannot be read ({error.strerror}); add the image again with `harness firmware add`"
        ) from None


def verify() -> list[tuple[str, str | None]]:
    """Return every image's label, and what is wrong with it (None: nothing)."""
    from harness import boards

    found: list[tuple[str, str | None]] = []
    for image in known():
        try:
            _contents(image, boards.load(image.board))
        except (_Unsound, HarnessError) as error:
            found.append((image.label, str(error)))
        else:
            found.append((image.label, None))
    return found


def _check(part: Part, data: bytes) -> None:
    if len(data) != part.size:
        raise _Unsound(f"{part.name}: {len(data)} bytes, the manifest says {part.size}; add the image again")
    found = hashlib.sha256(data).hexdigest()
    if found != part.sha256:
        raise _Unsound(
            f"{part.name}: its SHA-256 is {found[:12]}..., the manifest says {part.sha256[:12]}...; it was "
            "changed or damaged, add the image again"
        )


def keep(image: Image, contents: Sequence[bytes], replace: bool = False) -> None:
    """Put an image's entry and its parts into the cache, each under its hash.

    Raises HarnessError if that cannot be written, the manifest there is damaged, or another image for the
    same board and protocol is there and it is not to be replaced.
    """
    before = added()
    there = next((one for one in before if one.key == image.key), None)
    if there is not None and not replace and there.parts != image.parts:
        raise HarnessError(
            f"{there.label} is there already, from {there.source} (sha256 {there.sha256[:12]}...): --replace "
            "puts this one in its place"
        )
    directory = cache_directory()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # The files first: an entry never lacks its file.
        for part, data in zip(image.parts, contents, strict=True):
            write_atomically(directory / str(part.file), data)
        _write(before, [*(one for one in before if one.key != image.key), image])
    except OSError as error:
        raise HarnessError(f"{directory}: the image cannot be kept here: {error.strerror}") from None


def remove(board: str, protocol: str) -> list[Image]:
    """Take the images for a board and a protocol out of the cache, and return them.

    Raises HarnessError if none was added, or if that cannot be written.
    """
    before = added()
    gone = [one for one in before if (one.board, one.protocol) == (board, protocol)]
    if not gone:
        shipped_too = any((one.board, one.protocol) == (board, protocol) for one in shipped())
        raise HarnessError(
            f"no {protocol} firmware was added for {board}"
            + ("; the one for the virtual board ships with the harness" if shipped_too else "")
            + " (`harness firmware list`)"
        )
    try:
        _write(before, [one for one in before if one not in gone])
    except OSError as error:
        raise HarnessError(f"{cache_directory()}: cannot be written: {error.strerror}") from None
    return gone


def _write(before: Sequence[Image], images: Sequence[Image]) -> None:
    """Write the manifest, then delete the files that it no longer names."""
    directory = cache_directory()
    write_atomically(directory / MANIFEST, "\n".join(to_toml(one) for one in images).encode())
    wanted = {file for one in images for file in one.files}
    for file in {file for one in before for file in one.files} - wanted:
        (directory / file).unlink(missing_ok=True)


def _read(path: Path) -> tuple[Image, ...]:
    try:
        return _parse(path.read_bytes(), path)
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error.strerror}") from None


_MEND = "mend it, or delete it and add its images again"


@cache
def _parse(data: bytes, path: Path) -> tuple[Image, ...]:
    try:
        return _Manifest.model_validate(tomllib.loads(data.decode())).images
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise HarnessError(
            f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}; {_MEND}"
        ) from None
    except ValueError as error:
        raise HarnessError(f"{path}: is not a manifest: {error}; {_MEND}") from None
