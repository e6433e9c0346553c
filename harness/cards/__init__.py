"""Model cards: invoke times and RAM written from records into the tables people keep by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.cards.card import CardError, Change
    from harness.cards.planning import show, update
    from harness.cards.rules import Rules

__all__ = ["CardError", "Change", "Rules", "show", "update"]


def __getattr__(name: str) -> Any:
    # Reading a record takes pydantic, which `import harness.cards` alone need not load.
    if name in ("show", "update"):
        from harness.cards import planning

        return getattr(planning, name)
    if name in ("CardError", "Change"):
        from harness.cards import card

        return getattr(card, name)
    if name == "Rules":
        from harness.cards.rules import Rules

        return Rules
    raise AttributeError(f"module 'harness.cards' has no attribute {name!r}")
