"""Which firmware images there are: those that ship with the package and those that the user has added.

Both are manifests of the same form. An image of the first is built by `harness.firmware.virtual`; one that
was added is a file in the user's cache, under its hash.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from harness import assets
from harness.boards import Profile
from harness.chips.family import family_of
from harness.errors import HarnessError
from harness.models.cache import write_atomically

MANIFEST = "manifest.toml"
RunsOn = Literal["virtual", "hardware"]


def _address(value: Any) -> Any:
    return int(value, 0) if isinstance(value, str) else value


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Part(_Table):
    """Bytes and where they go; `sha256` in hex."""

    name: str
    offset: Annotated[int, BeforeValidator(_address), Field(ge=0, lt=1 << 32)]
    size: int = Field(gt=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Image(_Table):
    """A firmware image.

    `build` is what the running firmware reports as its build hash, where that is known. `file` is where the
    only part is kept; None for an image that is built when needed.
    """

    board: str
    protocol: str
    version: str
    runs_on: RunsOn
    source: str
    build: str | None = None
    file: str | None = None
    parts: tuple[Part, ...] = Field(alias="part", min_length=1)

    @model_validator(mode="after")
    def _one_part_in_a_file(self) -> Image:
        if self.file is not None and len(self.parts) > 1:
            raise ValueError(f"{len(self.parts)} parts, where a file holds one")
        return self

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file in hex; of several parts, that of their digests one behind the other."""
        if len(self.parts) == 1:
            return self.parts[0].sha256
        return hashlib.sha256(b"".join(bytes.fromhex(part.sha256) for part in self.parts)).hexdigest()

    @property
    def label(self) -> str:
        """A name for messages: protocol, version, and what it runs on."""
        kind = "the virtual " if self.runs_on == "virtual" else ""
        return f"{self.protocol} {self.version} for {kind}{self.board}"


class _Manifest(_Table):
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
        from harness.firmware import virtual

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
        made = {name: data for name, _, data in family_of(board).virtual_parts(board, image.protocol)}
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


def to_toml(image: Image) -> str:
    """Return the manifest's entry for an image."""
    lines = ["[[image]]"]
    for key in ("board", "protocol", "version", "runs_on", "source", "build", "file"):
        value = getattr(image, key)
        if value is not None:
            lines.append(f"{key} = {_string(value)}")
    for part in image.parts:
        lines += [
            "",
            "[[image.part]]",
            f"name = {_string(part.name)}",
            f'offset = "{part.offset:#x}"',
            f"size = {part.size}",
            f'sha256 = "{part.sha256}"',
        ]
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    # A JSON string of printable ASCII is a TOML basic string, too.
    return json.dumps(text)


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
