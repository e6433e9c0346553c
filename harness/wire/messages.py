"""The messages of the `bench` protocol, version 2: little-endian, laid out as in firmware/PROTOCOL.md.

A body is a header (mark, type, number, session) and a payload: a fixed part, then strings (a length byte and
UTF-8 each), then in some types a rest of plain bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from typing import ClassVar, Self

from harness.wire.framing import MARK

VERSION = 2
OLDEST_VERSION = 2

HEADER = struct.Struct("<BBHI")
NOT_REPORTED = 0xFFFFFFFF
FIRST_STREAM_TYPE = 0x20
"""Types below this are requests; from here on messages belong to a stream and have no reply of their own."""
FROM_DEVICE = 0x40
"""Bit of the type in all that a device sends."""
MAX_RANK = 8
CONTROL_LIMIT = 512
"""Line bytes that a device holds in reserve for requests, beyond the window for tensor data."""


class Malformed(ValueError):
    """A body with a sound CRC that is not a message of this version."""


class ErrorCode(IntEnum):
    """Why a device refused a request."""

    BAD_MESSAGE = 1
    UNKNOWN_TYPE = 2
    NO_SESSION = 3
    SEQUENCE = 4
    BAD_ARGUMENT = 5
    NO_MODEL = 6
    MODEL_INVALID = 7
    UNSUPPORTED_OPERATOR = 8
    ARENA_TOO_SMALL = 9
    INVOKE_FAILED = 10
    BUSY = 11
    NO_RUN = 12
    NOT_SUPPORTED = 13
    INTERNAL = 14


class TransferStatus(IntEnum):
    """The state of the transfer that an acknowledgement is about."""

    NONE = 0
    RECEIVING = 1
    COMPLETE = 2
    DIGEST = 3
    BAD_INPUT = 4
    BAD_RANGE = 5
    BUSY = 6


class RunState(IntEnum):
    """Where a run is."""

    IDLE = 0
    WARMING = 1
    MEASURING = 2
    DONE = 3
    ABORTED = 4
    FAILED = 5


class Capability(IntFlag):
    """What a device can do beyond loading, running and reading outputs."""

    MEMORY = 1
    PROFILE = 2
    OPERATORS = 4
    MLPERF_TEXT = 8
    EMULATED = 16
    SELFTEST = 32
    ALIVE = 64


class TensorKind(IntEnum):
    """Which end of the model a tensor is at."""

    INPUT = 0
    OUTPUT = 1


TENSOR_TYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    9: "int8",
    10: "float64",
    12: "uint64",
    15: "uint32",
    16: "uint16",
}
"""Tensor types by the number that the TFLite schema gives them."""

TENSOR_TYPE_CODES = {name: code for code, name in TENSOR_TYPES.items()}
TENSOR_TYPE_BYTES = {
    "float32": 4,
    "float16": 2,
    "int32": 4,
    "uint8": 1,
    "int64": 8,
    "bool": 1,
    "int16": 2,
    "int8": 1,
    "float64": 8,
    "uint64": 8,
    "uint32": 4,
    "uint16": 2,
}

PROFILE = 1
"""Flag of Run: time each operator."""
REPLACE = 1
"""Flag of Open: give up the unfinished transfer before this one."""
RESEND = 1
"""Flag of SamplesAck: send again from `next`, and answer even if there is nothing yet."""


@dataclass(frozen=True)
class Message:
    """A payload. Fields come in the order of the wire: fixed part, strings, rest."""

    TYPE: ClassVar[int]
    FIXED: ClassVar[struct.Struct] = struct.Struct("<")
    STRINGS: ClassVar[int] = 0
    REST: ClassVar[bool] = False

    def pack(self) -> bytes:
        """Return the payload bytes."""
        values = list(vars(self).values())  # in the order of the fields
        rest = values.pop() if self.REST else b""
        strings = values[len(values) - self.STRINGS :] if self.STRINGS else []
        fixed = values[: len(values) - self.STRINGS]
        out = self.FIXED.pack(*fixed)
        for text in strings:
            raw = _clip(text)
            out += bytes([len(raw)]) + raw
        return out + rest

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """Read a payload; raises Malformed if it is too short or too long or not UTF-8."""
        at = cls.FIXED.size
        if len(payload) < at:
            raise Malformed(f"{cls.__name__} of {len(payload)} bytes, at least {at} expected")
        values: list[object] = list(cls.FIXED.unpack_from(payload))
        for _ in range(cls.STRINGS):
            if at >= len(payload) or at + 1 + payload[at] > len(payload):
                raise Malformed(f"{cls.__name__} ends within a string")
            end = at + 1 + payload[at]
            try:
                values.append(payload[at + 1 : end].decode("utf-8"))
            except UnicodeDecodeError:
                raise Malformed(f"{cls.__name__} has a string that is not UTF-8") from None
            at = end
        if cls.REST:
            values.append(payload[at:])
        elif at != len(payload):
            raise Malformed(f"{cls.__name__} of {len(payload)} bytes, {at} expected")
        return cls(*values)


def _clip(text: str) -> bytes:
    """Return at most 255 bytes of UTF-8, cut between characters."""
    raw = text.encode("utf-8")
    return raw if len(raw) <= 255 else raw[:255].decode("utf-8", "ignore").encode("utf-8")


# ---- requests and their replies: a reply's type is its request's with bit 6 set


@dataclass(frozen=True)
class Hello(Message):
    """Opens a session, or takes up the one with the same number. Laid out alike in every version."""

    TYPE = 0x01
    FIXED = struct.Struct("<BBHI")
    oldest: int
    newest: int
    reserved: int
    max_frame: int


@dataclass(frozen=True)
class Welcome(Message):
    """What the device supports; version 0 if there is no common one. Laid out alike in every version."""

    TYPE = 0x41
    FIXED = struct.Struct("<BBBBIIIII")
    version: int
    oldest: int
    newest: int
    reserved: int
    boot: int
    window: int
    max_block: int
    sample_buffer: int
    capabilities: int


@dataclass(frozen=True)
class Identify(Message):
    """Asks for Identified."""

    TYPE = 0x02


@dataclass(frozen=True)
class Identified(Message):
    """Board and firmware by their own account."""

    TYPE = 0x42
    FIXED = struct.Struct("<III")
    STRINGS = 6
    clock_hz: int
    tick_hz: int
    resolution_ticks: int
    board: str
    firmware_name: str
    firmware_version: str
    build_hash: str
    kernels: str
    engine: str


@dataclass(frozen=True)
class GetModel(Message):
    """Asks for the model at a place in the flash listing."""

    TYPE = 0x03
    FIXED = struct.Struct("<H")
    index: int


@dataclass(frozen=True)
class FlashEntry(Message):
    """Where something in flash begins like a model. With `index` at or above `total` the rest is zero."""

    TYPE = 0x43
    FIXED = struct.Struct("<HHI")
    STRINGS = 1
    total: int
    index: int
    address: int
    name: str


@dataclass(frozen=True)
class Select(Message):
    """Makes the model at a flash address the one that runs."""

    TYPE = 0x04
    FIXED = struct.Struct("<I")
    address: int


@dataclass(frozen=True)
class Selected(Message):
    """How many tensors the selected model has."""

    TYPE = 0x44
    FIXED = struct.Struct("<BB")
    inputs: int
    outputs: int


@dataclass(frozen=True)
class GetTensor(Message):
    """Asks for the description of an input or output of the selected model."""

    TYPE = 0x05
    FIXED = struct.Struct("<BB")
    kind: int
    index: int


@dataclass(frozen=True)
class TensorDescription(Message):
    """One tensor. `dimensions` past `rank` are zero; scale 0 means not quantised."""

    TYPE = 0x45
    FIXED = struct.Struct("<BBBBIfi32s")
    STRINGS = 1
    kind: int
    index: int
    type: int
    rank: int
    size: int
    scale: float
    zero_point: int
    dimensions: bytes
    name: str


@dataclass(frozen=True)
class StartRun(Message):
    """Starts a run: `warmup` invokes that are not timed, then `n` that are.

    Bit i of `outputs`: output i will be read afterwards.
    """

    TYPE = 0x06
    FIXED = struct.Struct("<HHIII")
    run: int
    flags: int
    warmup: int
    n: int
    outputs: int


@dataclass(frozen=True)
class Running(Message):
    """The run has been started."""

    TYPE = 0x46
    FIXED = struct.Struct("<H")
    run: int


@dataclass(frozen=True)
class GetRun(Message):
    """Asks where the run is."""

    TYPE = 0x07


@dataclass(frozen=True)
class RunStatus(Message):
    """Where the last run is; `text` says why it failed.

    `warmup`: untimed invokes still to do. `busy`: ticks since the invoke that is under way began, 0 for none.
    `operator` of `operators`: how far that invoke is, 0 of 0 if not known.
    """

    TYPE = 0x47
    FIXED = struct.Struct("<HBBIIQHH")
    STRINGS = 1
    run: int
    state: int
    error: int
    done: int
    warmup: int
    busy: int
    operator: int
    operators: int
    text: str


@dataclass(frozen=True)
class GetOutput(Message):
    """Asks for bytes of an output tensor of the last run."""

    TYPE = 0x08
    FIXED = struct.Struct("<HHII")
    index: int
    reserved: int
    offset: int
    length: int


@dataclass(frozen=True)
class Output(Message):
    """Bytes of an output tensor, the size of the whole, and the CRC-32 of the whole."""

    TYPE = 0x48
    FIXED = struct.Struct("<HHIII")
    REST = True
    index: int
    reserved: int
    offset: int
    total: int
    crc: int
    data: bytes


@dataclass(frozen=True)
class GetMemory(Message):
    """Asks for MemoryFigures."""

    TYPE = 0x09


@dataclass(frozen=True)
class MemoryFigures(Message):
    """RAM in bytes; NOT_REPORTED if the device does not know."""

    TYPE = 0x49
    FIXED = struct.Struct("<IIIIII")
    arena_used: int
    arena_head: int
    arena_tail: int
    arena_size: int
    heap_free: int
    stack_high_water: int


@dataclass(frozen=True)
class GetLayer(Message):
    """Asks for the time of one operator in the last profiled run."""

    TYPE = 0x0A
    FIXED = struct.Struct("<H")
    index: int


@dataclass(frozen=True)
class LayerTime(Message):
    """Time of one operator over one invoke. With `index` at or above `total` the rest is zero."""

    TYPE = 0x4A
    FIXED = struct.Struct("<HHQ")
    STRINGS = 1
    total: int
    index: int
    ticks: int
    label: str


@dataclass(frozen=True)
class GetOperators(Message):
    """Asks for the names of the operators that the firmware registers, from a byte offset."""

    TYPE = 0x0B
    FIXED = struct.Struct("<I")
    offset: int


@dataclass(frozen=True)
class OperatorNames(Message):
    """A part of the operator names: ASCII, one a line, `total` bytes in all."""

    TYPE = 0x4B
    FIXED = struct.Struct("<II")
    REST = True
    total: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class GetClock(Message):
    """Asks for the device's tick counter."""

    TYPE = 0x0C


@dataclass(frozen=True)
class Clock(Message):
    """The free-running tick counter when the request was handled."""

    TYPE = 0x4C
    FIXED = struct.Struct("<Q")
    ticks: int


@dataclass(frozen=True)
class Abort(Message):
    """Ends the run: at once if the device can break off an invoke, else after the one that is under way."""

    TYPE = 0x0D


@dataclass(frozen=True)
class Aborted(Message):
    """The run (0: there was none) has ended, with so many samples taken."""

    TYPE = 0x4D
    FIXED = struct.Struct("<HHI")
    run: int
    reserved: int
    done: int


@dataclass(frozen=True)
class Reset(Message):
    """Resets the board, once the reply is out."""

    TYPE = 0x0E


@dataclass(frozen=True)
class Resetting(Message):
    """The last thing that a device says before it resets."""

    TYPE = 0x4E


@dataclass(frozen=True)
class Digest(Message):
    """Asks for the SHA-256 of a range of flash."""

    TYPE = 0x0F
    FIXED = struct.Struct("<II")
    address: int
    length: int


@dataclass(frozen=True)
class Digested(Message):
    """The SHA-256 of a range of flash, as the core reads it."""

    TYPE = 0x4F
    FIXED = struct.Struct("<II32s")
    address: int
    length: int
    sha256: bytes


@dataclass(frozen=True)
class Refusal(Message):
    """An error in place of a reply."""

    TYPE = 0x7F
    FIXED = struct.Struct("<HHI")
    STRINGS = 1
    code: int
    reserved: int
    detail: int
    text: str


# ---- the tensor stream: the header's number counts the frames of the stream


@dataclass(frozen=True)
class Open(Message):
    """Opens a transfer of `length` bytes to `start` of an input, in blocks of `block` bytes."""

    TYPE = 0x20
    FIXED = struct.Struct("<HHHHIIII")
    transfer: int
    flags: int
    input: int
    reserved: int
    start: int
    length: int
    block: int
    crc: int


@dataclass(frozen=True)
class Data(Message):
    """A block; `offset` counts from the transfer's start and is a multiple of its block size."""

    TYPE = 0x21
    FIXED = struct.Struct("<HHI")
    REST = True
    transfer: int
    reserved: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Probe(Message):
    """Asks for an Ack and nothing else."""

    TYPE = 0x22


@dataclass(frozen=True)
class Ack(Message):
    """What has arrived: all blocks below `base`, and block base + 1 + i if bit i of `mask` is set.

    The header's number is the highest stream frame seen; as lines keep order, a frame numbered at or below it
    that is not shown here is lost.
    """

    TYPE = 0x60
    FIXED = struct.Struct("<HBBIQ")
    transfer: int
    status: int
    reserved: int
    base: int
    mask: int


# ---- the sample stream


@dataclass(frozen=True)
class SamplesAck(Message):
    """All samples below `next` have arrived."""

    TYPE = 0x23
    FIXED = struct.Struct("<HHI")
    run: int
    flags: int
    next: int


@dataclass(frozen=True)
class Samples(Message):
    """Samples from `first` on, 8 bytes of ticks each, and where the run is."""

    TYPE = 0x61
    FIXED = struct.Struct("<HBBI")
    REST = True
    run: int
    state: int
    error: int
    first: int
    ticks: bytes


HOST_MESSAGES: tuple[type[Message], ...] = (
    Hello, Identify, GetModel, Select, GetTensor, StartRun, GetRun, GetOutput, GetMemory, GetLayer,
    GetOperators, GetClock, Abort, Reset, Digest, Open, Data, Probe, SamplesAck,
)  # fmt: skip
DEVICE_MESSAGES: tuple[type[Message], ...] = (
    Welcome, Identified, FlashEntry, Selected, TensorDescription, Running, RunStatus, Output, MemoryFigures,
    LayerTime, OperatorNames, Clock, Aborted, Resetting, Digested, Refusal, Ack, Samples,
)  # fmt: skip
BY_TYPE: dict[int, type[Message]] = {kind.TYPE: kind for kind in HOST_MESSAGES + DEVICE_MESSAGES}

DATA_OVERHEAD = HEADER.size + Data.FIXED.size
MAX_OUTPUT_OVERHEAD = HEADER.size + Output.FIXED.size


@dataclass(frozen=True)
class Envelope:
    """A message with its header."""

    number: int
    session: int
    message: Message


def pack(number: int, session: int, message: Message) -> bytes:
    """Return the body of a frame that carries `message`."""
    return HEADER.pack(MARK, message.TYPE, number, session) + message.pack()


def session_of(body: bytes) -> int | None:
    """Return the session that a body is of, None if it is too short to say."""
    return HEADER.unpack_from(body)[3] if len(body) >= HEADER.size else None


def unpack(body: bytes) -> Envelope:
    """Read a body; raises Malformed for an unknown type or a payload that does not fit its type."""
    if len(body) < HEADER.size:
        raise Malformed(f"body of {len(body)} bytes, at least {HEADER.size} expected")
    _, kind, number, session = HEADER.unpack_from(body)
    if kind not in BY_TYPE:
        raise Malformed(f"unknown message type 0x{kind:02x}")
    return Envelope(number, session, BY_TYPE[kind].unpack(body[HEADER.size :]))


def field_names(kind: type[Message]) -> tuple[str, ...]:
    """Return the names of a message's fields in the order of the wire."""
    return tuple(field.name for field in fields(kind))


def pack_dimensions(shape: tuple[int, ...]) -> bytes:
    """Return the 32 bytes that hold up to `MAX_RANK` dimensions."""
    padded = (*shape, *(0,) * (MAX_RANK - len(shape)))
    return struct.pack("<8I", *padded)


def unpack_dimensions(raw: bytes, rank: int) -> tuple[int, ...]:
    """Read `rank` dimensions; raises Malformed above MAX_RANK."""
    if rank > MAX_RANK:
        raise Malformed(f"tensor of {rank} dimensions, at most {MAX_RANK} expected")
    return struct.unpack("<8I", raw)[:rank]


def newer(a: int, b: int) -> bool:
    """Say whether the 16-bit counter value `a` comes after `b` (serial number arithmetic)."""
    return 0 < (a - b) & 0xFFFF < 0x8000
