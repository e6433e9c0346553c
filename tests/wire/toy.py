"""A small engine that computes something checkable, so that tests of the wire need no model."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from harness.emulator.engine import (
    DeviceInfo,
    EngineError,
    Invoked,
    Loaded,
    ModelEntry,
)
from harness.wire.messages import ErrorCode
from harness.wire.session import RamUse, TensorInfo

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
    TensorInfo("image", "int8", (1, 96, 96, 3), 27648, 0.0039, -128),
    TensorInfo("extra", "float32", (1, 5), 20, 0.0, 0),
)
OUTPUTS = (TensorInfo("scores", "int8", (1, 32), 32, 1 / 256, -128),)
FLASH = hashlib.sha256(b"flash").digest() * 10_000
"""What is in flash from `ADDRESS` on."""


class BlockingEngine(ABC):
    """An engine that does its work while its firmware waits, as on most chips."""

    alive = False
    _outcome: Loaded | Invoked | EngineError | None = None

    @abstractmethod
    def load(self, address: int) -> Loaded:
        """See Runtime.load."""

    @abstractmethod
    def invoke(self, inputs: Sequence[bytes], profile: bool) -> Invoked:
        """See Runtime.invoke."""

    def begin_load(self, address: int) -> None:
        self._outcome = self.load(address)

    def begin_invoke(self, inputs: Sequence[bytes], profile: bool) -> None:
        self._outcome = self.invoke(inputs, profile)

    def poll(self) -> Loaded | Invoked | None:
        outcome, self._outcome = self._outcome, None
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome

    def cancel(self) -> None:
        self._outcome = None


class ToyEngine(BlockingEngine):
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
        self.flash = FLASH
        self.invokes = 0
        self.costs: list[int] = []
        """Ticks of every invoke, in order."""

    def models(self) -> Sequence[ModelEntry]:
        return [ModelEntry(ADDRESS, "toy")]

    def read(self, address: int, length: int) -> bytes:
        if not ADDRESS <= address < address + length <= ADDRESS + len(self.flash):
            raise EngineError(ErrorCode.BAD_ARGUMENT, "not all in flash for models", address)
        return self.flash[address - ADDRESS :][:length]

    def load(self, address: int) -> Loaded:
        if address != ADDRESS:
            raise EngineError(ErrorCode.NO_MODEL, f"no model at 0x{address:x}", address)
        self._selected = True
        memory = RamUse(arena_used=1000, arena_head=600, arena_tail=400, arena_size=4096)
        return Loaded(INPUTS, OUTPUTS, memory)

    def invoke(self, inputs: Sequence[bytes], profile: bool) -> Invoked:
        assert self._selected
        if self.invokes == self._fail_at:
            raise EngineError(ErrorCode.INVOKE_FAILED, "node 3 (CONV_2D) failed to invoke with status 1")
        ticks = self._cost(self.invokes)
        self.invokes += 1
        self.costs.append(ticks)
        layers = (("CONV_2D", 700), ("SOFTMAX", 300)) if profile else ()
        return Invoked(ticks, (expected_output(*inputs),), layers)

    def ticks(self) -> int:
        return int(self._now() * TICK_HZ)


def expected_output(*inputs: bytes | bytearray) -> bytes:
    """Return what the toy model computes from all its inputs."""
    digest = hashlib.sha256()
    for data in inputs:
        digest.update(data)
    return digest.digest()
