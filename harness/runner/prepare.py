"""Prepare: test tensors, the file that goes on the board, and the reference that it is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.models import ethosu, tensors, tflite, vela
from harness.models.tflite import Model
from harness.models.vela import Compiled
from harness.runner.plan import Job, Settings, why_not

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Prepared:
    """What a run needs.

    Attributes:
        deployed: the file that the board gets.
        source: the model that computes the same on a desktop; None for a Vela file that came alone.
        compiled: Vela's account of the compilation; None where there was none, or nothing for the NPU in it.
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
        HarnessError: inputs of the wrong shape or type, or the compiled model does not fit.
    """
    try:
        inputs = tensors.load(settings.inputs, job.model)
    except tensors.InputError as error:
        raise tensors.InputError(f"{job.model.name}: {error}") from None
    if ethosu.accelerator(job.model):
        made = vela.source_of(job.model.sha256)
        source = tflite.parse(made.source, f"the source of {job.model.name}") if made else None
        return Prepared(job, job.model, source, made, inputs)
    if job.board.vela is None or job.board.model_format != "vela":
        return Prepared(job, job.model, job.model, None, inputs)
    compiled = vela.compile(
        job.model.data,
        job.model.name,
        accelerator=job.board.vela.accelerator,
        settings=job.board.vela.settings(),
    )
    if not compiled.npu_operators:
        # Vela wins nothing here and may lose: it moves a CALL_ONCE behind the operators that rely on it.
        return Prepared(job, job.model, job.model, None, inputs)
    deployed = tflite.parse(compiled.data, f"{job.model.name} (Vela)")
    against = why_not(deployed, job.board, settings.protocol)
    if against:
        raise HarnessError(f"{deployed.name}: {against}")
    return Prepared(job, deployed, job.model, compiled, inputs)
