"""Weight streams and the records of bias and scale that go with them.

The order in which the weights of a volume are streamed is that of the hardware's loop nest; it is stated
here as index arithmetic over whole blocks at once. Two things depend on the accelerator: how many output
and input channels a micro-block holds.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from ethosu import mlw_codec
from numpy.typing import NDArray

from harness.models.npu.accelerator import Accelerator
from harness.models.npu.faults import NpuFault

SUBKERNEL = 8
RECORD_BYTES = 10
WEIGHT_LIMIT = 255

_UNIT_BITS = 12
_MAX_CODED = 512
_POPCOUNT = [bin(value).count("1") for value in range(1 << _UNIT_BITS)]


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


def _steps(stop: int, step: int) -> range:
    return range(0, stop, step)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _subkernel_elements(volume: Volume, height: int, width: int) -> int:
    elements = height * width
    if volume.depthwise:
        return _round_up(elements, 4)
    if volume.part_kernel_first:
        return _round_up(elements, 2 if volume.input_bits == 16 else 4)
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
    for output in _steps(volume.outputs, volume.block_depth):
        depth = min(volume.block_depth, volume.outputs - output)
        ofm_blocks = np.arange(0, depth, output_ublock)
        for source in _steps(1 if volume.depthwise else volume.inputs, input_block):
            if volume.depthwise:
                blocks = np.zeros(1, np.int64)
            else:
                left = min(input_block, volume.inputs - source) if part_kernel else input_block
                blocks = np.arange(0, left, input_ublock)
            outer, inside = (
                (blocks, np.zeros(1, np.int64)) if part_kernel else (np.zeros(1, np.int64), blocks)
            )
            for top in _steps(volume.height, step_y):
                for start in _steps(volume.width, step_x):
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
    """Walk a weight stream and raise NpuFault where the codec would run past its end or its limits.

    The codec trusts its input: it ends the process on an underrun. Only as much is parsed here as tells
    where the next field is; `limit` is how many weights there may be.
    """
    bits = len(data) * 8
    padded = data + bytes(16)
    position = total = 0
    weight_bits = palette = run_bits = 0
    first = True

    def take(count: int) -> int:
        nonlocal position
        if position + count > bits:
            raise NpuFault(f"the weight stream of {len(data)} bytes ends inside a slice")
        at = position >> 3
        value = int.from_bytes(padded[at : at + 4], "little") >> (position & 7) & (1 << count) - 1
        position += count
        return value

    while True:
        run_bits = take(3)
        while run_bits == 7:
            position = _round_up(position, 8)
            first = True
            if position == bits:
                return
            run_bits = take(3)
        if position >> 3 == len(data):
            return
        if run_bits in (4, 5):
            raise NpuFault("the weight stream has a reserved zero-run code")
        runs = run_bits != 6
        count = take(15) + 1
        division, truncated, fresh = take(3), take(1), take(1)
        if first and not fresh:
            raise NpuFault("the weight stream's first slice has no palette")
        first = False
        if fresh:
            take(5)
            palette = take(5)
            palette += palette > 0
            weight_bits = take(3) + 2
            for _ in range(palette):
                take(weight_bits)
        plain = division == 7
        if plain:
            division = (palette - 1).bit_length() if palette else weight_bits
        elif division > 5:
            raise NpuFault("the weight stream has a reserved weight code")
        total += count
        if total > limit:
            raise NpuFault(f"the weight stream holds more than the {limit} weights of the operation")
        total += _check_slice(
            take, count, count + fresh, division, plain, bool(truncated), runs, run_bits, limit
        )
        if total > limit:
            raise NpuFault(f"the weight stream holds more than the {limit} weights of the operation")


def _check_slice(
    take: Any,
    count: int,
    run_count: int,
    division: int,
    plain: bool,
    truncated: bool,
    runs: bool,
    run_bits: int,
    limit: int,
) -> int:
    """Walk the chunks of one slice; returns the zeros that its runs are sure to hold."""
    symbols = 8 if plain and division > 5 else _UNIT_BITS
    mask = (1 << symbols) - 1
    run_length = _UNIT_BITS if run_bits < 3 else 8
    weights = zeros = weights_read = zeros_read = pending = run_pending = 0
    carried = long_symbols = 0
    while True:
        balance = weights - zeros if runs else 0
        weights_on = (balance < 8 or not runs) and weights < count
        zeros_on = balance >= 0 and runs and zeros < run_count
        unary = take(_UNIT_BITS) if weights_on and not plain else 0
        new_runs = 0
        if zeros_on:
            ones = _POPCOUNT[take(run_length)]
            new_runs = run_length - ones
            carried += ones << run_bits
            if carried > limit:
                raise NpuFault("the weight stream's runs of zeros exceed the operation's weights")
            zeros += new_runs
        new_weights = 0
        if weights_on:
            long = _POPCOUNT[unary & mask]
            second = _POPCOUNT[take(long)]
            new_weights = symbols if truncated else symbols - second
            long_symbols = long_symbols + 1 if not new_weights else 0
            if long_symbols * 2 * _UNIT_BITS > _MAX_CODED:
                raise NpuFault("the weight stream codes a value beyond 9 bits")
            weights += new_weights
        for _ in range(min(pending, count - weights_read)):
            take(division)
        weights_read = min(count, weights_read + pending)
        for _ in range(min(run_pending, run_count - zeros_read)):
            carried += take(run_bits)
        zeros_read = min(run_count, zeros_read + run_pending)
        pending, run_pending = new_weights, new_runs
        if not weights_on and not zeros_on:
            return carried


def decode_stream(data: bytes, expected: int) -> NDArray[np.int16]:
    """Decode one weight stream that must hold `expected` weights.

    Raises NpuFault where it is truncated, malformed, or holds fewer or more.
    """
    _check_stream(data, expected)
    weights = np.array(mlw_codec.decode(bytearray(data)), np.int64)
    if weights.size != expected:
        raise NpuFault(f"the weight stream holds {weights.size} weights; the operation takes {expected}")
    if weights.size and np.abs(weights).max() > WEIGHT_LIMIT:
        raise NpuFault("the weight stream holds values beyond 9 bits")
    return weights.astype(np.int16)


class WeightCache:
    """Decoded weights by content, least recently used first out, so that an inference decodes nothing."""

    def __init__(self, limit_bytes: int = 64 << 20) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._entries: OrderedDict[tuple[bytes, Volume, str], NDArray[np.int16]] = OrderedDict()

    def volume(self, data: bytes, volume: Volume, accelerator: Accelerator) -> NDArray[np.int16]:
        """Return the weights of a stream as (outputs, height, width, inputs), 9-bit values."""
        key = (blake2b(data, digest_size=16).digest(), volume, accelerator.name)
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        weights = decode_volume(data, volume, accelerator)
        self._entries[key] = weights
        self._held += weights.nbytes
        while self._held > self._limit and len(self._entries) > 1:
            self._held -= self._entries.popitem(last=False)[1].nbytes
        return weights


def decode_volume(data: bytes, volume: Volume, accelerator: Accelerator) -> NDArray[np.int16]:
    """Decode a stream and put its weights back into (outputs, height, width, inputs)."""
    order, expected = _order(volume, accelerator.ofm_ublock[2], accelerator.ifm_ublock[2])
    stream = decode_stream(data, expected)
    flat = np.zeros(volume.outputs * volume.height * volume.width * volume.inputs, np.int16)
    valid = order >= 0
    flat[order[valid]] = stream[valid]
    flat.setflags(write=False)
    return flat.reshape(volume.outputs, volume.height, volume.width, volume.inputs)


def scale_records(data: NDArray[np.uint8], channels: int) -> tuple[NDArray[np.int64], ...]:
    """Read bias (40 bits, signed), scale (32 bits) and shift (6 bits) of each channel.

    Raises NpuFault where the bytes do not hold that many records of 10 bytes.
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
