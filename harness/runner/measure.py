"""Measure: stream the tensors, warm up, invoke, and collect what the device counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import BoardError
from harness.flash.method import Progress
from harness.models import tensors
from harness.models.tflite import Model
from harness.results import record as records
from harness.runner.greet import Greeted
from harness.runner.metering import Metering
from harness.runner.plan import Settings
from harness.runner.prepare import Listed, Prepared
from harness.wire.session import (
    DeviceRefused,
    Identity,
    Incident,
    ModelInfo,
    RamUse,
    Run,
    RunInterrupted,
    Session,
    TensorInfo,
)

if TYPE_CHECKING:
    import numpy as np


@dataclass
class Measurement:
    """What came back from the device; filled as it comes, so that an interrupted run keeps what it has."""

    identity: Identity
    tick_hz: int
    requested: int
    """Samples asked for."""
    samples: list[int] = field(default_factory=list)
    memory: RamUse | None = None
    outputs: list[bytes] | None = None
    outputs_reason: str | None = None
    printed: list[float] | None = None
    """The first output as real numbers, of a protocol that prints them and gives no tensors."""
    layers: list[tuple[str, int]] = field(default_factory=list)
    drift_ppm: float | None = None
    drift_uncertainty_ppm: float | None = None
    incidents: list[Incident] = field(default_factory=list)
    energy: records.Energy | None = None
    complete: bool = False
    takes_tensors: bool = True
    inputs: list[np.ndarray] = field(default_factory=list)
    """What was streamed, if anything was."""
    pre_ms: list[int] = field(default_factory=list)
    post_ms: list[int] = field(default_factory=list)
    camera: str | None = None
    resolution_ms: float | None = None
    """See `harness.wire.session.Run`."""
    notes: list[str] = field(default_factory=list)


def measure(
    greeted: Greeted,
    address: int,
    prepared: Prepared | Listed,
    settings: Settings,
    progress: Progress,
    keep: Callable[[Measurement], None],
    metering: Metering | None = None,
) -> None:
    """Run the model at `address` in flash, which has been proven to be the right one.

    Args:
        metering: measures the energy of the invokes; None = nothing does.
        keep: called once, as soon as there is something to keep; what it was given fills up from then on.

    Raises:
        BoardError: the board refuses the model, or stopped answering.
    """
    session, identity = greeted.session, greeted.identity
    batch = session.batch(settings.invokes)
    taken = Measurement(identity, identity.tick_hz * batch, -(-settings.invokes // batch))
    if batch > 1:
        taken.notes.append(f"each sample is the mean of {batch} invokes")
    keep(taken)
    try:
        info = session.select(address)
        taken.memory = session.memory()
        taken.takes_tensors = "load" in session.features
        if taken.takes_tensors:
            taken.inputs = _inputs(session, prepared, info, settings)
            if taken.inputs:
                _stream(session, taken.inputs, info, progress)
            else:
                taken.notes.append(
                    f"{session.protocol} does not describe the model's input, and its file was not given: "
                    "the input was left as it was"
                )
        else:
            taken.notes.append(f"{session.protocol} takes no tensors: the model ran on what the camera saw")
        _invoke(session, settings, taken, progress, metering)
        taken.memory = session.memory() or taken.memory
        if settings.profile_layers:
            taken.layers = session.layers() or []
        _collect_outputs(session, len(info.outputs), taken)
    finally:
        taken.incidents = list(session.incidents)


def _invoke(
    session: Session,
    settings: Settings,
    taken: Measurement,
    progress: Progress,
    metering: Metering | None,
) -> None:
    def on_sample(index: int, ticks: int) -> None:
        taken.samples.append(ticks)
        progress("invoke", len(taken.samples), taken.requested)

    if metering is not None:
        metering.rest()
    try:
        run = session.run(
            settings.warmup, settings.invokes, profile=settings.profile_layers, on_sample=on_sample
        )
    except RunInterrupted as error:
        _take(error.run, taken)
        raise
    _take(run, taken)
    taken.drift_ppm, taken.drift_uncertainty_ppm = run.drift_ppm, run.drift_uncertainty_ppm
    taken.complete = run.complete
    if metering is not None:
        metering.rest()
        taken.energy = metering.energy(taken.samples, taken.tick_hz, settings.warmup, taken.notes)


def _take(run: Run, taken: Measurement) -> None:
    taken.samples = list(run.samples)
    taken.pre_ms, taken.post_ms = list(run.pre_ms), list(run.post_ms)
    taken.camera, taken.resolution_ms = run.camera, run.resolution_ms


def _inputs(
    session: Session, prepared: Prepared | Listed, info: ModelInfo, settings: Settings
) -> list[np.ndarray]:
    """Return the test tensors; of a model whose file is not known, by what the board says of its inputs."""
    if isinstance(prepared, Prepared):
        session.told(_described(prepared.deployed))
        return prepared.inputs
    if "tensors" not in session.features:
        return []
    return tensors.unnamed(settings.inputs, [(each.type, each.shape) for each in info.inputs])


def _stream(session: Session, inputs: list[np.ndarray], info: ModelInfo, progress: Progress) -> None:
    total = sum(array.nbytes for array in inputs)
    done = 0
    for index, array in enumerate(inputs):
        if "tensors" in session.features:
            size = info.inputs[index].bytes if index < len(info.inputs) else None
            if size != array.nbytes:
                raise BoardError(
                    f"input {index} has {array.nbytes} bytes here and {size} on the board: not the same model"
                )
        session.load(index, array.tobytes(), _shifted(progress, done, total))
        done += array.nbytes


def _described(model: Model) -> list[TensorInfo]:
    graph = model.subgraphs[0]
    told = []
    for tensor in (graph.tensors[index] for index in graph.inputs):
        scale, zero_point = 0.0, 0
        if tensor.quantization is not None:
            scale, zero_point = tensor.quantization.scales[0], tensor.quantization.zero_points[0]
        told.append(TensorInfo(tensor.name, tensor.type, tensor.shape, tensor.bytes, scale, zero_point))
    return told


def _shifted(progress: Progress, before: int, total: int) -> Callable[[int, int], None]:
    """Return progress of one tensor as part of the stream of them all."""
    return lambda part, _: progress("stream", before + part, total)


def _collect_outputs(session: Session, count: int, taken: Measurement) -> None:
    if "outputs" not in session.features:
        taken.outputs_reason = session.withheld()
        taken.printed = session.printed()
        return
    try:
        outputs = [session.output(index) for index in range(count)]
    except DeviceRefused as error:
        taken.outputs_reason = str(error)
        return
    taken.outputs = [output for output in outputs if output is not None]
