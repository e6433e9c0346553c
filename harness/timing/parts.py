"""The parts that an estimate is made of, as the fit scales them: kernels, and memories by what they hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.boards.published import Work
from harness.models.estimate import Demand

WEIGHTS, ARENA, EACH_OPERATOR, INVOKE = "weights", "arena", "each operator", "each invoke"
# Kernels of a build without optimised ones: no profile has coefficients for them, one factor is for all.
_REFERENCE = "_reference"


@dataclass(frozen=True, slots=True)
class Table:
    """Coefficients by kernel and by use of memory, as `Profile.coefficients` has them."""

    per_mac: Mapping[str, float]
    per_element: Mapping[str, float]
    per_byte: Mapping[str, float]
    per_operator: float = 0.0
    fixed: float = 0.0

    @classmethod
    def of(cls, coefficients: Mapping[str, Any]) -> Table:
        """Return the coefficients of a profile."""
        return cls(
            coefficients["cycles_per_mac"],
            coefficients["cycles_per_element"],
            coefficients.get("cycles_per_byte", {}),
            coefficients["cycles_per_operator"],
            coefficients["fixed_cycles"],
        )

    def parts(self, works: Iterable[Work]) -> dict[str, float]:
        """Return the cycles of each part of some work, without what an invoke costs besides."""
        found: defaultdict[str, float] = defaultdict(float)
        for work in works:
            mac, element = (_key(work.kernel, t) for t in (self.per_mac, self.per_element))
            found[_part(mac if mac != "default" else element)] += (
                work.macs * self.per_mac[mac] + work.elements * self.per_element[element]
            )
            found[WEIGHTS] += work.weight_bytes * self.per_byte.get(WEIGHTS, 0)
            found[ARENA] += work.arena_bytes * self.per_byte.get(ARENA, 0)
            found[EACH_OPERATOR] += work.count * self.per_operator
        return {part: cycles for part, cycles in found.items() if cycles > 0}

    def scaled(self, factors: Mapping[str, float]) -> dict[str, Any]:
        """Return the coefficients with each part scaled by its factor, in the form of a profile."""
        return {
            "cycles_per_mac": {k: v * factors.get(_part(k), 1.0) for k, v in self.per_mac.items()},
            "cycles_per_element": {
                k: v * factors.get(_part(k if k in self.per_element else "default"), 1.0)
                for k, v in self.per_element.items()
            },
            "cycles_per_byte": {k: v * factors.get(k, 1.0) for k, v in self.per_byte.items()},
            "cycles_per_operator": self.per_operator * factors.get(EACH_OPERATOR, 1.0),
            "fixed_cycles": self.fixed * factors.get(INVOKE, 1.0),
        }


def work_of(demand: Demand) -> Work:
    """Return what one operator of a model computes and moves."""
    return Work(
        kernel=demand.kernel,
        macs=demand.macs,
        elements=demand.elements,
        weight_bytes=demand.weight_bytes,
        arena_bytes=demand.arena_bytes,
    )


def _key(kernel: str, table: Mapping[str, float]) -> str:
    general = kernel.removesuffix("_narrow")
    return next(name for name in (kernel, general, "default") if name in table)


def _part(key: str) -> str:
    return "reference kernels" if key.endswith(_REFERENCE) else key
