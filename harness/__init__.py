"""Bench TFLite models on edge boards: flash, stream tensors, measure, record, report."""

__all__ = ["__version__", "bench", "load"]

TYPE_CHECKING = False  # as in typing, whose import takes longer than all the rest here
if TYPE_CHECKING:
    from harness.results import load
    from harness.runner import bench
    from harness.version import __version__


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    # `import harness` must stay cheap: the rooms behind these names load numpy and more.
    if name == "bench":
        from harness.runner import bench

        return bench
    if name == "__version__":
        from harness.version import __version__

        return __version__
    if name == "load":
        from harness.results import load

        return load
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
