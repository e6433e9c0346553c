"""Costing a command stream: which memory an access is charged to, and who waits for whom."""

from __future__ import annotations

import pytest

from harness import boards
from harness.errors import HarnessError
from harness.models.npu import cycles, stream
from harness.models.npu.accelerator import U55_64
from harness.models.npu.state import decoded, operations

_DMA0_SRC_REGION, _DMA0_DST_REGION, _DMA_START, _STOP = 0x130, 0x131, 0x010, 0x000
_DMA0_SRC, _DMA0_DST, _DMA0_LEN = 0x030, 0x031, 0x032


def settings() -> dict[str, dict[str, str]]:
    vela = boards.load("we2").vela
    assert vela is not None
    return vela.settings()


def copies(*regions: tuple[int, int], length: int = 1024) -> list[cycles.Cost]:
    """Cost copies of `length` bytes, each from a region to another."""
    words: list[int] = []
    for source, target in regions:
        words += [_DMA0_SRC_REGION | source << 16, _DMA0_DST_REGION | target << 16]
        for register, value in ((_DMA0_SRC, 0), (_DMA0_DST, 0), (_DMA0_LEN, length)):
            words += [register | 0x4000, value]
        words.append(_DMA_START)
    found = decoded(operations(stream.decode([*words, _STOP])))
    return cycles.estimate(found, U55_64, cycles.memories(settings()))


def test_a_copy_takes_as_long_as_the_slower_of_its_memories() -> None:
    (from_flash,) = copies((cycles.READ_ONLY_REGION, 1))
    (within_sram,) = copies((1, 1))
    # 8 bytes a cycle at the core's clock; flash at a 64th of it, after 64 cycles of latency
    assert from_flash.cycles == 1024 / (8 * 0.015625) + 64
    assert within_sram.cycles == 1024 / 8 + 16


def test_copies_follow_one_another() -> None:
    first, second = copies((0, 1), (1, 1))
    assert second.start == first.end
    assert cycles.total([first, second]) == first.cycles + second.cycles


def test_nothing_takes_no_time() -> None:
    assert cycles.total([]) == 0


def test_a_memory_that_is_not_described_is_named() -> None:
    wrong = {section: dict(values) for section, values in settings().items()}
    system = next(values for section, values in wrong.items() if section.startswith("System_Config."))
    del system["OffChipFlash_clock_scale"]
    with pytest.raises(HarnessError, match="put OffChipFlash on Axi1 but do not describe it"):
        cycles.memories(wrong)
