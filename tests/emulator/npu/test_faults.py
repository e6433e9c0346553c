"""What the hardware would fault on is an error that names the operation and its registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.emulator.npu import block_dependency, hazards
from harness.emulator.npu.executor import OperationLimits
from harness.emulator.npu.runner import Interpreter
from harness.errors import HarnessError
from harness.models import ethosu, tflite
from harness.models.npu import jobs, stream
from harness.models.npu.accelerator import U55_64, U55_128
from harness.models.npu.faults import NpuFault
from harness.models.npu.operations import BlockOperation, Decoded, Dma
from harness.models.npu.stream import Command
from tests.emulator.npu import corpus, velafiles

# conv, depthwise, fully connected, max pool, add, sigmoid table, softmax, two convolutions and an ADD
MUTATED = (0, 3, 6, 7, 9, 16, 26, 40)
RESIDUAL = 40


@cache
def _all_compiled() -> dict[int, bytes]:
    results = velafiles.compile_all({str(s): corpus.case(s).model for s in MUTATED}, velafiles.Settings())
    return {int(name): result.data for name, result in results.items() if result.data is not None}


def _compiled(seed: int) -> bytes:
    return _all_compiled()[seed]


def _patched(data: bytes, change: Callable[[list[Command]], dict[int, int]]) -> bytes:
    """Change words of the first command stream; `change` returns word index -> new value."""
    model = tflite.parse(data, "model")
    graph = model.subgraphs[0]
    operator = next(op for op in graph.operators if op.custom_code == "ethos-u")
    words = ethosu.command_stream(model, graph, operator)
    start, length = model.buffers[graph.tensors[operator.inputs[0]].buffer]
    first = data.index(words.tobytes(), start, start + length)
    copy = bytearray(data)
    for index, value in change(stream.decode(words.tolist())).items():
        copy[first + 4 * index : first + 4 * index + 4] = value.to_bytes(4, "little")
    return bytes(copy)


def _run(data: bytes, **options: OperationLimits) -> None:
    interpreter = Interpreter(data, **options)
    for index, tensor in enumerate(interpreter.inputs):
        interpreter.set_input(index, np.zeros(tensor.shape, tensor.type))
    interpreter.invoke()


def test_a_write_outside_its_region_names_operation_and_registers() -> None:
    def far(commands: list[Command]) -> dict[int, int]:
        base = next(c for c in commands if c.name == "OFM_BASE0")
        return {base.word + 1: 0x7FFFFF00}

    with pytest.raises(
        NpuFault, match=r"operation \d+: write of OFM bytes 0x7fffff00.* outside region 1"
    ) as fault:
        _run(_patched(_compiled(0), far))
    assert fault.value.operation >= 0
    assert fault.value.registers["OFM_BASE0"] == 0x7FFFFF00


def test_truncated_weights_fault() -> None:
    def short(commands: list[Command]) -> dict[int, int]:
        length = next(c for c in commands if c.name == "WEIGHT_LENGTH")
        return {length.word + 1: 16}

    with pytest.raises(NpuFault, match="the weight stream of 16 bytes ends inside a slice"):
        _run(_patched(_compiled(0), short))


def test_an_unknown_command_in_a_model_faults() -> None:
    with pytest.raises(NpuFault, match="unknown command"):
        Interpreter(_patched(_compiled(0), lambda commands: {commands[0].word: 0x2FF}))


def test_a_stream_for_another_mac_count_is_refused_as_the_driver_does() -> None:
    with pytest.raises(NpuFault, match="the stream is for ethos-u55-64, this NPU is an ethos-u55-128"):
        Interpreter(_compiled(0), U55_128)


def test_a_stream_for_another_architecture_is_refused() -> None:
    data = bytearray(_compiled(0))
    header = data.index(b"COP1")
    data[header + 15] = 0x20  # the architecture's major version in the word after the configuration
    with pytest.raises(NpuFault, match=r"architecture 2\.0\.6, this NPU has 1\.x"):
        Interpreter(bytes(data))


def test_an_operation_beyond_any_boards_memory_is_refused() -> None:
    with pytest.raises(NpuFault, match="larger than any memory of a board"):
        _run(_compiled(0), limits=OperationLimits(elements=10))


def _operations(seed: int) -> tuple[Decoded, ...]:
    return jobs.jobs(tflite.parse(_compiled(seed), "model"))[0].operations


def _without_waits(op: Decoded) -> Decoded:
    return replace(op, operation=replace(op.operation, dma_wait=-1, kernel_wait=-1))


def test_using_what_a_copy_still_brings_needs_a_wait() -> None:
    listed = _operations(RESIDUAL)
    hazards.check(listed, U55_64)
    assert any(isinstance(op, Dma) for op in listed)
    with pytest.raises(NpuFault, match="a DMA_WAIT is missing"):
        hazards.check(map(_without_waits, listed), U55_64)


def test_overwriting_what_an_operation_still_reads_needs_a_wait() -> None:
    listed = list(_operations(RESIDUAL))
    first = next(op for op in listed if isinstance(op, BlockOperation))
    copy = next(op for op in listed if isinstance(op, Dma))
    target = replace(copy.destination, region=first.ifm.region, start=first.ifm.bases[0])
    late = replace(_without_waits(copy), destination=target)
    with pytest.raises(NpuFault, match="a KERNEL_WAIT is missing"):
        hazards.check([first, late], U55_64)


def test_a_block_dependency_that_is_too_large_faults() -> None:
    blocks = [op for op in _operations(RESIDUAL) if isinstance(op, BlockOperation)]
    block_dependency.check(blocks)
    eager = [replace(op, block=replace(op.block, dependency=3)) for op in blocks]
    with pytest.raises(NpuFault, match="its block dependency is too large"):
        block_dependency.check(eager)


_SMALL = OperationLimits(elements=1 << 18, weights=1 << 16, products=1 << 24)
_CHANGES = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=3
)


def _mutate(data: bytes, changes: list[tuple[int, float, int]]) -> bytes:
    """Overwrite bytes of the command stream (0) or of the weights (1), at a fraction of their length."""
    model = tflite.parse(data, "model")
    graph = model.subgraphs[0]
    operator = next(op for op in graph.operators if op.custom_code == "ethos-u")
    copy = bytearray(data)
    for part, place, value in changes:
        start, length = model.buffers[graph.tensors[operator.inputs[part]].buffer]
        if length:
            copy[start + min(int(place * length), length - 1)] = value
    return bytes(copy)


def _mutations_end_well(examples: int) -> None:
    @settings(max_examples=examples, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(MUTATED), _CHANGES)
    def check(seed: int, changes: list[tuple[int, float, int]]) -> None:
        try:
            _run(_mutate(_compiled(seed), changes), limits=_SMALL)
        except HarnessError as error:
            messages.append(str(error))

    messages: list[str] = []
    check()
    assert not any("\n" in message for message in messages)


def test_mutated_streams_and_weights_give_an_error_or_an_output() -> None:
    _mutations_end_well(300)


@pytest.mark.soak
def test_a_hundred_thousand_mutations_give_an_error_or_an_output() -> None:
    _mutations_end_well(100_000)
