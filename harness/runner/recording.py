"""Record: put what was measured, the board and the software into one record."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.boards import Profile
from harness.check.forecast import Time
from harness.firmware.image import Image
from harness.models import ethosu, inspect, tensors
from harness.models.kernel_library import library
from harness.results import record as records
from harness.results.record import Record
from harness.results.store import new_id
from harness.results.usable import NO_MODEL_RAN
from harness.runner import provenance
from harness.runner.measure import Measurement
from harness.runner.plan import Settings
from harness.runner.prepare import Listed, Prepared
from harness.runner.reach import PortKind
from harness.runner.verify import SELFTEST
from harness.wire.session import Identity


@dataclass(frozen=True)
class BoardUsed:
    """The board that ran, and how it was reached.

    Attributes:
        virtual: whether it is a virtual board, by what started it, its boot loader or its firmware.
        image: the firmware image that it is proven to hold; None if none is.
        unproven: why it is not known which model ran; None if it is.
    """

    protocol: str
    port: str
    port_kind: PortKind
    serial_number: str | None
    virtual: bool
    image: Image | None
    unproven: str | None = None


NOT_MODELLED = "not modelled in the time: "
"""Begins each note on what an estimated time leaves out."""

EMULATED_CLOCK = "emulated"
"""Capability by which a firmware says that its times are not those of a board."""

WRONG_CLOCK_PPM = 20_000.0
"""No chip's clock, not even an RC oscillator, is as far off as this."""


def make_record(
    prepared: Prepared | Listed,
    settings: Settings,
    board: BoardUsed,
    taken: Measurement,
    verification: records.Verification,
    interrupted: str | None = None,
) -> Record:
    """Return the record of a run; `interrupted` says what ended it before its time, if something did."""
    profile, identity = prepared.board, taken.identity
    known = prepared if isinstance(prepared, Prepared) else None
    virtual = board.virtual
    origins = _origins(identity, virtual)
    drift_ppm = taken.drift_ppm if origins.time == "measured" else None
    forecast = known.time if known and virtual else None
    return Record(
        id=new_id(),
        created=datetime.now(UTC),
        board=records.Board(
            id=profile.id,
            name=profile.name,
            profile_sha256=profile.sha256,
            clock_hz=identity.clock_hz or profile.clock_hz,
            memory_bytes=profile.arena.size_bytes,
            serial_number=board.serial_number,
            port=board.port,
            port_kind=board.port_kind,
        ),
        firmware=_firmware(board, identity),
        model=_model(prepared, board.unproven),
        inputs=_inputs(settings, taken),
        invoke=_invoke(
            taken,
            settings.warmup,
            origins.time,
            _time_method(prepared) if virtual else f"the {origins.device}'s own clock",
            forecast,
        ),
        ram=_ram(taken, virtual, origins, profile),
        outputs=_outputs(taken, origins),
        verification=verification,
        energy=taken.energy,
        layers=[
            records.Layer(index=index, operator=operator, ticks=ticks, origin=origins.time)
            for index, (operator, ticks) in enumerate(taken.layers)
        ],
        clock_drift_ppm=drift_ppm,
        incidents=[
            records.Incident(kind=incident.kind, text=incident.text, at_s=incident.at_s)
            for incident in taken.incidents
        ],
        complete=taken.complete and interrupted is None,
        host=provenance.host(),
        versions=provenance.versions(),
        git=provenance.git(),
        notes=[
            *(known.input_notes if known else ()),
            *taken.notes,
            *([interrupted] if interrupted else ()),
            *([NO_MODEL_RAN] if SELFTEST in identity.capabilities else ()),
            *([] if drift_ppm is None else [_of_the_clock(drift_ppm, taken.drift_uncertainty_ppm or 0.0)]),
            *(_caveats(forecast) if forecast else ()),
        ],
    )


def _firmware(board: BoardUsed, identity: Identity) -> records.Firmware:
    return records.Firmware(
        protocol=board.protocol,
        name=identity.firmware_name,
        version=identity.firmware_version,
        build_hash=identity.build_hash or None,
        kernels=identity.kernels or None,
        image_sha256=board.image.sha256 if board.image else None,
        selftest=SELFTEST in identity.capabilities,
    )


def _invoke(
    taken: Measurement, warmup: int, origin: records.Origin, method: str, forecast: Time | None
) -> records.Invoke:
    guessed = forecast is not None and forecast.seconds is None  # a guess is not recorded as a time
    return records.Invoke(
        origin=origin,
        ticks=[] if guessed else taken.samples,
        tick_hz=taken.tick_hz,
        resolution_us=_resolution_us(taken),
        warmup=warmup,
        requested=taken.requested,
        error_percent=forecast.band_percent if forecast else None,
        error_below_percent=forecast.below_percent if forecast else None,
        pre_ms=taken.pre_ms,
        post_ms=taken.post_ms,
        method=method,
    )


def nothing_came_of(record: Record) -> str | None:
    """Return why a run has nothing to show, neither a time nor outputs that were compared; None if it has."""
    compared = record.verification.verdict != "not_available"
    if record.invoke.ticks or compared:
        return None
    return (
        "nothing came of the run: no time is known for the model, and its outputs were not compared "
        f"({record.verification.reason}); the record in the store says what there is"
    )


def _resolution_us(taken: Measurement) -> float:
    """Return the step of the times, in microseconds: the one of the run, else that of the device's clock."""
    if taken.resolution_ms is not None:
        return taken.resolution_ms * 1000
    return taken.identity.resolution_ticks * 1e6 / taken.tick_hz


def _inputs(settings: Settings, taken: Measurement) -> records.Inputs:
    if taken.inputs:
        return records.Inputs(spec=list(settings.inputs), sha256=tensors.digest(taken.inputs))
    spec = "what the device's buffer held" if taken.takes_tensors else "the board's camera"
    return records.Inputs(spec=[spec], sha256="", camera=taken.camera)


@dataclass(frozen=True)
class _Origins:
    """Where the figures of a run come from, and what ran it, in words."""

    time: records.Origin
    rest: records.Origin
    device: str


def _origins(identity: Identity, virtual: bool) -> _Origins:
    """Return the origins; only what the real engine did on a real board is measured."""
    if virtual:
        return _Origins("estimated", "emulated", "virtual board")
    if SELFTEST in identity.capabilities:
        return _Origins("emulated", "emulated", "selftest engine")
    if EMULATED_CLOCK in identity.capabilities:
        return _Origins("emulated", "emulated", "emulated board")
    return _Origins("measured", "measured", "device")


def _md5(data: bytes) -> str:
    """Return the digest by which the model zoo's files name a model."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _model(prepared: Prepared | Listed, unproven: str | None) -> records.Model:
    if isinstance(prepared, Listed):
        return records.Model(
            name=prepared.name,
            file=prepared.name,
            sha1="",
            sha256="",
            bytes=0,
            precision="unknown",
            unproven=unproven,
        )
    deployed, source = prepared.deployed, prepared.source
    made_from = source if source is not None and source is not deployed else None
    compiled = prepared.compiled
    return records.Model(
        name=prepared.job.model.name.rsplit("/", 1)[-1].removesuffix(".tflite"),
        file=prepared.job.model.name,
        md5=_md5(deployed.data),
        sha1=deployed.sha1,
        sha256=deployed.sha256,
        bytes=len(deployed.data),
        precision=inspect.precision(deployed),
        source_md5=_md5(made_from.data) if made_from else None,
        source_sha1=made_from.sha1 if made_from else None,
        source_sha256=made_from.sha256 if made_from else None,
        source_file=made_from.name if made_from else None,
        vela=records.Vela(
            version=compiled.version,
            accelerator=compiled.accelerator,
            settings=dict(compiled.settings),
            summary=compiled.summary,
        )
        if compiled
        else None,
        unproven=unproven,
    )


def _of_the_clock(drift_ppm: float, uncertainty_ppm: float) -> str:
    """Return how the device's clock compares with this computer's, and what that means for its times."""
    text = (
        f"the device's clock against this computer's: {drift_ppm:+.0f} ppm, "
        f"known to within {uncertainty_ppm:.0f} ppm"
    )
    wrong = abs(drift_ppm) - uncertainty_ppm > WRONG_CLOCK_PPM
    return text + ("; its tick rate is not what its firmware says, and its times are off" if wrong else "")


def _caveats(forecast: Time) -> list[str]:
    """Return what the estimated time leaves out, a sentence each."""
    if forecast.why_none is not None:
        return [forecast.why_none]
    return [f"no time is known for {what}" for what in forecast.left_out] + [
        f"{NOT_MODELLED}{what}" for what in forecast.not_modelled
    ]


def _time_method(prepared: Prepared | Listed) -> str:
    if isinstance(prepared, Listed):
        return "the virtual board's own clock"
    by_profile = "cycles by operator from the board profile's coefficients"
    return (
        f"cycles of the NPU's command streams, {by_profile}"
        if ethosu.is_compiled(prepared.deployed)
        else by_profile
    )


def _kernels(board: Profile) -> str:
    """Return the kernels that an emulated board accounts its arena with, in words."""
    known = library(board.chip.kernels, board.chip.core)
    return f"the buffers of {known.name}" if known else "reference kernels"


def _ram(taken: Measurement, virtual: bool, origins: _Origins, board: Profile) -> records.Ram:
    memory = taken.memory
    if memory is None:
        return records.Ram(origin=origins.rest, method="not reported by this protocol")
    return records.Ram(
        origin=origins.rest,
        arena_used_bytes=memory.arena_used,
        arena_head_bytes=memory.arena_head,
        arena_tail_bytes=memory.arena_tail,
        arena_size_bytes=memory.arena_size,
        heap_free_bytes=memory.heap_free,
        stack_high_water_bytes=memory.stack_high_water,
        method=f"accounted for the 32-bit chip, with {_kernels(board)}"
        if virtual
        else f"{taken.identity.engine or 'TFLite-Micro'} on the {origins.device}"
        if SELFTEST not in taken.identity.capabilities
        else NO_MODEL_RAN,
    )


def _outputs(taken: Measurement, origins: _Origins) -> records.Outputs:
    if taken.outputs is None:
        return records.Outputs(reason=taken.outputs_reason or "the run did not come to its end")
    return records.Outputs(
        origin=origins.rest,
        sha256=[hashlib.sha256(data).hexdigest() for data in taken.outputs],
    )
