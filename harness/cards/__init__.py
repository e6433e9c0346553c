"""Model cards: invoke times and RAM written from records into the tables people keep by hand."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.cards.card import CardError, CellChange
    from harness.cards.planning import show, update
    from harness.cards.rules import Rules

__all__ = ["CardError", "CellChange", "Rules", "show", "update"]
_HOMES = {
    "CardError": "card",
    "CellChange": "card",
    "Rules": "rules",
    "show": "planning",
    "update": "planning",
}


def __getattr__(name: str) -> Any:
    # Reading a record takes pydantic, which `import harness.cards` alone need not load.
    if name in _HOMES:
        return getattr(import_module(f"harness.cards.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'harness.cards' has no attribute {name!r}")
