"""A table of a profile, whatever it describes: its facts, its sources, and the kinds of value in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from harness.boards import units

Bytes = Annotated[int, BeforeValidator(units.size), units.SIZE]
Address = Annotated[int, BeforeValidator(units.address), units.ADDRESS]
Hertz = Annotated[int, BeforeValidator(units.frequency), units.FREQUENCY]
Seconds = Annotated[float, BeforeValidator(units.time), units.TIME]
Baud = Annotated[int, BeforeValidator(units.baud), units.BAUD]
Text = Annotated[str, Field(min_length=1)]
Cycles = Annotated[float, Field(ge=0)]

# The key of a table-formed `source` that covers every fact which it does not name.
REST = "rest"


class ProfileTable(BaseModel):
    """A table of a profile: immutable, no unknown keys, and `source` says where its facts are from."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    source: Text | dict[str, Text] = Field(
        description="where the facts of this table come from: one text, or a table of texts by key"
    )

    def facts(self) -> Iterator[tuple[str, Any]]:
        """Yield the facts that the file gives in this table itself: TOML key and value."""
        inner = {way[0] for way, _ in self.tables()} | {"source"}
        for name, field in type(self).model_fields.items():
            key = field.alias or name
            if name in self.model_fields_set and key not in inner:
                yield key, getattr(self, name)
        yield from ((key, value) for key, value in (self.model_extra or {}).items() if key not in inner)

    def tables(self) -> Iterator[tuple[tuple[str | int, ...], ProfileTable]]:
        """Yield the tables in this one: the way from here (TOML key, and index in an array) and the table."""
        for name, field in type(self).model_fields.items():
            value, key = getattr(self, name), field.alias or name
            if isinstance(value, ProfileTable):
                yield (key,), value
            elif isinstance(value, tuple):
                yield from (
                    ((key, i), item) for i, item in enumerate(value) if isinstance(item, ProfileTable)
                )
        for key, value in (self.model_extra or {}).items():
            if isinstance(value, ProfileTable):
                yield (key,), value

    def source_of(self, key: str) -> str:
        """Return the source of the fact under the TOML key `key`; KeyError if there is none."""
        if isinstance(self.source, str):
            return self.source
        return self.source[key] if key in self.source else self.source[REST]
