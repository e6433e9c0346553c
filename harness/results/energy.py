"""How energy figures are written."""

from __future__ import annotations

import statistics

from harness.results.record import Energy


def microjoules(value: float, uncertainty_percent: float | None = None) -> str:
    """Write an energy given in microjoules, with no digit that its uncertainty does not bear out: `4.03 mJ`.

    Three significant digits, two if it is uncertain by more than 5 %.
    """
    unit, scale = next(
        (unit, scale)
        for unit, scale in (("J", 1e6), ("mJ", 1e3), ("µJ", 1.0))
        if value >= scale or scale == 1
    )
    digits = 2 if uncertainty_percent is not None and uncertainty_percent > 5 else 3
    return f"{_significant(value / scale, digits)} {unit}"


def milliwatts(watts: float) -> str:
    """Write a power given in W: `264 mW`."""
    return f"{_significant(watts * 1e3, 3)} mW"


def _significant(value: float, digits: int) -> str:
    rounded = float(f"{value:.{digits - 1}e}")
    return (
        f"{rounded:.{max(0, digits - len(str(int(rounded))))}f}" if rounded >= 1 else f"{rounded:.{digits}g}"
    )


def spread_percent(energy: Energy) -> float | None:
    """Return half the distance between the quartiles in percent of the median; None for a single value."""
    if len(energy.gross_uj) < 2:
        return None
    low, middle, high = statistics.quantiles(energy.gross_uj, n=4, method="inclusive")
    return 50 * (high - low) / middle if middle else None


def energy(of: Energy) -> str:
    """Write what a run took: its median with spread and uncertainty, power, supply and origin."""
    gross, net = statistics.median(of.gross_uj), statistics.median(of.net_uj)
    spread = spread_percent(of)
    count = f"n = {len(of.gross_uj)}" if of.by == "pin" else "mean of the run"
    parts = [
        f"{microjoules(gross, of.uncertainty_percent)} an invoke "
        f"({microjoules(net, of.net_uncertainty_percent)} beyond rest)",
        *(() if spread is None else (f"spread ±{spread:.1f} %",)),
        count,
        f"uncertain by {of.uncertainty_percent:.1f} %",
        f"mean {milliwatts(of.mean_w)}, peak {milliwatts(of.peak_w)}, at rest {milliwatts(of.idle_w)}",
        *(() if of.meter.supply_v is None else (f"{of.meter.supply_v:g} V",)),
        f"{of.origin} with {of.meter.name}",
    ]
    return ", ".join(parts)
