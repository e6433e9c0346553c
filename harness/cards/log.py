"""What an update of one card comes to, noted while its rows or entries are gone through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from harness.cards.card import CardPlan, CellChange, Edit, Left
from harness.cards.conditions import Sifted
from harness.cards.models import Match

Changed = TypeVar("Changed")


@dataclass
class Log(Generic[Changed]):
    """Edits of the text and the changes they make, figures that were left, notes, and mappings in use.

    `matched` counts the rows or entries whose models are in the records.
    """

    edits: list[Edit] = field(default_factory=list)
    changes: list[Changed] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    mapped: set[str] = field(default_factory=set)
    matched: int = 0

    def see_match(self, where: str, found: Match) -> None:
        """Note how the model of the row or entry at `where` was found."""
        if found.mapped:
            self.mapped.add(found.mapped)
        if found.note:
            self.notes.append(f"{where}: {found.note}")
        if found.problem:
            self.left.append(Left(f"{where}: {found.name}", found.problem))

    def see_sifted(self, where: str, sifted: Sifted, *, wanted: bool) -> None:
        """Note which records do not agree with a row; refusals only if a figure is `wanted` there."""
        self.notes += [f"{where}: {note}" for note in sifted.notes]
        if wanted:
            self.left += [Left(where, why) for why in sifted.refused]

    def plan(self, text: str, changes: Iterable[CellChange], tables: int) -> CardPlan:
        """Return what the update would do: the new text, its changes, and of how many tables."""
        left, notes, mapped = tuple(self.left), tuple(self.notes), frozenset(self.mapped)
        return CardPlan(text, tuple(changes), left, notes, mapped, tables, self.matched)
