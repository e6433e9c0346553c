"""Fitting the coefficients of the time estimate to times that are known, and saying how far off it then is.

A time is the sum of parts: one for each kernel, one for each memory that is read or written. Fitting scales
the parts, each by one factor in all times alike, so that the estimates come out as near to the known times
as they can in proportion (least squares of the logarithms). Times by another release of the kernel library
have one factor more, of that release. A factor moves from 1 only as far as times speak for it against what
is known beforehand, so few times do not throw it far.

How wrong an estimate may be is seen by leaving out: fit to the times of all other architectures, and estimate
the times of this one. Two sizes of one network say nothing about a third network, so they go together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

DEFAULT = "default"
_OFF = 1.5  # by which factor a part may be off if nothing else is said
# Networks of one shape are published with times that are up to 13 % apart (Swift-YOLO: 608 and 688 ms).
_NOISE = math.log(1.1)
_STEPS = 50
_ENOUGH = 1e-9
_NINE_OF_TEN = 0.9
_DEVIATIONS = 1.645  # that 90 % of a normal distribution are within
# Few times seldom show how far off estimates are: a band is as if one more had been off by this factor.
_UNSEEN = math.log(1.5)
_WIDER = 0.25  # 2 ** 0.25 = 1.19


@dataclass(frozen=True, slots=True)
class Sample:
    """A known time, in any unit, and what the unfitted coefficients give for each of its parts.

    `architecture` names the kind of network, "" if it is of none: with it all its times are held out.
    `whole` is False for a part of a network, by which no estimate is judged. `release`
    names the release of the kernel library if it is not the one that estimates are for. `resolution` is
    the smallest step of the clock that `known` was read from.
    """

    name: str
    parts: Mapping[str, float]
    known: float
    architecture: str = ""
    release: str = ""
    resolution: float = 0.0
    whole: bool = True

    @property
    def variance(self) -> float:
        """How far the logarithm of the known time may be off, squared: a difference of two readings."""
        return _NOISE**2 + (self.resolution / self.known) ** 2 / 6


@dataclass(frozen=True, slots=True)
class Residual:
    """A known time and its estimate: by a fit to other architectures if `held_out`, else to all."""

    name: str
    known: float
    estimated: float
    held_out: bool

    @property
    def factor(self) -> float:
        """By which factor the estimate is off, whichever way: at least 1."""
        return math.exp(abs(math.log(self.known / self.estimated)))


@dataclass(frozen=True, slots=True)
class Band:
    """Nine of ten known times are between `low` and `high` times their estimates."""

    low: float
    high: float

    def holds(self, residual: Residual) -> bool:
        """Say whether a known time is inside."""
        return self.low <= residual.known / residual.estimated <= self.high

    def widened(self, beyond: float, unknown: float) -> Band:
        """Return the band for a model that is unlike those whose times are known.

        `beyond` is the factor by which its size is outside of theirs: each doubling widens the band by a
        fifth. `unknown` is the part of its time that is in kernels of which no time is known: that may be
        nothing, or three times as much.
        """
        by = max(beyond, 1.0) ** _WIDER
        return Band(self.low / by * (1 - unknown), self.high * by * (1 + 2 * unknown))


def fit(samples: Sequence[Sample], off: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return a factor for each part and each release of the samples.

    `off` says by which factor each may be off before any time is known, with "default" for the rest. The
    times of one architecture count together as one that is known the better the more they are.
    """
    import numpy as np

    usable = [s for s in samples if s.known > 0 and sum(s.parts.values()) > 0]
    parts = sorted({part for s in usable for part, size in s.parts.items() if size > 0})
    releases = sorted({s.release for s in usable if s.release})
    names = [*parts, *releases]
    if not usable:
        return {}
    off = off or {}
    doubt = np.array([math.log(off.get(name, off.get(DEFAULT, _OFF))) for name in names])
    sizes = np.array([[s.parts.get(part, 0.0) for part in parts] for s in usable])
    of_release = np.array([[float(s.release == release) for release in releases] for s in usable])
    of_release = of_release.reshape(len(usable), len(releases))
    crowd = Counter(s.architecture for s in usable if s.architecture)
    weights = np.array(
        [(crowd[s.architecture] ** -0.5 if s.architecture else 1.0) / s.variance for s in usable]
    )
    known = np.log([s.known for s in usable])
    logs = np.zeros(len(names))
    for _ in range(_STEPS):
        scaled = sizes * np.exp(logs[: len(parts)])
        totals = scaled.sum(axis=1)
        slopes = np.hstack([scaled / totals[:, None], of_release])
        missing = known - np.log(totals) - of_release @ logs[len(parts) :]
        normal = slopes.T @ (weights[:, None] * slopes) + np.diag(doubt**-2)
        step = np.linalg.solve(normal, slopes.T @ (weights * missing) - logs * doubt**-2)
        # Far from the solution the linear step can overshoot; a factor of e a step is plenty.
        step = np.clip(step, -1, 1)
        logs += step
        if np.abs(step).max() < _ENOUGH:
            break
    return {name: float(math.exp(log)) for name, log in zip(names, logs, strict=True)}


def estimate(sample: Sample, factors: Mapping[str, float]) -> float:
    """Return the time of `sample` by fitted coefficients; a part without a factor keeps its size."""
    whole = sum(size * factors.get(part, 1.0) for part, size in sample.parts.items())
    return whole * factors.get(sample.release, 1.0)


def residuals(samples: Sequence[Sample], off: Mapping[str, float] | None = None) -> list[Residual]:
    """Return each whole model's estimate by a fit without its architecture, each kernel's by a fit to all."""
    by_all = fit(samples, off)
    without = {
        architecture: fit([s for s in samples if s.architecture != architecture], off)
        for architecture in {s.architecture for s in samples if s.architecture}
    }
    return [
        Residual(
            s.name,
            s.known,
            estimate(s, without.get(s.architecture, by_all)),
            held_out=bool(s.architecture) and s.whole,
        )
        for s in samples
    ]


def median_factor(found: Iterable[Residual]) -> float | None:
    """Return the median of the factors by which held-out estimates are off; None if none was held out."""
    from statistics import median

    factors = [r.factor for r in found if r.held_out]
    return median(factors) if factors else None


def worst_factor(found: Iterable[Residual]) -> float | None:
    """Return the largest of these factors."""
    return max((r.factor for r in found if r.held_out), default=None)


def band(found: Iterable[Residual]) -> Band | None:
    """Return the band for nine of ten times, from those held out; None without any.

    It is as wide as a normal spread of the ratios of known time to estimate has it, and holds the ratios
    themselves, but for as many of the furthest as nine of ten allow to be beyond (none of fewer than 19).
    """
    logs = sorted((math.log(r.known / r.estimated) for r in found if r.held_out), key=abs)
    if not logs:
        return None
    kept = logs[: min(len(logs), math.ceil(_NINE_OF_TEN * (len(logs) + 1)))]
    middle = sum(logs) / (len(logs) + 1)
    spread = math.sqrt((sum((log - middle) ** 2 for log in logs) + _UNSEEN**2) / (len(logs) + 1))
    end = _DEVIATIONS * spread * math.sqrt(1 + 1 / len(logs))
    return Band(math.exp(min(*kept, middle - end)), math.exp(max(*kept, middle + end)))


def coverage(found: Iterable[Residual], within: Band) -> float:
    """Return which part of the held-out times is inside a band."""
    held_out = [r for r in found if r.held_out]
    return sum(within.holds(r) for r in held_out) / len(held_out) if held_out else 0.0
