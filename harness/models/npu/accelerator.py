"""The Ethos-U55 variants and what a command stream says about the one it was built for.

Micro-block depths and shared-RAM sizes are those of Vela's architecture description (ethos-u-vela 5.2,
`architecture_features.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import nearest
from harness.models.npu.faults import NpuFault


@dataclass(frozen=True)
class Accelerator:
    """One variant: MACs per cycle, shared RAM in bytes, and the micro-blocks (height, width, depth)."""

    macs: int
    shram_bytes: int
    ofm_ublock: tuple[int, int, int]
    ifm_ublock: tuple[int, int, int]

    @property
    def name(self) -> str:
        """Vela's name for it, e.g. `ethos-u55-64`."""
        return f"ethos-u55-{self.macs}"

    @property
    def lut_base(self) -> int:
        """Address in shared RAM of look-up table 0: the tables take the last 2 KiB."""
        return self.shram_bytes - 2048


U55_32 = Accelerator(32, 16 * 1024, (1, 1, 4), (1, 1, 8))
U55_64 = Accelerator(64, 16 * 1024, (1, 1, 8), (1, 1, 8))
U55_128 = Accelerator(128, 24 * 1024, (1, 2, 8), (1, 2, 8))
U55_256 = Accelerator(256, 48 * 1024, (2, 2, 8), (2, 2, 8))

ACCELERATORS = {accelerator.name: accelerator for accelerator in (U55_32, U55_64, U55_128, U55_256)}


def named(name: str) -> Accelerator:
    """Return the Ethos-U55 that Vela calls `name`; raises NpuFault if there is none."""
    if name not in ACCELERATORS:
        raise NpuFault(f"'{name}' is no Ethos-U55{nearest(name, ACCELERATORS)}")
    return ACCELERATORS[name]
