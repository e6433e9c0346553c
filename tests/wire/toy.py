"""A small engine that computes something checkable, so that tests of the wire need no model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from harness.emulator.engine import DeviceInfo, EngineError, MemoryUse, ModelEntry, TensorSpec
from harness.wire.messages import ErrorCode

TICK_HZ = 1_000_000
INFO = DeviceInfo(
    board="toy",
    firmware_name="bench",
    firmware_version="1.2.3",
    build_hash="0123abcd",
    kernels="reference",
    engine="toy",
    clock_hz=400_000_000,
    tick_hz=TICK_HZ,
    operators=("CONV_2D", "SOFTMAX"),
)
ADDRESS = 0x400000
INPUTS = (
    TensorSpec("image", "int8", (1, 96, 96, 3), 27648, 0.0039, -128),
    TensorSpec("extra", "float32", (1, 5), 20, 0.0, 0),
)
OUTPUTS = (TensorSpec("scores", "int8", (1, 32), 32, 1 / 256, -128),)


class ToyEngine:
    """Its output is the SHA-256 of its inputs; its n-th invoke since boot takes `cost(n)` ticks."""

    def __init__(
        self,
        now: Callable[[], float] = lambda: 0.0,
        cost: Callable[[int], int] = lambda n: 1000 + n,
        fail_at: int | None = None,
    ) -> None:
        self._now = now
        self._cost = cost
        self._fail_at = fail_at
        self._selected = False
        self._data = [bytearray(spec.bytes) for spec in INPUTS]
        self._output = bytes(32)
        self.invokes = 0
        self.costs: list[int] = []
        """Ticks of every invoke, in order."""

    def models(self) -> Sequence[ModelEntry]:
        return [ModelEntry(ADDRESS, 300_000, hashlib.sha256(b"toy").digest(), "toy")]

    def select(self, address: int) -> None:
        if address != ADDRESS:
            raise EngineError(ErrorCode.NO_MODEL, f"no model at 0x{address:x}", address)
        self._selected = True

    def inputs(self) -> Sequence[TensorSpec]:
        return INPUTS if self._selected else ()

    def outputs(self) -> Sequence[TensorSpec]:
        return OUTPUTS if self._selected else ()

    def write_input(self, index: int, offset: int, data: bytes) -> None:
        self._data[index][offset : offset + len(data)] = data

    def invoke(self, profile: bool = False) -> int:
        if self.invokes == self._fail_at:
            raise EngineError(ErrorCode.INVOKE_FAILED, "node 3 (CONV_2D) failed to invoke with status 1")
        ticks = self._cost(self.invokes)
        self.invokes += 1
        self.costs.append(ticks)
        self._output = expected_output(*self._data)
        return ticks

    def read_output(self, index: int) -> bytes:
        return self._output

    def memory(self) -> MemoryUse:
        return MemoryUse(arena_used=1000, arena_head=600, arena_tail=400, arena_size=4096)

    def layers(self) -> Sequence[tuple[str, int]]:
        return [("CONV_2D", 700), ("SOFTMAX", 300)]

    def ticks(self) -> int:
        return int(self._now() * TICK_HZ)


def expected_output(*inputs: bytes | bytearray) -> bytes:
    """Return what the toy model computes from all its inputs."""
    digest = hashlib.sha256()
    for data in inputs:
        digest.update(data)
    return digest.digest()
