"""What TFLite-Micro's kernels refuse when they are prepared or run: types, scales, shapes, inputs to come.

The tables are what its Python wheel answers for each operator, and `tests/models/test_kernels.py` asks it
again. A build may have less (int8 variants of kernels alone), none has more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from harness.models.graph import BITS, Model, Operator, Subgraph, Tensor

# Types, the form that an operator has with each of them as x, and operators. A form lists inputs, then
# outputs, each with the types that it may have (a/b: either), and
#
#     x       the type of the row                        n       any type without a scale
#     q, q:a  any type with a scale, a with a scale      =       the first input's type
#     *       anything: nobody looks                     ...     the one before, repeated
#
# Operators that are in no row take anything, and so do tensors beyond a form.
_LSTM = "{data}" + 8 * " {weights}" + 3 * " *" + 4 * " {bias}" + " * * {data} int16/float32 > {data}"
_FORMS = (
    (
        "int8 int16 float32",
        "x > x",
        "ABS LEAKY_RELU LOGISTIC RSQRT SOFTMAX TANH",
    ),
    (
        "int8 float32",
        "x > x",
        "DEPTH_TO_SPACE ELU L2_NORMALIZATION LOG_SOFTMAX SPACE_TO_DEPTH",
    ),
    ("float32", "x > x", "CEIL COS EXP L2_POOL_2D LOG ROUND SIN SQRT SQUARE"),
    ("float32", "x > *", "FLOOR NEG"),
    ("int8 float32", "x > *", "HARD_SWISH"),
    ("int8 int16 float32", "x > *", "RELU RELU6"),
    ("int8 int32 int64 float32", "x > *", "ZEROS_LIKE"),
    ("int8", "x > int16", "SOFTMAX"),
    ("int8 int16", "q q > x", "ADD SUB"),
    ("int32", "n n > x", "ADD SUB"),
    ("float32", "* * > x", "ADD SUB"),
    ("int8 int16 int32 float32", "x x > *", "MUL"),
    ("int8 float32", "x x > x", "DIV"),
    ("int32", "n:x n:x > x", "DIV"),
    ("float32", "x x > x", "FLOOR_DIV FLOOR_MOD"),
    ("int8 float32", "x ... > x", "ADD_N"),
    ("int8 int16 int32 int64 float32", "* * > x", "MAXIMUM MINIMUM"),
    ("int8 int16 int32 float32", "x x > int8/int16/int32/float32", "SQUARED_DIFFERENCE"),
    ("int8", "x q > *", "EQUAL NOT_EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL"),
    ("int32 int64 float32", "x * > *", "EQUAL NOT_EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL"),
    ("bool", "x * > *", "EQUAL NOT_EQUAL"),
    ("int16", "x * > *", "GREATER"),
    ("bool", "x > x", "LOGICAL_NOT"),
    ("int8 float32", "x int32 > int32", "ARG_MAX ARG_MIN"),
    ("int8", "x int8/int4 * > x", "CONV_2D FULLY_CONNECTED"),
    ("int16", "x int8 int32/int64 > x", "CONV_2D"),
    ("int16", "x int8 * > x", "FULLY_CONNECTED"),
    ("float32", "x x * > x", "CONV_2D FULLY_CONNECTED"),
    ("int8", "x int8/int4 * > int8/uint8/int16", "DEPTHWISE_CONV_2D"),
    ("int16", "x int8 * > int8/uint8/int16", "DEPTHWISE_CONV_2D"),
    ("float32", "x x * > *", "DEPTHWISE_CONV_2D"),
    ("int8", "* int8 x * > x", "TRANSPOSE_CONV"),
    ("int16", "* int8 x * > x", "TRANSPOSE_CONV"),
    ("float32", "* x x * > x", "TRANSPOSE_CONV"),
    ("int8 int16 float32", "x x > x", "BATCH_MATMUL"),
    ("int8 int16", "x > int4/int8/uint8/int16", "AVERAGE_POOL_2D MAX_POOL_2D"),
    ("float32", "x > *", "AVERAGE_POOL_2D MAX_POOL_2D"),
    ("int8 float32", "x * * > x", "BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND"),
    ("int32 int64", "x x > x", "BROADCAST_ARGS"),
    ("int8 int16 int32 uint32 bool float32", "x > int8/int16/int32/uint32/bool/float32", "CAST"),
    ("int8 int16 int32 int64 bool float32", "x ... > x", "CONCATENATION"),
    ("int8 float32", "x int32 > x", "CUMSUM REDUCE_MAX REDUCE_MIN"),
    ("int8 uint8 int16", "x > float32", "DEQUANTIZE"),
    ("int8", "x > int8/uint8/int16/q:int32", "QUANTIZE"),
    ("uint8", "x > int8", "QUANTIZE"),
    ("int16", "x > int8/int16/q:int32", "QUANTIZE"),
    ("int32 float32", "x > int8/int16", "QUANTIZE"),
    ("int8 int16 int32 float32", "x x int32/int64 > *", "DYNAMIC_UPDATE_SLICE"),
    ("int8", "int32 x > int8/float32", "EMBEDDING_LOOKUP"),
    ("float32", "int32 x > x", "EMBEDDING_LOOKUP"),
    ("int8 int16 float32", "x int32 > *", "EXPAND_DIMS MEAN"),
    ("int8 int32 float32", "int8/int16/int32/int64 x > x", "FILL"),
    ("int8 float32", "x int32 > *", "GATHER GATHER_ND"),
    ("int8 float32", "* * > x", "MIRROR_PAD"),
    ("int8 int16 int32 float32", "x int32/uint32 x > x", "PAD PADV2"),
    ("int8 int16 float32", "x int32 > x", "SUM"),
    ("bool", "x int32 > x", "REDUCE_ALL"),
    ("int8 int16 int32 int64 float32", "* ... > x", "PACK"),
    ("int8 int16 int32 float32", "x > *", "UNPACK"),
    ("int8 int16 float32", "x int8 > *", "PRELU"),
    (
        "int8 int16 float32",
        "x * > int8/uint8/uint16/int32/uint32/int64/uint64/bool/float16/float32/float64",
        "PRELU",
    ),
    ("int8 float32", "* int32 > x", "RESIZE_BILINEAR"),
    ("int8 int16 float32", "* int32 > x", "RESIZE_NEAREST_NEIGHBOR"),
    ("int8 uint8 int16 int32 int64 bool float32", "x int32 > x", "REVERSE_V2"),
    ("int8 int16 float32", "bool x x > *", "SELECT_V2"),
    ("", "* > int32", "SHAPE"),
    ("int8 int16 int32 bool float32", "x * * > *", "SLICE"),
    ("int8 int16 int32 bool float32", "* * * * > x", "STRIDED_SLICE"),
    ("int8 int16 int32 float32", "* x > *", "SPLIT"),
    ("int8 int16 int32 float32", "x * * > *", "SPLIT_V"),
    ("int8", "x int8 int8/int16 int32 int8/int16 > x", "SVDF"),
    ("float32", "x x x x x > x", "SVDF"),
    ("int8 int16 float32", "x * > x", "TRANSPOSE"),
    ("", _LSTM.format(data="int8", weights="int8", bias="int32"), "UNIDIRECTIONAL_SEQUENCE_LSTM"),
    ("", _LSTM.format(data="int16", weights="int8", bias="int64"), "UNIDIRECTIONAL_SEQUENCE_LSTM"),
    ("", _LSTM.format(data="float32", weights="float32", bias="float32"), "UNIDIRECTIONAL_SEQUENCE_LSTM"),
    ("", "bool > *", "IF"),
    ("", "resource/int32 > *", "ASSIGN_VARIABLE READ_VARIABLE"),
    ("", "* > =", "RESHAPE"),
    ("", "* int32/int64 > =", "BROADCAST_TO"),
    ("", "int8/uint8/bool > int8/uint8/bool", "SQUEEZE"),
    ("", "int16/uint16/float16 > int16/uint16/float16", "SQUEEZE"),
    ("", "int32/uint32/float32 > int32/uint32/float32", "SQUEEZE"),
    ("", "int64/uint64/float64 > int64/uint64/float64", "SQUEEZE"),
    ("int8", "x > x", "CIRCULAR_BUFFER"),
    ("", "* int8/uint8/bool > int8/int16/int32/float32", "TFLM_DECODE"),
    ("int16", "x > x", "SignalDelay"),
    ("int16", "x > uint32", "SignalEnergy"),
    ("int16", "x > x int32", "SignalFftAutoScale"),
    ("", "uint32 int16 int16 int16 int16 int16 > uint64", "SignalFilterBank"),
    ("", "uint64 int32 > uint32", "SignalFilterBankSquareRoot"),
    ("", "uint32 > int16", "SignalFilterBankLog"),
    ("", "uint32 > uint32 uint32", "SignalFilterBankSpectralSubtraction"),
    ("int16", "x > x bool", "SignalFramer SignalStacker"),
    ("int16 int32 float32", "x > x", "SignalIrfft SignalRfft"),
    ("int16 float32", "x > x", "SignalOverlapAdd"),
    ("", "uint32 uint32 int16 > uint32", "SignalPCAN"),
    ("int16", "x x > x", "SignalWindow"),
)

# Inputs that have to be constants of the file: prepare reads them.
_CONSTANT = {
    "BROADCAST_TO": (1,),
    "EXPAND_DIMS": (1,),
    "FILL": (0,),
    "PAD": (1,),
    "PADV2": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "SPLIT": (0,),
    "SPLIT_V": (2,),
    "STRIDED_SLICE": (1, 2, 3),
    "TFLM_DECODE": (0, 1),
    "TRANSPOSE": (1,),
}

# The most dimensions that the data may have.
_DIMENSIONS = {
    "BATCH_MATMUL": 5,
    "BATCH_TO_SPACE_ND": 4,
    "BROADCAST_TO": 5,
    "CONCATENATION": 6,
    "DYNAMIC_UPDATE_SLICE": 6,
    "EXPAND_DIMS": 7,
    "L2_NORMALIZATION": 4,
    "PAD": 5,
    "PADV2": 5,
    "PRELU": 4,
    "REVERSE_V2": 6,
    "SLICE": 5,
    "SPACE_TO_BATCH_ND": 4,
    "STRIDED_SLICE": 4,
    "TRANSPOSE": 5,
}

# The most inputs.
_INPUTS = {"CONCATENATION": 10}

# The scale and zero point that an output has to have, by operator and types of input and output.
_SCALES: dict[tuple[str, str, str], tuple[float | None, int]] = {
    ("LOGISTIC", "int8", "int8"): (None, -128),
    ("LOGISTIC", "int16", "int16"): (2**-15, 0),
    ("LOG_SOFTMAX", "int8", "int8"): (2**-4, 127),
    ("SOFTMAX", "int8", "int8"): (2**-8, -128),
    ("SOFTMAX", "int8", "int16"): (2**-16, -(2**15)),
    ("SOFTMAX", "int16", "int16"): (2**-15, 0),
    ("TANH", "int16", "int16"): (2**-15, 0),
}

_SCALED = {"q": True, "n": False}
_ACTIVATIONS = {
    "CONV_2D": 0,
    "DEPTHWISE_CONV_2D": 0,
    "FULLY_CONNECTED": 0,
    "TRANSPOSE_CONV": 2,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 0,
}

Kind = Literal["type", "hybrid", "scale", "constant", "dimensions", "inputs", "dynamic"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An operator that TFLite-Micro refuses, by its place in the model, and why: the rest of a sentence.

    "hybrid" are float activations with integer weights, as dynamic-range quantization leaves them; "dynamic"
    is an output without a size: TFLite-Micro plans memory once, before it knows any data.
    """

    subgraph: int
    index: int
    operator: str
    kind: Kind
    why: str


def refusals(model: Model) -> Iterator[Refusal]:
    """Yield the operators of `model` that TFLite-Micro has a kernel for and refuses, in order."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            for kind, why in _against(graph, operator):
                yield Refusal(graph.index, operator.index, operator.label, kind, why)
                break


def _against(graph: Subgraph, operator: Operator) -> Iterator[tuple[Kind, str]]:
    label = operator.label
    inputs = [graph.tensors[i] if i >= 0 else None for i in operator.inputs]
    outputs = [graph.tensors[i] for i in operator.outputs]
    if hybrid := _hybrid(label, inputs):
        yield "hybrid", hybrid
    if unlike := _unlike(label, inputs, outputs):
        yield "type", unlike
    elif badly_scaled := _badly_scaled(label, inputs, outputs):
        yield "scale", badly_scaled
    for place in _CONSTANT.get(label, ()):
        tensor = inputs[place] if place < len(inputs) else None
        if tensor is not None and not tensor.constant:
            yield "constant", f"is given '{tensor.name}' as input {place} when it runs"
    dimensions = max((len(t.shape) for t in inputs if t is not None), default=0)
    if dimensions > _DIMENSIONS.get(label, dimensions):
        yield "dimensions", f"has {dimensions} dimensions, and its kernel takes {_DIMENSIONS[label]}"
    if len(inputs) > _INPUTS.get(label, len(inputs)):
        yield "inputs", f"has {len(inputs)} inputs, and its kernel takes {_INPUTS[label]}"
    for tensor in outputs:
        if 0 in tensor.shape and tensor.shape != (0,):
            yield "dynamic", f"has an output without a fixed size ('{tensor.name}')"


def _hybrid(label: str, inputs: list[Tensor | None]) -> str | None:
    place = _ACTIVATIONS.get(label)
    if place is None or place >= len(inputs) or len(inputs) < 2:
        return None
    data, weights = inputs[place], inputs[1]
    if data is None or weights is None or data.type != "float32" or weights.type == "float32":
        return None
    return f"works on {data.type} with {weights.type} weights, and TFLite-Micro has no hybrid kernels"


def _badly_scaled(label: str, inputs: list[Tensor | None], outputs: list[Tensor]) -> str | None:
    """Return how the output's scale differs from the one that the kernel computes with."""
    if not inputs or inputs[0] is None or not outputs:
        return None
    wanted = _SCALES.get((label, inputs[0].type, outputs[0].type))
    if wanted is None:
        return None
    (scale, zero), found = wanted, outputs[0].quantization
    if found is None:
        return "has an output without a scale"
    if found.zero_points[0] == zero and (scale is None or math.isclose(found.scales[0], scale, rel_tol=1e-3)):
        return None
    fixed = f"zero point {zero}" if scale is None else f"scale {scale:g} and zero point {zero}"
    has = f"scale {found.scales[0]:g} and zero point {found.zero_points[0]}"
    return f"has an output of {has}; its kernel has {fixed}"


def _unlike(label: str, inputs: list[Tensor | None], outputs: list[Tensor]) -> str | None:
    """Return how the tensors are unlike every form that the kernel has, None if they fit one."""
    tensors = [*inputs, *outputs]
    first = next((t.type for t in inputs if t is not None), "")
    at, wanted = -1, dict[str, None]()
    for form in _forms().get(label, ()):
        types = form.of(len(inputs), len(outputs))
        place = next((i for i, t in enumerate(tensors) if t and not _fits(t, types[i], first)), None)
        if place is None:
            return None
        if place > at:
            at, wanted = place, {}
        if place == at:
            wanted |= dict.fromkeys(types[place])
    tensor = tensors[at] if at >= 0 else None
    if tensor is None:
        return None
    end = f"input {at}" if at < len(inputs) else f"output {at - len(inputs)}"
    names = ", ".join(dict.fromkeys(_said(t, first) for t in wanted))
    scaled = "with" if tensor.quantization else "without"
    found = tensor.type if set(wanted) <= set(BITS) else f"{tensor.type} {scaled} a scale"
    return f"has {found} as {end}; its kernel takes {names}"


def _fits(tensor: Tensor, types: tuple[str, ...], first: str) -> bool:
    for wanted in types:
        scale, _, type = wanted.rpartition(":") if ":" in wanted else (wanted, "", tensor.type)
        if wanted in ("*", tensor.type) or (wanted == "=" and tensor.type == first):
            return True
        if scale in _SCALED and type == tensor.type and _SCALED[scale] == (tensor.quantization is not None):
            return True
    return False


def _said(wanted: str, first: str) -> str:
    """Return a type of a form in words."""
    scale, _, type = wanted.rpartition(":") if ":" in wanted else (wanted, "", "any type")
    if scale not in _SCALED:
        return first if wanted == "=" else wanted
    return f"{type} {'with' if _SCALED[scale] else 'without'} a scale"


@dataclass(frozen=True, slots=True)
class _Form:
    """The types that a kernel takes at each input and output."""

    inputs: tuple[tuple[str, ...], ...]
    outputs: tuple[tuple[str, ...], ...]
    repeats: bool

    def of(self, inputs: int, outputs: int) -> list[tuple[str, ...]]:
        """Return the types of so many inputs and then outputs."""
        beyond = self.inputs[-1] if self.repeats else ("*",)
        return [
            *self.inputs[:inputs],
            *[beyond] * (inputs - len(self.inputs)),
            *self.outputs[:outputs],
            *[("*",)] * (outputs - len(self.outputs)),
        ]


@cache
def _forms() -> dict[str, list[_Form]]:
    """Return the forms by operator, one for each x."""
    found: dict[str, list[_Form]] = {}
    for x, form, operators in _FORMS:
        given, made = form.split(" > ")
        for type in x.split() or [""]:
            of_row = {"x": type, "n:x": f"n:{type}"}
            inputs, outputs = (
                tuple(tuple(of_row.get(t, t).split("/")) for t in part.removesuffix(" ...").split())
                for part in (given, made)
            )
            for operator in operators.split():
                found.setdefault(operator, []).append(_Form(inputs, outputs, given.endswith("...")))
    return found
