"""Bench TFLite models on edge boards: flash, stream tensors, measure, record, report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from harness.results import load
    from harness.runner import bench

__all__ = ["__version__", "bench", "load"]


def __getattr__(name: str) -> Any:
    # `import harness` must stay cheap: the rooms behind these names load numpy and pandas.
    if name == "bench":
        from harness.runner import bench

        return bench
    if name == "load":
        from harness.results import load

        return load
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
