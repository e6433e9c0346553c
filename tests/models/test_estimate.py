"""Estimates of invoke time: arithmetic from the profile's coefficients, Vela's cycles, command streams."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import boards
from harness.errors import HarnessError
from harness.models import bundled, tflite, vela
from harness.models.build import Builder, Scale
from harness.models.estimate import demands, estimate
from harness.models.inspect import summarize
from harness.models.npu import cycles
from harness.models.npu.accelerator import named
from harness.models.npu.faults import NotModelled
from harness.models.npu.jobs import jobs
from harness.models.tflite import ModelError

COEFFICIENTS = {
    "cycles_per_mac": {"CONV_2D": 2.0, "default": 7.0},
    "cycles_per_element": {"CONV_2D": 0.5, "default": 3.0},
    "cycles_per_operator": 100,
    "fixed_cycles": 1000,
}
WE2 = boards.load("grove_vision_ai_we2")
assert WE2.vela is not None
SETTINGS = WE2.vela.settings()
MNIST = "mnist_mbv2_035_32_int8"


def compiled(data: bytes, accelerator: str = "ethos-u55-64") -> vela.Compiled:
    return vela.compile(data, "model", accelerator=accelerator, settings=SETTINGS)


def two_operators() -> tflite.Model:
    graph = Builder()
    main = graph.subgraph("main")
    x = main.input("x", (1, 4, 4, 2), "int8", Scale(0.5))
    w = main.constant("w", np.ones((3, 1, 1, 2), np.int8), Scale((0.25,) * 3, (0,) * 3))
    middle = main.tensor("middle", (1, 4, 4, 3), "int8", Scale(0.5))
    y = main.output("y", (1, 4, 4, 3), "int8", Scale(0.5))
    main.operator("CONV_2D", [x, w, -1], [middle], padding="SAME", stride_h=1, stride_w=1)
    main.operator("RELU", [middle], [y])
    return tflite.parse(graph.finish(), "two")


def test_cpu_cycles_are_macs_and_elements_times_their_coefficients() -> None:
    found = estimate(two_operators(), COEFFICIENTS, clock_hz=1_000_000)
    assert [(o.label, o.cycles, o.method) for o in found.operators] == [
        ("CONV_2D", 100 + 96 * 2 + 48 // 2, "coefficients"),
        ("RELU", 100 + 48 * 3, "coefficients"),
    ]
    assert found.cycles == 1000 + 316 + 244
    assert found.seconds == pytest.approx(1560e-6)


def test_what_runs_only_once_costs_nothing_per_invoke() -> None:
    graph = Builder()
    main = graph.subgraph("main")
    x = main.input("x", (1, 2), "float32")
    y = main.output("y", (1, 2), "float32")
    start = graph.subgraph("start")
    a = start.tensor("a", (1, 200), "float32")
    main.operator("CALL_ONCE", [], [], init_subgraph_index=1)
    main.operator("RELU", [x], [y])
    start.operator("RELU", [a], [a])
    found = estimate(tflite.parse(graph.finish(), "once"), COEFFICIENTS, clock_hz=1)
    assert [o.label for o in found.operators] == ["CALL_ONCE", "RELU"]


NPU_COEFFICIENTS = {**COEFFICIENTS, "npu_cycles_per_job": 5000, "npu_cycles_per_byte": 0.5, "npu_factor": 2.0}


def stream_cycles(model: tflite.Model) -> int:
    return sum(
        cycles.total(cycles.estimate(job.operations, named("ethos-u55-64"), cycles.memories(SETTINGS)))
        for job in jobs(model)
    )


def test_a_job_of_the_npu_costs_its_commands_its_tensors_and_itself() -> None:
    model = tflite.parse(compiled(bundled.build(MNIST)).data, "made")
    (job,) = demands(model)
    found = estimate(model, NPU_COEFFICIENTS, clock_hz=400_000_000, vela_settings=SETTINGS)
    expected = 5000 + 0.5 * (job.weight_bytes + job.arena_bytes) + 2 * stream_cycles(model)
    assert (found.cycles, found.methods) == (1000 + round(expected), ("command stream",))


def test_the_npu_keeps_its_own_clock() -> None:
    model = tflite.parse(compiled(bundled.build(MNIST)).data, "made")
    of_npu = stream_cycles(model)
    found = estimate(model, COEFFICIENTS, clock_hz=200_000_000, vela_settings=SETTINGS)
    assert found.cycles == 1000 + of_npu // 2


def test_several_npu_operators_are_costed_one_by_one() -> None:
    graph = Builder()
    main = graph.subgraph("main")
    x = main.input("x", (1, 8, 8, 8), "int8", Scale(0.1))
    at = x
    for i in range(2):
        w = main.constant(f"w{i}", np.ones((8, 1, 1, 8), np.int8), Scale((0.1,) * 8, (0,) * 8))
        b = main.constant(f"b{i}", np.zeros(8, np.int32), Scale((0.01,) * 8, (0,) * 8))
        convolved = main.tensor(f"c{i}", (1, 8, 8, 8), "int8", Scale(0.1))
        main.operator("CONV_2D", [at, w, b], [convolved], padding="SAME", stride_h=1, stride_w=1)
        at = main.tensor(f"f{i}", (1, 8, 8, 8), "int8", Scale(0.1))
        main.custom("mine", [convolved], [at])
    main.outputs.append(at)
    made = compiled(graph.finish())
    assert (made.npu_operators, made.cpu_operators) == (2, ("mine", "mine"))
    model = tflite.parse(made.data, "made")
    found = estimate(model, COEFFICIENTS, clock_hz=400_000_000, vela_settings=SETTINGS)
    assert [(o.label, o.method) for o in found.operators] == [
        ("ethos-u", "command stream"),
        ("mine", "not known"),
    ] * 2
    assert found.cycles == 1000 + stream_cycles(model)


def test_vela_is_asked_where_no_stream_of_the_npu_is_costed_here() -> None:
    made = compiled(bundled.build(MNIST), "ethos-u65-256")
    model = tflite.parse(made.data, "made")
    found = estimate(model, COEFFICIENTS, clock_hz=400_000_000, vela_settings=SETTINGS, compiled=made)
    assert (found.cycles, found.methods) == (1000 + made.cycles, ("vela",))
    with pytest.raises(NotModelled, match="costed by Vela alone"):
        estimate(model, COEFFICIENTS, clock_hz=400_000_000, vela_settings=SETTINGS)


def convolution(
    kernel: int, channels: int, filters: int, size: int, *, stride: int = 1, padding: str = "VALID"
) -> tflite.Model:
    graph = Builder()
    main = graph.subgraph("main")
    made = -(-size // stride) if padding == "SAME" else (size - kernel) // stride + 1
    x = main.input("x", (1, size, size, channels), "int8", Scale(0.5))
    shape = (filters, kernel, kernel, channels)
    w = main.constant("w", np.ones(shape, np.int8), Scale((0.25,) * filters, (0,) * filters))
    y = main.output("y", (1, made, made, filters), "int8", Scale(0.5))
    main.operator("CONV_2D", [x, w, -1], [y], padding=padding, stride_h=stride, stride_w=stride)
    return tflite.parse(graph.finish(), "convolution")


def test_a_pointwise_convolution_is_a_kernel_of_its_own() -> None:
    (pointwise,), (strided,), (window,) = (
        demands(convolution(1, 16, 8, 8)),
        demands(convolution(1, 16, 8, 8, stride=2)),
        demands(convolution(3, 16, 8, 8)),
    )
    assert [d.kernel for d in (pointwise, strided, window)] == ["CONV_2D_pointwise", "CONV_2D", "CONV_2D"]
    assert pointwise.each({"CONV_2D": 3.0, "default": 7.0}) == 3
    assert pointwise.each({"CONV_2D": 3.0, "CONV_2D_pointwise": 2.0, "default": 7.0}) == 2


def test_rows_of_filters_count_in_whole_vectors() -> None:
    (narrow,) = demands(convolution(3, 3, 8, 10))
    assert (narrow.macs, narrow.rows, narrow.row) == (64 * 8 * 27, 64 * 8 * 3, 9)
    assert (narrow.vector_macs(0), narrow.vector_macs(16)) == (64 * 8 * 27, 64 * 8 * 3 * 16)
    (pointwise,) = demands(convolution(1, 12, 8, 8))
    assert pointwise.vector_macs(16) == 64 * 8 * 16


def test_a_filter_that_the_cache_cannot_hold_is_read_again_for_each_position() -> None:
    (deep,) = demands(convolution(3, 128, 128, 6, padding="SAME"))
    assert deep.filter_bytes == 128 * 3 * 384
    assert deep.reread_bytes(1 << 20) == 0
    assert deep.reread_bytes(64 << 10) == 35 * deep.filter_bytes
    memory = {**COEFFICIENTS, "cycles_per_byte": {"arena": 3.0}}
    more = deep.cycles({**memory, "cache_bytes": 64 << 10}) - deep.cycles(memory)
    assert more == 3 * 35 * deep.filter_bytes


def test_an_npu_model_on_a_board_without_npu_is_refused() -> None:
    model = tflite.parse(compiled(bundled.build(MNIST)).data, "made")
    with pytest.raises(HarnessError, match="made: compiled for an NPU, and the board has none"):
        estimate(model, COEFFICIENTS, clock_hz=1)


@pytest.mark.parametrize(
    ("name", "accelerator"),
    [
        *((name, "ethos-u55-64") for name in bundled.names()),
        *((MNIST, f"ethos-u55-{macs}") for macs in (32, 128, 256)),
    ],
)
def test_the_command_stream_alone_tells_the_macs_exactly_and_the_cycles_nearly(
    name: str, accelerator: str
) -> None:
    made = compiled(bundled.build(name), accelerator)
    (job,) = jobs(tflite.parse(made.data, name))
    as_vela_counts = cycles.memories(SETTINGS, axi_bytes=16)
    costs = cycles.estimate(job.operations, named(accelerator), as_vela_counts)
    assert sum(cost.macs for cost in costs) == pytest.approx(float(made.summary["nn_macs"]), rel=0.002)
    assert 0.85 < cycles.total(costs) / made.cycles < 1.25


@pytest.mark.interop
@pytest.mark.parametrize(
    ("name", "of_vela", "of_stream"),  # Vela 5.2's for ethos-u55-64, and those of 8 bytes a cycle of a port
    [
        ("ad01_int8", 804736, 1609984),
        ("kws_ref_model", 201309, 292000),
        ("person_detect", 1161991, 2028000),
        ("pfld_meter_int8", 2173893, 2332000),
        ("pretrainedResnet_quant", 510896, 764000),
        ("vww_96_int8", 543711, 765600),
    ],
)
def test_real_models_compile_and_flash_at_the_width_of_the_port_takes_them_longer(
    name: str, of_vela: int, of_stream: int, shared: Path
) -> None:
    made = compiled((shared / "models" / f"{name}.tflite").read_bytes())
    assert (made.cycles, made.cpu_operators, made.npu_operators) == (of_vela, (), 1)
    assert stream_cycles(tflite.parse(made.data, name)) == pytest.approx(of_stream, rel=0.002)


@pytest.mark.interop
def test_a_compiled_model_without_its_source_is_estimated(shared: Path) -> None:
    model = tflite.read(shared / "models" / "person_detect_vela.tflite")
    found = estimate(model, COEFFICIENTS, clock_hz=400_000_000, vela_settings=SETTINGS)
    assert (found.methods, found.cycles) == (("command stream",), 1889836)


@settings(max_examples=150)
@given(st.data())
def test_a_damaged_command_stream_is_estimated_or_refused_in_one_line(data: st.DataObject) -> None:
    model = _small()
    stream = model.data.index(b"COP1")
    bad = bytearray(model.data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 200))
        struct.pack_into("<I", bad, stream + 4 * at, data.draw(st.integers(0, 2**32 - 1)))
    complaint = ""
    try:
        damaged = dataclasses.replace(model, data=bytes(bad))
        found = estimate(damaged, COEFFICIENTS, clock_hz=400_000_000, vela_settings=SETTINGS)
        assert all(operator.cycles >= 0 for operator in found.operators)
    except (ModelError, NotModelled) as error:
        complaint = str(error)
    assert "\n" not in complaint


_cached: list[tflite.Model] = []


def _small() -> tflite.Model:
    if not _cached:
        _cached.append(tflite.parse(compiled(bundled.build(MNIST)).data, "small"))
    return _cached[0]


def test_a_subgraph_that_no_invoke_enters_costs_nothing() -> None:
    out = Builder("two signatures")
    for name in ("main", "other"):
        graph = out.subgraph(name)
        x = graph.input("x", (1, 4), "int8", Scale(0.5))
        w = graph.constant("w", np.ones((2, 4), np.int8), Scale(0.5))
        y = graph.output("y", (1, 2), "int8", Scale(0.5))
        graph.operator("FULLY_CONNECTED", [x, w, -1], [y], version=4)
    model = tflite.parse(out.finish(), "two")
    assert [demand.subgraph for demand in demands(model)] == [0]
    found = summarize(model)
    assert (found.macs, [(o.count, o.macs) for o in found.operators]) == (8, [(2, 8)])
    assert [layer.macs for layer in found.layers] == [8, 8]
