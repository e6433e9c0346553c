"""A profile as a flat list of facts, each with its source, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from harness.boards import units
from harness.boards.problems import dotted
from harness.boards.profile import Profile
from harness.boards.table import ProfileTable


@dataclass(frozen=True)
class Fact:
    """A fact: its dotted key, its value as text (with its unit if it has one), and its source."""

    key: str
    value: str
    source: str


def facts(profile: Profile) -> list[Fact]:
    """Return everything that a profile's file says, table by table."""
    return list(_facts(profile, ()))


def _facts(table: ProfileTable, where: tuple[str | int, ...]) -> Iterator[Fact]:
    for key, value in table.facts():
        yield Fact(dotted((*where, key)), _text(value, _kind(table, key)), table.source_of(key))
    for way, inner in table.tables():
        yield from _facts(inner, (*where, *way))


def _kind(table: ProfileTable, key: str) -> units.Quantity | None:
    """The kind of quantity that the field behind a TOML key holds, if it holds one."""
    for name, field in type(table).model_fields.items():
        if key == (field.alias or name):
            return next((kind for kind in _marks([field.metadata, field.annotation])), None)
    return None


def _marks(annotation: Any) -> Iterator[units.Quantity]:
    if isinstance(annotation, units.Quantity):
        yield annotation
    for part in annotation if isinstance(annotation, list) else get_args(annotation):
        yield from _marks(part)


def _text(value: Any, kind: units.Quantity | None) -> str:
    if kind is not None:
        return units.write(value, kind)
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
