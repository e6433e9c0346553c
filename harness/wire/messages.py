"""The messages of the `bench` protocol, version 2: little-endian, laid out as in firmware/PROTOCOL.md.

A body is a header (mark, type, number, session) and a payload: a fixed part, then strings (a length byte and
UTF-8 each), then in some types a rest of plain bytes.
"""

import struct
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from typing import Annotated, ClassVar, Self, dataclass_transform

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


BY_TYPE: dict[int, "type[Message]"] = {}
"""Every message by its type, in the order of the specification."""


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


_TENSOR_TYPES = {
    "float32": (0, 4),
    "float16": (1, 2),
    "int32": (2, 4),
    "uint8": (3, 1),
    "int64": (4, 8),
    "bool": (6, 1),
    "int16": (7, 2),
    "int8": (9, 1),
    "float64": (10, 8),
    "uint64": (12, 8),
    "uint32": (15, 4),
    "uint16": (16, 2),
}
"""Tensor types: the number that the TFLite schema gives each, and the bytes of an element."""
TENSOR_TYPES = {code: name for name, (code, _) in _TENSOR_TYPES.items()}
TENSOR_TYPE_CODES = {name: code for name, (code, _) in _TENSOR_TYPES.items()}
TENSOR_TYPE_BYTES = {name: size for name, (_, size) in _TENSOR_TYPES.items()}

PROFILE = 1
"""Flag of Run: time each operator."""
REPLACE = 1
"""Flag of Open: give up the unfinished transfer before this one."""
RESEND = 1
"""Flag of SamplesAck: send again from `next`, and answer even if there is nothing yet."""


U8 = Annotated[int, "B"]
U16 = Annotated[int, "H"]
U32 = Annotated[int, "I"]
U64 = Annotated[int, "Q"]
I32 = Annotated[int, "i"]
F32 = Annotated[float, "f"]
Bytes32 = Annotated[bytes, "32s"]
"""Kinds of fields of the fixed part, each with its code in `struct`."""
Text = Annotated[str, "text"]
Rest = Annotated[bytes, "rest"]


@dataclass_transform(frozen_default=True)
class Message:
    """A payload, laid out as its fields are: first those of the fixed part, then texts, then the rest."""

    TYPE: ClassVar[int]
    FIXED: ClassVar[struct.Struct]
    TEXTS: ClassVar[int]
    REST: ClassVar[bool]

    def __init_subclass__(cls, type: int) -> None:
        dataclass(frozen=True)(cls)
        codes = [field.type.__metadata__[0] for field in fields(cls)]  # type: ignore[arg-type, union-attr]
        cls.TYPE = type
        cls.TEXTS = codes.count("text")
        cls.REST = "rest" in codes
        cls.FIXED = struct.Struct("<" + "".join(codes[: len(codes) - cls.TEXTS - cls.REST]))
        BY_TYPE[type] = cls

    def pack(self) -> bytes:
        """Return the payload bytes."""
        values = list(vars(self).values())  # in the order of the fields
        rest = values.pop() if self.REST else b""
        fixed = len(values) - self.TEXTS
        out = self.FIXED.pack(*values[:fixed])
        for text in values[fixed:]:
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
        for _ in range(cls.TEXTS):
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


class Hello(Message, type=0x01):
    """Opens a session, or takes up the one with the same number. Laid out alike in every version."""

    oldest: U8
    newest: U8
    reserved: U16
    max_frame: U32


class Welcome(Message, type=0x41):
    """What the device supports; version 0 if there is no common one. Laid out alike in every version."""

    version: U8
    oldest: U8
    newest: U8
    reserved: U8
    boot: U32
    window: U32
    max_block: U32
    sample_buffer: U32
    capabilities: U32


class Identify(Message, type=0x02):
    """Asks for Identified."""


class Identified(Message, type=0x42):
    """Board and firmware by their own account."""

    clock_hz: U32
    tick_hz: U32
    resolution_ticks: U32
    board: Text
    firmware_name: Text
    firmware_version: Text
    build_hash: Text
    kernels: Text
    engine: Text


class GetModel(Message, type=0x03):
    """Asks for the model at a place in the flash listing."""

    index: U16


class FlashEntry(Message, type=0x43):
    """Where something in flash begins like a model. With `index` at or above `total` the rest is zero."""

    total: U16
    index: U16
    address: U32
    name: Text


class Select(Message, type=0x04):
    """Makes the model at a flash address the one that runs."""

    address: U32


class Selected(Message, type=0x44):
    """How many tensors the selected model has."""

    inputs: U8
    outputs: U8


class GetTensor(Message, type=0x05):
    """Asks for the description of an input or output of the selected model."""

    kind: U8
    index: U8


class TensorDescription(Message, type=0x45):
    """One tensor. `dimensions` past `rank` are zero; scale 0 means not quantised."""

    kind: U8
    index: U8
    type: U8
    rank: U8
    size: U32
    scale: F32
    zero_point: I32
    dimensions: Bytes32
    name: Text


class StartRun(Message, type=0x06):
    """Starts a run: `warmup` invokes that are not timed, then `n` that are.

    Bit i of `outputs`: output i will be read afterwards.
    """

    run: U16
    flags: U16
    warmup: U32
    n: U32
    outputs: U32


class Running(Message, type=0x46):
    """The run has been started."""

    run: U16


class GetRun(Message, type=0x07):
    """Asks where the run is."""


class RunStatus(Message, type=0x47):
    """Where the last run is; `text` says why it failed.

    `warmup`: untimed invokes still to do. `busy`: ticks since the invoke that is under way began, 0 for none.
    `operator` of `operators`: how far that invoke is, 0 of 0 if not known.
    """

    run: U16
    state: U8
    error: U8
    done: U32
    warmup: U32
    busy: U64
    operator: U16
    operators: U16
    text: Text


class GetOutput(Message, type=0x08):
    """Asks for bytes of an output tensor of the last run."""

    index: U16
    reserved: U16
    offset: U32
    length: U32


class Output(Message, type=0x48):
    """Bytes of an output tensor, the size of the whole, and the CRC-32 of the whole."""

    index: U16
    reserved: U16
    offset: U32
    total: U32
    crc: U32
    data: Rest


class GetMemory(Message, type=0x09):
    """Asks for MemoryFigures."""


class MemoryFigures(Message, type=0x49):
    """RAM in bytes; NOT_REPORTED if the device does not know."""

    arena_used: U32
    arena_head: U32
    arena_tail: U32
    arena_size: U32
    heap_free: U32
    stack_high_water: U32


class GetLayer(Message, type=0x0A):
    """Asks for the time of one operator in the last profiled run."""

    index: U16


class LayerTime(Message, type=0x4A):
    """Time of one operator over one invoke. With `index` at or above `total` the rest is zero."""

    total: U16
    index: U16
    ticks: U64
    label: Text


class GetOperators(Message, type=0x0B):
    """Asks for the names of the operators that the firmware registers, from a byte offset."""

    offset: U32


class OperatorNames(Message, type=0x4B):
    """A part of the operator names: ASCII, one a line, `total` bytes in all."""

    total: U32
    offset: U32
    data: Rest


class GetClock(Message, type=0x0C):
    """Asks for the device's tick counter."""


class Clock(Message, type=0x4C):
    """The free-running tick counter when the request was handled."""

    ticks: U64


class Abort(Message, type=0x0D):
    """Ends the run: at once if the device can break off an invoke, else after the one that is under way."""


class Aborted(Message, type=0x4D):
    """The run (0: there was none) has ended, with so many samples taken."""

    run: U16
    reserved: U16
    done: U32


class Reset(Message, type=0x0E):
    """Resets the board, once the reply is out."""


class Resetting(Message, type=0x4E):
    """The last thing that a device says before it resets."""


class Digest(Message, type=0x0F):
    """Asks for the SHA-256 of a range of flash."""

    address: U32
    length: U32


class Digested(Message, type=0x4F):
    """The SHA-256 of a range of flash, as the core reads it."""

    address: U32
    length: U32
    sha256: Bytes32


class Refusal(Message, type=0x7F):
    """An error in place of a reply."""

    code: U16
    reserved: U16
    detail: U32
    text: Text


# ---- the tensor stream: the header's number counts the frames of the stream


class Open(Message, type=0x20):
    """Opens a transfer of `length` bytes to `start` of an input, in blocks of `block` bytes."""

    transfer: U16
    flags: U16
    input: U16
    reserved: U16
    start: U32
    length: U32
    block: U32
    crc: U32


class Data(Message, type=0x21):
    """A block; `offset` counts from the transfer's start and is a multiple of its block size."""

    transfer: U16
    reserved: U16
    offset: U32
    data: Rest


class Probe(Message, type=0x22):
    """Asks for an Ack and nothing else."""


class Ack(Message, type=0x60):
    """What has arrived: all blocks below `base`, and block base + 1 + i if bit i of `mask` is set.

    The header's number is the highest stream frame seen; as lines keep order, a frame numbered at or below it
    that is not shown here is lost.
    """

    transfer: U16
    status: U8
    reserved: U8
    base: U32
    mask: U64


# ---- the sample stream


class SamplesAck(Message, type=0x23):
    """All samples below `next` have arrived."""

    run: U16
    flags: U16
    next: U32


class Samples(Message, type=0x61):
    """Samples from `first` on, 8 bytes of ticks each, and where the run is."""

    run: U16
    state: U8
    error: U8
    first: U32
    ticks: Rest


HOST_MESSAGES = tuple(kind for kind in BY_TYPE.values() if not kind.TYPE & FROM_DEVICE)
DEVICE_MESSAGES = tuple(kind for kind in BY_TYPE.values() if kind.TYPE & FROM_DEVICE)

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
