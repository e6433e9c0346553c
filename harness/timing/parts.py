"""The parts that an estimate is made of, as the fit scales them: kernels, and memories by what they hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.boards.published import Work
from harness.models.estimate import Demand, key_of
from harness.models.ops import ETHOS_U

WEIGHTS, ARENA, EACH_OPERATOR, INVOKE = "weights", "arena", "each operator", "each invoke"
NPU, EACH_JOB, JOB_BYTES = "NPU", "each NPU job", "tensors of NPU jobs"
# Kernels of a build without optimised ones: no profile has coefficients for them, one factor is for all.
_REFERENCE = "_reference"


@dataclass(frozen=True, slots=True)
class CoefficientTable:
    """Coefficients by kernel and by use of memory, as `Profile.coefficients` has them."""

    per_mac: Mapping[str, float]
    per_element: Mapping[str, float]
    per_byte: Mapping[str, float]
    per_row: Mapping[str, float] = field(default_factory=lambda: {"default": 0.0})
    per_operator: float = 0.0
    per_job: float = 0.0
    per_job_byte: float = 0.0
    npu_factor: float = 1.0
    fixed: float = 0.0
    cache_bytes: int = 0
    vector_bytes: int = 0

    @classmethod
    def of(cls, coefficients: Mapping[str, Any]) -> CoefficientTable:
        """Return the coefficients of a profile."""
        return cls(
            coefficients["cycles_per_mac"],
            coefficients["cycles_per_element"],
            coefficients.get("cycles_per_byte", {}),
            coefficients.get("cycles_per_row", {"default": 0.0}),
            coefficients["cycles_per_operator"],
            coefficients.get("npu_cycles_per_job", 0.0),
            coefficients.get("npu_cycles_per_byte", 0.0),
            coefficients.get("npu_factor", 1.0),
            coefficients["fixed_cycles"],
            coefficients.get("cache_bytes", 0),
            coefficients.get("vector_bytes", 0),
        )

    def parts(self, works: Iterable[Work]) -> dict[str, float]:
        """Return the cycles of each part of some work, without what an invoke costs besides."""
        found: defaultdict[str, float] = defaultdict(float)
        for work in works:
            if work.kernel == ETHOS_U:
                found[NPU] += work.npu_cycles * self.npu_factor
                found[EACH_JOB] += work.count * self.per_job
                found[JOB_BYTES] += (work.weight_bytes + work.arena_bytes) * self.per_job_byte
                continue
            mac, element, row = (
                key_of(work.kernel, t) for t in (self.per_mac, self.per_element, self.per_row)
            )
            found[_part(mac if mac != "default" else element)] += (
                work.macs * self.per_mac[mac]
                + work.elements * self.per_element[element]
                + work.rows * self.per_row[row]
            )
            found[WEIGHTS] += work.weight_bytes * self.per_byte.get(WEIGHTS, 0)
            found[ARENA] += work.arena_bytes * self.per_byte.get(ARENA, 0)
            found[EACH_OPERATOR] += work.count * self.per_operator
        return {part: cycles for part, cycles in found.items() if cycles > 0}

    def scaled(self, factors: Mapping[str, float]) -> dict[str, Any]:
        """Return the coefficients with each part scaled by its factor, in the form of a profile."""
        found: dict[str, Any] = {
            "cycles_per_mac": self._by_kernel(self.per_mac, factors),
            "cycles_per_element": self._by_kernel(self.per_element, factors),
            "cycles_per_byte": {k: v * factors.get(k, 1.0) for k, v in self.per_byte.items()},
            "cycles_per_operator": self.per_operator * factors.get(EACH_OPERATOR, 1.0),
            "fixed_cycles": self.fixed * factors.get(INVOKE, 1.0),
        }
        if any(self.per_row.values()):
            found["cycles_per_row"] = self._by_kernel(self.per_row, factors)
        sizes = {"cache_bytes": self.cache_bytes, "vector_bytes": self.vector_bytes}
        found |= {name: size for name, size in sizes.items() if size}
        if self.per_job:
            found["npu_cycles_per_job"] = self.per_job * factors.get(EACH_JOB, 1.0)
            found["npu_cycles_per_byte"] = self.per_job_byte * factors.get(JOB_BYTES, 1.0)
            found["npu_factor"] = self.npu_factor * factors.get(NPU, 1.0)
        return found

    def _by_kernel(self, table: Mapping[str, float], factors: Mapping[str, float]) -> dict[str, float]:
        """Scale a table; a kernel that only another table names goes with the rest."""
        named = {*self.per_mac, *self.per_element}
        return {
            k: v * factors.get(_part(k if k in named else "default"), 1.0)
            for k, v in table.items()
            if not k.endswith(_REFERENCE)
        }


def work_of(demand: Demand, cache_bytes: int = 0, vector_bytes: int = 0) -> Work:
    """Return what one operator of a model computes and moves with a data cache and vectors of this size."""
    return Work(
        kernel=demand.kernel,
        macs=demand.vector_macs(vector_bytes),
        elements=demand.elements,
        rows=demand.rows,
        weight_bytes=demand.weight_bytes,
        arena_bytes=demand.arena_bytes + demand.reread_bytes(cache_bytes),
    )


def _part(key: str) -> str:
    return "reference kernels" if key.endswith(_REFERENCE) else key
