"""How flashing looks: a line a file, and the same as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.runner.flash import Flashed


def lines(flashed: Flashed) -> list[str]:
    """Return what the flash step did, a line a file; one line if it had nothing to do."""
    there = [f"{kept.what} (by {kept.known_by})" for kept in flashed.there]
    told = [
        f"flashed: {flashed.board}: {o.file}, {o.bytes:,} bytes at {o.address:#x} in {o.seconds:.2f} s "
        f"({o.bytes / max(o.seconds, 1e-6) / 1000:,.0f} kB/s); verified: {o.verified}"
        for o in flashed.written
    ]
    if flashed.loader:
        told.insert(0, f"found: {flashed.board}: {flashed.loader}")
    if not flashed.written:
        return [*told, f"flashed: {flashed.board}: nothing, it already holds {' and '.join(there)}"]
    return [*told, *(f"flashed: {flashed.board}: not {each}, it is there already" for each in there)]


def as_json(flashed: Flashed) -> dict[str, Any]:
    """Return what the flash step did as JSON takes it."""
    return {
        "board": flashed.board,
        **({"loader": flashed.loader} if flashed.loader else {}),
        "written": [vars(outcome) for outcome in flashed.written],
        "kept": [vars(kept) for kept in flashed.there],
    }
