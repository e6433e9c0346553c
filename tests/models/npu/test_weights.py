"""Weight streams: the hardware's order, and streams that are damaged."""

from __future__ import annotations

import numpy as np
import pytest
from ethosu import mlw_codec
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.models.npu.accelerator import ACCELERATORS, Accelerator
from harness.models.npu.faults import NpuFault
from harness.models.npu.weights import Volume, WeightCache, decode_stream, decode_volume, scale_records

VOLUMES = st.builds(
    Volume,
    outputs=st.integers(1, 40),
    height=st.integers(1, 11),
    width=st.integers(1, 11),
    inputs=st.integers(1, 70),
    dilation_y=st.integers(1, 2),
    dilation_x=st.integers(1, 2),
    block_depth=st.sampled_from([8, 16, 24, 32, 128]),
    input_bits=st.sampled_from([8, 16]),
    depthwise=st.booleans(),
    part_kernel_first=st.booleans(),
)


def _legal(volume: Volume) -> Volume:
    if volume.depthwise:
        return Volume(**{**vars(volume), "inputs": 1, "part_kernel_first": False})
    return volume


def _encoded(weights: np.ndarray, volume: Volume, npu: Accelerator) -> bytes:
    """Encode with the wheel's encoder, which brings its own idea of the order."""
    stream, _ = mlw_codec.reorder_encode(
        npu.ifm_ublock[2],
        npu.ofm_ublock[2],
        weights,
        volume.block_depth,
        volume.depthwise,
        volume.part_kernel_first,
        volume.input_bits,
        8 // volume.dilation_y,
        8 // volume.dilation_x,
    )
    return bytes(stream)


@settings(max_examples=60)
@given(
    VOLUMES.map(_legal),
    st.sampled_from(sorted(ACCELERATORS)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 20, 255]),
)
def test_a_volume_decodes_to_what_the_encoder_was_given(
    volume: Volume, npu: str, seed: int, largest: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (volume.outputs, volume.height, volume.width, volume.inputs)
    weights = rng.integers(-largest, largest + 1, shape).astype(np.int16)
    stream = _encoded(weights, volume, ACCELERATORS[npu])
    assert np.array_equal(decode_volume(stream, volume, ACCELERATORS[npu]), weights)


@settings(max_examples=200)
@given(st.binary(max_size=120), st.integers(1, 2000))
def test_any_bytes_decode_or_fault(data: bytes, expected: int) -> None:
    try:
        weights = decode_stream(data, expected)
    except NpuFault:
        return
    assert weights.size == expected
    assert np.abs(weights).max() <= 255


@settings(max_examples=60)
@given(st.integers(1, 400), st.integers(0, 2**32 - 1), st.data())
def test_a_truncated_stream_faults(count: int, seed: int, data: st.DataObject) -> None:
    weights = np.random.default_rng(seed).integers(-127, 128, count)
    stream = bytes(mlw_codec.encode(weights.tolist()))
    cut = data.draw(st.integers(0, len(stream) - 1))
    padding = len(stream) - len(stream.rstrip(b"\xff"))
    if cut >= len(stream) - padding:
        return  # only end-of-stream marks were cut off
    with pytest.raises(NpuFault):
        decode_stream(stream[:cut], count)


def test_a_stream_with_more_weights_than_the_operation_takes_faults() -> None:
    stream = bytes(mlw_codec.encode([1, -2, 3] * 50))
    with pytest.raises(NpuFault, match="more than the 100 weights"):
        decode_stream(stream, 100)


def test_scale_records_hold_a_signed_40_bit_bias_a_scale_and_a_shift() -> None:
    record = (
        (-(1 << 39) & (1 << 40) - 1).to_bytes(5, "little")
        + (0xFFFFFFFF).to_bytes(4, "little")
        + bytes([0xFF])
    )
    bias, scale, shift = scale_records(np.frombuffer(record + bytes(6), np.uint8), 1)
    assert (int(bias[0]), int(scale[0]), int(shift[0])) == (-(1 << 39), 0xFFFFFFFF, 63)
    with pytest.raises(NpuFault, match="2 channels take 20"):
        scale_records(np.frombuffer(record, np.uint8), 2)


def test_the_cache_keeps_what_was_used_last_within_its_limit() -> None:
    npu = ACCELERATORS["ethos-u55-64"]
    volume = Volume(8, 1, 1, 8, 1, 1, 8, 8, False, False)
    cache = WeightCache(limit_bytes=200)
    streams = [_encoded(np.full((8, 1, 1, 8), value, np.int16), volume, npu) for value in (1, 2, 3)]
    first = cache.volume(streams[0], volume, npu)
    assert cache.volume(streams[0], volume, npu) is first
    for stream in streams[1:]:
        cache.volume(stream, volume, npu)
    again = cache.volume(streams[0], volume, npu)
    assert again is not first
    assert np.array_equal(again, first)
