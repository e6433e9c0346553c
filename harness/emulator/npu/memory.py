"""The memories an operation can reach: eight regions of bytes, and the NPU's own shared RAM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.models.npu.accelerator import Accelerator
from harness.models.npu.faults import NpuFault

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class NpuMemory:
    """Regions by number (base address registers 0-7) and shared RAM; regions may share storage."""

    regions: Mapping[int, Bytes]
    read_only: frozenset[int]
    shram: Bytes

    @classmethod
    def for_accelerator(
        cls,
        accelerator: Accelerator,
        regions: Mapping[int, Bytes],
        read_only: frozenset[int] = frozenset({0}),
    ) -> NpuMemory:
        """Build the memory of one job with an empty shared RAM."""
        return cls(dict(regions), read_only, np.zeros(accelerator.shram_bytes, np.uint8))

    def region(self, number: int, writing: bool = False) -> Bytes:
        """Return a region's bytes; raises NpuFault if nothing is there or it may not be written."""
        if number not in self.regions:
            raise NpuFault(f"region {number} has no memory behind it")
        if writing and number in self.read_only:
            raise NpuFault(f"write to region {number}, which is read-only")
        return self.regions[number]

    def span(self, number: int, start: int, length: int, writing: bool = False) -> Bytes:
        """Return `length` bytes of a region; raises NpuFault if they are not all inside."""
        region = self.region(number, writing)
        if start < 0 or length < 0 or start + length > region.size:
            raise NpuFault(
                f"{'write' if writing else 'read'} of bytes {start:#x}..{start + length:#x} outside "
                f"region {number}, which has {region.size:#x}"
            )
        return region[start : start + length]

    def internal(self, start: int, length: int) -> Bytes:
        """Return bytes of the shared RAM; raises NpuFault if they are not all inside."""
        if start + length > self.shram.size:
            raise NpuFault(
                f"shared RAM has {self.shram.size} bytes; {start:#x}..{start + length:#x} is outside"
            )
        return self.shram[start : start + length]
