"""Fit a board's coefficients to its own measurements, and say how far off they were before and are now."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import boards
from harness.boards import Profile
from harness.errors import HarnessError
from harness.models import calibration
from harness.models.calibration import Band, Residual, Sample
from harness.results.record import Record
from harness.timing import overlay
from harness.timing.parts import NPU, CoefficientTable
from harness.timing.records import samples

# Measurements of one's own are near the truth, whatever the coefficients were before.
_OFF = {calibration.DEFAULT: 3.0}
_NOT_MODELLED = ("what differs between the measured models and the estimated one besides its operators",)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a fit to measured records brought; times are in milliseconds, errors in percent.

    `before` is by the profile as it was, `after` by the fit, each figure by one to the other models if
    there are any. `text` is the profile overlay.
    """

    board: str
    records: int
    left_out: tuple[str, ...]
    before: tuple[Residual, ...]
    after: tuple[Residual, ...]
    median_before_percent: float
    median_after_percent: float
    band: Band | None
    text: str


def calibrate(board: Profile, records: Sequence[Record], source: str, models: Path | None) -> Calibration:
    """Fit the coefficients of `board` to its measured records; `source` says where those are from.

    Raises HarnessError if there is nothing to fit to.
    """
    coefficients = board.coefficients()
    taken = samples(records, board, coefficients, models)
    if not taken.samples:
        why = f" ({taken.left_out[0]})" if taken.left_out else ""
        raise HarnessError(
            f"no measured record of {board.id} can be fitted to{why}; bench the board itself first, emulated "
            "runs are timed by this very estimate"
        )
    factors = calibration.fit(taken.samples, _OFF)
    to_ms = 1e3 / board.clock_hz
    one_model = len({s.architecture for s in taken.samples if s.architecture}) == 1
    before = tuple(
        Residual(s.name, s.known * to_ms, sum(s.parts.values()) * to_ms, held_out=True) for s in taken.samples
    )
    after = tuple(
        Residual(r.name, r.known * to_ms, r.estimated * to_ms, r.held_out)
        for r in (
            _of_all(taken.samples, factors) if one_model else calibration.residuals(taken.samples, _OFF)
        )
    )
    text = _overlay(
        board,
        _by_memory(board, CoefficientTable.of(coefficients).scaled(factors)),
        after,
        f"harness calibrate: {taken.records} measured records from {source}",
        on_npu=any(NPU in s.parts for s in taken.samples),
    )
    return Calibration(
        board=board.id,
        records=taken.records,
        left_out=taken.left_out,
        before=before,
        after=after,
        median_before_percent=_percent(before),
        median_after_percent=_percent([Residual(r.name, r.known, r.estimated, held_out=True) for r in after]),
        band=calibration.band(after),
        text=text,
    )


def _overlay(
    board: Profile, coefficients: dict[str, object], after: Sequence[Residual], source: str, *, on_npu: bool
) -> str:
    """Return the profile overlay: fitted coefficients, and how far off estimates by them are (`after`)."""
    error = overlay.error_of(
        calibration.band(after),
        calibration.median_factor(after),
        held_out=sum(r.held_out for r in after),
        fitted=len(after),
        source=source,
        not_modelled=_NOT_MODELLED,
    )
    text = overlay.estimate_tables(
        coefficients,
        source,
        error=board.estimate.error if on_npu else error,
        npu_error=error if on_npu else board.estimate.npu_error,
    )
    return f"{_without_estimate(board)}\n\n{text}"


def _of_all(taken: Sequence[Sample], factors: Mapping[str, float]) -> list[Residual]:
    """Return what the fit makes of the times of a single model: there is nothing to hold it out with."""
    return [Residual(s.name, s.known, calibration.estimate(s, factors), held_out=False) for s in taken]


def _percent(found: Sequence[Residual]) -> float:
    return 100 * ((calibration.median_factor(found) or 1.0) - 1)


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
