"""Weight streams and the records of bias and scale that go with them.

The order in which the weights of a volume are streamed is that of the hardware's loop nest; it is stated
here as index arithmetic over whole blocks at once. Two things depend on the accelerator: how many output
and input channels a micro-block holds.
"""

from __future__ import annotations

import math
from array import array
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from harness import extras
from harness.models.cost import whole
from harness.models.npu.accelerator import Accelerator
from harness.models.npu.faults import NpuFault
from harness.models.npu.operations import BlockOperation

SUBKERNEL = 8
RECORD_BYTES = 10
WEIGHT_LIMIT = 255
MOST_WEIGHTS = 1 << 24
"""More than any operation has that fits a board's memories."""

_UNIT_BITS = 12
_MAX_CODED = 512
# The fields of one chunk: 12 weights of up to 9 bits, 12 runs of up to 3, three unary words.
_CHUNK_BYTES = 32


def _field_sums(bits: int) -> list[int]:
    """Return, for each value of 12 bits, the sum of its fields of `bits` bits."""
    mask = (1 << bits) - 1
    return [sum(v >> at & mask for at in range(0, _UNIT_BITS, bits)) for v in range(1 << _UNIT_BITS)]


_SUMS = {bits: _field_sums(bits) for bits in (1, 2, 3)}
_POPCOUNT = _SUMS[1]


@dataclass(frozen=True)
class Volume:
    """What decides the streaming order: shape of the weights and how they are traversed.

    `inputs` is 1 for a depthwise volume. `block_depth` is the depth of the output block.
    """

    outputs: int
    height: int
    width: int
    inputs: int
    dilation_y: int
    dilation_x: int
    block_depth: int
    input_bits: int
    depthwise: bool
    part_kernel_first: bool

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Outputs, height, width, inputs."""
        return self.outputs, self.height, self.width, self.inputs

    @property
    def size(self) -> int:
        """How many weights it has."""
        return math.prod(self.shape)


def volume_of(op: BlockOperation) -> Volume:
    """Return the volume that a convolution, depthwise or not, streams its weights from."""
    kernel = op.kernel
    depthwise = op.operation.kind == "DEPTHWISE"
    return Volume(
        outputs=op.ofm.depth,
        height=kernel.height,
        width=kernel.width,
        inputs=1 if depthwise else op.ifm.depth,
        dilation_y=kernel.dilation_y,
        dilation_x=kernel.dilation_x,
        block_depth=op.block.depth,
        input_bits=op.ifm.bits,
        depthwise=depthwise,
        part_kernel_first=kernel.part_kernel_first and not depthwise,
    )


def _subkernel_elements(volume: Volume, height: int, width: int) -> int:
    elements = height * width
    if volume.depthwise:
        return whole(elements, 4)
    if volume.part_kernel_first:
        return whole(elements, 2 if volume.input_bits == 16 else 4)
    return elements


@lru_cache(maxsize=8)
def _order(volume: Volume, output_ublock: int, input_ublock: int) -> tuple[NDArray[np.int32], int]:
    """Return for every streamed weight its flat index in (outputs, height, width, inputs), -1 for padding.

    The second value is how many weights the stream has.
    """
    part_kernel = volume.part_kernel_first
    input_block = 16 if part_kernel or volume.input_bits == 16 else 32
    step_y, step_x = SUBKERNEL // volume.dilation_y, SUBKERNEL // volume.dilation_x
    chunks: list[NDArray[np.int32]] = []
    inner = np.arange(1 if volume.depthwise else input_ublock)
    lane = np.arange(output_ublock)
    for output in range(0, volume.outputs, volume.block_depth):
        depth = min(volume.block_depth, volume.outputs - output)
        ofm_blocks = np.arange(0, depth, output_ublock)
        for source in range(0, 1 if volume.depthwise else volume.inputs, input_block):
            if volume.depthwise:
                blocks = np.zeros(1, np.int64)
            else:
                left = min(input_block, volume.inputs - source) if part_kernel else input_block
                blocks = np.arange(0, left, input_ublock)
            outer, inside = (
                (blocks, np.zeros(1, np.int64)) if part_kernel else (np.zeros(1, np.int64), blocks)
            )
            for top in range(0, volume.height, step_y):
                for start in range(0, volume.width, step_x):
                    height = min(step_y, volume.height - top)
                    width = min(step_x, volume.width - start)
                    element = np.arange(_subkernel_elements(volume, height, width))
                    # Axes: outer input block, output micro-block, kernel element, inner input block,
                    # output lane, input lane.
                    o = output + ofm_blocks[None, :, None, None, None, None] + lane[:, None]
                    i = source + outer[:, None, None, None, None, None] + inside[:, None, None] + inner
                    y = (element // width)[:, None, None, None]
                    x = (element % width)[:, None, None, None]
                    flat = ((o * volume.height + top + y) * volume.width + start + x) * volume.inputs + i
                    valid = (o < volume.outputs) & (i < volume.inputs) & (y < height)
                    chunks.append(np.where(valid, flat, -1).astype(np.int32).ravel())
    order = np.concatenate(chunks)
    order.setflags(write=False)
    return order, order.size


def _check_stream(data: bytes, limit: int) -> None:
    """Walk a weight stream and raise NpuFault if the codec would run past its end or its limits.

    The codec trusts its input: it ends the process on an underrun. Only as much is parsed here as tells
    where the next field is; `limit` is how many weights there may be.
    """
    bits = _Bits(data)
    plain_bits = None
    total = 0
    while True:
        run_bits = bits.take(3)
        while run_bits == 7:
            bits.position = whole(bits.position, 8)
            plain_bits = None
            if bits.position == bits.end:
                return
            run_bits = bits.take(3)
        if bits.position == bits.end:
            return
        head, plain_bits = _slice_at(bits, run_bits, plain_bits)
        total += head.weights
        if total <= limit:
            bits.position, zeros = _walk_slice(data, bits.words, bits.position, head, limit)
            total += zeros
        if total > limit:
            raise NpuFault(f"the weight stream holds more than the {limit} weights of the operation")


class _Bits:
    """The bits of a weight stream, taken one after another."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.words = _words_at(data)
        self.position = 0
        self.end = len(data) * 8

    def take(self, count: int) -> int:
        """Return the next `count` bits as a number; raises NpuFault at the end."""
        if self.position + count > self.end:
            raise _ends_inside(self.data)
        value = self.words[self.position >> 3] >> (self.position & 7) & (1 << count) - 1
        self.position += count
        return value


def _slice_at(bits: _Bits, run_bits: int, plain_bits: int | None) -> tuple[_Slice, int]:
    """Read the head of a slice, and return it with how many bits an uncompressed weight has from there on.

    `plain_bits` is what the slice before left of these, None if there is none before. Raises NpuFault for
    reserved codes.
    """
    if run_bits in (4, 5):
        raise NpuFault("the weight stream has a reserved zero-run code")
    count = bits.take(15) + 1
    division, truncated, fresh = bits.take(3), bits.take(1), bits.take(1)
    if fresh:
        plain_bits = _palette(bits)
    elif plain_bits is None:
        raise NpuFault("the weight stream's first slice has no palette")
    plain = division == 7
    if plain:
        division = plain_bits
    elif division > 5:
        raise NpuFault("the weight stream has a reserved weight code")
    return _Slice(count, count + fresh, division, plain, bool(truncated), run_bits), plain_bits


def _palette(bits: _Bits) -> int:
    """Read a palette and return how many bits an uncompressed weight has by it."""
    bits.take(5)
    size = bits.take(5)
    size += size > 0
    weight_bits = bits.take(3) + 2
    for _ in range(size):
        bits.take(weight_bits)
    return (size - 1).bit_length() if size else weight_bits


def _ends_inside(data: bytes) -> NpuFault:
    return NpuFault(f"the weight stream of {len(data)} bytes ends inside a slice")


def _words_at(data: bytes) -> list[int]:
    """Return the 32-bit word that starts at each byte, with zeros behind the end for one chunk's fields."""
    padded = np.frombuffer(data + bytes(_CHUNK_BYTES + 3), np.uint8).astype(np.uint32)
    count = len(data) + _CHUNK_BYTES
    words = padded[:count].copy()
    for byte in (1, 2, 3):
        words |= padded[byte : byte + count] << np.uint32(8 * byte)
    found: list[int] = words.tolist()
    return found


@dataclass(frozen=True)
class _Slice:
    """Head of a slice: how many weights and runs of zeros, and how they are coded; 6 run bits: no runs."""

    weights: int
    runs: int
    division: int
    plain: bool
    truncated: bool
    run_bits: int


def _walk_slice(data: bytes, words: list[int], position: int, head: _Slice, limit: int) -> tuple[int, int]:
    """Walk the chunks of the slice at bit `position`; returns where it ends and its count of zeros."""
    bits = len(data) * 8
    count, run_count, division, plain = head.weights, head.runs, head.division, head.plain
    truncated, run_bits = head.truncated, head.run_bits
    runs = run_bits != 6
    symbols = 8 if plain and division > 5 else _UNIT_BITS
    mask = (1 << symbols) - 1
    run_length = _UNIT_BITS if run_bits < 3 else 8
    run_mask = (1 << run_length) - 1
    weights = zeros = weights_read = zeros_read = pending = run_pending = 0
    carried = long_symbols = 0
    while True:
        balance = weights - zeros if runs else 0
        weights_on = weights < count and (balance < 8 or not runs)
        zeros_on = runs and zeros < run_count and balance >= 0
        unary = 0
        if weights_on and not plain:
            unary = words[position >> 3] >> (position & 7)
            position += _UNIT_BITS
        new_runs = 0
        if zeros_on:
            ones = _POPCOUNT[words[position >> 3] >> (position & 7) & run_mask]
            position += run_length
            new_runs = run_length - ones
            carried += ones << run_bits
            if carried > limit:
                raise NpuFault("the weight stream's runs of zeros exceed the operation's weights")
            zeros += new_runs
        new_weights = 0
        if weights_on:
            new_weights = symbols
            long = _POPCOUNT[unary & mask]
            if long:
                if not truncated:
                    new_weights -= _POPCOUNT[words[position >> 3] >> (position & 7) & (1 << long) - 1]
                position += long
            long_symbols = 0 if new_weights else long_symbols + 1
            if long_symbols * 2 * _UNIT_BITS > _MAX_CODED:
                raise NpuFault("the weight stream codes a value beyond 9 bits")
            weights += new_weights
        fields = min(pending, count - weights_read)
        weights_read += fields
        position += fields * division
        if run_pending:
            fields = min(run_pending, run_count - zeros_read)
            zeros_read += fields
            end = position + fields * run_bits
            carried += _sum_of_runs(words, position, end, run_bits)
            position = end
        if position > bits:
            raise _ends_inside(data)
        pending, run_pending = new_weights, new_runs
        if not weights_on and not zeros_on:
            return position, carried


def _sum_of_runs(words: list[int], position: int, end: int, run_bits: int) -> int:
    """Return what the fields of runs from one bit to another sum up to, but for their long parts."""
    sums = _SUMS.get(run_bits, _POPCOUNT)
    total = 0
    for at in range(position, end, _UNIT_BITS):
        size = min(end - at, _UNIT_BITS)
        total += sums[words[at >> 3] >> (at & 7) & (1 << size) - 1]
    return total


def decode_stream(data: bytes, expected: int) -> NDArray[np.int16]:
    """Decode one weight stream that must hold `expected` weights.

    Raises NpuFault if it is truncated, malformed, or holds fewer or more.
    """
    _check_stream(data, expected)
    extras.need("ethosu", "running what is compiled for an NPU")
    from ethosu import mlw_codec

    weights = np.array(array("h", mlw_codec.decode(bytearray(data))), np.int16)
    if weights.size != expected:
        raise NpuFault(f"the weight stream holds {weights.size} weights; the operation takes {expected}")
    if weights.size and np.abs(weights).max() > WEIGHT_LIMIT:
        raise NpuFault("the weight stream holds values beyond 9 bits")
    return weights


@dataclass(frozen=True)
class WeightsKey:
    """What decides decoded weights: a digest of their stream, their volume, the accelerator's name."""

    digest: str
    volume: Volume
    accelerator: str


def key_of(data: bytes, volume: Volume, accelerator: Accelerator) -> WeightsKey:
    """Return the key of a weight stream."""
    return WeightsKey(blake2b(data, digest_size=16).hexdigest(), volume, accelerator.name)


class WeightCache:
    """Decoded weights by content, least recently used first out, so that an inference decodes nothing."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._entries: OrderedDict[WeightsKey, NDArray[np.int16]] = OrderedDict()

    def add(self, key: WeightsKey, weights: NDArray[np.int16]) -> None:
        """Hold decoded weights (outputs, height, width, inputs)."""
        self._entries[key] = weights
        self._held += weights.nbytes
        while self._held > self._limit and len(self._entries) > 1:
            self._held -= self._entries.popitem(last=False)[1].nbytes

    def volume(self, data: bytes, volume: Volume, accelerator: Accelerator) -> NDArray[np.int16]:
        """Return the weights of a stream as (outputs, height, width, inputs), 9-bit values.

        Raises NpuFault if they are not held and the stream cannot be decoded.
        """
        key = key_of(data, volume, accelerator)
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        weights = decode_volume(data, volume, accelerator)
        self.add(key, weights)
        return weights


def decode_volume(data: bytes, volume: Volume, accelerator: Accelerator) -> NDArray[np.int16]:
    """Decode a stream and put its weights back into (outputs, height, width, inputs)."""
    order, expected = _order(volume, accelerator.ofm_ublock[2], accelerator.ifm_ublock[2])
    stream = decode_stream(data, expected)
    flat = np.zeros(volume.size, np.int16)
    valid = order >= 0
    flat[order[valid]] = stream[valid]
    flat.setflags(write=False)
    return flat.reshape(volume.shape)


def scale_records(data: NDArray[np.uint8], channels: int) -> tuple[NDArray[np.int64], ...]:
    """Read bias (40 bits, signed), scale (32 bits) and shift (6 bits) of each channel.

    Raises NpuFault if the bytes do not hold that many records of 10 bytes.
    """
    if data.size < channels * RECORD_BYTES:
        raise NpuFault(
            f"{data.size} bytes of scale records; {channels} channels take {channels * RECORD_BYTES}"
        )
    records = data[: channels * RECORD_BYTES].reshape(channels, RECORD_BYTES).astype(np.int64)
    weight = np.int64(1) << (np.arange(5, dtype=np.int64) * 8)
    bias = records[:, :5] @ weight
    bias = np.where(bias >> 39 & 1, bias - (1 << 40), bias)
    scale = records[:, 5:9] @ weight[:4]
    return bias, scale, records[:, 9] & 0x3F
