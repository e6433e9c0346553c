"""What may be written into a card, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.cards.units import AS_THE_COLUMN, QUANTITIES, Digits, Quantity
from harness.cards.words import Words, default_words


@dataclass(frozen=True)
class Rules:
    """The rules of an update.

    digits: how figures are rounded (default: as the column does it).
    allow_estimated: write figures that were not measured if there is no measured one, marked as such.
    max_factor: a value that would grow or shrink by more than this needs `accept`.
    accept: write such values all the same.
    tolerance: records whose medians are further apart than this share disagree.
    choose: ids of records to prefer if several disagree.
    newest: take the newest record if several disagree.
    board: the board that values are of if a card does not say it.
    models: the model (SHA-1 or file name in the records) of rows that do not say it or say another name, by
        the text of a cell of the row or the file name at the end of its link.
    only: the quantities that are written.
    by_name: take the name of a file for proof of what it is if a card gives no hash of it.
    add_metrics: add a metric to an entry of the zoo that has none of this kind.
    words: what headers, boards and foot-notes are called.
    """

    digits: Digits = AS_THE_COLUMN
    allow_estimated: bool = False
    max_factor: float = 2.0
    accept: bool = False
    tolerance: float = 0.05
    choose: frozenset[str] = frozenset()
    newest: bool = False
    board: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    only: frozenset[Quantity] = frozenset(QUANTITIES)
    by_name: bool = False
    add_metrics: bool = False
    words: Words = field(default_factory=default_words)
