"""How long an Ethos-U55 takes for a compiled model, computed from its register command stream alone.

For a compiled model that came without its source, and so without Vela's own estimate. The registers say
what each operation computes and in which blocks; the arithmetic of the engine gives the cycles:

- Convolutions work block by block of the output. A block has micro-blocks; one micro-block position takes
  4 cycles for 32 input channels of one kernel element (depth first), or 8 channels of 4 elements (part
  kernel first), or 4 elements of a depthwise kernel, but no step is shorter than decoding its weights.
- The output unit takes a fixed number of cycles an element. It works on one block while the engine works
  on the next, so the slower of the two counts, and the faster one once.
- Data moves at most at the bandwidth of its memory, beside the computing.

Figures of the variants are those of Vela's performance model (ethos-u-vela 5.2.0). What is left out are
latencies and short bursts; against Vela's totals see tests/models/test_npu_estimate.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from harness.models import ethosu
from harness.models.graph import Model
from harness.models.ops import ETHOS_U
from harness.models.tflite import ModelError

_BYTES_A_CYCLE = 16  # at clock scale 1, as Vela's cycles count it (its bandwidth column says half of it)
_READ_ONLY_REGION = 0  # the region of weights and biases in Vela's streams; the others are in the arena
_OPERATIONS = {"CONV", "DEPTHWISE", "POOL", "ELEMENTWISE"}


@dataclass(frozen=True)
class _Variant:
    """An Ethos-U55: micro-block of the output (height, width, depth), output cycles an element."""

    micro_block: tuple[int, int, int]
    plain: float
    multiply: float
    add: float
    maximum: float


_VARIANTS = {
    32: _Variant((1, 1, 4), plain=2.0, multiply=3.0, add=6.0, maximum=1.0),
    64: _Variant((1, 1, 8), plain=1.0, multiply=1.5, add=3.0, maximum=0.5),
    128: _Variant((1, 2, 8), plain=0.5, multiply=0.75, add=1.5, maximum=0.25),
    256: _Variant((2, 2, 8), plain=0.25, multiply=0.375, add=0.75, maximum=0.125),
}


@dataclass(frozen=True)
class NpuEstimate:
    """One `ethos-u` operator: cycles of the NPU's clock, multiply-accumulates, bytes read from flash."""

    subgraph: int
    index: int
    cycles: int
    macs: int
    flash_bytes: int


@dataclass(frozen=True)
class _Bandwidth:
    """Bytes a cycle from the memory of the constants, and from and to the arena's."""

    constants: float
    arena: float


def estimate(model: Model, settings: Mapping[str, Mapping[str, str]]) -> list[NpuEstimate]:
    """Return the estimate of each `ethos-u` operator of `model`, in order.

    `settings` are the sections of Vela's configuration file, for what the memories are worth.
    Raises ModelError for a damaged command stream or an NPU that is not an Ethos-U55.
    """
    bandwidth = _bandwidth(settings)
    payloads = {(p.subgraph, p.index): p for p in ethosu.payloads(model)}
    found = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator.custom_code != ETHOS_U:
                continue
            configuration = payloads[graph.index, operator.index].configuration
            variant = _VARIANTS.get(configuration.macs_per_cycle)
            if variant is None or not configuration.accelerator.startswith("ethos-u55-"):
                raise ModelError(
                    f"{model.name}: no estimate for {configuration.accelerator}, only for Ethos-U55"
                )
            words = ethosu.command_stream(model, graph, operator).tolist()
            try:
                cycles, macs, flash = _run(words, variant, bandwidth)
            except _BadStream as reason:
                raise ModelError(
                    f"{model.name}: operator {operator.index} (ethos-u): {reason}; "
                    "compile the model again with Vela"
                ) from None
            found.append(NpuEstimate(graph.index, operator.index, round(cycles), macs, flash))
    return found


def _bandwidth(settings: Mapping[str, Mapping[str, str]]) -> _Bandwidth:
    system, mode = (
        next(values for section, values in settings.items() if section.startswith(kind))
        for kind in ("System_Config.", "Memory_Mode.")
    )

    def of(area: str) -> float:
        memory = system[f"{mode[area].lower()}_port"]
        return float(system[f"{memory}_clock_scale"]) * _BYTES_A_CYCLE

    return _Bandwidth(constants=of("const_mem_area"), arena=of("arena_mem_area"))


class _BadStream(Exception):
    pass


class _Registers(dict[str, int]):
    def __missing__(self, name: str) -> int:
        raise _BadStream(f"its commands use {name} before it is set")

    def size(self, name: str) -> int:
        """Return the value of a register that holds one less than it means."""
        return (self[f"{name}_M1"] & 0xFFFF) + 1

    def long(self, name: str) -> int:
        """Return a length of a command with payload."""
        return self[name] & 0xFFFFFFFF


@cache
def _names(payload: bool) -> dict[int, str]:
    from ethosu.vela.ethos_u55_regs.ethos_u55_regs import cmd0, cmd1

    return {command.value: command.name for command in (cmd1 if payload else cmd0)}


def _run(words: Sequence[int], variant: _Variant, bandwidth: _Bandwidth) -> tuple[float, int, int]:
    """Follow the stream; return cycles, multiply-accumulates and bytes read from the constants' memory."""
    registers = _Registers()
    cycles, macs, flash = 0.0, 0, 0
    fetched = 0  # by DMA since the last operation, for the one that comes
    at = 0
    while at < len(words):
        payload = words[at] >> 14 & 3
        name = _names(bool(payload)).get(words[at] & 0x3FF)
        if name is None or payload > 1 or at + payload >= len(words):
            raise _BadStream(f"word {at} of its commands is no known command")
        if name.startswith("NPU_SET_"):
            # The value is the parameter, or the payload with the parameter above it (in addresses).
            value = words[at] >> 16
            registers[name.removeprefix("NPU_SET_")] = value << 32 | words[at + 1] if payload else value
        kind = name.removeprefix("NPU_OP_")
        if kind == "DMA_START" and registers["DMA0_SRC_REGION"] & 7 == _READ_ONLY_REGION:
            fetched += registers.long("DMA0_LEN")
        elif kind in _OPERATIONS:
            computing, done = _operation(kind, words[at] >> 16, registers, variant)
            if kind in ("CONV", "DEPTHWISE"):
                for part in ("WEIGHT", "SCALE"):
                    if registers[f"{part}_REGION"] & 7 == _READ_ONLY_REGION:
                        fetched += registers.long(f"{part}_LENGTH")
            moving = max(fetched / bandwidth.constants, _feature_map_bytes(registers) / bandwidth.arena)
            cycles += max(computing, moving)
            macs += done
            flash += fetched
            fetched = 0
        at += 1 + payload
    return cycles, macs, flash


def _operation(kind: str, mode: int, registers: _Registers, variant: _Variant) -> tuple[float, int]:
    """Return the cycles and multiply-accumulates of one block operation."""
    from ethosu.vela.ethos_u55_regs.ethos_u55_regs import elementwise_mode, pooling_mode

    height, width, depth = (registers.size(f"OFM_{axis}") for axis in ("HEIGHT", "WIDTH", "DEPTH"))
    elements = height * width * depth
    if kind == "ELEMENTWISE":
        slow = {elementwise_mode.MUL: variant.multiply}
        slow |= dict.fromkeys((elementwise_mode.ADD, elementwise_mode.SUB), variant.add)
        # Elements are written in bricks of 16 channels (or rows of them).
        return slow.get(mode, variant.plain) * height * width * math.ceil(depth / 16) * 16, 0
    block = [
        min(size, registers.size(f"OFM_BLK_{axis}"))
        for size, axis in ((height, "HEIGHT"), (width, "WIDTH"), (depth, "DEPTH"))
    ]
    blocks = math.prod(math.ceil(n / b) for n, b in zip((height, width, depth), block, strict=True))
    rows, columns, planes = (math.ceil(b / u) for b, u in zip(block, variant.micro_block, strict=True))
    positions = rows * columns
    stride = registers["KERNEL_STRIDE"]
    kernel_height = registers["KERNEL_HEIGHT_M1"] // ((stride >> 4 & 1) + 1) + 1
    kernel_width = registers["KERNEL_WIDTH_M1"] // ((stride >> 3 & 1) + 1) + 1
    kernel = kernel_height * kernel_width
    # Decoding a step's weights takes 32 cycles for the 8 channels of a micro-block.
    step = max(4 * positions, 4 * variant.micro_block[2]) * planes
    wide = 2 if registers["IFM_PRECISION"] >> 2 & 3 else 1  # 16-bit inputs
    channels = registers.size("IFM_DEPTH")
    output = variant.plain
    if kind == "DEPTHWISE":
        computing, macs = step * wide * math.ceil(kernel / 4), elements * kernel
    elif kind == "POOL" and mode != pooling_mode.REDUCE_SUM:
        computing, macs = max(4, kernel) * positions * planes * wide, elements * kernel
        output = variant.maximum if mode == pooling_mode.MAX else variant.plain
    elif stride >> 2 & 1:  # part kernel first
        computing = step * math.ceil(kernel * wide / 4) * math.ceil(channels / 8)
        macs = elements * kernel * channels
    else:
        computing = step * kernel * math.ceil(channels * wide / 32)
        macs = elements * kernel * channels
    writing = output * math.prod(block)
    return max(computing, writing) * blocks + min(computing, writing), macs


def _feature_map_bytes(registers: _Registers) -> int:
    """Return the bytes of the output and of about as much input, each once."""
    size = 1 << (registers["OFM_PRECISION"] >> 1 & 3)
    output = math.prod(registers.size(f"OFM_{axis}") for axis in ("HEIGHT", "WIDTH", "DEPTH")) * size
    height = registers.size("IFM_HEIGHT0")
    return output + height * registers.size("IFM_WIDTH0") * registers.size("IFM_DEPTH")
