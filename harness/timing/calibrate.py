"""Fit a board's coefficients to its own measurements, and say how far off they were before and are now."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import boards
from harness.boards import Profile
from harness.errors import HarnessError
from harness.models import calibration
from harness.models.calibration import Residual
from harness.results.record import Record
from harness.timing import overlay
from harness.timing.parts import Table
from harness.timing.records import samples

_NOT_MODELLED = ("what differs between the measured models and the estimated one besides its operators",)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a fit to measured records brought; times are in milliseconds, errors in percent.

    `before` is by the profile as it was, `after` by the fit, each figure by one to the others where it could
    be held out. `text` is the profile overlay.
    """

    board: str
    records: int
    left_out: tuple[str, ...]
    before: tuple[Residual, ...]
    after: tuple[Residual, ...]
    median_before_percent: float
    median_after_percent: float
    band_percent: float | None
    text: str


def calibrate(board: Profile, records: Sequence[Record], source: str, models: Path | None) -> Calibration:
    """Fit the coefficients of `board` to its measured records; `source` says where those are from.

    Raises HarnessError where there is nothing to fit to.
    """
    coefficients = board.coefficients()
    taken = samples(records, board, coefficients, models)
    if not taken.samples:
        why = f" ({taken.left_out[0]})" if taken.left_out else ""
        raise HarnessError(
            f"no measured record of {board.id} can be fitted to{why}; bench the board itself first, emulated "
            "runs are timed by this very estimate"
        )
    factors = calibration.fit(taken.samples)
    to_ms = 1e3 / board.clock_hz
    before = [
        Residual(s.name, s.known * to_ms, sum(s.parts.values()) * to_ms, held_out=True) for s in taken.samples
    ]
    after = [
        Residual(r.name, r.known * to_ms, r.estimated * to_ms, r.held_out)
        for r in calibration.residuals(taken.samples)
    ]
    band = calibration.band(after)
    text = overlay.estimate_tables(
        _by_memory(board, Table.of(coefficients).scaled(factors)),
        f"harness calibrate: {taken.records} measured records from {source}",
        held_out=sum(r.held_out for r in after),
        fitted=len(after),
        percent=None if band is None else 100 * band,
        not_modelled=_NOT_MODELLED,
        npu_error=board.estimate.npu_error,
    )
    everything = [Residual(r.name, r.known, r.estimated, held_out=True) for r in after]
    return Calibration(
        board=board.id,
        records=taken.records,
        left_out=taken.left_out,
        before=tuple(before),
        after=tuple(after),
        median_before_percent=100 * (calibration.median_error(before) or 0),
        median_after_percent=100 * (calibration.median_error(everything) or 0),
        band_percent=None if band is None else 100 * band,
        text=f"{_without_estimate(board)}\n\n{text}",
    )


def _without_estimate(board: Profile) -> str:
    """Return the text of a profile that is `board` but for its estimate; of a shipped one an overlay."""
    if board.path in (shipped.path for shipped in boards.all_profiles()):
        return f'extends = "{board.id}"'
    kept, keep = [], True
    for line in board.path.read_text(encoding="utf-8-sig").splitlines():
        if line.lstrip().startswith("["):
            keep = re.match(r"\s*\[+\s*estimate\s*[\].]", line) is None
        if keep:
            kept.append(line)
    return "\n".join(kept).rstrip()


def _by_memory(board: Profile, coefficients: dict[str, object]) -> dict[str, object]:
    """Return the coefficients with cycles_per_byte by kind of memory, as profiles have them."""
    by_use: dict[str, float] = coefficients["cycles_per_byte"]  # type: ignore[assignment]
    arena = board.memory(board.arena.memory).kind
    by_memory = board.estimate.cycles_per_byte
    kept = by_memory.mapping() if by_memory else {"default": 0.0}
    return {**coefficients, "cycles_per_byte": {**kept, "flash": by_use["weights"], arena: by_use["arena"]}}
