"""A firmware image as a manifest lists it."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

RunsOn = Literal["virtual", "hardware"]


def _address(value: Any) -> Any:
    return int(value, 0) if isinstance(value, str) else value


class Entry(BaseModel):
    """A table of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Part(Entry):
    """Bytes and where they go; `sha256` in hex.

    `file` is what they are kept in; None for a part that is built when needed.
    """

    name: str
    file: str | None = None
    offset: Annotated[int, BeforeValidator(_address), Field(ge=0, lt=1 << 32)]
    size: int = Field(gt=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Image(Entry):
    """A firmware image.

    `build` is what the running firmware reports as its build hash, if that is known.
    """

    board: str
    protocol: str
    version: str
    runs_on: RunsOn
    source: str
    build: str | None = None
    parts: tuple[Part, ...] = Field(alias="part", min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _file_of_its_part(cls, entry: Any) -> Any:
        """Take a manifest of a time when an added image had one part, whose file it named itself."""
        if isinstance(entry, dict) and "file" in entry:
            entry = dict(entry)
            file, parts = entry.pop("file"), entry.get("part", ())
            if len(parts) != 1:
                raise ValueError(f"{len(parts)} parts, where a file holds one")
            entry["part"] = [{**parts[0], "file": file}]
        return entry

    @property
    def key(self) -> tuple[str, str, RunsOn]:
        """What it is for: of several with the same one is used."""
        return self.board, self.protocol, self.runs_on

    @property
    def files(self) -> set[str]:
        """The files that its parts are kept in."""
        return {part.file for part in self.parts if part.file is not None}

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


def to_toml(image: Image) -> str:
    """Return the manifest's entry for an image."""
    lines = ["[[image]]"]
    for key in ("board", "protocol", "version", "runs_on", "source", "build"):
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
            *([f"file = {_string(part.file)}"] if part.file is not None else ()),
        ]
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    # A JSON string of printable ASCII is a TOML basic string, too.
    return json.dumps(text)
