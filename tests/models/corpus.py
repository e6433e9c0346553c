"""Small models that between them use every operator of TFLite-Micro's resolver, made afresh from a seed.

`one_operator(seed)` yields (name, file) for each operator and type that TFLite-Micro takes, with shapes
drawn from `seed`; `networks(seed)` yields graphs of several operators, with state, branches and loops.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from flatbuffers import flexbuffers

from tests.models.maker import Graph, Maker

Case = tuple[str, bytes]
_SIZES = {"INT8": 1, "UINT8": 1, "BOOL": 1, "INT16": 2, "INT32": 4, "FLOAT32": 4, "INT64": 8, "INT4": 1}


def _weights(shape: Sequence[int], type: str) -> bytes:
    elements = int(np.prod(shape))
    return bytes((elements + 1) // 2 if type == "INT4" else elements * _SIZES[type])


def _flex(**values: object) -> bytes:
    builder = flexbuffers.Builder()
    builder.MapFromElements(dict(sorted(values.items())))
    return bytes(builder.Finish())


class _Case:
    """One model with one operator in it; `rng` gives its shapes."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.maker = Maker()
        self.graph: Graph = self.maker.graph()

    def shape(self, rank: int = 4, most: int = 9) -> tuple[int, ...]:
        return (1, *(self.rng.randint(1, most) for _ in range(rank - 1))) if rank else ()

    def inp(self, shape: Sequence[int], type: str = "INT8", **more: object) -> int:
        index = self.graph.tensor(shape, type, **more)  # type: ignore[arg-type]
        self.graph.inputs = (*self.graph.inputs, index)
        return index

    def out(self, shape: Sequence[int], type: str = "INT8", **more: object) -> int:
        index = self.graph.tensor(shape, type, **more)  # type: ignore[arg-type]
        self.graph.outputs = (*self.graph.outputs, index)
        return index

    def const(self, shape: Sequence[int], type: str = "INT8", **more: object) -> int:
        return self.graph.tensor(shape, type, _weights(shape, type), **more)  # type: ignore[arg-type]

    def ints(self, values: Sequence[int]) -> int:
        return self.graph.tensor((len(values),), "INT32", np.array(values, np.int32).tobytes())

    def op(self, *args: object, **more: object) -> None:
        self.graph.op(*args, **more)  # type: ignore[arg-type]

    def bytes(self) -> bytes:
        return self.maker.bytes()


Build = Callable[[_Case, str], None]
_CASES: dict[str, tuple[tuple[str, ...], Build]] = {}


def _case(code: str, *types: str) -> Callable[[Build], Build]:
    def add(build: Build) -> Build:
        _CASES[code] = (types or ("INT8",), build)
        return build

    return add


def one_operator(seed: int) -> Iterator[Case]:
    for code, (types, build) in _CASES.items():
        for type in types:
            case = _Case(random.Random(f"{seed} {code} {type}"))
            build(case, type)
            yield f"{code}/{type.lower()}/{seed}", case.bytes()


def operators() -> set[str]:
    """Return the operators that the corpus has a model for."""
    return {code.split(":")[0] for code in _CASES}


def _unary(
    code: str, kind: str | None, *types: str, options: dict[str, object] | None = None, **scales: object
) -> None:
    def build(c: _Case, type: str) -> None:
        shape = c.shape(c.rng.randint(1, 4))
        quantized = {} if type in ("FLOAT32", "BOOL", "INT32", "INT64") else scales.get(type, {})
        c.op(code, [c.inp(shape, type)], [c.out(shape, type, **quantized)], kind, options)

    _case(code, *types)(build)


_FLOAT = ("FLOAT32",)
for _code, _kind, _types in (
    ("ABS", "Abs", ("INT8", "INT16", "FLOAT32")),
    ("CEIL", None, _FLOAT),
    ("COS", "Cos", _FLOAT),
    ("ELU", None, ("INT8", "FLOAT32")),
    ("EXP", "Exp", _FLOAT),
    ("FLOOR", None, _FLOAT),
    ("HARD_SWISH", "HardSwish", ("INT8", "FLOAT32")),
    ("L2_NORMALIZATION", "L2Norm", _FLOAT),
    ("LEAKY_RELU", "LeakyRelu", ("INT8", "INT16", "FLOAT32")),
    ("LOG", None, _FLOAT),
    ("LOGICAL_NOT", "LogicalNot", ("BOOL",)),
    ("NEG", "Neg", _FLOAT),
    ("RELU", None, ("INT8", "INT16", "FLOAT32")),
    ("RELU6", None, ("INT8", "INT16", "FLOAT32")),
    ("ROUND", None, _FLOAT),
    ("RSQRT", None, ("INT8", "INT16", "FLOAT32")),
    ("SIN", None, _FLOAT),
    ("SQRT", None, _FLOAT),
    ("SQUARE", "Square", _FLOAT),
    ("ZEROS_LIKE", "ZerosLike", ("INT8", "INT32", "INT64", "FLOAT32")),
):
    _unary(_code, _kind, *_types)

_unary(
    "LOGISTIC", None, "INT8", "INT16", "FLOAT32",
    INT8={"scales": [1 / 256], "zero_points": [-128]}, INT16={"scales": [1 / 32768]},
)  # fmt: skip
_unary(
    "TANH", None, "INT8", "INT16", "FLOAT32",
    INT8={"scales": [1 / 128]}, INT16={"scales": [1 / 32768]},
)  # fmt: skip
_unary(
    "SOFTMAX", "Softmax", "INT8", "INT16", "FLOAT32", options={"Beta": 1.0},
    INT8={"scales": [1 / 256], "zero_points": [-128]}, INT16={"scales": [1 / 32768]},
)  # fmt: skip
_unary(
    "LOG_SOFTMAX", "LogSoftmax", "INT8", "FLOAT32",
    INT8={"scales": [16 / 256], "zero_points": [127]},
)  # fmt: skip


@_case("SOFTMAX:int16-out")
def _(c: _Case, type: str) -> None:
    shape = c.shape(2)
    out = c.out(shape, "INT16", scales=[1 / 65536], zero_points=[-32768])
    c.op("SOFTMAX", [c.inp(shape)], [out], "Softmax", {"Beta": 1.0})


def _binary(code: str, kind: str | None, out: str | None, *types: str) -> None:
    def build(c: _Case, type: str) -> None:
        shape = c.shape(4)
        second = c.const((1, 1, 1, shape[-1]), type) if c.rng.random() < 0.5 else c.inp(shape, type)
        c.op(code, [c.inp(shape, type), second], [c.out(shape, out or type)], kind)

    _case(code, *types)(build)


for _code, _kind, _types in (
    ("ADD", "Add", ("INT8", "INT16", "INT32", "FLOAT32")),
    ("SUB", "Sub", ("INT8", "INT16", "INT32", "FLOAT32")),
    ("MUL", "Mul", ("INT8", "INT16", "INT32", "FLOAT32")),
    ("DIV", "Div", _FLOAT),
    ("MAXIMUM", "MaximumMinimum", ("INT8", "INT16", "INT32", "FLOAT32")),
    ("MINIMUM", "MaximumMinimum", ("INT8", "INT16", "INT32", "FLOAT32")),
    ("SQUARED_DIFFERENCE", "SquaredDifference", ("INT8", "INT32", "FLOAT32")),
    ("FLOOR_DIV", "FloorDiv", _FLOAT),
    ("FLOOR_MOD", "FloorMod", _FLOAT),
    ("LOGICAL_AND", "LogicalAnd", ("BOOL",)),
    ("LOGICAL_OR", "LogicalOr", ("BOOL",)),
):
    _binary(_code, _kind, None, *_types)
for _code, _kind in (
    ("EQUAL", "Equal"),
    ("NOT_EQUAL", "NotEqual"),
    ("GREATER", "Greater"),
    ("GREATER_EQUAL", "GreaterEqual"),
    ("LESS", "Less"),
    ("LESS_EQUAL", "LessEqual"),
):
    _binary(_code, _kind, "BOOL", "INT8", "INT32", "FLOAT32")


@_case("ADD_N", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    inputs = [c.inp(shape, type) for _ in range(c.rng.randint(2, 6))]
    c.op("ADD_N", inputs, [c.out(shape, type)], "AddN")


@_case("ARG_MAX", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(2)
    c.op("ARG_MAX", [c.inp(shape, type), c.ints([1])], [c.out(shape[:1], "INT32")], "ArgMax", {"OutputType": 2})


@_case("ARG_MIN", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(2)
    c.op("ARG_MIN", [c.inp(shape, type), c.ints([1])], [c.out(shape[:1], "INT32")], "ArgMin", {"OutputType": 2})


def _channels(c: _Case, count: int, axis: int) -> dict[str, object]:
    return {"scales": [c.rng.uniform(0.001, 0.1) for _ in range(count)], "axis": axis}


def _conv(c: _Case, activation: str, weight: str, bias: str | None) -> None:
    height, width, depth, filters = (c.rng.randint(3, 12) for _ in range(4))
    kernel, stride = c.rng.choice((1, 3)), c.rng.choice((1, 2))
    scales = {} if weight == "FLOAT32" else _channels(c, filters, 0)
    inputs = [c.inp((1, height, width, depth), activation), c.const((filters, kernel, kernel, depth), weight, **scales)]
    if bias:
        inputs.append(c.const((filters,), bias, **({} if bias == "FLOAT32" else _channels(c, filters, 0))))
    out = c.out((1, -(-height // stride), -(-width // stride), filters), activation)
    options = {"Padding": 0, "StrideW": stride, "StrideH": stride, "DilationWFactor": 1, "DilationHFactor": 1}
    c.op("CONV_2D", inputs, [out], "Conv2D", options)


def _depthwise(c: _Case, activation: str, weight: str, bias: str | None) -> None:
    height, width, depth, multiplier = (c.rng.randint(1, 9) for _ in range(4))
    kernel, stride, filters = c.rng.choice((1, 3)), c.rng.choice((1, 2)), depth * multiplier
    scales = {} if weight == "FLOAT32" else _channels(c, filters, 3)
    inputs = [c.inp((1, height, width, depth), activation), c.const((1, kernel, kernel, filters), weight, **scales)]
    if bias:
        inputs.append(c.const((filters,), bias, **({} if bias == "FLOAT32" else _channels(c, filters, 0))))
    out = c.out((1, -(-height // stride), -(-width // stride), filters), activation)
    options = {
        "Padding": 0, "StrideW": stride, "StrideH": stride, "DepthMultiplier": multiplier,
        "DilationWFactor": 1, "DilationHFactor": 1,
    }  # fmt: skip
    c.op("DEPTHWISE_CONV_2D", inputs, [out], "DepthwiseConv2D", options)


def _dense(c: _Case, activation: str, weight: str, bias: str | None) -> None:
    depth, units = c.rng.randint(1, 40), c.rng.randint(2, 40)
    per_channel = weight == "INT8" and c.rng.random() < 0.5
    scales = {} if weight == "FLOAT32" else _channels(c, units if per_channel else 1, 0)
    inputs = [c.inp((1, depth), activation), c.const((units, depth), weight, **scales)]
    product = [] if bias == "FLOAT32" else [0.5 * s for s in scales.get("scales", [1])[:1]]  # type: ignore[index]
    inputs.append(c.const((units,), bias, scales=product) if bias else -1)
    c.op("FULLY_CONNECTED", inputs, [c.out((1, units), activation)], "FullyConnected")


for _code, _build in (("CONV_2D", _conv), ("DEPTHWISE_CONV_2D", _depthwise), ("FULLY_CONNECTED", _dense)):
    for _name, _args in {
        "int8": ("INT8", "INT8", "INT32"),
        "int4": ("INT8", "INT4", "INT32"),
        "int16": ("INT16", "INT8", "INT64"),
        "float": ("FLOAT32", "FLOAT32", "FLOAT32"),
        "no-bias": ("INT8", "INT8", None),
    }.items():
        _case(f"{_code}:{_name}", _args[0])(lambda c, type, build=_build, args=_args: build(c, *args))


@_case("TRANSPOSE_CONV", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    height, width, depth, filters = (c.rng.randint(2, 8) for _ in range(4))
    weight = "FLOAT32" if type == "FLOAT32" else "INT8"
    scales = {} if type == "FLOAT32" else _channels(c, filters, 0)
    shape = (1, height * 2, width * 2, filters)
    inputs = [c.ints(shape), c.const((filters, 3, 3, depth), weight, **scales), c.inp((1, height, width, depth), type)]
    if c.rng.random() < 0.6:
        bias = {"INT8": "INT32", "INT16": c.rng.choice(("INT16", "INT64")), "FLOAT32": "FLOAT32"}[type]
        inputs.append(c.const((filters,), bias, **scales))
    options = {"Padding": 0, "StrideW": 2, "StrideH": 2}
    c.op("TRANSPOSE_CONV", inputs, [c.out(shape, type)], "TransposeConv", options)


@_case("BATCH_MATMUL", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    rows, inner, columns, batch = (c.rng.randint(1, 9) for _ in range(4))
    adj_x, adj_y = c.rng.random() < 0.5, c.rng.random() < 0.5
    left = (batch, inner, rows) if adj_x else (batch, rows, inner)
    right = (batch, columns, inner) if adj_y else (batch, inner, columns)
    second = c.const(right, type) if c.rng.random() < 0.5 else c.inp(right, type)
    options = {"AdjX": adj_x, "AdjY": adj_y}
    c.op("BATCH_MATMUL", [c.inp(left, type), second], [c.out((batch, rows, columns), type)], "BatchMatMul", options)


def _pool(code: str, *types: str) -> None:
    def build(c: _Case, type: str) -> None:
        height, width, depth = (c.rng.randint(2, 12) for _ in range(3))
        out = c.out((1, -(-height // 2), -(-width // 2), depth), type)
        options = {"Padding": 0, "StrideW": 2, "StrideH": 2, "FilterWidth": 2, "FilterHeight": 2}
        c.op(code, [c.inp((1, height, width, depth), type)], [out], "Pool2D", options)

    _case(code, *types)(build)


_pool("AVERAGE_POOL_2D", "INT8", "INT16", "FLOAT32")
_pool("MAX_POOL_2D", "INT8", "INT16", "FLOAT32")
_pool("L2_POOL_2D", "FLOAT32")


@_case("BATCH_TO_SPACE_ND", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    depth = c.rng.randint(1, 9)
    crops = c.const((2, 2), "INT32")
    c.op("BATCH_TO_SPACE_ND", [c.inp((4, 2, 3, depth), type), c.ints([2, 2]), crops], [c.out((1, 4, 6, depth), type)])


@_case("SPACE_TO_BATCH_ND", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    depth = c.rng.randint(1, 9)
    pads = c.const((2, 2), "INT32")
    c.op("SPACE_TO_BATCH_ND", [c.inp((1, 4, 6, depth), type), c.ints([2, 2]), pads], [c.out((4, 2, 3, depth), type)])


@_case("BROADCAST_ARGS", "INT32")
def _(c: _Case, type: str) -> None:
    c.op("BROADCAST_ARGS", [c.inp((3,), type), c.inp((3,), type)], [c.out((3,), type)])


@_case("BROADCAST_TO", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(4)
    c.op("BROADCAST_TO", [c.inp(shape[-1:], type), c.ints(shape)], [c.out(shape, type)])


@_case("CAST")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("CAST", [c.inp(shape, "INT8")], [c.out(shape, "FLOAT32")], "Cast")


@_case("CONCATENATION", "INT8", "INT16", "INT32", "BOOL", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(4)
    parts = [c.rng.randint(1, 9) for _ in range(c.rng.randint(1, 6))]
    inputs = [c.inp((*shape[:3], n), type) for n in parts]
    c.op("CONCATENATION", inputs, [c.out((*shape[:3], sum(parts)), type)], "Concatenation", {"Axis": 3})


@_case("CUMSUM", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("CUMSUM", [c.inp(shape, type), c.ints([1])], [c.out(shape, type)], "Cumsum")


@_case("DEPTH_TO_SPACE", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    h, w, d = (c.rng.randint(1, 6) for _ in range(3))
    c.op(
        "DEPTH_TO_SPACE", [c.inp((1, h, w, 4 * d), type)], [c.out((1, 2 * h, 2 * w, d), type)],
        "DepthToSpace", {"BlockSize": 2},
    )  # fmt: skip


@_case("SPACE_TO_DEPTH", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    h, w, d = (c.rng.randint(1, 6) for _ in range(3))
    c.op(
        "SPACE_TO_DEPTH", [c.inp((1, 2 * h, 2 * w, d), type)], [c.out((1, h, w, 4 * d), type)],
        "SpaceToDepth", {"BlockSize": 2},
    )  # fmt: skip


@_case("DEQUANTIZE", "INT8", "INT16", "UINT8")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("DEQUANTIZE", [c.inp(shape, type, scales=[0.5])], [c.out(shape, "FLOAT32")], "Dequantize")


@_case("QUANTIZE", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("QUANTIZE", [c.inp(shape, type)], [c.out(shape, "INT8", scales=[0.25])], "Quantize")


@_case("DYNAMIC_UPDATE_SLICE", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    inputs = [c.inp(shape, type), c.inp((1, 1, shape[2]), type), c.ints([0, 0, 0])]
    c.op("DYNAMIC_UPDATE_SLICE", inputs, [c.out(shape, type)], "DynamicUpdateSlice")


@_case("EMBEDDING_LOOKUP", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    rows, columns, asked = (c.rng.randint(1, 9) for _ in range(3))
    c.op("EMBEDDING_LOOKUP", [c.inp((asked,), "INT32"), c.const((rows, columns), type)], [c.out((asked, columns), "FLOAT32")])


@_case("EXPAND_DIMS", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("EXPAND_DIMS", [c.inp(shape, type), c.ints([0])], [c.out((1, *shape), type)], "ExpandDims")


@_case("SQUEEZE", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("SQUEEZE", [c.inp(shape, type)], [c.out(shape[1:], type)], "Squeeze", {"SqueezeDims": (0,)})


@_case("FILL", "INT8", "INT32", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("FILL", [c.ints(shape), c.inp((), type)], [c.out(shape, type)], "Fill")


@_case("GATHER", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    out = c.out((shape[0], 2, shape[2]), type)
    c.op("GATHER", [c.inp(shape, type), c.ints([0, 0])], [out], "Gather", {"Axis": 1})


@_case("GATHER_ND", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("GATHER_ND", [c.inp(shape, type), c.const((2, 1), "INT32")], [c.out((2, *shape[1:]), type)], "GatherNd")


@_case("MIRROR_PAD", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    h, w = c.rng.randint(2, 9), c.rng.randint(2, 9)
    pads = c.graph.tensor((2, 2), "INT32", np.array([1, 1, 1, 1], np.int32).tobytes())
    c.op("MIRROR_PAD", [c.inp((h, w), type), pads], [c.out((h + 2, w + 2), type)], "MirrorPad")


def _pads(c: _Case, type: str, code: str) -> None:
    h, w, d = (c.rng.randint(1, 9) for _ in range(3))
    pads = c.graph.tensor((4, 2), "INT32", np.array([0, 0, 1, 1, 1, 1, 0, 0], np.int32).tobytes())
    inputs = [c.inp((1, h, w, d), type), pads]
    if code == "PADV2":
        inputs.append(c.const((), type))
    c.op(code, inputs, [c.out((1, h + 2, w + 2, d), type)], "Pad" if code == "PAD" else "PadV2")


_case("PAD", "INT8", "INT16", "FLOAT32")(lambda c, type: _pads(c, type, "PAD"))
_case("PADV2", "INT8", "FLOAT32")(lambda c, type: _pads(c, type, "PADV2"))


def _reduce(code: str, *types: str) -> None:
    def build(c: _Case, type: str) -> None:
        shape = c.shape(4)
        keep = c.rng.random() < 0.5
        out = (1, 1, 1, shape[3]) if keep else (1, shape[3])
        options = {"KeepDims": keep}
        c.op(code, [c.inp(shape, type), c.ints([1, 2])], [c.out(out, type)], "Reducer", options)

    _case(code, *types)(build)


_reduce("MEAN", "INT8", "INT16", "FLOAT32")
_reduce("SUM", "INT8", "INT16", "FLOAT32")
_reduce("REDUCE_MAX", "INT8", "FLOAT32")
_reduce("REDUCE_MIN", "INT8", "FLOAT32")
_reduce("REDUCE_ALL", "BOOL")


@_case("PACK", "INT8", "INT32", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape, count = c.shape(2), c.rng.randint(1, 5)
    inputs = [c.inp(shape, type) for _ in range(count)]
    c.op("PACK", inputs, [c.out((count, *shape), type)], "Pack", {"ValuesCount": count, "Axis": 0})


@_case("UNPACK", "INT8", "INT32", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape, count = c.shape(2), c.rng.randint(1, 5)
    outputs = [c.out(shape, type) for _ in range(count)]
    c.op("UNPACK", [c.inp((count, *shape), type)], outputs, "Unpack", {"Num": count, "Axis": 0})


@_case("PRELU", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(4)
    c.op("PRELU", [c.inp(shape, type), c.const((1, 1, shape[3]), type)], [c.out(shape, type)])


@_case("RESHAPE", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    flat = (1, shape[1] * shape[2])
    c.op("RESHAPE", [c.inp(shape, type), c.ints(flat)], [c.out(flat, type)], "Reshape", {"NewShape": flat})


def _resize(code: str, kind: str) -> None:
    def build(c: _Case, type: str) -> None:
        h, w, d = (c.rng.randint(1, 6) for _ in range(3))
        c.op(code, [c.inp((1, h, w, d), type), c.ints([2 * h, 2 * w])], [c.out((1, 2 * h, 2 * w, d), type)], kind)

    _case(code, "INT8", "FLOAT32")(build)


_resize("RESIZE_BILINEAR", "ResizeBilinear")
_resize("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighbor")


@_case("REVERSE_V2", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("REVERSE_V2", [c.inp(shape, type), c.ints([1])], [c.out(shape, type)], "ReverseV2")


@_case("SELECT_V2", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    inputs = [c.inp(shape, "BOOL"), c.inp(shape, type), c.inp(shape, type)]
    c.op("SELECT_V2", inputs, [c.out(shape, type)], "SelectV2")


@_case("SHAPE")
def _(c: _Case, type: str) -> None:
    c.op("SHAPE", [c.inp(c.shape(4))], [c.out((4,), "INT32")], "Shape", {"OutType": 2})


@_case("SLICE", "INT8", "INT16", "INT32", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    size = (1, 1, shape[2])
    c.op("SLICE", [c.inp(shape, type), c.ints([0, 0, 0]), c.ints(size)], [c.out(size, type)], "Slice")


@_case("STRIDED_SLICE", "INT8", "INT16", "INT32", "FLOAT32")
def _(c: _Case, type: str) -> None:
    h, w = c.rng.randint(2, 9), c.rng.randint(2, 9)
    inputs = [c.inp((h, w), type), c.ints([0, 0]), c.ints([h, w]), c.ints([1, 1])]
    c.op("STRIDED_SLICE", inputs, [c.out((h, w), type)], "StridedSlice")


@_case("SPLIT", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    count, width, depth = (c.rng.randint(1, 5) for _ in range(3))
    outputs = [c.out((1, width, depth), type) for _ in range(count)]
    c.op("SPLIT", [c.ints([1]), c.inp((1, width * count, depth), type)], outputs, "Split", {"NumSplits": count})


@_case("SPLIT_V", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    parts, depth = [c.rng.randint(1, 5) for _ in range(3)], c.rng.randint(1, 5)
    outputs = [c.out((1, n, depth), type) for n in parts]
    inputs = [c.inp((1, sum(parts), depth), type), c.ints(parts), c.ints([1])]
    c.op("SPLIT_V", inputs, outputs, "SplitV", {"NumSplits": len(parts)})


@_case("SVDF", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    batch, depth, units, memory, rank = c.rng.randint(1, 3), *(c.rng.randint(1, 9) for _ in range(3)), 2
    filters = units * rank
    quantized = type == "INT8"
    state_type = "INT16" if quantized else "FLOAT32"
    inputs = [
        c.inp((batch, depth), type),
        c.const((filters, depth), type),
        c.const((filters, memory), state_type),
        c.const((units,), "INT32" if quantized else "FLOAT32", scales=[0.25] if quantized else []),
        c.graph.tensor((batch, memory * filters), state_type, variable=True),
    ]
    c.op("SVDF", inputs, [c.out((batch, units), type)], "SVDF", {"Rank": rank})


@_case("TRANSPOSE", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("TRANSPOSE", [c.inp(shape, type), c.ints([0, 2, 1])], [c.out((shape[0], shape[2], shape[1]), type)], "Transpose")


@_case("UNIDIRECTIONAL_SEQUENCE_LSTM", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    batch, steps, depth, state = c.rng.randint(1, 3), *(c.rng.randint(1, 8) for _ in range(3))
    weight = "FLOAT32" if type == "FLOAT32" else "INT8"
    bias = {"FLOAT32": "FLOAT32", "INT8": "INT32", "INT16": "INT64"}[type]
    cell = "FLOAT32" if type == "FLOAT32" else "INT16"
    inputs = [c.inp((batch, steps, depth), type)]
    inputs += [c.const((state, depth), weight) for _ in range(4)]
    inputs += [c.const((state, state), weight) for _ in range(4)]
    inputs += [-1, -1, -1]
    inputs += [c.const((state,), bias, scales=[] if bias == "FLOAT32" else [0.25]) for _ in range(4)]
    inputs += [-1, -1]
    inputs += [
        c.graph.tensor((batch, state), type, variable=True),
        c.graph.tensor((batch, state), cell, variable=True, scales=[] if cell == "FLOAT32" else [2**-11]),
    ]
    inputs += [-1] * 4
    intermediates = [c.graph.tensor((0,), type) for _ in range(5)]
    options = {"FusedActivationFunction": 4, "TimeMajor": False}
    c.op(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [c.out((batch, steps, state), type)],
        "UnidirectionalSequenceLSTM", options, intermediates=intermediates,
    )  # fmt: skip


@_case("CIRCULAR_BUFFER")
def _(c: _Case, type: str) -> None:
    slots, depth = c.rng.randint(1, 9), c.rng.randint(1, 9)
    out = c.out((1, slots, 1, depth), variable=True)
    options = _flex(cycles_max=1) if c.rng.random() < 0.5 else None
    c.op("CIRCULAR_BUFFER", [c.inp((1, 1, 1, depth))], [out], custom_options=options)


@_case("TFLM_DECODE:lut", "INT8", "INT16")
def _(c: _Case, type: str) -> None:
    count = c.rng.randint(2, 40)
    header = bytes([0, 1, 0, 0, 1, 4, 4]).ljust(16, b"\0")
    indices = c.graph.tensor(((count + 1) // 2,), "UINT8", bytes((count + 1) // 2))
    ancillary = c.graph.tensor((32,), "UINT8", header + bytes(16))
    values = c.graph.tensor((1, count), type)
    c.op("TFLM_DECODE", [indices, ancillary], [values], custom_options=b"")
    c.op("ADD", [c.inp((1, count), type), values], [c.out((1, count), type)], "Add")


@_case("TFLM_DECODE:prune", "INT8")
def _(c: _Case, type: str) -> None:
    channels = c.rng.randint(2, 9)
    header = bytes([2, 1, 0, 0, 1]).ljust(16, b"\0")
    mask = c.graph.tensor((channels,), "UINT8", bytes(channels))
    ancillary = c.graph.tensor((32,), "UINT8", header + bytes(16))
    values = c.graph.tensor((channels, 8), type, scales=[0.5] * channels, zero_points=[1] * channels)
    c.op("TFLM_DECODE", [mask, ancillary], [values], custom_options=b"")
    c.op("ABS", [values], [c.out((channels, 8), type)], "Abs")


@_case("TFLite_Detection_PostProcess", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    boxes, classes, most = c.rng.randint(2, 12), c.rng.randint(1, 6), c.rng.randint(1, 6)
    inputs = [c.inp((1, boxes, 4), type), c.inp((1, boxes, classes + 1), type), c.const((boxes, 4), type)]
    outputs = [c.out((1, most, 4), "FLOAT32"), *(c.out((1, most), "FLOAT32") for _ in range(2)), c.out((1,), "FLOAT32")]
    options = _flex(
        max_detections=most, max_classes_per_detection=1, nms_score_threshold=0.1, nms_iou_threshold=0.5,
        num_classes=classes, y_scale=10.0, x_scale=10.0, h_scale=5.0, w_scale=5.0, use_regular_nms=False,
    )  # fmt: skip
    c.op("TFLite_Detection_PostProcess", inputs, outputs, custom_options=options)


@_case("ethos-u")
def _(c: _Case, type: str) -> None:
    shape = c.shape(4)
    inputs = [c.const((64,), "UINT8", scales=[]), c.const((128,), "UINT8", scales=[])]
    inputs += [c.graph.tensor((c.rng.randint(100, 2000),), "INT8", scales=[]) for _ in range(2)]
    inputs += [c.inp(shape) for _ in range(c.rng.randint(1, 3))]
    outputs = [c.out(shape) for _ in range(c.rng.randint(1, 3))]
    c.op("ethos-u", inputs, outputs, custom_options=b"\x01\x04\x01")


@_case("SignalDelay", "INT16")
def _(c: _Case, type: str) -> None:
    outer, frame = c.rng.randint(1, 3), c.rng.randint(1, 30)
    options = _flex(delay_length=c.rng.randint(1, 9))
    c.op("SignalDelay", [c.inp((outer, frame), type)], [c.out((outer, frame), type)], custom_options=options)


@_case("SignalEnergy", "INT16")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(2, 30)
    c.op("SignalEnergy", [c.inp((2 * n,), type)], [c.out((n,), "UINT32")], custom_options=_flex(end_index=n, start_index=0))


@_case("SignalFftAutoScale", "INT16")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(2, 30)
    c.op("SignalFftAutoScale", [c.inp((n,), type)], [c.out((n,), type), c.out((), "INT32")], custom_options=b"")


@_case("SignalFilterBank", "UINT32")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(1, 12)
    inputs = [c.inp((40,), type), *(c.const((n + 1,), "INT16", scales=[]) for _ in range(5))]
    c.op("SignalFilterBank", inputs, [c.out((n,), "UINT64")], custom_options=_flex(num_channels=n))


@_case("SignalFilterBankSquareRoot", "UINT64")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(1, 12)
    c.op("SignalFilterBankSquareRoot", [c.inp((n,), type), c.inp((), "INT32")], [c.out((n,), "UINT32")], custom_options=b"")


@_case("SignalFilterBankLog", "UINT32")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(1, 12)
    options = _flex(input_correction_bits=3, output_scale=64)
    c.op("SignalFilterBankLog", [c.inp((n,), type)], [c.out((n,), "INT16", scales=[])], custom_options=options)


@_case("SignalFilterBankSpectralSubtraction", "UINT32")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(1, 12)
    options = _flex(
        alternate_one_minus_smoothing=1, alternate_smoothing=1, clamping=False, min_signal_remaining=1,
        num_channels=n, one_minus_smoothing=1, smoothing=1, smoothing_bits=1, spectral_subtraction_bits=1,
    )  # fmt: skip
    code = "SignalFilterBankSpectralSubtraction"
    c.op(code, [c.inp((n,), type)], [c.out((n,), type), c.out((n,), type)], custom_options=options)


@_case("SignalFramer", "INT16")
def _(c: _Case, type: str) -> None:
    outer, step = c.rng.randint(1, 3), c.rng.randint(1, 9)
    frame, frames = step + c.rng.randint(0, 9), c.rng.randint(1, 3)
    options = _flex(frame_size=frame, frame_step=step, prefill=True)
    inputs = [c.inp((outer, frames * step), type)]
    outputs = [c.out((outer, frames, frame), type), c.out((), "BOOL")]
    c.op("SignalFramer", inputs, outputs, custom_options=options)


def _fft(code: str) -> None:
    def build(c: _Case, type: str) -> None:
        n = 2 ** c.rng.randint(3, 9)
        number = {"FLOAT32": 0, "INT16": 7, "INT32": 2}[type]
        real, spectrum = (1, n), (1, n + 2)
        given, made = (real, spectrum) if code == "SignalRfft" else (spectrum, real)
        options = _flex(T=number, fft_length=n)
        c.op(code, [c.inp(given, type, scales=[])], [c.out(made, type, scales=[])], custom_options=options)

    _case(code, "INT16", "INT32", "FLOAT32")(build)


_fft("SignalRfft")
_fft("SignalIrfft")


@_case("SignalOverlapAdd", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    outer, step, frames = c.rng.randint(1, 3), c.rng.randint(1, 9), c.rng.randint(1, 3)
    options = _flex(T=7 if type == "INT16" else 0, frame_step=step)
    c.op(
        "SignalOverlapAdd", [c.inp((outer, frames, 2 * step), type)], [c.out((outer, frames * step), type)],
        custom_options=options,
    )  # fmt: skip


@_case("SignalPCAN", "UINT32")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(1, 12)
    inputs = [c.inp((n,), type), c.inp((n,), type), c.const((125,), "INT16", scales=[])]
    c.op("SignalPCAN", inputs, [c.out((n,), type)], custom_options=_flex(snr_shift=6))


@_case("SignalStacker", "INT16")
def _(c: _Case, type: str) -> None:
    n, left, right = c.rng.randint(1, 12), c.rng.randint(0, 3), c.rng.randint(0, 3)
    options = _flex(num_channels=n, stacker_left_context=left, stacker_right_context=right, stacker_step=1)
    outputs = [c.out((n * (left + right + 1),), type), c.out((), "BOOL")]
    c.op("SignalStacker", [c.inp((n,), type)], outputs, custom_options=options)


@_case("SignalWindow", "INT16")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(1, 30)
    inputs = [c.inp((n,), type), c.const((n,), type)]
    c.op("SignalWindow", inputs, [c.out((n,), type)], custom_options=_flex(shift=12))


def _variable(case: _Case, graph: Graph, name: str) -> int:
    handle = graph.tensor((1,), "RESOURCE")
    graph.op("VAR_HANDLE", [], [handle], "VarHandle", {"Container": "", "SharedName": name})
    return handle


@_case("CALL_ONCE")
def _(c: _Case, type: str) -> None:
    """State in a resource variable that a subgraph fills before the first invoke."""
    shape = c.shape(2)
    setup = c.maker.graph()
    c.op("CALL_ONCE", [], [], "CallOnce", {"InitSubgraphIndex": 1})
    handle = _variable(c, c.graph, "state")
    read = c.graph.tensor(shape, "INT8")
    c.op("READ_VARIABLE", [handle], [read], "ReadVariable")
    out = c.out(shape)
    c.op("ADD", [c.inp(shape), read], [out], "Add")
    c.op("ASSIGN_VARIABLE", [handle, out], [], "AssignVariable")
    first = _variable(c, setup, "state")
    zeros = setup.tensor(shape, "INT8", bytes(int(np.prod(shape))))
    setup.op("ASSIGN_VARIABLE", [first, zeros], [], "AssignVariable")


for _code in ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"):
    _CASES[_code] = _CASES["CALL_ONCE"]


@_case("IF", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(4)
    out = c.out(shape, type)
    c.op("IF", [c.inp((1,), "BOOL"), c.inp(shape, type)], [out], "If", {"ThenSubgraphIndex": 1, "ElseSubgraphIndex": 2})
    for code, kind in (("SUB", "Sub"), ("MUL", "Mul")):
        branch = c.maker.graph()
        given, middle, made = (branch.tensor(shape, type) for _ in range(3))
        branch.inputs, branch.outputs = (given,), (made,)
        branch.op(code, [given, given], [middle], kind)
        branch.op("ADD", [middle, given], [made], "Add")


@_case("WHILE", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(4)
    inputs = [c.inp((1,), "INT32"), c.inp(shape, type)]
    outputs = [c.out((1,), "INT32"), c.out(shape, type)]
    c.op("WHILE", inputs, outputs, "While", {"CondSubgraphIndex": 1, "BodySubgraphIndex": 2})
    test, body = c.maker.graph(), c.maker.graph()
    test.inputs = (test.tensor((1,), "INT32"), test.tensor(shape, type))
    most = test.tensor((1,), "INT32", np.array([3], np.int32).tobytes())
    test.outputs = (test.tensor((1,), "BOOL"),)
    test.op("LESS", [test.inputs[0], most], test.outputs, "Less")
    body.inputs = (body.tensor((1,), "INT32"), body.tensor(shape, type))
    one = body.tensor((1,), "INT32", np.array([1], np.int32).tobytes())
    body.outputs = (body.tensor((1,), "INT32"), body.tensor(shape, type))
    body.op("ADD", [body.inputs[0], one], [body.outputs[0]], "Add")
    middle = body.tensor(shape, type)
    body.op("MUL", [body.inputs[1], body.inputs[1]], [middle], "Mul")
    body.op("ADD", [middle, body.inputs[1]], [body.outputs[1]], "Add")


def networks(seed: int, count: int) -> Iterator[Case]:
    """Yield `count` graphs of a few dozen operators with skips, several inputs and outputs, and offline plans."""
    for i in range(count):
        rng = random.Random(f"{seed} network {i}")
        case = _Case(rng)
        type = rng.choice(("INT8", "INT8", "INT16", "FLOAT32"))
        shape = (1, rng.randint(2, 12), rng.randint(2, 12), rng.randint(1, 8))
        alive = [case.inp(shape, type) for _ in range(rng.randint(1, 3))]
        shapes = dict.fromkeys(alive, shape)
        for _ in range(rng.randint(3, 30)):
            source = rng.choice(alive[-4:])
            shape = shapes[source]
            kind = rng.choice(("conv", "depthwise", "pool", "add", "mul", "relu", "pad", "mean", "reshape", "softmax"))
            made = _layer(case, kind, source, shape, type, [t for t in alive if shapes[t] == shape])
            shapes[made[0]] = made[1]
            alive.append(made[0])
        case.graph.outputs = tuple(rng.sample(alive, k=min(len(alive), rng.randint(1, 3))))
        if rng.random() < 0.2:
            count_of = len(case.graph.tensors)
            offsets = [rng.choice((-1, -1, -1, 16 * rng.randint(0, 40))) for _ in range(count_of)]
            case.maker.add_metadata("OfflineMemoryAllocation", np.array([1, 0, count_of, *offsets], np.int32).tobytes())
        yield f"network/{i}/{seed}", case.bytes()


def _layer(
    c: _Case, kind: str, source: int, shape: tuple[int, ...], type: str, same: list[int]
) -> tuple[int, tuple[int, ...]]:
    g, weight = c.graph, "FLOAT32" if type == "FLOAT32" else "INT8"
    bias = {"INT8": "INT32", "INT16": "INT64", "FLOAT32": "FLOAT32"}[type]
    if len(shape) != 4:
        kind = "softmax" if kind == "softmax" else "relu"
    if kind in ("conv", "depthwise"):
        filters = c.rng.randint(1, 16) if kind == "conv" else shape[3]
        kernel = (filters, 3, 3, shape[3]) if kind == "conv" else (1, 3, 3, filters)
        scales = {} if type == "FLOAT32" else _channels(c, filters, 0 if kind == "conv" else 3)
        made = (*shape[:3], filters)
        out = g.tensor(made, type)
        inputs = [source, c.const(kernel, weight, **scales), c.const((filters,), bias, scales=[] if bias == "FLOAT32" else [0.2])]
        options = {"StrideW": 1, "StrideH": 1, "DilationWFactor": 1, "DilationHFactor": 1}
        if kind == "conv":
            g.op("CONV_2D", inputs, [out], "Conv2D", options)
        else:
            g.op("DEPTHWISE_CONV_2D", inputs, [out], "DepthwiseConv2D", options | {"DepthMultiplier": 1})
        return out, made
    if kind == "pool":
        made = (1, -(-shape[1] // 2), -(-shape[2] // 2), shape[3])
        out = g.tensor(made, type)
        g.op("MAX_POOL_2D", [source], [out], "Pool2D", {"StrideW": 2, "StrideH": 2, "FilterWidth": 2, "FilterHeight": 2})
        return out, made
    if kind == "pad":
        made = (1, shape[1] + 2, shape[2] + 2, shape[3])
        pads = g.tensor((4, 2), "INT32", np.array([0, 0, 1, 1, 1, 1, 0, 0], np.int32).tobytes())
        out = g.tensor(made, type)
        g.op("PAD", [source, pads], [out], "Pad")
        return out, made
    if kind == "mean":
        made = (1, shape[3])
        out = g.tensor(made, type)
        g.op("MEAN", [source, c.ints([1, 2])], [out], "Reducer")
        return out, made
    if kind == "reshape":
        made = (1, int(np.prod(shape)))
        out = g.tensor(made, type)
        g.op("RESHAPE", [source, c.ints(made)], [out], "Reshape", {"NewShape": made})
        return out, made
    if kind == "softmax" and type == "FLOAT32":
        out = g.tensor(shape, type)
        g.op("SOFTMAX", [source], [out], "Softmax", {"Beta": 1.0})
        return out, shape
    out = g.tensor(shape, type)
    if kind in ("add", "mul"):
        other = c.rng.choice(same)
        g.op(kind.upper(), [source, other], [out], kind.capitalize())
    else:
        g.op("RELU", [source], [out])
    return out, shape
