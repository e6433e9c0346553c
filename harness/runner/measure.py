"""Measure: stream the tensors, warm up, invoke, and collect what the device counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.errors import BoardError
from harness.models.tflite import Model
from harness.runner.flash import held_at, trust
from harness.runner.plan import Settings
from harness.runner.prepare import Prepared
from harness.wire.session import (
    DeviceRefused,
    Identity,
    Incident,
    Memory,
    ModelInfo,
    RunInterrupted,
    Session,
)

Progress = Callable[[str, int, int], None]
"""Called with the name of a step, how much of it is done, and of how much."""


@dataclass
class Measurement:
    """What came back from the device; filled as it comes, so that an interrupted run keeps what it has."""

    identity: Identity
    tick_hz: int
    requested: int
    """Samples asked for."""
    samples: list[int] = field(default_factory=list)
    memory: Memory | None = None
    outputs: list[bytes] | None = None
    outputs_reason: str | None = None
    layers: list[tuple[str, int]] = field(default_factory=list)
    drift_ppm: float | None = None
    drift_uncertainty_ppm: float | None = None
    incidents: list[Incident] = field(default_factory=list)
    complete: bool = False
    streamed: bool = True
    notes: list[str] = field(default_factory=list)


def measure(
    session: Session,
    prepared: Prepared,
    settings: Settings,
    progress: Progress,
    keep: Callable[[Measurement], None],
) -> None:
    """Run the model on the device.

    Args:
        keep: called once, as soon as there is something to keep; what it was given fills up from then on.

    Raises:
        BoardError: it does not hold the model, refuses it, or stopped answering.
    """
    identity = session.identify()
    batch = session.batch(settings.invokes)
    taken = Measurement(identity, identity.tick_hz * batch, -(-settings.invokes // batch))
    if batch > 1:
        taken.notes.append(f"each sample is the mean of {batch} invokes")
    keep(taken)
    try:
        info = session.select(find_model(session, prepared.deployed))
        taken.memory = session.memory()
        if (believed := trust(session)) is not None:
            taken.notes.append(believed)
        taken.streamed = "load" in session.features
        if taken.streamed:
            _stream(session, prepared, info, progress)
        else:
            taken.notes.append(f"{session.protocol} takes no tensors: the model ran on what the camera saw")

        def on_sample(index: int, ticks: int) -> None:
            taken.samples.append(ticks)
            progress("invoke", len(taken.samples), settings.invokes)

        try:
            run = session.run(
                settings.warmup, settings.invokes, profile=settings.profile_layers, on_sample=on_sample
            )
        except RunInterrupted as error:
            taken.samples = list(error.run.samples)
            raise
        taken.samples = list(run.samples)
        taken.drift_ppm, taken.drift_uncertainty_ppm = run.drift_ppm, run.drift_uncertainty_ppm
        taken.complete = run.complete
        taken.memory = session.memory() or taken.memory
        if settings.profile_layers:
            taken.layers = session.layers() or []
        _collect_outputs(session, len(info.outputs), taken)
    finally:
        taken.incidents = list(session.incidents)


def _stream(session: Session, prepared: Prepared, info: ModelInfo, progress: Progress) -> None:
    total = sum(array.nbytes for array in prepared.inputs)
    done = 0
    for index, array in enumerate(prepared.inputs):
        if "tensors" in session.features:
            size = info.inputs[index].bytes if index < len(info.inputs) else None
            if size != array.nbytes:
                raise BoardError(
                    f"input {index} has {array.nbytes} bytes here and {size} on the board: not the same model"
                )
        session.load(index, array.tobytes(), _shifted(progress, done, total))
        done += array.nbytes


def _shifted(progress: Progress, before: int, total: int) -> Callable[[int, int], None]:
    """Return progress of one tensor as part of the stream of them all."""
    return lambda part, _: progress("stream", before + part, total)


def find_model(session: Session, model: Model) -> int:
    """Return the flash address at which the device holds exactly `model`.

    Raises:
        BoardError: it holds other models, or none.
    """
    address = held_at(session, model)
    if address is not None:
        return address
    held = session.models()
    names = ", ".join(f"{entry.name or 'a model'} at {entry.address:#x}" for entry in held) or "no model"
    raise BoardError(f"the board does not hold {model.name}: in its flash is {names}; flash the model first")


def _collect_outputs(session: Session, count: int, taken: Measurement) -> None:
    if "outputs" not in session.features:
        taken.outputs_reason = f"the protocol {session.protocol} has no outputs"
        return
    try:
        outputs = [session.output(index) for index in range(count)]
    except DeviceRefused as error:
        taken.outputs_reason = str(error)
        return
    taken.outputs = [output for output in outputs if output is not None]
