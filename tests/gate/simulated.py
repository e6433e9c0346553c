"""Boards whose truth is known: noise, drift, outliers, autocorrelation and shifts between runs, as asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter


@dataclass(frozen=True)
class Board:
    """What a simulated board's times are made of; all as shares of the invoke time."""

    noise: float = 0.003
    run_to_run: float = 0.01
    shifts: str = "normal"
    drift: float = 0.0
    autocorrelation: float = 0.0
    outliers: float = 0.0

    def runs(
        self, rng: np.random.Generator, count: int, samples: int = 100, slower: float = 0.0
    ) -> np.ndarray:
        """Return invoke times in microseconds, shape (count, samples), around 50 ms times 1 + slower."""
        noise = rng.normal(0, 1, (count, samples))
        if self.autocorrelation:
            rho = self.autocorrelation
            noise = lfilter([np.sqrt(1 - rho**2)], [1, -rho], noise, axis=1)
        times = 1 + self.noise * noise
        if self.drift:
            # A board that warms up, in another way each run.
            amount = self.drift * rng.uniform(0, 2, (count, 1))
            times = times * (1 + amount * (1 - np.exp(-np.arange(samples) / (samples / 4))))
        if self.outliers:
            hit = rng.random((count, samples)) < self.outliers
            times = np.where(hit, times * rng.uniform(1.1, 2, (count, samples)), times)
        shift = {
            "normal": lambda: rng.normal(0, 1, (count, 1)),
            "skewed": lambda: rng.exponential(1, (count, 1)) - 1,
            "two states": lambda: rng.choice([-1.0, 1.0], (count, 1)),
            "heavy tails": lambda: rng.standard_t(3, (count, 1)) / np.sqrt(3),
        }[self.shifts]()
        return 50_000 * (1 + slower) * times * (1 + self.run_to_run * shift)


BOARDS = {
    "noise alone": Board(run_to_run=0.0),
    "shifts between runs": Board(),
    "drift": Board(drift=0.02),
    "outliers": Board(outliers=0.05),
    "autocorrelation": Board(noise=0.01, autocorrelation=0.95),
    "skewed shifts": Board(shifts="skewed"),
    "heavy-tailed shifts": Board(shifts="heavy tails"),
    "all of it": Board(noise=0.01, drift=0.02, autocorrelation=0.9, outliers=0.03),
}
