"""What a virtual board's firmware needs from whatever runs its models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.wire.messages import ErrorCode


class EngineError(Exception):
    """A request that the engine refuses, as the device will report it."""

    def __init__(self, code: ErrorCode, text: str, detail: int = 0) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.detail = detail


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of the selected model; scale 0.0 means not quantised."""

    name: str
    type: str
    shape: tuple[int, ...]
    bytes: int
    scale: float
    zero_point: int


@dataclass(frozen=True)
class ModelEntry:
    """A model in flash: address and size in bytes, SHA-256 as 32 bytes."""

    address: int
    size: int
    sha256: bytes
    name: str


@dataclass(frozen=True)
class MemoryUse:
    """RAM in bytes, None where unknown."""

    arena_used: int | None = None
    arena_head: int | None = None
    arena_tail: int | None = None
    arena_size: int | None = None
    heap_free: int | None = None
    stack_high_water: int | None = None


@dataclass(frozen=True)
class DeviceInfo:
    """What a firmware says of itself and its board."""

    board: str
    firmware_name: str
    firmware_version: str
    build_hash: str
    kernels: str
    engine: str
    clock_hz: int
    tick_hz: int
    resolution_ticks: int = 1
    operators: tuple[str, ...] = ()


class Engine(Protocol):
    """Flash memory with models in it, and the interpreter that runs one of them."""

    def models(self) -> Sequence[ModelEntry]:
        """Return the models found in flash."""

    def select(self, address: int) -> None:
        """Make the model at `address` current; raises EngineError."""

    def inputs(self) -> Sequence[TensorSpec]:
        """Return the inputs of the current model (empty where none is selected)."""

    def outputs(self) -> Sequence[TensorSpec]:
        """Return the outputs of the current model."""

    def write_input(self, index: int, offset: int, data: bytes) -> None:
        """Set bytes of an input; they hold for every invoke until written again."""

    def invoke(self, profile: bool = False) -> int:
        """Run the current model once and return the time it took in ticks; raises EngineError."""

    def read_output(self, index: int) -> bytes:
        """Return an output of the last invoke."""

    def memory(self) -> MemoryUse:
        """Return RAM figures for the current model."""

    def layers(self) -> Sequence[tuple[str, int]]:
        """Return (operator, ticks) of the last profiled invoke."""

    def ticks(self) -> int:
        """Return the device's free-running tick counter."""


class LineClosed(Exception):
    """The other end of a firmware's line has gone."""


class Line(Protocol):
    """A firmware's end of the line."""

    def read(self, timeout: float | None) -> bytes:
        """Return what has arrived; wait up to `timeout` seconds (None: without end) for the first byte.

        Returns b"" when nothing came in time; raises LineClosed.
        """

    def write(self, data: bytes) -> None:
        """Send all of `data`; raises LineClosed."""
