"""How much slower: an interval for the ratio of invoke times, with runs as the unit.

Samples of one run share its boot, its memory layout and its temperature, and follow one another; they are
not independent, and a test that takes them so finds differences that are none. The runs are independent.
So, after Kalibera and Jones ("Rigorous benchmarking in reasonable time", ISMM 2013: repeat at the highest
level that varies, and report an interval for the ratio) and Georges, Buytaert and Eeckhout ("Statistically
rigorous Java performance evaluation", OOPSLA 2007):

- Each run gives one number, the logarithm of its median sample. The median leaves out outliers within a
  run; the logarithm turns a ratio into a difference and a spread in percent into one that does not depend
  on the model.
- More runs than one on a side: the wider of two intervals for the difference of the means, Student's (one
  spread for both sides, as it is the same board) and Welch's ("The generalization of 'Student's' problem",
  Biometrika 34, 1947; a spread for each side, with Satterthwaite's degrees of freedom). Each by itself is too
  narrow in some cases of unequal runs or unequal spreads; with a single run on one side Student's is all
  there is.
- One run on each side: nothing in the data says how runs differ, so the board's known run-to-run spread is
  needed: given, or as earlier runs of the same kind show it. The standard error is that spread for each side
  and the error of each median: that of a normal sample's median, sqrt(pi/2) s/sqrt(n), with n the effective
  number of samples, n (1 - r)/(1 + r) for autocorrelation r of neighbours (Bayley and Hammersley, "The
  'effective' number of independent observations in an autocorrelated time series", JRSS supplement 8, 1946),
  s from the middle half and r from ranks, so that outliers count little. The quantile is the normal
  distribution's if the spread is given, and so taken as known; Student's with the degrees of freedom of the
  earlier runs if it is from these.
- A time that was computed (origin `estimated`) has no spread: the ratio is exact.
- The resolution of the device's timer is an error that all runs share and that more runs do not reduce: half
  a step a side is added to the interval.

Each bound holds with the stated confidence by itself (one-sided), as a gate asks about one of them only.

The verdict is a regression when the candidate is slower than the baseline with that confidence and the best
estimate of the slowdown is beyond what is allowed; no regression when the slowdown is within what is allowed
with that confidence; otherwise there is not enough data. A slowdown of exactly what is allowed is allowed.
So if nothing got slower, an alarm is false in at most 5 % of the comparisons (with nothing allowed; the
more is allowed, the fewer), and if something got slower by more than is allowed, a pass is wrong in at
most 5 %.

A timer of whole milliseconds may not show what is asked for, however many runs there are. If the runs allow
no more than two of its steps, the answer is that: within the timer's resolution, which passes and says how
large a slowdown would go unseen.

With a second look at more runs (`looks`), each look has half of the error rate.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness import extras

Verdict = Literal["regression", "no regression", "within resolution", "not enough data"]
Basis = Literal["runs", "known spread", "earlier runs", "computed", "no spread"]

CONFIDENCE = 0.95
# What rounding makes of a slowdown that is exactly the one that is allowed.
_ROUNDING = 1e-9
# Two groups of runs are told from one by the gap between them, in standard deviations within the groups: of
# equal runs one in two hundred sets has a larger one (simulated), by how many runs there are.
_GAPS = {4: 22.0, 5: 15.0, 6: 9.0, 7: 8.0}
_GAP_OF_MORE = 6.5
# Beyond this many more runs the difference is so near the limit that runs are not the way to decide.
_MOST_MORE = 200


@dataclass(frozen=True)
class Side:
    """One side of a comparison: its runs.

    Args:
        logs: the natural logarithm of each run's median invoke time in microseconds.
        error: of a single run, the standard error of its logarithm as its own samples show it.
        resolution: the timer's resolution as a share of the median.
        computed: the times were computed, not sampled.
    """

    logs: tuple[float, ...]
    error: float = 0.0
    resolution: float = 0.0
    computed: bool = False

    @staticmethod
    def of(runs_us: Sequence[np.ndarray], resolution_us: float = 0.0, computed: bool = False) -> Side:
        """Return a side from each run's samples in microseconds; every median is above 0."""
        medians = [float(np.median(run)) for run in runs_us]
        return Side(
            tuple(math.log(median) for median in medians),
            median_error(runs_us[0]) if len(runs_us) == 1 else 0.0,
            resolution_us / min(medians),
            computed,
        )


@dataclass(frozen=True)
class Known:
    """A standard deviation between runs as a share, known from elsewhere than the runs compared.

    `degrees` of freedom it was estimated with; infinite if it is taken as known.
    """

    share: float
    degrees: float = math.inf


@dataclass(frozen=True)
class Interval:
    """The ratio of invoke times, candidate to baseline, with the bounds that hold with `confidence` each.

    `spread` is the standard deviation between runs that was used, as a share; the bounds are 0 and infinity
    if there is nothing to take it from (`basis` "no spread"). `resolution` is the part of the bounds that
    is the timer's, as a logarithm.
    """

    ratio: float
    low: float
    high: float
    confidence: float
    basis: Basis
    spread: float | None
    baseline_runs: int
    candidate_runs: int
    resolution: float = 0.0

    def verdict(self, limit: float) -> Verdict:
        """Say whether the candidate is slower by more than `limit` (0.03 allows 3 %)."""
        most = (1 + limit) * (1 + _ROUNDING)
        if self.low > 1 and self.ratio > most:
            return "regression"
        if self.high <= most:
            return "no regression"
        return "within resolution" if self.high <= 1 + self.unseen else "not enough data"

    @property
    def unseen(self) -> float:
        """The largest slowdown that the timer may not show, as a share: a step of it on either side."""
        return math.expm1(2 * self.resolution)


def median_error(run_us: np.ndarray) -> float:
    """Return the standard error of the logarithm of a run's median, with autocorrelation allowed for."""
    if len(run_us) < 2:
        return 0.0
    logs = np.log(np.maximum(run_us, np.finfo(float).tiny))
    p25, p75 = np.percentile(logs, [25, 75])
    # The middle half of a normal distribution is 1.349 standard deviations wide; a coarse timer may hide it.
    spread = (p75 - p25) / 1.349 or float(logs.std(ddof=1))
    ranks = logs.argsort().argsort().astype(float)
    ranks -= ranks.mean()
    neighbours = float((ranks[:-1] * ranks[1:]).sum() / (ranks**2).sum())
    rest = min(1.0, max(0.0, 1 - neighbours))
    effective = max(1.0, len(logs) * rest / (2 - rest))
    return float(math.sqrt(math.pi / 2) * spread / math.sqrt(effective))


def interval(
    baseline: Side, candidate: Side, known: Known | None = None, confidence: float = CONFIDENCE
) -> Interval:
    """Return the interval for the ratio of invoke times, candidate to baseline.

    Args:
        known: how runs of the board differ, for one run a side.
    """
    difference = float(np.mean(candidate.logs) - np.mean(baseline.logs))
    sizes = len(baseline.logs), len(candidate.logs)
    basis, spreads = _spreads(baseline, candidate, known)
    degrees = known.degrees if known else math.inf
    if spreads is None:
        low, high, together = 0.0, math.inf, None
    else:
        half = _half_width(basis, spreads, sizes, confidence, degrees) + _resolution(baseline, candidate)
        low, high = math.exp(difference - half), math.exp(difference + half)
        together = _pooled(spreads, sizes) if basis == "runs" else math.hypot(*spreads) / math.sqrt(2)
    resolution = _resolution(baseline, candidate)
    return Interval(math.exp(difference), low, high, confidence, basis, together, *sizes, resolution)


def modes(side: Side) -> tuple[int, int, float] | None:
    """Return how many runs are in each of two groups, and by which factor these differ; None for one group.

    Runs that fall into two groups are of a board in two states (a cache that is aligned or not, a clock that
    is throttled or not), and a mean of them is the time of neither.
    """
    logs = sorted(side.logs)
    found = None
    widest = _GAPS.get(len(logs), _GAP_OF_MORE)
    for count in range(2, len(logs) - 1):
        parts = logs[:count], logs[count:]
        within = math.sqrt(sum(statistics.variance(p) * (len(p) - 1) for p in parts) / (len(logs) - 2))
        gap = parts[1][0] - parts[0][-1]
        if gap > widest * max(within, side.resolution / 2, _ROUNDING):
            widest = gap / max(within, _ROUNDING)
            apart = statistics.fmean(parts[1]) - statistics.fmean(parts[0])
            found = count, len(logs) - count, math.exp(apart)
    return found


def looks(confidence: float, times: int) -> float:
    """Return the confidence of each of several looks at growing data that together keep `confidence`.

    What is wrong at all is wrong at one of them, so their error rates add up at most (Bonferroni).
    """
    return 1 - (1 - confidence) / times


def more_runs(baseline: Side, candidate: Side, known: Known | None, limit: float, confidence: float) -> str:
    """Say what would be enough to decide, should the runs to come be like those at hand.

    Returns how many more runs, on which side, or that runs cannot decide, and why.
    """
    basis, spreads = _spreads(baseline, candidate, known)
    if spreads is None:
        return "1 more run on each side would show how runs of this board differ (or give --run-to-run)"
    difference = float(np.mean(candidate.logs) - np.mean(baseline.logs))
    allowed = math.log1p(limit)
    resolution = _resolution(baseline, candidate)
    gap = (difference if difference > allowed else allowed - difference) - resolution
    if gap <= 0 and resolution > 0.001:
        return (
            f"the timer's resolution alone leaves ±{100 * resolution:.1f} %, which more runs do not reduce; "
            "allow a larger slowdown"
        )
    before, after = len(baseline.logs), len(candidate.logs)
    if basis in ("known spread", "earlier runs"):
        # With a second run on a side the runs themselves show their spread.
        spreads = (_pooled(spreads, (2, 2)),) * 2
    for more in range(1, _MOST_MORE + 1):
        word = "run" if more == 1 else "runs"
        for sizes, where in (
            ((before, after + more), "of the candidate"),
            ((before + more, after + more), "on each side"),
        ):
            if _half_width("runs", spreads, sizes, confidence, math.inf) < gap:
                return f"about {more} more {word} {where} would be enough"
    return (
        f"the change is so near the limit of {100 * limit:g} % that even {_MOST_MORE} more runs on each side "
        "would not decide; allow more or less"
    )


def _spreads(
    baseline: Side, candidate: Side, known: Known | None
) -> tuple[Basis, tuple[float, float] | None]:
    """Return the standard deviation of one run's logarithm on each side, and where it is from."""
    deviations = [
        float(np.std(side.logs, ddof=1)) if len(side.logs) > 1 else None for side in (baseline, candidate)
    ]
    if baseline.computed and candidate.computed:
        return "computed", (deviations[0] or 0.0, deviations[1] or 0.0)
    first, second = deviations
    if first is not None or second is not None:
        # A side of one run is taken to vary as the other one does.
        return "runs", (_either(first, second), _either(second, first))
    if known is None:
        return "no spread", None
    basis: Basis = "known spread" if math.isinf(known.degrees) else "earlier runs"
    return basis, (math.hypot(known.share, baseline.error), math.hypot(known.share, candidate.error))


def _either(own: float | None, other: float | None) -> float:
    return own if own is not None else other or 0.0


def _resolution(baseline: Side, candidate: Side) -> float:
    return (baseline.resolution + candidate.resolution) / 2


def _pooled(spreads: tuple[float, float], sizes: tuple[int, int]) -> float:
    degrees = sizes[0] + sizes[1] - 2
    return math.sqrt(sum(s**2 * (n - 1) for s, n in zip(spreads, sizes, strict=True)) / degrees)


def _half_width(
    basis: Basis, spreads: tuple[float, float], sizes: tuple[int, int], confidence: float, degrees: float
) -> float:
    """Return how far a one-sided bound is from the difference of the mean logarithms.

    `degrees` are those that a spread from elsewhere was estimated with.
    """
    extras.need("scipy", "a comparison")
    from scipy.special import stdtrit

    a, b = (s**2 / n for s, n in zip(spreads, sizes, strict=True))
    if not a + b:
        return 0.0
    if basis != "runs":
        quantile = (
            statistics.NormalDist().inv_cdf(confidence)
            if math.isinf(degrees)
            else float(stdtrit(degrees, confidence))
        )
        return quantile * math.sqrt(a + b)
    student = (
        stdtrit(sum(sizes) - 2, confidence) * _pooled(spreads, sizes) * math.sqrt(1 / sizes[0] + 1 / sizes[1])
    )
    if min(sizes) == 1:
        return float(student)
    welch = (a + b) ** 2 / (a**2 / (sizes[0] - 1) + b**2 / (sizes[1] - 1))
    return float(max(student, stdtrit(welch, confidence) * math.sqrt(a + b)))
