"""The forms that a card may have."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from harness.cards.card import CardPlan, Overview
from harness.cards.models import NO_CHECKSUMS, Checksums, RecordsByModel
from harness.cards.rules import Rules
from harness.cards.words import Words
from harness.registry import Registry


class Form(Protocol):
    """A form of cards: a module, or an object like one."""

    NAME: str
    """What it is called in messages and JSON."""
    SUFFIXES: tuple[str, ...]
    """How names of such files end."""

    def recognises(self, text: str) -> bool:
        """Tell whether a text is of this form."""

    def plan(
        self, text: str, benched: RecordsByModel, rules: Rules, checksums: Checksums = NO_CHECKSUMS
    ) -> CardPlan:
        """Say what the records change in a card, and what is left; raises CardError for a damaged one."""

    def show(self, text: str, words: Words, checksums: Checksums = NO_CHECKSUMS) -> Overview:
        """Return what is understood of a card; raises CardError for a damaged one."""


@runtime_checkable
class EntryForm(Form, Protocol):
    """A form of entries that other cards are made from: they are planned first, and those cards follow."""

    def add_checksums(self, text: str, checksums: Checksums) -> None:
        """Add what entries give beside the addresses of files; raises CardError for a damaged text."""


_LAST = "markdown"
"""It takes every text that no other form claims."""
FORMS: Registry[Form] = Registry(
    "harness.card_forms", "card form", {"zoo": "harness.cards.zoo", _LAST: "harness.cards.markdown"}
)


def every() -> list[Form]:
    """Return all forms, in the order in which they are asked whether a text is theirs."""
    return [FORMS.get(name) for name in sorted(FORMS.names(), key=lambda name: name == _LAST)]


def form_of(text: str) -> Form:
    """Return the form of a text."""
    return next(form for form in every() if form.recognises(text))


def suffixes() -> tuple[str, ...]:
    """Return how names of cards end."""
    return tuple(dict.fromkeys(suffix for form in every() for suffix in form.SUFFIXES))
