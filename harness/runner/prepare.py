"""Prepare: test tensors, the file that goes on the board, and the reference that it is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.check import forecast
from harness.models import ethosu, tensors, tflite, vela
from harness.models.tflite import Model
from harness.models.vela import Compiled
from harness.runner.plan import Job, Settings

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Prepared:
    """What a run needs.

    Attributes:
        deployed: the file that the board gets.
        source: the model that computes the same on a desktop; None for a Vela file that came alone.
        compiled: Vela's account of the compilation; None where there was none, or nothing for the NPU in it,
            or the file came compiled and its source or its settings are not known here.
        inputs: one array for each input of the model, in its order.
    """

    job: Job
    deployed: Model
    source: Model | None
    compiled: Compiled | None
    inputs: list[np.ndarray]


def prepare(job: Job, settings: Settings) -> Prepared:
    """Make test tensors and, for a board that wants it, compile with Vela.

    Raises:
        VelaError: Vela refuses the model.
        InputError: inputs of the wrong shape or type, or random ones asked for where none make sense.
    """
    try:
        inputs = tensors.load(settings.inputs, job.model)
    except tensors.InputError as error:
        raise tensors.InputError(f"{job.model.name}: {error}") from None
    deployed, compiled = forecast.deployed(job.model, job.board)
    if ethosu.accelerator(job.model):
        made = vela.source_of(job.model.sha256)
        source = tflite.parse(made.source, f"the source of {job.model.name}") if made else None
        return Prepared(job, job.model, source, compiled, inputs)
    return Prepared(job, deployed, job.model, compiled, inputs)
