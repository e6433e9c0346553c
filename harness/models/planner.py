"""TFLite-Micro's greedy memory planner: where in the arena's head each buffer of a model goes.

Buffers are placed largest first (of equal ones, the last first), each at the lowest offset where it fits
beside those already placed that are alive at the same time. Buffers with an offline offset keep it and are
placed before all others. The algorithm is that of TFLite-Micro's GreedyMemoryPlanner, ties included, so
the arena head comes out the same to the byte.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Buffer:
    """A block of `bytes` alive from operator step `first` to `last`, both included; `offset` if fixed."""

    bytes: int
    first: int
    last: int
    offset: int | None = None


def place(buffers: Sequence[Buffer]) -> list[int]:
    """Return the offset in bytes of each buffer."""
    fixed = [i for i, b in enumerate(buffers) if b.offset is not None]
    free = [i for i, b in enumerate(buffers) if b.offset is None]
    free.reverse()
    free.sort(key=lambda i: -buffers[i].bytes)
    offsets = [b.offset or 0 for b in buffers]
    placed: list[tuple[int, int]] = []  # (offset, buffer) by offset, of equal offsets the latest last
    for i in fixed + free:
        if buffers[i].offset is None:
            offsets[i] = _gap(buffers[i], buffers, placed)
        bisect.insort_right(placed, (offsets[i], i), key=lambda entry: entry[0])
    return offsets


def _gap(wanted: Buffer, buffers: Sequence[Buffer], placed: Sequence[tuple[int, int]]) -> int:
    """Return the lowest offset at which `wanted` fits among the placed buffers alive with it."""
    candidate = 0
    for offset, i in placed:
        other = buffers[i]
        if other.first > wanted.last or wanted.first > other.last:
            continue
        if offset - candidate >= wanted.bytes:
            break
        candidate = max(candidate, offset + other.bytes)
    return candidate


def head_bytes(buffers: Sequence[Buffer]) -> int:
    """Return the bytes from the arena's start to the end of the highest buffer; 0 without buffers."""
    return max((o + b.bytes for o, b in zip(place(buffers), buffers, strict=True)), default=0)
