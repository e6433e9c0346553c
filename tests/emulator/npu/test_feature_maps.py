"""Feature maps in memory: layouts, tiles, strides and the edges of a region."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.emulator.npu import feature_maps
from harness.emulator.npu.memory import NpuMemory
from harness.models.npu.accelerator import U55_64
from harness.models.npu.faults import NpuFault
from harness.models.npu.operations import FeatureMap

SIZE = 1 << 15


def _memory() -> NpuMemory:
    return NpuMemory.for_accelerator(U55_64, {0: np.zeros(64, np.uint8), 1: np.zeros(SIZE, np.uint8)})


def _address(fm: FeatureMap, y: int, x: int, c: int) -> int:
    """The address of an element, one by one, as the registers define it."""
    tile = 0
    if x >= fm.width0:
        x, tile = x - fm.width0, 1
    edge = fm.height1 if tile else fm.height0
    if y >= edge:
        y, tile = y - edge, tile + 2
    size = fm.bits // 8
    if fm.blocked:
        return fm.bases[tile] + y * fm.stride_y + c // 16 * fm.stride_c + (x * 16 + c % 16) * size
    return fm.bases[tile] + y * fm.stride_y + x * fm.stride_x + c * size


@st.composite
def maps(draw: st.DrawFn) -> FeatureMap:
    height, width, depth = (draw(st.integers(1, n)) for n in (6, 6, 40))
    bits, blocked = draw(st.sampled_from([8, 16, 32])), draw(st.booleans())
    size = bits // 8
    bricks = -(-depth // 16)
    stride_x = 16 * size if blocked else depth * size
    stride_c = width * 16 * size if blocked else 0
    stride_y = bricks * stride_c if blocked else width * stride_x
    split_y, split_x = draw(st.integers(1, height + 1)), draw(st.integers(1, width + 1))
    quarter = SIZE // 4
    return FeatureMap(
        "IFM", 1, (0, quarter, 2 * quarter, 3 * quarter), split_y, draw(st.integers(1, height + 1)), split_x,
        height, width, depth, stride_y, stride_x, stride_c, bits, draw(st.booleans()), blocked, 0,
    )  # fmt: skip


@given(maps(), st.integers(0, 2**32 - 1))
def test_every_element_lies_where_its_registers_say(fm: FeatureMap, seed: int) -> None:
    memory = _memory()
    low, high = fm.limits
    values = np.random.default_rng(seed).integers(low, high + 1, fm.shape)
    feature_maps.write(memory, fm, values)
    assert np.array_equal(feature_maps.read(memory, fm), values)
    for y, x, c in [
        (0, 0, 0),
        (fm.height - 1, fm.width - 1, fm.depth - 1),
        (fm.height // 2, fm.width // 2, fm.depth // 2),
    ]:
        start = _address(fm, y, x, c)
        data = memory.regions[1][start : start + fm.bits // 8].tobytes()
        assert int.from_bytes(data, "little", signed=fm.signed) == values[y, x, c]


def _plain(base: int, region: int = 1, stride_y: int = 16) -> FeatureMap:
    return FeatureMap(
        "OFM", region, (base, 0, 0, 0), 4, 4, 4, 4, 4, 4, stride_y, 4, 0, 8, True, False, 0
    )  # fmt: skip


def test_a_map_may_run_backwards() -> None:
    memory = _memory()
    values = np.arange(64).reshape(4, 4, 4)
    feature_maps.write(memory, _plain(48, stride_y=-16), values)
    assert memory.regions[1][:64].reshape(4, 4, 4).tolist() == values[::-1].tolist()


@pytest.mark.parametrize("base", [SIZE - 63, (1 << 39)])
def test_a_map_outside_its_region_faults_with_its_registers(base: int) -> None:
    with pytest.raises(NpuFault, match="outside region 1") as fault:
        feature_maps.read(_memory(), _plain(base))
    assert fault.value.registers == {"OFM_REGION": 1, "OFM_BASE0": base}


def test_constants_cannot_be_written() -> None:
    with pytest.raises(NpuFault, match="read-only"):
        feature_maps.write(_memory(), _plain(0, region=0), np.zeros((4, 4, 4), int))


def test_a_region_without_memory_faults() -> None:
    with pytest.raises(NpuFault, match="region 5 has no memory"):
        feature_maps.read(_memory(), _plain(0, region=5))
