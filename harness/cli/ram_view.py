"""How commands show the arena and the memories of a board."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.check.memory import MemoryNeed
from harness.models.arena import Arena

_REFERENCE = "TFLite-Micro's reference kernels"


def arena_dict(ram: MemoryNeed) -> dict[str, Any]:
    """Return the arena for JSON, in bytes: with the board's kernels, and with the reference kernels beside.

    With the breakdown of its tail and what is not accounted for.
    """
    needed = ram.needed
    return {
        "origin": "estimated",
        **_figures(needed),
        "kernels": ram.kernels if ram.with_kernels else _REFERENCE,
        "tail": dict(needed.breakdown),
        "unaccounted": [asdict(u) for u in needed.unaccounted],
        "npu_scratch_bytes": ram.scratch_bytes,
        "npu_fast_scratch_bytes": ram.fast_scratch_bytes,
        "reference": {"kernels": _REFERENCE, **_figures(ram.arena)},
    }


def _figures(arena: Arena) -> dict[str, Any]:
    return {
        "used_bytes": arena.used_bytes,
        "head_bytes": arena.head_bytes,
        "tail_bytes": arena.tail_bytes,
        "minimum_bytes": arena.minimum_bytes,
        "exact": arena.exact,
        "bound_bytes": arena.bound_bytes,
    }


def memories_dict(ram: MemoryNeed) -> list[dict[str, Any]]:
    """Return the memories for JSON, in bytes."""
    return [{**asdict(use), "left_bytes": use.left_bytes} for use in ram.memories]


def arena_facts(ram: MemoryNeed) -> list[tuple[str, str]]:
    """Return the arena as names and values for people."""
    needed = ram.needed
    by = ram.kernels if ram.with_kernels else "reference kernels"
    rows = [("Arena", f"{_said(needed)} (estimated, 32-bit TFLite-Micro, {by})")]
    if ram.with_kernels is None:
        rows.append(("", f"buffers of {ram.kernels} itself are not accounted for"))
    elif needed.used_bytes != ram.arena.used_bytes:
        rows.append(("", f"{_said(ram.arena)} (with reference kernels)"))
    if needed.unaccounted:
        names = ", ".join(sorted({u.label for u in needed.unaccounted}))
        rows.append(("", f"not known is what {names} takes; at most {needed.bound_bytes:,} bytes in all"))
    if needed.minimum_bytes > needed.used_bytes + 16:
        rows.append(("", f"to set the model up takes an arena of {needed.minimum_bytes:,} bytes"))
    if ram.scratch_bytes:
        rows.append(("NPU scratch", f"{ram.scratch_bytes:,} bytes of the arena"))
    return rows


def _said(arena: Arena) -> str:
    least = "" if arena.exact else "at least "
    return f"{least}{arena.used_bytes:,} bytes: head {arena.head_bytes:,}, tail {arena.tail_bytes:,}"
