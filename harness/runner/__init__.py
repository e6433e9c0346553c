"""The steps of a run: plan, prepare, flash, connect, measure, record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.runner.api import Failure, Observer, Result, bench

__all__ = ["Failure", "Observer", "Result", "bench"]


def __getattr__(name: str) -> Any:
    # Loaded when needed: the steps load numpy and pydantic, which --help does not need.
    if name in __all__:
        from harness.runner import api

        return getattr(api, name)
    raise AttributeError(f"module 'harness.runner' has no attribute {name!r}")
