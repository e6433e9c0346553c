"""How flashing looks: a line a region, and the same as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.runner.flash import Flashed


def lines(flashed: Flashed) -> list[str]:
    """Return what the flash step did, a line a region; one line where it had nothing to do."""
    kept = [
        *flashed.kept,
        *(f"{o.region} ({o.verified})" for o in flashed.outcomes if o.did == "same"),
    ]
    told = [
        f"flashed: {flashed.board}: {o.region}, {o.bytes:,} bytes at {o.address:#x} in {o.seconds:.2f} s "
        f"({o.bytes / max(o.seconds, 1e-6) / 1000:,.0f} kB/s); verified: {o.verified}"
        for o in flashed.outcomes
        if o.did == "written"
    ]
    if not told:
        return [f"flashed: {flashed.board}: nothing, it already holds {' and '.join(kept)}"]
    return [*told, *(f"flashed: {flashed.board}: not {name}, it is there already" for name in kept)]


def as_json(flashed: Flashed) -> dict[str, Any]:
    """Return what the flash step did as JSON takes it."""
    return {
        "board": flashed.board,
        "written": [vars(outcome) for outcome in flashed.outcomes if outcome.did == "written"],
        "kept": [*flashed.kept, *(o.region for o in flashed.outcomes if o.did == "same")],
    }
