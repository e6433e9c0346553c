"""Distances, and which of them pass: noise does, another model or input does not."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.models import bundled, reference, tensors, tflite
from harness.models.build import Builder, Scale
from harness.models.outputs import OutputComparison, compare, max_ulp
from tests.models import corpus
from tests.models.wheel import Asked, Wheel


def floats(*values: float) -> list[np.ndarray]:
    return [np.array(values, np.float32)]


def test_integers_differ_by_their_difference_without_wrapping_round() -> None:
    assert max_ulp([np.array([-128, 5], np.int8)], [np.array([127, 5], np.int8)]) == 255
    low, high = np.array([-(2**63)], np.int64), np.array([2**63 - 1], np.int64)
    assert max_ulp([low], [high]) == 2**64 - 1


def test_the_largest_difference_of_all_outputs_counts() -> None:
    a = [np.array([1, 2], np.int16), np.array([3], np.int8)]
    b = [np.array([1, 5], np.int16), np.array([4], np.int8)]
    assert max_ulp(a, b) == 3


@given(st.floats(width=32, min_value=-(2.0**127), max_value=2.0**127))
def test_a_float_is_one_from_its_neighbour_and_two_from_the_next(value: float) -> None:
    up = np.nextafter(np.float32(value), np.float32(math.inf))
    upper = np.nextafter(up, np.float32(math.inf))
    assert max_ulp(floats(value), floats(value)) == 0
    assert max_ulp(floats(value), floats(up)) == 1
    assert max_ulp(floats(upper), floats(value)) == 2


def test_zeros_are_equal_and_tiny_numbers_of_both_signs_are_near() -> None:
    assert max_ulp(floats(0.0), floats(-0.0)) == 0
    tiny = float(np.finfo(np.float32).smallest_subnormal)
    assert max_ulp(floats(tiny), floats(-tiny)) == 2


def test_nan_equals_nan_and_is_far_from_every_number() -> None:
    assert max_ulp(floats(math.nan, 1.0), floats(math.nan, 1.0)) == 0
    assert max_ulp(floats(math.nan), floats(math.inf)) == 2**32


@pytest.mark.parametrize(
    "other", [[], [np.zeros((2, 1), np.int8)], [np.zeros(2, np.uint8)], [np.zeros(2, np.int8)] * 2]
)
def test_outputs_of_another_form_are_not_compared(other: list[np.ndarray]) -> None:
    with pytest.raises(HarnessError, match="cannot compare"):
        max_ulp([np.zeros(2, np.int8)], other)


def returning(type: str, scale: Scale | None = None, *, source: str = "", count: int = 4) -> tflite.Model:
    """Return a model that puts out a tensor of `count` values, by the operator `source` if one is named."""
    out = Builder()
    main = out.subgraph("main")
    if source == "DEQUANTIZE":
        x, y = main.input("x", (1, count), "int8", scale), main.output("y", (1, count), type)
    else:
        x, y = main.input("x", (1, count), type, scale), main.output("y", (1, count), type, scale)
    if source == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        main.operator(source, [x] + [-1] * 23, [y])
    else:
        main.operator(source or "RELU", [x], [y])
    return tflite.parse(out.finish(), "made")


def judged(model: tflite.Model, values: list[float], expected: list[float]) -> OutputComparison:
    tensor = model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]]
    a, b = (np.array(v).astype(tensor.type).reshape(tensor.shape) for v in (values, expected))
    return compare([a], [b], model)


class TestTheRuleGoesByWhatAnOutputIs:
    def test_quantized_values_may_be_a_step_off(self) -> None:
        for type in ("int8", "uint8", "int16"):
            model = returning(type, Scale(0.5))
            found = judged(model, [1, 2, 3, 4], [1, 3, 3, 4])
            assert (found.verdict, found.max_ulp, found.rule) == (
                "within_tolerance",
                1,
                f"{type}: at most 1 step",
            )
            found = judged(model, [1, 2, 3, 4], [1, 4, 3, 4])
            assert found.verdict == "differs"
            assert found.worst == "output 0 ('y') is off by 2 steps"

    def test_numbers_that_are_not_quantized_are_equal_or_wrong(self) -> None:
        for type in ("int32", "int64", "bool"):
            assert judged(returning(type), [1, 0, 1, 0], [1, 0, 1, 0]).verdict == "exact"
            found = judged(returning(type), [1, 0, 1, 0], [1, 0, 1, 1])
            assert (found.verdict, found.rule) == ("differs", f"{type}: equal")

    def test_floats_are_held_against_the_largest_of_them(self) -> None:
        model = returning("float32")
        assert judged(model, [1, 2, 3, 100.00001], [1, 2, 3, 100]).verdict == "within_tolerance"
        assert judged(model, [1.00005, 2, 3, 100], [1, 2, 3, 100]).verdict == "within_tolerance"
        found = judged(model, [1.0005, 2, 3, 100], [1, 2, 3, 100])
        assert (found.verdict, found.rule) == ("differs", "float32: within 1e-06 of the largest value")
        assert found.worst == "output 0 ('y') is off by 5e-06 of its largest value"

    def test_floats_behind_an_lstm_are_given_ten_times_as_much(self) -> None:
        model = returning("float32", source="UNIDIRECTIONAL_SEQUENCE_LSTM")
        found = judged(model, [0.1, 0.2, 0.3, 1.000005], [0.1, 0.2, 0.3, 1])
        assert found.verdict == "within_tolerance"
        assert found.rule == "float32 behind UNIDIRECTIONAL_SEQUENCE_LSTM: within 1e-05 of the largest value"
        assert judged(model, [0.1, 0.2, 0.3, 1.00005], [0.1, 0.2, 0.3, 1]).verdict == "differs"

    def test_floats_that_were_quantized_may_be_a_step_of_that_off(self) -> None:
        model = returning("float32", Scale(0.1), source="DEQUANTIZE")
        found = judged(model, [0.1, 0.2, 0.3, 0.4], [0.1, 0.3, 0.3, 0.4])
        assert (found.verdict, found.rule) == ("within_tolerance", "float32 of int8: at most 1 step")
        assert judged(model, [0.1, 0.2, 0.3, 0.4], [0.1, 0.4, 0.3, 0.4]).verdict == "differs"

    def test_many_quantized_values_behind_an_lstm_go_by_their_spread(self) -> None:
        rng = np.random.default_rng(1)
        expected = rng.integers(-128, 128, 257)
        noise = rng.integers(-8, 9, 257)
        model = returning("int8", Scale(0.5), source="UNIDIRECTIONAL_SEQUENCE_LSTM", count=257)
        near = judged(model, list(np.clip(expected + noise, -128, 127)), list(expected))
        far = judged(model, list(np.clip(expected + 4 * noise, -128, 127)), list(expected))
        assert (near.verdict, far.verdict) == ("within_tolerance", "differs")

    @pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
    def test_what_is_no_finite_number_is_the_same_or_wrong(self, odd: float) -> None:
        model = returning("float32")
        assert judged(model, [1, odd, 3, 4], [1, odd, 3, 4]).verdict == "exact"
        assert judged(model, [1, odd, 3, 4.000001], [1, odd, 3, 4]).verdict == "within_tolerance"
        for other in (1.0, math.nan, math.inf, -math.inf):
            if not (other == odd or (math.isnan(other) and math.isnan(odd))):
                assert judged(model, [1, odd, 3, 4], [1, other, 3, 4]).verdict == "differs"

    def test_zeros_everywhere_leave_no_room(self) -> None:
        assert judged(returning("float32"), [0, 0, 0, 0], [0, 0, 0, 0]).verdict == "exact"
        assert judged(returning("float32"), [0, 0, 0, 1e-9], [0, 0, 0, 0]).verdict == "differs"

    def test_every_output_has_its_rule(self) -> None:
        out = Builder()
        main = out.subgraph("main")
        x = main.input("x", (1, 2), "float32")
        axis = main.constant("axis", np.array([1], np.int32))
        main.operator("ARG_MAX", [x, axis], [main.output("best", (1,), "int32")], output_type=2)
        main.operator("RELU", [x], [main.output("y", (1, 2), "float32")])
        model = tflite.parse(out.finish(), "made")
        best, y = np.array([1], np.int32), np.array([[1, 2]], np.float32)
        found = compare([best, y], [best, y], model)
        assert found.rule == "int32: equal; float32: within 1e-06 of the largest value"
        found = compare([best - 1, y], [best, y], model)
        assert found.worst == "output 0 ('best') is off by 1 "


@pytest.fixture(scope="module")
def wheel() -> Iterator[Wheel]:
    with Wheel() as child:
        yield child


def network(type: str, seed: int) -> Builder:
    """Return a convolution, an addition and a softmax, or an LSTM, with random weights."""
    code = {"lstm": "UNIDIRECTIONAL_SEQUENCE_LSTM/FLOAT32"}.get(type, f"CONV_2D:{type}/{type.upper()}")
    code = code.replace("CONV_2D:float32", "CONV_2D:float")
    label, _, kind = code.partition("/")
    case = corpus._Case(random.Random("shapes of a comparison"))
    corpus._CASES[label][1](case, kind)
    graph, rng = case.builder.subgraphs[0], np.random.default_rng(seed)
    for index, tensor in enumerate(graph.tensors):
        if tensor.buffer:
            values = rng.normal(0, 0.3, tensor.shape)
            if tensor.type != "float32":
                values = np.clip(values * 100, -127, 127)
            case.builder._buffers.append(values.astype(tensor.type).tobytes())
            graph.tensors[index] = replace(tensor, buffer=len(case.builder._buffers) - 1)
    return case.builder


def changed(data: bytes, seed: int) -> bytes:
    """Return the model with one weight changed by a good part of what weights are."""
    model = tflite.parse(data, "made")
    graph = model.subgraphs[0]
    weights = graph.tensors[graph.operators[0].inputs[1]]
    start, _ = model.buffers[weights.buffer]
    values = np.frombuffer(model.constant(weights) or b"", weights.type).copy()
    at = np.random.default_rng(seed).integers(values.size)
    values[at] = values[at] + (0.05 if weights.type == "float32" else 60 if values[at] < 0 else -60)
    return data[:start] + values.tobytes() + data[start + values.nbytes :]


@pytest.mark.parametrize("type", ["int8", "int16", "float32", "lstm"])
def test_the_device_passes_and_another_weight_model_or_input_does_not(wheel: Wheel, type: str) -> None:
    data = network(type, 1).finish()
    model = tflite.parse(data, "made")
    inputs, others = (tensors.load([f"random:{seed}"], model) for seed in (1, 2))
    expected = reference.run(data, inputs)

    def verdict(of: bytes, given: list[np.ndarray]) -> str:
        return compare(wheel.ask(Asked(of, given)).outputs, expected, model).verdict

    assert verdict(data, inputs) in ("exact", "within_tolerance")
    assert verdict(data, others) == "differs"
    assert verdict(network(type, 2).finish(), inputs) == "differs"
    for seed in range(5):
        assert verdict(changed(data, seed), inputs) == "differs"


def test_a_bundled_model_with_another_seed_differs(wheel: Wheel) -> None:
    data = bundled.build("mnist_mbv2_035_32_int8")
    model = tflite.parse(data, "mnist")
    expected = reference.run(data, tensors.load([], model))
    for seed, wanted in ((0, "exact"), (1, "differs"), (2, "differs")):
        outputs = wheel.ask(Asked(data, tensors.load([f"random:{seed}"], model))).outputs
        assert compare(outputs, expected, model).verdict == wanted


def test_a_sum_of_int8_is_not_held_against_the_kernel_that_is_wrong(wheel: Wheel) -> None:
    """The reference kernel of the pinned runtime gives -1 for each."""
    out = Builder()
    main = out.subgraph("main")
    x = main.input("x", (1, 2, 2, 3), "int8", Scale(0.5))
    axes = main.constant("axes", np.array([1, 2], np.int32))
    main.operator("SUM", [x, axes], [main.output("y", (1, 3), "int8", Scale(2.0))])
    data = out.finish()
    model = tflite.parse(data, "made")
    inputs = tensors.load([], model)
    assert reference.kernels(model) == "optimised kernels"
    outputs = wheel.ask(Asked(data, inputs)).outputs
    assert compare(outputs, reference.run(data, inputs), model).verdict in ("exact", "within_tolerance")
