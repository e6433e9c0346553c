"""An update of one card, whatever its format."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

from harness.cards import markdown, zoo
from harness.cards.card import CardError, Change, Overview, Plan
from harness.cards.models import Benched
from harness.cards.rules import Rules
from harness.cards.words import Words, default_words
from harness.results.record import Record

# Each has NAME, recognises(text), plan(text, benched, rules) and show(text, words); the first that
# recognises a text has it.
FORMATS: tuple[ModuleType, ...] = (zoo, markdown)


def plan(text: str, benched: Benched, rules: Rules) -> Plan:
    """Return what the records would change in a card, with what was passed over and what forbids it.

    Raises CardError for a text that is damaged.
    """
    result: Plan = _format(text).plan(text, benched, rules)
    return result


def update(
    text: str, records: Iterable[Record], rules: Rules | None = None
) -> tuple[str, tuple[Change, ...]]:
    """Return a card with the figures of the records in it, and the changes that makes.

    Everything but the figures that change, and the foot-notes that new boards need, is the same text.
    Raises CardError where a figure cannot be put in without guessing, where records disagree, or where a
    value would change by more than `rules.max_factor` and the rules do not accept it.
    """
    rules = rules or Rules()
    result = plan(text, Benched(records), rules)
    beyond = [f"{change}: a change of more than {rules.max_factor:g}x" for change in drastic(result, rules)]
    problems = [*result.problems, *beyond]
    if problems:
        raise CardError("\n".join(problems))
    return result.text, result.changes


def drastic(result: Plan, rules: Rules) -> list[Change]:
    """Return the changes that are larger than the rules accept."""
    if rules.accept:
        return []
    return [c for c in result.changes if c.factor is not None and c.factor > rules.max_factor]


def show(text: str, words: Words | None = None) -> Overview:
    """Return what is understood of a card: its tables, rows, models, boards and figures.

    Raises CardError for a text that is damaged.
    """
    result: Overview = _format(text).show(text, words or default_words())
    return result


def _format(text: str) -> ModuleType:
    return next(form for form in FORMATS if form.recognises(text))
