"""Prepare what a run needs before any board: test tensors, the file to flash, the estimate of its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.boards import Profile
from harness.check import forecast
from harness.check.forecast import Time
from harness.models import tensors
from harness.models.tflite import Model
from harness.models.vela import Compiled
from harness.runner.deploy import deploy
from harness.runner.plan import Job, Settings
from harness.wire.session import FlashModel

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Prepared:
    """What a run needs.

    Attributes:
        deployed, source, compiled: see `harness.runner.deploy.Deployed`.
        inputs: one array for each input of the model, in its order.
        input_notes: how values of files became theirs.
        time: an invoke, estimated: how long it may take, and what a virtual board's time is worth.
    """

    job: Job
    deployed: Model
    source: Model | None
    compiled: Compiled | None
    inputs: list[np.ndarray]
    input_notes: list[str]
    time: Time

    @property
    def board(self) -> Profile:
        """The board that is to run it."""
        return self.job.board

    @property
    def name(self) -> str:
        """What the model was asked for by."""
        return self.job.model.name


@dataclass(frozen=True)
class Listed:
    """A model that a board lists and whose file is not given: nothing is known of it before it runs."""

    board: Profile
    entry: FlashModel

    @property
    def name(self) -> str:
        """What the board calls it, and where it is."""
        name = self.entry.name or "model"
        return f"{name} at {self.entry.address:#x}" if self.entry.address else name


def prepare(job: Job, settings: Settings) -> Prepared:
    """Make test tensors, compile for a board that wants it, and estimate the time.

    Raises:
        VelaError: Vela refuses the model.
        InputError: inputs of the wrong shape or type, or random ones asked for if none make sense.
    """
    try:
        inputs = tensors.read(settings.inputs, job.model)
    except tensors.InputError as error:
        raise tensors.InputError(f"{job.model.name}: {error}") from None
    made = deploy(job.model, job.board)
    time = forecast.time(made.file, job.board, made.compiled)
    return Prepared(job, made.file, made.source, made.compiled, inputs.arrays, inputs.notes, time)
