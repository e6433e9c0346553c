"""Records of runs: their schema, the store that keeps them, and the frames that people work with."""

from harness.results.record import Record

__all__ = ["Record"]
