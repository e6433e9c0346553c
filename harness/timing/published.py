"""The estimate held against every published figure of a chip: whole models without their architecture."""

from __future__ import annotations

from dataclasses import dataclass

from harness.boards.profile import Fitted, Library
from harness.boards.published import Chip, Figure
from harness.models import calibration
from harness.models.calibration import Band, Residual, Sample
from harness.models.ops import ETHOS_U
from harness.timing import overlay
from harness.timing.parts import ARENA, WEIGHTS, CoefficientTable


@dataclass(frozen=True, slots=True)
class Compared:
    """A published figure in milliseconds beside its estimate.

    `how` is "held out" for whole models (no figure of the architecture was fitted to), "fitted" for kernels,
    "outlier" for a figure that cannot be right, and "not estimated" if its work is not known; then
    `estimated_ms` is None.
    """

    what: str
    architecture: str | None
    library: str
    conditions: str
    source: str
    published_ms: float
    estimated_ms: float | None
    how: str

    @property
    def ratio(self) -> float | None:
        """Published over estimated."""
        return None if self.estimated_ms is None else self.published_ms / self.estimated_ms


@dataclass(frozen=True, slots=True)
class ChipFit:
    """All figures of a chip, how far off those held out are, and the fitted factors of each part."""

    chip: str
    figures: tuple[Compared, ...]
    median_factor: float | None
    worst_factor: float | None
    band: Band | None
    coverage: float
    factors: dict[str, float]

    @property
    def held_out(self) -> tuple[Compared, ...]:
        return tuple(figure for figure in self.figures if figure.how == "held out")


def table(chip: Chip, arena: str | None, weights: str | None) -> CoefficientTable:
    """Return a chip's unfitted coefficients for arena and weights in memories of these kinds."""
    prior = chip.prior
    by_kind = prior.cycles_per_byte.mapping()
    places = {WEIGHTS: weights or "", ARENA: arena or ""}
    return CoefficientTable(
        prior.cycles_per_mac.mapping(),
        prior.cycles_per_element.mapping(),
        {use: by_kind.get(kind, by_kind["default"]) for use, kind in places.items()},
        prior.cycles_per_row.mapping() if prior.cycles_per_row else {"default": 0.0},
        prior.cycles_per_operator,
        prior.npu_cycles_per_job,
        prior.npu_cycles_per_byte,
        cache_bytes=prior.cache_bytes or 0,
        vector_bytes=prior.vector_bytes or 0,
    )


def compare(chip: Chip) -> ChipFit:
    """Hold the estimate against the figures of `chip`."""
    usable = [figure for figure in chip.figure if figure.work and not figure.outlier]
    samples = [_sample(chip, figure) for figure in usable]
    off = chip.prior.off.mapping()
    factors = calibration.fit(samples, off)
    found = calibration.residuals(samples, off)
    by_figure = {id(figure): residual for figure, residual in zip(usable, found, strict=True)}
    within = calibration.band(found)
    return ChipFit(
        chip.chip,
        tuple(_compared(chip, figure, factors, by_figure.get(id(figure))) for figure in chip.figure),
        calibration.median_factor(found),
        calibration.worst_factor(found),
        within,
        calibration.coverage(found, within) if within else 0.0,
        factors,
    )


def _sample(chip: Chip, figure: Figure) -> Sample:
    parts = table(chip, figure.arena, figure.weights).parts(figure.work)
    # Another memory is another part: what PSRAM costs says nothing of SRAM, nor of flash.
    for use, kind in ((WEIGHTS, figure.weights), (ARENA, figure.arena)):
        if use in parts:
            parts[kind or use] = parts.get(kind or use, 0.0) + parts.pop(use)
    release = "" if figure.library == chip.library else figure.library
    known = chip.cycles(figure)
    step = (figure.resolution or 0.0) * known / figure.value
    return Sample(figure.what, parts, known, figure.architecture or "", release, step)


def _compared(chip: Chip, figure: Figure, factors: dict[str, float], residual: Residual | None) -> Compared:
    to_ms = 1e3 / chip.clock_hz
    if residual is not None:
        estimated: float | None = residual.estimated * to_ms
        how = "held out" if residual.held_out else "fitted"
    elif figure.work:
        estimated, how = calibration.estimate(_sample(chip, figure), factors) * to_ms, "outlier"
    else:
        estimated, how = None, "not estimated"
    return Compared(
        figure.what,
        figure.architecture,
        figure.library,
        figure.conditions,
        figure.source,
        chip.cycles(figure) * to_ms,
        estimated,
        how,
    )


def tables(chip: Chip) -> str:
    """Return the [estimate] tables of the profiles of `chip`, by all its figures; every fact with its source.

    They stand in the profiles as they are returned here.
    """
    found = compare(chip)
    prior = table(chip, None, None)
    coefficients = prior.scaled(found.factors)
    by_kind = chip.prior.cycles_per_byte.mapping()
    coefficients["cycles_per_byte"] = {kind: v * found.factors.get(kind, 1.0) for kind, v in by_kind.items()}
    used = [f for f in chip.figure if f.work and not f.outlier]
    whole = [f for f in used if f.architecture]
    source = f"fitted to figures/{chip.chip}.toml, from its [prior]"
    judged = f"figures/{chip.chip}.toml: {_kinds(whole)}, each estimated by a fit to the others"
    cycles = [round(chip.cycles(f)) for f in whole]
    weights = [sum(w.weight_bytes for w in f.work) for f in whole]
    error = overlay.error_of(
        found.band,
        found.median_factor,
        held_out=len(found.held_out),
        fitted=len(used),
        source=judged,
        not_modelled=chip.not_modelled,
        range=Fitted(
            cycles=(min(cycles), max(cycles)),
            weight_bytes=(min(weights), max(weights)),
            kernels=tuple(
                sorted({w.kernel for f in used for w in f.work if not w.kernel.endswith("_reference")})
            ),
            source=judged,
        ),
    )
    releases = {f.library for f in used} - {chip.library}
    factors = {
        r: overlay.rounded(found.factors[r]) for r in sorted(releases) if r.startswith(_name(chip.library))
    }
    library = Library(assumed=chip.library, source=source, **factors) if factors else None
    on_npu = any(w.kernel == ETHOS_U for f in used for w in f.work)
    return overlay.estimate_tables(
        coefficients,
        source,
        error=None if on_npu else error,
        npu_error=error if on_npu else None,
        library=library,
    )


def _name(library: str) -> str:
    """Return the name of a kernel library without its year."""
    return library.rsplit(" ", 1)[0]


def _kinds(whole: list[Figure]) -> str:
    kinds = sorted({f.architecture or "" for f in whole})
    return f"{len(whole)} times of {len(kinds)} architectures ({', '.join(kinds)})"
