"""Quantiles of Student's t distribution.

By Newton's method on its tail, which is an incomplete beta function and is computed by that function's
continued fraction (Abramowitz and Stegun, 26.5.8 and 26.7.1).
"""

from __future__ import annotations

import functools
import math
import statistics

_MOST_STEPS = 10_000
_ENOUGH = 1e-14  # relative change of a step at which the value is taken
_AS_NORMAL = 1e7  # degrees of freedom from which on the difference from the normal distribution is below 1e-6


@functools.lru_cache(maxsize=4096)
def quantile(p: float, degrees: float) -> float:
    """Return the value that Student's t with `degrees` of freedom stays below with probability `p`."""
    if p < 0.5:
        return -quantile(1 - p, degrees)
    t = statistics.NormalDist().inv_cdf(p)
    if degrees >= _AS_NORMAL:
        return t
    log_beta = math.lgamma(degrees / 2) + math.lgamma(0.5) - math.lgamma((degrees + 1) / 2)
    # The tail is convex and heavier than the normal one, so that each step ends short of the quantile.
    for _ in range(_MOST_STEPS):
        log_density = -0.5 * (degrees + 1) * math.log1p(t * t / degrees) - 0.5 * math.log(degrees) - log_beta
        step = (_tail(t, degrees, log_beta) - (1 - p)) / math.exp(log_density)
        t += step
        if step <= _ENOUGH * t:
            break
    return t


def _tail(t: float, degrees: float, log_beta: float) -> float:
    """Return the probability of a value above `t`, which is not negative."""
    if t == 0:
        return 0.5
    a, b = degrees / 2, 0.5
    x, rest = degrees / (degrees + t * t), t * t / (degrees + t * t)
    front = math.exp(a * math.log(x) + b * math.log(rest) - log_beta)
    if x < (a + 1) / (a + b + 2):
        return 0.5 * front * _fraction(a, b, x) / a
    return 0.5 - 0.5 * front * _fraction(b, a, rest) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function, by Lentz's method."""
    numerator, denominator = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = denominator
    for m in range(1, _MOST_STEPS):
        before = value
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            denominator = 1 / (1 + term * denominator)
            numerator = 1 + term / numerator
            value *= numerator * denominator
        if abs(value - before) <= _ENOUGH * abs(value):
            break
    return value
