"""What a virtual board's firmware needs from whatever runs its models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.wire.messages import ErrorCode
from harness.wire.session import RamUse, TensorInfo


class EngineError(Exception):
    """A request that the engine refuses, as the device will report it."""

    def __init__(self, code: ErrorCode, text: str, detail: int = 0) -> None:
        super().__init__(code, text, detail)
        self.code = code
        self.text = text
        self.detail = detail

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class ModelEntry:
    """Something in flash that begins like a model, and the name that it gives itself."""

    address: int
    name: str


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
    stock_generation: str = "1.0"
    """Which generation of the stock firmware is played, if that one is: "1.0" or "2.0"."""


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to run."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    memory: RamUse


@dataclass(frozen=True)
class Invoked:
    """An invoke: the ticks that it took, its outputs, and (operator, ticks) in order if it was profiled."""

    ticks: int
    outputs: tuple[bytes, ...]
    layers: tuple[tuple[str, int], ...] = ()


class Runtime(Protocol):
    """What runs models; every call returns when its work is done, and may raise EngineError."""

    def load(self, address: int) -> Loaded:
        """Make the model at a flash address ready to run, in place of the one before."""

    def invoke(self, inputs: Sequence[bytes], profile: bool) -> Invoked:
        """Run the model that is loaded once, on these inputs."""


class Engine(Protocol):
    """Flash memory with models in it, and the interpreter that runs one of them, a piece of work at a time.

    `alive`: it works beside its firmware, which goes on meanwhile. An engine that is not has done its work
    when `begin_load` or `begin_invoke` comes back.
    """

    alive: bool

    def models(self) -> Sequence[ModelEntry]:
        """Return where something in flash begins like a model, in order."""

    def read(self, address: int, length: int) -> bytes:
        """Return flash as the core reads it; raises EngineError for a range that may not hold a model."""

    def ticks(self) -> int:
        """Return the device's free-running tick counter."""

    def begin_load(self, address: int) -> None:
        """Begin to make the model at `address` ready to run; raises EngineError, here or from `poll`."""

    def begin_invoke(self, inputs: Sequence[bytes], profile: bool) -> None:
        """Begin to run the model that was loaded last, on these inputs; raises as `begin_load` does."""

    def poll(self) -> Loaded | Invoked | None:
        """Return the result of what was begun, None until it is done; raises EngineError if it failed."""

    def cancel(self) -> None:
        """Break off what was begun, at once; the model that was loaded stays."""


class LineClosed(Exception):
    """The other end of a firmware's line has gone."""


class Line(Protocol):
    """A firmware's end of the line."""

    def read(self, timeout: float | None) -> bytes:
        """Return what has arrived; wait up to `timeout` seconds (None: without end) for the first byte.

        Returns b"" when nothing came in time, or when woken; raises LineClosed.
        """

    def write(self, data: bytes) -> None:
        """Send all of `data`; raises LineClosed."""

    def wake(self) -> None:
        """Have a `read` that waits, or the next one, come back at once; from any thread."""
