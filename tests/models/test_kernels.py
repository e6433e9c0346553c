"""The tables of what TFLite-Micro's kernels refuse, held against the real TFLite-Micro."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from harness.models import kernels, tensors, tflite
from harness.models.build import Builder, Scale
from harness.models.kernels import RefusedOperator
from tests.models import corpus
from tests.models.wheel import Answer, Asked, Wheel

TYPES = tuple(f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u"))
TYPES += ("bool", "float16", "float32", "float64")
QUANTIZED = ("int4", "int8", "uint8", "int16")
# What the corpus builds for them is enough to set them up, and not to run them.
NOT_RUN = ("ethos-u", "TFLM_DECODE:huffman", "TFLite_Detection_PostProcess")
# Their subgraphs, options or scales go with the type.
OF_ONE_TYPE = ("IF", "WHILE", "SignalRfft", "SignalIrfft", "SignalOverlapAdd", "FULLY_CONNECTED:float")
# TFLite-Micro runs floats with integer weights and takes those for floats, and int16 weights with one scale.
NONSENSE = (("UNIDIRECTIONAL_SEQUENCE_LSTM", "float32"), ("TRANSPOSE_CONV", "int16"))


@pytest.fixture(scope="module")
def wheel() -> Iterator[Wheel]:
    with Wheel() as child:
        yield child


@dataclass(frozen=True)
class Variant:
    """The corpus's model of an operator and a type, with the tensors `changed` of the type `new` instead."""

    code: str
    type: str
    changed: tuple[int, ...] = ()
    new: str = ""

    def build(self) -> bytes:
        case = _case(self.code, self.type)
        for tensor in self.changed:
            _convert(case.builder, tensor, self.new)
        return case.bytes()


def variants() -> list[Variant]:
    """Return each operator and type as it is, with all data of another type, and with one tensor of it."""
    found = []
    for code, (types, _) in corpus._CASES.items():
        for type in types if code not in NOT_RUN else ():
            graph = _case(code, type).builder.subgraphs[0]
            operator = next(o for o in graph.operators if (o.custom_code or o.code) == _label(code))
            ends = [i for i in (*operator.inputs, *operator.outputs) if i >= 0]
            data = [i for i in ends if graph.tensors[i].type == type.lower() and not _index(graph.tensors[i])]
            found.append(Variant(code, type))
            for new in TYPES:
                if code not in OF_ONE_TYPE and (code, new) not in NONSENSE:
                    found.append(Variant(code, type, tuple(data), new))
                found += [Variant(code, type, (i,), new) for i in ends if graph.tensors[i].type != new]
    return found


def _case(code: str, type: str) -> corpus._Case:
    case = corpus._Case(random.Random(f"kernels {code} {type}"))
    corpus._CASES[code][1](case, type)
    return case


def _label(code: str) -> str:
    return code.split(":")[0]


def _index(tensor: object) -> bool:
    return getattr(tensor, "type", "") == "int32" and bool(getattr(tensor, "buffer", 0))


def _convert(builder: Builder, index: int, new: str) -> None:
    """Change the type of a tensor of the main subgraph, and with it the values of a constant."""
    graph = builder.subgraphs[0]
    old = graph.tensors[index]
    scale = None if new not in QUANTIZED else old.scale if old.type in QUANTIZED else Scale(0.5)
    buffer = old.buffer
    if buffer:
        count = math.prod(old.shape)
        values = np.zeros(count) if old.type == "int4" else np.frombuffer(builder._buffers[buffer], old.type)
        builder._buffers.append(values[:count].astype(new).tobytes())
        buffer = len(builder._buffers) - 1
    graph.tensors[index] = replace(old, type=new, scale=scale, buffer=buffer)


def _asked(wheel: Wheel, data: bytes, *last: np.ndarray) -> tuple[list[RefusedOperator], Answer]:
    """Return what the tables say and what TFLite-Micro does with random inputs; `last` are the last ones."""
    model = tflite.parse(data, "model")
    main = model.subgraphs[0]
    first = replace(main, inputs=main.inputs[: len(main.inputs) - len(last)])
    inputs = tensors.load(["random:1"], replace(model, subgraphs=(first, *model.subgraphs[1:])))
    return list(kernels.refusals(model)), wheel.ask(Asked(data, [*inputs, *last]))


def _disagreements(wheel: Wheel, chosen: Sequence[Variant]) -> list[str]:
    found = []
    for variant in chosen:
        data = variant.build()
        refused, answer = _asked(wheel, data)
        if bool(refused) == answer.ran and not (not answer.ran and _unread(variant, data)):
            found.append(f"{variant}: {refused} {answer.stage} {answer.said}")
    return found


def _unread(variant: Variant, data: bytes) -> bool:
    """Whether a tensor has changed whose type the kernel does not look at: it may read nonsense there."""
    graph = tflite.parse(data, "model").subgraphs[0]
    operator = next(o for o in graph.operators if o.label == _label(variant.code))
    ends = (*operator.inputs, *operator.outputs)
    forms = kernels._forms().get(operator.label, [])
    loose = {
        ends[i]
        for form in forms
        for i, types in enumerate(form.of(len(operator.inputs), len(operator.outputs)))
        if types == ("*",)
    }
    return len(variant.changed) == 1 and (not forms or variant.changed[0] in loose)


def test_a_sample_of_types_is_refused_exactly_if_tflite_micro_refuses_it(wheel: Wheel) -> None:
    made = variants()
    assert len(made) > 10_000
    assert _disagreements(wheel, random.Random(7).sample(made, 300)) == []


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_every_type_is_refused_exactly_if_tflite_micro_refuses_it(wheel: Wheel) -> None:
    assert _disagreements(wheel, variants()) == []


def test_inputs_that_come_at_run_time_are_refused_exactly_if_tflite_micro_wants_them_constant(
    wheel: Wheel,
) -> None:
    disagreements = []
    for code, (types, _) in corpus._CASES.items():
        graph = _case(code, types[-1]).builder.subgraphs[0]
        for operator in graph.operators if code not in NOT_RUN else ():
            for place, index in enumerate(operator.inputs):
                if index >= 0 and graph.tensors[index].buffer and graph.tensors[index].type != "int4":
                    refused, answer = _asked(wheel, *_given(_case(code, types[-1]), index))
                    if bool(refused) == answer.ran:
                        disagreements.append(f"{code} input {place}: {refused} {answer.said}")
    assert disagreements == []


def _given(case: corpus._Case, index: int) -> tuple[bytes, np.ndarray]:
    """Return the model with a constant turned into an input, and the constant."""
    graph = case.builder.subgraphs[0]
    old = graph.tensors[index]
    values = np.frombuffer(case.builder._buffers[old.buffer], old.type).reshape(old.shape)
    graph.tensors[index] = replace(old, buffer=0)
    graph.inputs.append(index)
    return case.bytes(), values


def _with_dimensions(label: str, rank: int) -> bytes:
    """Return a model of one operator whose data has `rank` dimensions of 2."""
    out = Builder()
    main = out.subgraph("main")
    shape, made = (2,) * rank, (2,) * rank

    def numbers(*values: object) -> int:
        return main.constant("numbers", np.array(values, np.int32))

    inputs = [main.input("x", shape, "float32")]
    if label in ("BATCH_MATMUL", "PRELU"):
        inputs.append(main.input("z", shape, "float32"))
    elif label == "BROADCAST_TO":
        inputs.append(numbers(*shape))
    elif label == "CONCATENATION":
        inputs.append(main.input("z", shape, "float32"))
        made = (4, *shape[1:])
    elif label == "DYNAMIC_UPDATE_SLICE":
        inputs += [main.input("z", (1,) * rank, "float32"), numbers(*(0,) * rank)]
    elif label == "EXPAND_DIMS":
        inputs.append(numbers(0))
        made = (1, *shape)
    elif label in ("PAD", "PADV2"):
        inputs.append(numbers(*[(0, 0)] * rank))
        if label == "PADV2":
            inputs.append(main.constant("value", np.zeros((), np.float32)))
    elif label == "REVERSE_V2":
        inputs.append(numbers(0))
    elif label == "SLICE":
        inputs += [numbers(*(0,) * rank), numbers(*shape)]
    elif label == "STRIDED_SLICE":
        inputs += [numbers(*(0,) * rank), numbers(*shape), numbers(*(1,) * rank)]
    elif label == "TRANSPOSE":
        inputs.append(numbers(*range(rank)))
    elif label in ("BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND"):
        inputs += [numbers(*(1,) * (rank - 2)), numbers(*[(0, 0)] * (rank - 2))]
    main.operator(label, inputs, [main.output("y", made, "float32")])
    return out.finish()


@pytest.mark.parametrize("label", kernels._DIMENSIONS)
def test_the_most_dimensions_are_those_that_tflite_micro_takes(wheel: Wheel, label: str) -> None:
    most = kernels._DIMENSIONS[label]
    for rank, well in ((most, True), (most + 1, False)):
        refused, answer = _asked(wheel, _with_dimensions(label, rank))
        assert (not refused, answer.ran) == (well, well), answer.said


def test_the_most_inputs_are_those_that_tflite_micro_takes(wheel: Wheel) -> None:
    for count, well in ((10, True), (11, False)):
        out = Builder()
        main = out.subgraph("main")
        inputs = [main.input(f"x{i}", (1, 2), "float32") for i in range(count)]
        main.operator("CONCATENATION", inputs, [main.output("y", (1, 2 * count), "float32")], axis=1)
        refused, answer = _asked(wheel, out.finish())
        assert (not refused, answer.ran) == (well, well), answer.said


@pytest.mark.parametrize(("label", "given", "made"), kernels._SCALES)
def test_an_output_of_another_scale_is_refused_by_both(
    wheel: Wheel, label: str, given: str, made: str
) -> None:
    scale, zero = kernels._SCALES[label, given, made]
    for of_output, well in (
        (Scale(scale or 2**-8, zero), True),
        (Scale(scale or 2**-8, zero + 1), False),
        (Scale(1.1 * (scale or 2**-8), zero), scale is None),
    ):
        out = Builder()
        main = out.subgraph("main")
        x, y = main.input("x", (1, 4), given, Scale(2**-8)), main.output("y", (1, 4), made, of_output)
        options = {"beta": 1.0} if label == "SOFTMAX" else {}
        main.operator(label, [x], [y], **options)
        refused, answer = _asked(wheel, out.finish())
        assert (not refused, answer.ran) == (well, well), (of_output, answer.said)


def test_an_operator_that_is_refused_is_named_by_its_place_and_what_is_wrong() -> None:
    out = Builder()
    main = out.subgraph("main")
    x, middle = main.input("x", (1, 4), "int8", Scale(0.5)), main.tensor("middle", (1, 4), "uint8")
    main.operator("QUANTIZE", [x], [middle])
    main.operator("CAST", [middle], [main.output("y", (1, 4), "int32")])
    found = list(kernels.refusals(tflite.parse(out.finish(), "m")))
    assert [(r.subgraph, r.index, r.operator, r.kind) for r in found] == [(0, 1, "CAST", "type")]
    wanted = "has uint8 as input 0; its kernel takes int8, int16, int32, uint32, bool, float32"
    assert found[0].why == wanted


def test_an_output_without_a_size_is_refused_by_both(wheel: Wheel) -> None:
    for size, well in ((4, True), (0, False)):
        out = Builder()
        main = out.subgraph("main")
        x, y = main.input("x", (1, 4), "float32"), main.output("y", (1, size), "float32")
        main.operator("RELU", [x], [y])
        refused, answer = _asked(wheel, out.finish())
        assert (not refused, answer.ran) == (well, well), answer.said
