"""Fitting the coefficients of the time estimate to times that are known, and saying how far off it then is.

A time is the sum of parts: one for each kernel, one for each memory that is read or written. Fitting scales
the parts, each by one factor in all times alike, so that the estimates come out as near to the known times
as they can in proportion (least squares of the logarithms). A factor moves from 1 only as far as times speak
for it, so few times do not throw it far.

How wrong an estimate may be is seen by leaving one out: fit to all other times, and estimate that one. A
time of which most is a part that no other time speaks of cannot be held out that way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The logarithm of a factor counts as much as this part of an error of the same logarithm.
_PULL = 0.02
_STEPS = 50
_ENOUGH = 1e-9
# A time speaks for a part that makes up this much of it; a time is held out where such parts make up half.
_SPEAKS = 0.2
_HALF = 0.5
TWO_THIRDS = 2 / 3


@dataclass(frozen=True, slots=True)
class Sample:
    """A known time, in any unit, and what the unfitted coefficients give for each of its parts."""

    name: str
    parts: Mapping[str, float]
    known: float


@dataclass(frozen=True, slots=True)
class Residual:
    """A known time and its estimate: by a fit to the others where `held_out`, else to all of them."""

    name: str
    known: float
    estimated: float
    held_out: bool

    @property
    def error(self) -> float:
        """How far the estimate is off, as a part of the known time; positive where it is too long."""
        return self.estimated / self.known - 1


def fit(samples: Sequence[Sample]) -> dict[str, float]:
    """Return a factor for each part of the samples."""
    import numpy as np

    parts = sorted({part for s in samples for part, size in s.parts.items() if size > 0})
    usable = [s for s in samples if s.known > 0 and sum(s.parts.values()) > 0]
    logs = np.zeros(len(parts))
    if not usable:
        return dict.fromkeys(parts, 1.0)
    sizes = np.array([[s.parts.get(part, 0.0) for part in parts] for s in usable])
    known = np.log([s.known for s in usable])
    for _ in range(_STEPS):
        scaled = sizes * np.exp(logs)
        totals = scaled.sum(axis=1)
        slopes = scaled / totals[:, None]
        off = known - np.log(totals)
        normal = slopes.T @ slopes + _PULL * np.eye(len(parts))
        step = np.linalg.solve(normal, slopes.T @ off - _PULL * logs)
        # Far from the solution the linear step can overshoot; a factor of e a step is plenty.
        step = np.clip(step, -1, 1)
        logs += step
        if np.abs(step).max() < _ENOUGH:
            break
    return {part: float(math.exp(log)) for part, log in zip(parts, logs, strict=True)}


def estimate(sample: Sample, factors: Mapping[str, float]) -> float:
    """Return the time of `sample` by fitted coefficients; a part without a factor keeps its size."""
    return sum(size * factors.get(part, 1.0) for part, size in sample.parts.items())


def residuals(samples: Sequence[Sample]) -> list[Residual]:
    """Return each sample's estimate by a fit to the others, or to all where it cannot be held out."""
    by_all = fit(samples)
    found = []
    for i, sample in enumerate(samples):
        others = [*samples[:i], *samples[i + 1 :]]
        held_out = _can_be_held_out(sample, others)
        factors = fit(others) if held_out else by_all
        found.append(Residual(sample.name, sample.known, estimate(sample, factors), held_out))
    return found


def _can_be_held_out(sample: Sample, others: Sequence[Sample]) -> bool:
    spoken_for = {
        part for s in others for part, size in s.parts.items() if size >= _SPEAKS * sum(s.parts.values())
    }
    total = sum(sample.parts.values())
    return sum(size for part, size in sample.parts.items() if part in spoken_for) >= _HALF * total


def median_error(found: Sequence[Residual]) -> float | None:
    """Return the median of the held-out errors regardless of sign; None where none was held out."""
    return _quantile([abs(r.error) for r in found if r.held_out], 0.5)


def band(found: Sequence[Residual], within: float = TWO_THIRDS) -> float | None:
    """Return within which part of an estimate the share `within` of held-out times is; None without any."""
    return _quantile([abs(r.known / r.estimated - 1) for r in found if r.held_out], within)


def _quantile(values: Sequence[float], part: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
