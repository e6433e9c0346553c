"""Which firmware images there are: those that ship with the package and those that the user has added.

Both are manifests of the same form. An image of the first is built by `harness.firmware.virtual`; one that
was added is a file in the user's cache, under its hash.
"""

from __future__ import annotations

import hashlib
import tomllib
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
    """Return the images that the user has added; raises HarnessError where their manifest is damaged."""
    path = cache_directory() / MANIFEST
    return _read(path) if path.exists() else ()


def known() -> tuple[Image, ...]:
    """Return all images, of those for the same board and protocol first the one that is used."""
    return (*reversed(added()), *shipped())


def find(board: str, protocol: str, runs_on: RunsOn) -> Image | None:
    """Return the image to use: the one added last, else the shipped one; None where there is none."""
    for image in known():
        if (image.board, image.protocol, image.runs_on) == (board, protocol, runs_on):
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

    Raises HarnessError where they are missing, cut short or other bytes.
    """
    try:
        return _contents(image, board)
    except _Unsound as error:
        raise HarnessError(f"{image.label}: {error}") from None


class _Unsound(Exception):
    """What is wrong with an image."""


def _contents(image: Image, board: Profile) -> list[tuple[Part, bytes]]:
    if image.file is None:
        made = {name: data for name, _, data in virtual.build(board, image.protocol)}
        got = [made.get(part.name, b"") for part in image.parts]
    else:
        path = cache_directory() / image.file
        try:
            got = [path.read_bytes()]
        except OSError as error:
            raise _Unsound(
                f"{path}: cannot be read ({error.strerror}); add the image again with `harness firmware add`"
            ) from None
    for part, data in zip(image.parts, got, strict=True):
        _check(part, data)
    return list(zip(image.parts, got, strict=True))


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


def keep(image: Image, data: bytes) -> None:
    """Put an image's only part and its entry into the cache, in the place of the one that it replaces.

    Raises HarnessError where that cannot be written, or the manifest there is damaged.
    """
    directory = cache_directory()
    assert image.file is not None
    before = added()
    others = [
        other
        for other in before
        if (other.board, other.protocol, other.runs_on) != (image.board, image.protocol, image.runs_on)
    ]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # The file first: an entry never lacks its file.
        write_atomically(directory / image.file, data)
        entries = "\n".join(to_toml(each) for each in [*others, image])
        write_atomically(directory / MANIFEST, entries.encode())
        for file in {old.file for old in before} - {each.file for each in [*others, image]}:
            (directory / str(file)).unlink(missing_ok=True)
    except OSError as error:
        raise HarnessError(f"{directory}: the image cannot be kept here: {error.strerror}") from None


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
