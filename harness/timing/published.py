"""The estimate held against every published figure of a chip, each fitted to the others where that can be."""

from __future__ import annotations

from dataclasses import dataclass

from harness.boards.published import Chip, Figure
from harness.models import calibration
from harness.models.calibration import Residual, Sample
from harness.timing.parts import Table


@dataclass(frozen=True, slots=True)
class Compared:
    """A published figure in milliseconds beside its estimate.

    `how` is "held out", "fitted" (no other figure speaks of its kernel), or "stand-in": the model cannot be
    had, a bundled one of about its shape was estimated in its place, and nothing is fitted to it.
    """

    what: str
    conditions: str
    source: str
    published_ms: float
    estimated_ms: float
    how: str

    @property
    def error_percent(self) -> float:
        return 100 * (self.estimated_ms / self.published_ms - 1)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures of a chip, the errors over those held out, and the fitted factors of each part.

    `band_percent` is what two thirds of the held-out figures stay within, as a part of the estimate. Where
    none could be held out, it is what all stand-ins stay within: there are too few to leave any aside.
    """

    chip: str
    figures: tuple[Compared, ...]
    median_error_percent: float | None
    band_percent: float | None
    factors: dict[str, float]


def table(chip: Chip, arena: str | None) -> Table:
    """Return a chip's unfitted coefficients where the arena is in a memory of the kind `arena`."""
    assert chip.prior is not None
    by_kind = chip.prior.cycles_per_byte.mapping()
    places = {"weights": "flash", "arena": arena or ""}
    of = {use: by_kind.get(kind, by_kind["default"]) for use, kind in places.items()}
    return Table(chip.prior.cycles_per_mac.mapping(), chip.prior.cycles_per_element.mapping(), of)


def compare(chip: Chip) -> Comparison:
    """Hold the estimate against the figures of `chip`."""
    if chip.prior is None:
        return _npu(chip)
    real = [figure for figure in chip.figure if not figure.stand_in]
    samples = [_sample(chip, figure) for figure in real]
    factors = calibration.fit(samples)
    found = calibration.residuals(samples)
    compared = [
        _compared(chip, figure, r.estimated, "held out" if r.held_out else "fitted")
        for figure, r in zip(real, found, strict=True)
    ]
    stand_ins = []
    for figure in chip.figure:
        if figure.stand_in:
            sample = _sample(chip, figure)
            estimated = calibration.estimate(sample, factors)
            stand_ins.append(Residual(figure.what, sample.known, estimated, held_out=True))
            compared.append(_compared(chip, figure, estimated, "stand-in"))
    return _comparison(chip, compared, [r for r in found if r.held_out] or stand_ins, factors)


def _npu(chip: Chip) -> Comparison:
    """For an NPU the cycles are Vela's: nothing is fitted."""
    compared, judged = [], []
    for figure in chip.figure:
        cycles = float(figure.npu_cycles or 0)
        compared.append(_compared(chip, figure, cycles, "stand-in" if figure.stand_in else "held out"))
        judged.append(Residual(figure.what, chip.cycles(figure), cycles, held_out=True))
    return _comparison(chip, compared, judged, {})


def _comparison(
    chip: Chip, compared: list[Compared], judged: list[Residual], factors: dict[str, float]
) -> Comparison:
    only_stand_ins = all(c.how != "held out" for c in compared)
    median = calibration.median_error(judged)
    band = calibration.band(judged, within=1.0 if only_stand_ins else calibration.TWO_THIRDS)
    return Comparison(
        chip.chip,
        tuple(compared),
        None if median is None else 100 * median,
        None if band is None else 100 * band,
        factors,
    )


def _sample(chip: Chip, figure: Figure) -> Sample:
    parts = table(chip, figure.arena).parts(figure.work)
    # An arena in another memory is another part: what PSRAM costs says nothing of SRAM.
    if "arena" in parts:
        parts[f"arena in {figure.arena}"] = parts.pop("arena")
    return Sample(figure.what, parts, chip.cycles(figure))


def _compared(chip: Chip, figure: Figure, cycles: float, how: str) -> Compared:
    to_ms = 1e3 / chip.clock_hz
    return Compared(
        figure.what, figure.conditions, figure.source, chip.cycles(figure) * to_ms, cycles * to_ms, how
    )
