"""Decoding a command stream: commands, registers, and what is wrong with a stream."""

from __future__ import annotations

import pytest

from harness.models.npu import state, stream
from harness.models.npu.faults import NpuFault
from harness.models.npu.operations import Kernel
from harness.models.npu.state import decoded, operations


def _words(*commands: tuple[int, int] | tuple[int, int, int]) -> list[int]:
    """Assemble (code, parameter) and (code, parameter, payload)."""
    words: list[int] = []
    for code, parameter, *payload in commands:
        words += [code | (0x4000 if payload else 0) | parameter << 16, *payload]
    return words


def test_commands_carry_a_parameter_or_a_payload_below_it() -> None:
    decoded = stream.decode(_words((0x10F, 3), (0x000, 0x12, 0x34567890), (0x000, 0xFFFF)))
    assert [(c.name, c.value) for c in decoded] == [
        ("IFM_REGION", 3),
        ("IFM_BASE0", 0x12_3456_7890),
        ("STOP", 0xFFFF),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([0x3FF], "unknown command 0x000003ff at word 0"),
        ([0x8000], "unknown command"),
        (_words((0x10F, 0)), "no STOP in its 1 words"),
        ([0x4000], "ends inside IFM_BASE0 at word 0"),
    ],
)
def test_a_stream_that_is_none_faults(words: list[int], message: str) -> None:
    with pytest.raises(NpuFault, match=message):
        stream.decode(words)


def test_a_register_that_was_never_set_is_named() -> None:
    with pytest.raises(NpuFault, match="operation 0: register OFM_PRECISION was never set"):
        decoded(operations(stream.decode(_words((0x002, 0), (0x000, 0)))))


def test_a_second_core_is_refused() -> None:
    with pytest.raises(NpuFault, match="two cores"):
        operations(stream.decode(_words((0x123, 1), (0x000, 0))))


_KERNEL = {"KERNEL_STRIDE": 0, "IFM_UPSCALE": 0} | {
    f"IFM_PAD_{side}": 0 for side in ("TOP", "LEFT", "BOTTOM", "RIGHT")
}


@pytest.mark.parametrize(
    ("kind", "height", "width", "most"),
    [
        ("POOL", 256, 256, "256 rows and 65,536 elements"),
        ("POOL", 1, 65536, "256 rows and 65,536 elements"),
        ("CONV", 64, 64, "64 rows and 4,096 elements"),
        ("DEPTHWISE", 1, 4096, "64 rows and 4,096 elements"),
    ],
)
def test_a_kernel_may_be_as_large_as_vela_says_the_hardware_takes(
    kind: str, height: int, width: int, most: str
) -> None:
    def kernel(rows: int, columns: int) -> Kernel:
        registers = {**_KERNEL, "KERNEL_HEIGHT_M1": rows - 1, "KERNEL_WIDTH_M1": columns - 1}
        return state._kernel(state._Reader(registers), kind)

    found = kernel(height, width)
    assert (found.height, found.width) == (height, width)
    for rows, columns in ((height + 1, width), (height, width + 1)):
        with pytest.raises(NpuFault, match=f"{kind} kernel of {rows}x{columns}; it may have {most}"):
            kernel(rows, columns)
