"""Plan: which model runs on which board, and whether it can, before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.boards import Profile
from harness.check import firmware
from harness.check.verdict import judge
from harness.errors import HarnessError
from harness.models import resolve
from harness.models.tflite import Model
from harness.runner import fitting
from harness.wire.protocol import PROTOCOLS

DEFAULT_MODEL = "person_mbv2_035_32_int8"
DEFAULT_BOARDS = ("xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2")


@dataclass(frozen=True)
class Settings:
    """How each run is made; raises HarnessError if a count makes no sense.

    Attributes:
        invokes: timed invokes a run.
        warmup: untimed invokes before them.
        inputs: one spec for each input tensor, or one for all (see `harness.models.tensors`).
        protocol: what the firmware speaks; None = the board's default.
        port: a pyserial URL, "emulated", "auto" = the attached board, or None = that, or an emulated one.
        profile_layers: time each operator, too.
        drive: where the boot loader's drive is, for boards that are flashed by UF2; None = look for it.
        invoke_timeout_s: how long one invoke may take; None = by the estimate (see `Patience`).
        no_flash: bench what is on the board, and write nothing to it.
        baud: line speed of the firmware of an attached board; None = the profile's.
        meter: measures the energy, by its name (see `harness.meters.meter.parse`); None = nothing does.
    """

    invokes: int = 10
    warmup: int = 1
    inputs: tuple[str, ...] = ("random:0",)
    protocol: str | None = None
    port: str | None = None
    profile_layers: bool = True
    drive: Path | None = None
    invoke_timeout_s: float | None = None
    no_flash: bool = False
    baud: int | None = None
    meter: str | None = None

    def __post_init__(self) -> None:
        for name, count, least in (("invokes", self.invokes, 1), ("warmup", self.warmup, 0)):
            if not isinstance(count, int):
                raise HarnessError(f"{name} is {count!r}; it is a whole number")
            if count < least:
                raise HarnessError(f"{name} is {count}; at least {least} makes sense")
        limit = self.invoke_timeout_s
        if limit is not None and not 0 < limit < float("inf"):
            raise HarnessError(f"an invoke cannot be given {limit} s; give a number above 0")


@dataclass(frozen=True)
class Job:
    """One run to be made.

    Attributes:
        of_folder: whether the model is one of a folder's, which may be left out.
        at: the address at which the board holds the model already, if that was said.
    """

    model: Model
    board: Profile
    of_folder: bool = False
    at: int | None = None


@dataclass(frozen=True)
class Skip:
    """A model that cannot run on a board (None: on any), and why."""

    model: str
    board: str | None
    reason: str

    def __str__(self) -> str:
        on = f" on {self.board}" if self.board else ""
        return f"{self.model}{on}: {self.reason}"


@dataclass(frozen=True)
class Plan:
    """What will run, and what will not."""

    jobs: tuple[Job, ...]
    skipped: tuple[Skip, ...]


def plan(models: Sequence[str], board_names: Sequence[str], protocol: str | None = None) -> Plan:
    """Pair models with boards.

    Boards that were asked for by name must be able to run each model; with none named, those of the default
    boards that cannot are left out with the reason. So is every file of a folder that cannot run.

    Raises:
        HarnessError: an unknown protocol or board, a file that is no model, an operator that TFLite-Micro
            lacks, or a model that a board asked for (or every default board) cannot take.
    """
    if protocol is not None:
        PROTOCOLS.get(protocol)
    profiles = [fitting.load(name) for name in board_names or DEFAULT_BOARDS]
    jobs: list[Job] = []
    skipped: list[Skip] = []
    for asked in resolve.expand(models or (DEFAULT_MODEL,)):
        try:
            model = resolve.resolve(asked.name)
            reasons = {profile.id: why_not(model, profile, protocol) for profile in profiles}
        except HarnessError as error:
            if not asked.of_folder:
                raise
            skipped.append(Skip(asked.name, None, str(error).removeprefix(f"{asked.name}: ")))
            continue
        against = {board: reason for board, reason in reasons.items() if reason}
        nowhere = "; ".join(dict.fromkeys(against.values())) if len(against) == len(profiles) else None
        if asked.of_folder and nowhere:
            skipped.append(Skip(asked.name, None, nowhere))
            continue
        if not asked.of_folder and against and (board_names or nowhere):
            raise HarnessError(f"{model.name}: {'; '.join(dict.fromkeys(against.values()))}")
        for profile in profiles:
            reason = reasons[profile.id]
            if reason:
                skipped.append(Skip(model.name, profile.id, reason))
            else:
                jobs.append(Job(model, profile, asked.of_folder))
    return Plan(tuple(jobs), tuple(skipped))


def why_not(model: Model, board: Profile, protocol: str | None = None) -> str | None:
    """Return why `board` cannot run `model`, in a line; None if nothing is known against it.

    `protocol` is what its firmware speaks, None the board's default: firmwares differ in what they can run.
    """
    return judge(model, board, firmware.speaking(board, protocol)).why_not
