"""Estimate how long a command stream takes, from the stream alone.

Each block operation is costed from its shapes, block and kernel, and from what it moves between the NPU
and its memories; copies run beside them, and the stream's own waits say where one has to wait for the
other. The figures of merit (cycles per output element and per micro-block, delays, AXI ports) are
those of Vela's performance model of the Ethos-U55 (ethos-u-vela 5.2, `npu_performance.py` and
`architecture_features.py`). What the CPU does between jobs is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.models.npu.accelerator import Accelerator
from harness.models.npu.operations import (
    NO_FUNCTION,
    BlockOperation,
    Decoded,
    Dma,
    Elementwise,
    FeatureMap,
    Pooling,
    Range,
    Upscale,
)

AXI_BYTES = 8
"""What a port moves in a cycle by the architecture (64 bits), in Vela's bandwidth figures and in Vela 3.

The core that Vela 5.2 compiles with by default counts 16, so its cycles are fewer if a memory is slow.
"""
BRICK = 16
READ_ONLY_REGION = 0
_SUBKERNEL = 8

# Cycles per output element by variant (MACs): 32-bit unary, 32-bit binary, MUL to 32 bits, MUL or 40-bit
# accumulators, (unused: ADD of equal scales), ADD or SUB, max pooling, everything else.
_OUTPUT = {
    32: (2.0, 3.0, 3.0, 3.0, 4.0, 6.0, 1.0, 2.0),
    64: (1.0, 1.5, 1.5, 1.5, 2.0, 3.0, 0.5, 1.0),
    128: (0.75, 1.25, 0.75, 0.75, 1.0, 1.5, 0.25, 0.5),
    256: (0.625, 1.125, 0.5, 0.375, 0.5, 0.75, 0.125, 0.25),
}
# Cycles per output element of the activation: table or curve, clipping.
_ACTIVATION = {32: (1.0, 1.0), 64: (1.0, 1.0), 128: (1.0, 0.5), 256: (1.0, 0.25)}


@dataclass(frozen=True)
class Timing:
    """A memory as the NPU sees it: bytes per NPU cycle, latencies in NPU cycles, longest burst in bytes."""

    bytes_per_cycle: float
    read_latency: int
    write_latency: int
    burst: int


@dataclass(frozen=True)
class Memories:
    """Where constants lie, and the arena."""

    constants: Timing
    arena: Timing

    def of(self, region: int) -> Timing:
        """The memory behind a region."""
        return self.constants if region == READ_ONLY_REGION else self.arena


def memories(settings: Mapping[str, Mapping[str, str]], axi_bytes: int = AXI_BYTES) -> Memories:
    """Return the memories that the sections of Vela's configuration file describe.

    `axi_bytes` is what a port moves in a cycle.

    Raises HarnessError if they put a memory on a port and do not describe it.
    """
    system, mode = (
        next(values for section, values in settings.items() if section.startswith(kind))
        for kind in ("System_Config.", "Memory_Mode.")
    )

    def timing(use: str) -> Timing:
        memory = system[f"{mode[use].lower()}_port"]
        if f"{memory}_clock_scale" not in system:
            raise HarnessError(f"Vela's settings put {memory} on {mode[use]} but do not describe it")
        return Timing(
            axi_bytes * float(system[f"{memory}_clock_scale"]),
            int(system[f"{memory}_read_latency"]),
            int(system[f"{memory}_write_latency"]),
            int(system[f"{memory}_burst_length"]),
        )

    return Memories(constants=timing("const_mem_area"), arena=timing("arena_mem_area"))


@dataclass(frozen=True)
class Cost:
    """One operation: cycles of its own work and of its memory traffic, and when it runs.

    `cycles` is the larger of the two; `start` and `end` place it on the job's time line.
    """

    index: int
    name: str
    compute: int
    transfer: int
    start: int
    end: int
    macs: int

    @property
    def cycles(self) -> int:
        """How long it takes if nothing holds it up."""
        return max(self.compute, self.transfer)


def _up(value: int, unit: int) -> int:
    return -(-value // unit)


@dataclass(frozen=True)
class _Blocks:
    """Block sizes of an operation (height, width, depth), clipped to its feature maps."""

    ofm: tuple[int, int, int]
    ifm: tuple[int, int, int]
    ublocks: tuple[int, int, int]
    count: float


def _blocks(op: BlockOperation, accelerator: Accelerator) -> _Blocks:
    ofm = tuple(
        min(a, b)
        for a, b in zip(op.ofm.shape, (op.block.height, op.block.width, op.block.depth), strict=True)
    )
    kernel = op.kernel
    upscale = 1 if kernel.upscale is Upscale.NONE else 2
    rows = _up((ofm[0] - 1) * kernel.stride_y + min(kernel.reach_y, _SUBKERNEL), upscale)
    columns = _up((ofm[1] - 1) * kernel.stride_x + min(kernel.reach_x, _SUBKERNEL), upscale)
    unit = accelerator.ofm_ublock
    if (
        op.operation.kind == "CONV"
        and unit[0] == 2
        and op.ofm.height == 1
        and op.ofm.width % 2 == 0
        and kernel.height == 1
    ):
        # One row of outputs: the hardware lays the micro-block of 2x2 out as 1x4.
        unit = (1, 4, unit[2])
    ublocks = tuple(_up(a, b) for a, b in zip(ofm, unit, strict=True))
    whole = math.prod(_up(a, b) for a, b in zip(op.ofm.shape, unit, strict=True))
    ifm = (min(rows, op.ifm.height), min(columns, op.ifm.width), _ifm_block_depth(op, ofm[2]))
    return _Blocks(
        (ofm[0], ofm[1], ofm[2]), ifm, (ublocks[0], ublocks[1], ublocks[2]), whole / math.prod(ublocks)
    )


def _reduces(op: BlockOperation) -> bool:
    kind = op.operation.kind
    return kind == "CONV" or (kind == "POOL" and op.operation.mode == Pooling.REDUCE_SUM)


def _ifm_block_depth(op: BlockOperation, ofm_depth: int) -> int:
    if not _reduces(op):
        return min(ofm_depth, op.ifm.depth)
    if op.ifm.bits == 16:
        return min(_up(min(op.ifm.depth, 16), 4) * 4, op.ifm.depth)
    part_kernel = op.operation.kind == "CONV" and op.kernel.part_kernel_first
    return min(op.ifm.depth, 16 if part_kernel else 32)


def _mac_cycles(op: BlockOperation, blocks: _Blocks, accelerator: Accelerator) -> int:
    """Cycles of the MAC unit for one output block."""
    kernel, bits, kind = op.kernel, op.ifm.bits, op.operation.kind
    high, wide, deep = blocks.ublocks
    weight_cycles = 32 * accelerator.ofm_ublock[2] // 8
    wide_accumulators = op.block.accumulator_bits == 40
    total = 0
    for top in range(0, kernel.height, _SUBKERNEL):
        for left in range(0, kernel.width, _SUBKERNEL):
            elements = min(kernel.height - top, _SUBKERNEL) * min(kernel.width - left, _SUBKERNEL)
            per_step = max(weight_cycles, 4 * high * wide)
            inputs = 1
            if kind == "POOL" and not _reduces(op):
                steps = 1
                cycles = max(4, elements) * high * wide * deep
                if accelerator.macs != 32:
                    cycles = cycles * bits // 2
            elif kind == "DEPTHWISE":
                steps = _up(elements, 4)
                cycles = max(weight_cycles, 4 * high * wide * bits // 8) * steps * deep
            elif kind == "CONV" and kernel.part_kernel_first:
                steps = _up(elements, 2 if bits == 16 else 4)
                inputs = _up(blocks.ifm[2], 8)
                cycles = per_step * steps * deep * inputs
            else:
                steps = elements
                cycles = per_step * steps * deep
            total += cycles + inputs * _delay(accelerator, high * wide, deep, steps, wide_accumulators)
    if _reduces(op):
        total *= _up(op.ifm.depth, blocks.ifm[2])
    return total


def _delay(accelerator: Accelerator, area: int, deep: int, steps: int, wide_accumulators: bool) -> int:
    """Cycles lost between kernel steps if a block is a single micro-block wide and high."""
    if accelerator.macs == 32:
        delay = 7 if wide_accumulators else 3
    else:
        delay = 3 if wide_accumulators and accelerator.macs <= 128 else 2
    if area != 1:
        return 0
    return delay * steps if deep == 1 else delay * (steps - 1) * deep


def _output_cycles(op: BlockOperation, accelerator: Accelerator) -> float:
    """Cycles of the output unit for one element."""
    kind, mode = op.operation.kind, op.operation.mode
    elementwise = kind == "ELEMENTWISE"
    if elementwise and op.ifm.bits == 32:
        index = 0 if op.operand is None else 1
    elif elementwise and mode == Elementwise.MUL:
        index = 2 if op.ofm.bits == 32 else 3
    elif not elementwise and op.block.accumulator_bits == 40:
        index = 3
    elif elementwise and mode in (Elementwise.ADD, Elementwise.SUB):
        index = 5
    elif kind == "POOL" and mode == Pooling.MAX:
        index = 6
    else:
        index = 7
    activation = op.output.activation
    curve, clip = _ACTIVATION[accelerator.macs]
    extra = 0.0
    if activation.function != NO_FUNCTION:
        extra = curve
    elif (activation.minimum, activation.maximum) != op.ofm.limits and op.ofm.bits < 32:
        extra = clip
    return max(_OUTPUT[accelerator.macs][index], extra)


def _moved(fm: FeatureMap, elements: int, block: tuple[int, int, int], writes: bool, memory: Timing) -> int:
    """Bytes that a transfer costs, counting what short bursts waste."""
    size = fm.bits // 8
    if fm.blocked:
        burst = BRICK * size * block[1]
    elif not writes or block[2] <= BRICK:
        burst = size * block[2] * (block[1] if block[2] == fm.depth else 1)
    else:
        burst = min(64, BRICK * size, block[2] * size)
    return elements * size * memory.burst // max(1, min(memory.burst, burst))


def _rounded(fm: FeatureMap, shape: tuple[int, int, int]) -> int:
    depth = _up(shape[2], BRICK) * BRICK if fm.blocked else shape[2]
    return shape[0] * shape[1] * depth


def _block_latency(op: BlockOperation, blocks: _Blocks, memories: Memories) -> tuple[int, int]:
    """Cycles to fetch the first input block and to write the last output block."""
    ifm, ofm = memories.of(op.ifm.region), memories.of(op.ofm.region)
    fetch = (
        ifm.read_latency + _moved(op.ifm, math.prod(blocks.ifm), blocks.ifm, False, ifm) / ifm.bytes_per_cycle
    )
    store = (
        ofm.write_latency + _moved(op.ofm, math.prod(blocks.ofm), blocks.ofm, True, ofm) / ofm.bytes_per_cycle
    )
    return int(fetch), int(store)


def _compute(op: BlockOperation, accelerator: Accelerator, memories: Memories) -> int:
    blocks = _blocks(op, accelerator)
    per_element = _output_cycles(op, accelerator)
    fetch, store = _block_latency(op, blocks, memories)
    if op.operation.kind == "ELEMENTWISE":
        elements = _rounded(op.ofm, op.ofm.shape)
        block = op.block.height * op.block.width * op.block.depth
        issue = (max(fetch, store) / block + per_element) / 4
        return math.ceil(max(issue, per_element) * elements)
    mac = float(_mac_cycles(op, blocks, accelerator))
    output = float(math.ceil(per_element * math.prod(blocks.ofm)))
    if op.scales is not None:
        latency = memories.of(op.scales.region).read_latency
        output = max(output, 10 * blocks.ofm[2] * latency / 256)
    issue = ((abs(store - fetch) if blocks.count > 1 else 0) + mac + output) / 4
    mac, output = max(mac, issue), max(output, issue)
    body = mac * blocks.count + output if mac > output else output * blocks.count + mac
    return int(body) + fetch + store


def _traffic(op: BlockOperation, accelerator: Accelerator, memories: Memories) -> int:
    """Cycles of the busiest memory."""
    blocks = _blocks(op, accelerator)
    kernel = op.kernel
    cycles: dict[Timing, float] = {}

    def add(memory: Timing, amount: float) -> None:
        cycles[memory] = cycles.get(memory, 0.0) + amount / memory.bytes_per_cycle

    counts = [_up(a, b) for a, b in zip(op.ofm.shape, blocks.ofm, strict=True)]
    if op.operation.kind == "ELEMENTWISE":
        read = _rounded(op.ifm, op.ofm.shape)
    else:
        subkernels = _up(kernel.height, _SUBKERNEL) * _up(kernel.width, _SUBKERNEL)
        passes = counts[0] * counts[1] * (counts[2] if _reduces(op) else 1)
        read = _rounded(op.ifm, (blocks.ifm[0], blocks.ifm[1], op.ifm.depth)) * subkernels * passes
    memory = memories.of(op.ifm.region)
    add(memory, _moved(op.ifm, read, blocks.ifm, False, memory))
    if op.operand is not None and op.operand.feature_map is not None:
        second = op.operand.feature_map
        memory = memories.of(second.region)
        add(memory, _moved(second, _rounded(second, second.shape), blocks.ifm, False, memory))
    memory = memories.of(op.ofm.region)
    add(memory, _moved(op.ofm, _rounded(op.ofm, op.ofm.shape), blocks.ofm, True, memory))
    for constants in (op.weights, op.scales):
        if constants is not None:
            add(memories.of(constants.region), constants.length * counts[0] * counts[1])
    return math.ceil(max(cycles.values()))


def _copy(op: Dma, memories: Memories) -> int:
    def timing(part: Range, internal: bool) -> Timing:
        # Shared RAM keeps up with its port and adds no latency.
        return Timing(AXI_BYTES, 0, 0, AXI_BYTES) if internal else memories.of(part.region)

    source, target = timing(op.source, op.source_internal), timing(op.destination, op.destination_internal)
    read = op.source.length / source.bytes_per_cycle + source.read_latency
    write = op.source.length / target.bytes_per_cycle + target.write_latency
    return math.ceil(max(read, write))


def _macs(op: BlockOperation) -> int:
    if op.operation.kind == "ELEMENTWISE":
        return 0
    per_output = op.kernel.height * op.kernel.width * (op.ifm.depth if _reduces(op) else 1)
    return math.prod(op.ofm.shape) * per_output


def estimate(operations: Iterable[Decoded], accelerator: Accelerator, memories: Memories) -> list[Cost]:
    """Cost the operations of one job and lay them out in time, in NPU cycles from its start.

    Block operations follow one another; copies follow one another; a DMA_WAIT or KERNEL_WAIT holds the
    operation behind it, and so all later ones, until as few of the other kind are still running.
    """
    costs: list[Cost] = []
    ends: dict[bool, list[int]] = {True: [], False: []}
    issue = 0
    for op in operations:
        is_dma = isinstance(op, Dma)
        for kind, wait in ((True, op.operation.dma_wait), (False, op.operation.kernel_wait)):
            if 0 <= wait < len(ends[kind]):
                issue = max(issue, ends[kind][-1 - wait])
        if isinstance(op, Dma):
            compute, transfer, macs = 0, _copy(op, memories), 0
        else:
            compute = _compute(op, accelerator, memories)
            transfer, macs = _traffic(op, accelerator, memories), _macs(op)
        start = max(issue, ends[is_dma][-1] if ends[is_dma] else 0)
        end = start + max(compute, transfer)
        ends[is_dma].append(end)
        costs.append(Cost(op.operation.index, op.operation.name, compute, transfer, start, end, macs))
    return costs


def total(costs: Sequence[Cost]) -> int:
    """When the last operation ends."""
    return max((cost.end for cost in costs), default=0)
