"""An update of one card, whatever its format."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cards.card import CardError, CardPlan, CellChange, Overview
from harness.cards.forms import form_of
from harness.cards.models import NO_CHECKSUMS, Checksums, RecordsByModel
from harness.cards.rules import Rules
from harness.cards.words import Words, default_words
from harness.results.record import Record


def plan(text: str, benched: RecordsByModel, rules: Rules, checksums: Checksums = NO_CHECKSUMS) -> CardPlan:
    """Return what the records would change in a card, and what is left alone.

    `checksums` are those that entries of the zoo give beside the addresses of files. Raises CardError for a
    text that is damaged.
    """
    return form_of(text).plan(text, benched, rules, checksums)


def update(
    text: str, records: Iterable[Record], rules: Rules | None = None
) -> tuple[str, tuple[CellChange, ...]]:
    """Return a card with the figures of the records in it, and the changes that makes.

    Everything but the figures that change, and the foot-notes that new boards need, is the same text.
    Raises CardError if a figure cannot be put in without guessing, if records disagree, or if a
    value would change by more than `rules.max_factor` and the rules do not accept it.
    """
    result = plan(text, RecordsByModel(records), rules or Rules())
    if result.refused:
        raise CardError("\n".join(map(str, result.refused)))
    return result.text, result.changes


def show(text: str, words: Words | None = None, checksums: Checksums = NO_CHECKSUMS) -> Overview:
    """Return what is understood of a card: its tables, rows, models, boards and figures.

    Raises CardError for a text that is damaged.
    """
    return form_of(text).show(text, words or default_words(), checksums)
