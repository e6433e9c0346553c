"""How long a board would take for a model: an estimate by operator, in ticks of its clock."""

from __future__ import annotations

from dataclasses import dataclass

from harness.boards import Profile
from harness.models import cost, ethosu
from harness.models.tflite import Model
from harness.models.vela import Compiled


@dataclass(frozen=True)
class Timing:
    """Ticks of one invoke and of each operator in it."""

    ticks: int
    layers: tuple[tuple[str, int], ...]


def time_of(model: Model, profile: Profile, compiled: Compiled | None = None) -> Timing:
    """Return the estimated time of one invoke."""
    coefficients = profile.estimate.mapping()
    per_mac, per_element = coefficients["cycles_per_mac"], coefficients["cycles_per_element"]
    layers = []
    for entry in cost.costs(model):
        cycles = coefficients["cycles_per_operator"]
        cycles += (entry.macs or 0) * per_mac.get(entry.label, per_mac["default"])
        layers.append((entry.label, round(cycles)))
    return Timing(sum(ticks for _, ticks in layers), tuple(layers))
