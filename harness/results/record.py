"""The record: everything about one run, immutable once written (schema version 2).

An added optional key does not change the version: readers keep keys that they do not know. The version
rises when an older reader would misunderstand; every version ever written stays readable.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Origin = Literal["measured", "emulated", "estimated", "published"]

SCHEMA_VERSION = 2
"""Version 2 added `model.unproven`: a reader of version 1 would take such a run for one of its model."""


class _Part(BaseModel):
    """A part of a record: immutable; unknown keys are kept, so that newer records stay readable."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


class Board(_Part):
    """The board that ran: which profile described it and how it was reached."""

    id: str
    name: str
    profile_sha256: str
    clock_hz: int
    memory_bytes: int | None = Field(default=None, description="memory that a tensor arena can take at most")
    serial_number: str | None = None
    port: str
    port_kind: Literal["emulated", "serial", "pty", "socket", "rfc2217"]


class Firmware(_Part):
    """What answered on the port, by its own account, and the image that it was flashed from if that is known.

    `name`, `version`, `build_hash` and `kernels` are what the firmware says of itself.
    """

    protocol: str
    name: str
    version: str
    build_hash: str | None = None
    kernels: str | None = None
    image_sha256: str | None = Field(
        default=None, description="of the image that was written in this session, or proven to be there"
    )
    selftest: bool = Field(default=False, description="its selftest engine answered, which runs no model")


class Vela(_Part):
    """How a model was compiled for the NPU."""

    version: str
    accelerator: str
    settings: dict[str, str | int | float]
    summary: dict[str, str | int | float] = Field(default_factory=dict)


class Model(_Part):
    """The file that ran on the board, and the int8 file that it was compiled from if Vela made it.

    A model that was on the board already, and whose file nobody has given, has no hashes ("") and 0 bytes.
    """

    name: str
    file: str
    md5: str | None = None
    sha1: str
    sha256: str
    bytes: int
    precision: str
    source_md5: str | None = None
    source_sha1: str | None = None
    source_sha256: str | None = None
    source_file: str | None = None
    vela: Vela | None = None
    unproven: str | None = Field(
        default=None, description="why it is not known that this is what ran; null = it is proven"
    )


class Inputs(_Part):
    """What was streamed into the input tensors: how it was asked for, and the digest of the bytes."""

    spec: list[str]
    sha256: str
    camera: str | None = Field(
        default=None, description="the sensor and preset whose frames a model ran on, in the device's words"
    )


class Invoke(_Part):
    """Invoke times as the device counted them; seconds = ticks / tick_hz."""

    origin: Origin
    ticks: list[Annotated[int, Field(ge=0, lt=2**63)]]
    tick_hz: int = Field(gt=0)
    resolution_us: float
    warmup: int
    requested: int
    error_percent: float | None = Field(
        default=None, description="of an estimate: nine of ten measured times are at most this much longer"
    )
    error_below_percent: float | None = Field(
        default=None, description="and at most this much shorter; null = as much as longer"
    )
    pre_ms: list[int] = Field(
        default_factory=list, description="pre-processing before each sample, of firmware that times it"
    )
    post_ms: list[int] = Field(
        default_factory=list, description="post-processing after each sample, of firmware that times it"
    )
    method: str


class Ram(_Part):
    """Tensor arena and memory in bytes; None if the firmware does not report a figure."""

    origin: Origin
    arena_used_bytes: int | None = None
    arena_head_bytes: int | None = None
    arena_tail_bytes: int | None = None
    arena_size_bytes: int | None = None
    heap_free_bytes: int | None = None
    stack_high_water_bytes: int | None = None
    method: str


class Meter(_Part):
    """What measured the current."""

    name: str
    serial_number: str | None = None
    rate_hz: float = Field(gt=0, description="samples a second")
    supply_v: float | None = Field(default=None, description="supply of the board; null if it was sampled")
    input: int | None = Field(default=None, description="digital input that is wired to the board's pin")
    samples: int
    lost_samples: int = 0


class Trace(_Part):
    """The power over the first invokes, thinned out for a picture."""

    power_w: list[float]
    high: list[bool]
    rate_hz: float = Field(gt=0)


class Energy(_Part):
    """Energy of the timed invokes, an entry each; of a run without a pin one entry, the mean of all.

    Gross is all that the board drew, net is what it drew beyond its power at rest. Uncertainties are at about
    95 %.
    """

    origin: Origin
    gross_uj: list[float]
    net_uj: list[float]
    mean_w: float
    peak_w: float
    idle_w: float
    uncertainty_percent: float
    net_uncertainty_percent: float
    by: Literal["pin", "bracket"]
    left_out: int = Field(default=0, description="timed invokes that are not counted")
    meter: Meter
    trace: Trace | None = None


class Layer(_Part):
    """Time of one operator over one invoke, in device ticks."""

    index: int
    operator: str
    ticks: int = Field(ge=0, lt=2**63)
    origin: Origin


class Outputs(_Part):
    """Digests of the output tensors, or why there are none."""

    origin: Origin | None = None
    sha256: list[str] | None = None
    reason: str | None = None


class Verification(_Part):
    """Outputs against the desktop runtime: largest difference in units of the last place.

    `rule` is by what they were judged, an output type a phrase; `reason` says why there is no verdict, or
    which output differs.
    """

    verdict: Literal["exact", "within_tolerance", "differs", "not_available"]
    reference: str | None = None
    max_ulp: int | None = None
    tolerance_ulp: int = 1
    rule: str | None = None
    reason: str | None = None


class Incident(_Part):
    """Something that went wrong on the way and was survived."""

    kind: str
    text: str
    at_s: float | None = None


class Git(_Part):
    """The checkout that the harness ran from."""

    commit: str
    dirty: bool


class Host(_Part):
    """The computer at the other end of the line."""

    system: str
    machine: str
    python: str


class Record(_Part):
    """One run of one model on one board."""

    schema_version: int = SCHEMA_VERSION
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    created: AwareDatetime
    board: Board
    firmware: Firmware
    model: Model
    inputs: Inputs
    invoke: Invoke
    ram: Ram
    outputs: Outputs
    verification: Verification
    energy: Energy | None = None
    layers: list[Layer] = Field(default_factory=list)
    clock_drift_ppm: float | None = None
    incidents: list[Incident] = Field(default_factory=list)
    complete: bool = True
    host: Host
    versions: dict[str, str]
    git: Git | None = None
    notes: list[str] = Field(default_factory=list)
    digest: str | None = Field(
        default=None,
        description="SHA-256 of this object without `digest`, as JSON with sorted keys and no white space;"
        " set by the store when the record is written",
    )
