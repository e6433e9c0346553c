"""Records of runs: their schema, the store that keeps them, and the frames that people work with."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.results.frame import load
    from harness.results.record import Record

__all__ = ["Record", "load"]
_HOMES = {"Record": "record", "load": "frame"}


def __getattr__(name: str) -> Any:
    # pydantic and pandas are loaded by those who use them.
    if name in _HOMES:
        return getattr(import_module(f"harness.results.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'harness.results' has no attribute {name!r}")
