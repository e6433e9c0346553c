"""What every protocol client offers, whatever its bytes look like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from harness.errors import BoardError
from harness.wire.clock import Reading
from harness.wire.port import Port

VIRTUAL = "+virtual"
"""What the version of a firmware that runs on a virtual board ends with."""


class DeviceRefused(BoardError):
    """The device answered a request with an error; `code` is its name in the protocol's table."""

    def __init__(self, message: str, code: str, detail: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail


class DeviceReset(BoardError):
    """The device has been reset since it was greeted: its session is lost."""


class NoAnswer(BoardError):
    """The device did not answer in time, or what answered is something else.

    `flashing_helps` is False if it is known that it is not a firmware that is missing; `illegible` says that
    something came which makes no sense at this line speed.
    """

    def __init__(self, message: str, *, flashing_helps: bool = True, illegible: bool = False) -> None:
        super().__init__(message)
        self.flashing_helps = flashing_helps
        self.illegible = illegible


class InvokeOutlasts(NoAnswer):
    """An invoke has taken longer than `invoke_s` of the patience."""

    def __init__(self, invoke_s: float, port: Port, done: int, n: int) -> None:
        """`done` of `n` samples are there."""
        super().__init__(
            f"an invoke has not ended after {invoke_s:g} s on the board at {port.url}, "
            f"after {done} of {n} samples"
        )


@dataclass(frozen=True)
class Identity:
    """Board and firmware by their own account; None if the protocol does not say."""

    board: str
    firmware_name: str
    firmware_version: str
    build_hash: str | None
    kernels: str | None
    clock_hz: int | None
    tick_hz: int
    resolution_ticks: int
    engine: str | None
    capabilities: frozenset[str]
    operators: tuple[str, ...] | None = None
    device_id: str | None = None

    @property
    def virtual(self) -> bool:
        """Whether the firmware says that its board is a virtual one, whose times are never measured ones."""
        return (self.engine or "").startswith("virtual") or self.firmware_version.endswith(VIRTUAL)


@dataclass(frozen=True)
class FlashModel:
    """Where a model is in the board's flash, by its own account, and what it calls itself."""

    index: int
    address: int
    name: str


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: `bytes` is its whole size; scale 0.0 means not quantised."""

    name: str
    type: str
    shape: tuple[int, ...]
    bytes: int
    scale: float
    zero_point: int


@dataclass(frozen=True)
class ModelInfo:
    """The tensors at both ends of the selected model; empty if the protocol does not describe them."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


@dataclass(frozen=True)
class Incident:
    """Something that went wrong without ending the session; `at_s` counts from the session's start."""

    kind: str
    text: str
    at_s: float


class Incidents(list[Incident]):
    """What has gone wrong in a session so far, in order."""

    def __init__(self, port: Port) -> None:
        super().__init__()
        self._port = port
        self._started = port.now()

    def note(self, kind: str, text: str) -> None:
        """Keep an incident for the record."""
        self.append(Incident(kind, text, self._port.now() - self._started))


@dataclass(frozen=True)
class Run:
    """The result of a run: samples in device ticks, and how the device's clock compares with the host's.

    `drift_ppm` is positive if the device's clock runs fast, and None if the device has no clock to
    ask or the run was too short to tell. `complete` is False if fewer samples than asked for could be
    had. `samples` divided by `tick_hz` are always times of one invoke (see `Session.batch`).

    A protocol whose model runs on camera frames tells more of each sample, in the samples' order: `pre_ms`
    and `post_ms`, whole milliseconds before and after the invoke (empty if it does not), and `camera`, the
    sensor and the preset that were active, in the device's words. `resolution_ms` is the step, in
    milliseconds, in which the device reports its times; None if each tick of its clock counts.
    """

    samples: list[int]
    tick_hz: int
    drift_ppm: float | None
    incidents: list[Incident] = field(default_factory=list)
    drift_uncertainty_ppm: float | None = None
    complete: bool = True
    pre_ms: list[int] = field(default_factory=list)
    post_ms: list[int] = field(default_factory=list)
    camera: str | None = None
    resolution_ms: float | None = None


@dataclass(frozen=True)
class RamUse:
    """RAM in bytes; None if the device does not report a figure."""

    arena_used: int | None = None
    arena_head: int | None = None
    arena_tail: int | None = None
    arena_size: int | None = None
    heap_free: int | None = None
    stack_high_water: int | None = None


LoadProgress = Callable[[int, int], None]
"""Called with the bytes of a tensor that have arrived, and all of them."""
OnSample = Callable[[int, int], None]


class Session(ABC):
    """A conversation with one device. `features` names what the protocol can do."""

    protocol: ClassVar[str]
    features: ClassVar[frozenset[str]]
    """Of:

    "tensors", "load", "memory", "outputs", "layers", "clock": described, taken, reported, given, timed, read;
    "flash-models": it runs one of the models in flash, not one that is built into the firmware;
    "digests": it tells what flash holds (see `digest`); "build": the build hash of the firmware;
    "board-id": the board names itself, by the id of its profile or another name that its profile has.
    """

    incidents: Incidents

    def batch(self, n: int) -> int:
        """Return how many invokes each sample of a run of `n` is the time of.

        The ticks of such a run are that many times shorter than the device's.
        """
        return 1

    @abstractmethod
    def identify(self) -> Identity:
        """Return what the device says of itself."""

    @abstractmethod
    def models(self) -> list[FlashModel]:
        """Return the models in the device's flash."""

    def digest(self, address: int, length: int) -> str | None:
        """Return the SHA-256, in hex, of `length` bytes of flash as the core reads them at `address`.

        None if the protocol cannot tell. Raises DeviceRefused for a range that may hold no model.
        """
        return None

    @abstractmethod
    def select(self, address: int) -> ModelInfo:
        """Make the model at a flash address the one that runs; raises DeviceRefused."""

    def told(self, inputs: Sequence[TensorInfo]) -> None:  # noqa: B027 - most protocols describe them
        """Take note of the model's inputs as its file describes them, if the protocol describes none."""

    @abstractmethod
    def load(self, input_index: int, data: bytes, progress: LoadProgress | None = None) -> None:
        """Fill an input tensor; `progress(bytes arrived, bytes in all)` is called as it goes."""

    @abstractmethod
    def run(
        self,
        warmup: int,
        n: int,
        *,
        outputs: bool = True,
        profile: bool = False,
        on_sample: OnSample | None = None,
    ) -> Run:
        """Invoke `warmup` times untimed and `n` times timed; `on_sample(index, ticks)` comes with each.

        Survives a reset or a lost port if the board comes back; raises RunInterrupted, with the samples that
        did arrive in its `run`, if it does not, if the model fails, or if an invoke outlasts the patience for
        one. Then the invoke is broken off as far as the device can, so that it is usable again.
        """

    def memory(self) -> RamUse | None:
        """Return RAM figures, or None if the protocol has none."""
        return None

    def output(self, index: int) -> bytes | None:
        """Return an output tensor of the last run, or None if the protocol has no tensors."""
        return None

    def clock_readings(self) -> list[Reading]:
        """Return what the device's clock shows now, asked a few times; [] if it has none to ask."""
        return []

    @property
    def retransmissions(self) -> int:
        """How often something had to be sent again so far, as far as the protocol notices."""
        return 0

    def printed(self) -> list[float] | None:
        """Return the first output of the last run as real numbers, or None if the protocol prints none."""
        return None

    def withheld(self) -> str:
        """Return why there is neither `output` nor `printed`, as a clause."""
        return f"the protocol {self.protocol} has no outputs"

    def layers(self) -> list[tuple[str, int]] | None:
        """Return (operator, ticks) of the last profiled run in order, or None if not reported."""
        return None

    @abstractmethod
    def abort(self) -> None:
        """End a run that is under way; harmless when there is none."""

    @abstractmethod
    def reset(self) -> None:
        """Reset the board and take up the conversation again."""

    @abstractmethod
    def close(self) -> None:
        """Leave the device idle if it still answers, and close the port."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RunInterrupted(BoardError):
    """A run that could not be brought to its end; `run` holds what arrived."""

    def __init__(self, message: str, run: Run) -> None:
        super().__init__(message)
        self.run = run
