"""What makes runs repetitions of one another: the one key that averages, reports, gate and baseline go by."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass

from harness.results.record import Firmware, Model, Origin, Record

_SHORT = 8


@dataclass(frozen=True)
class Key:
    """Two runs of equal keys are repetitions and may be averaged; two runs of different keys never are.

    A model is the file that was deployed, by its SHA-256: its name and path are words for people. What Vela
    makes of one source with another version or other settings is another file, as it takes another time; that
    both are of one source shows in `source_sha256`, which tells how rows belong together and is not a part of
    the key.

    `firmware_hash` is what tells builds of one version apart: the build hash by the firmware's own account,
    else that of the image it was flashed from. An estimate depends on the coefficients in the board's
    profile, so the profile is a part of its key (`estimated_by`) and of no other. Specimens of one board
    share a key; `harness report --group board,model,precision,serial_number` tells them apart.
    """

    board: str
    model_sha256: str
    precision: str
    inputs_sha256: str
    protocol: str
    firmware: str
    firmware_version: str
    firmware_hash: str | None
    clock_hz: int
    origin: Origin
    estimated_by: str | None

    @property
    def setup(self) -> str:
        """A short name for the key, the same everywhere: equal for two runs if their keys are."""
        return hashlib.sha256(json.dumps(astuple(self)).encode()).hexdigest()[:12]


def key_of(record: Record) -> Key:
    """Return what a run is a repetition of."""
    firmware, origin = record.firmware, record.invoke.origin
    return Key(
        board=record.board.id,
        model_sha256=model_sha256(record.model),
        precision=record.model.precision,
        inputs_sha256=record.inputs.sha256,
        protocol=firmware.protocol,
        firmware=firmware.name,
        firmware_version=firmware.version,
        firmware_hash=firmware_hash(firmware),
        clock_hz=record.board.clock_hz,
        origin=origin,
        estimated_by=record.board.profile_sha256 if origin == "estimated" else None,
    )


def same_inputs(a: Record, b: Record) -> bool:
    """Say whether two runs had the same inputs.

    For two model files it is enough that the same was asked for: what is streamed then depends on the tensors
    of the model.
    """
    if a.inputs.sha256 == b.inputs.sha256:
        return True
    return a.model.sha256 != b.model.sha256 and a.inputs.spec == b.inputs.spec


def firmware_hash(firmware: Firmware) -> str | None:
    """Return what tells builds of a firmware apart, None if nothing is known that does."""
    return firmware.build_hash or firmware.image_sha256


def firmware_name(firmware: Firmware) -> str:
    """Write a firmware with its version and the beginning of its hash: `virtual 1.0 (cdcdcdcd)`."""
    return f"{firmware.name} {firmware.version} ({short(firmware_hash(firmware))})"


def model_sha256(model: Model) -> str:
    """Return what tells deployed files apart: the SHA-256.

    A run of a model that was not proven to be that file is no repetition of its runs. It goes by its name if
    its file is not known at all.
    """
    return f"unproven: {model.sha256 or model.name}" if model.unproven else model.sha256


def source_sha256(model: Model) -> str:
    """Return the SHA-256 of the file that a model comes from: its source, else the deployed file itself."""
    return model.source_sha256 or model.sha256 or model_sha256(model)


def short(digest: str | None, digits: int = _SHORT) -> str:
    """Return the beginning of a hash, as people are shown it."""
    return digest[:digits] if digest else "no hash"
