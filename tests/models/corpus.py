"""Small models that between them use every operator of TFLite-Micro's resolver, made afresh from a seed.

`one_operator(seed)` yields (name, file) for each operator and type that TFLite-Micro takes, with shapes
drawn from `seed`; `networks(seed)` yields graphs of several operators, with state, branches and loops.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from flatbuffers import flexbuffers

from harness.models.build import Builder, Scale, Subgraph

Case = tuple[str, bytes]
_QUANTIZED = ("INT4", "INT8", "INT16")


def _flex(**values: object) -> bytes:
    builder = flexbuffers.Builder()
    builder.MapFromElements(dict(sorted(values.items())))
    return bytes(builder.Finish())


class _Graph:
    """A subgraph whose quantized tensors have the scale 0.5 and zero point 0 unless told."""

    def __init__(self, inner: Subgraph) -> None:
        self.inner = inner

    def tensor(
        self,
        shape: Sequence[int],
        type: str = "INT8",
        data: bytes | None = None,
        *,
        scales: Sequence[float] | None = None,
        zero_points: Sequence[int] | None = None,
        axis: int = 0,
        variable: bool = False,
    ) -> int:
        if scales is None:
            scales = (0.5,) if type in _QUANTIZED else ()
        scale = Scale(scales, zero_points or (0,) * len(scales), axis) if scales else None
        name = f"t{len(self.inner.tensors)}"
        if data is None:
            return self.inner.tensor(name, shape, type.lower(), scale, variable=variable)
        index = self.inner.constant(name, np.frombuffer(data, np.uint8), scale)
        self.inner.tensors[index] = replace(self.inner.tensors[index], shape=tuple(shape), type=type.lower())
        return index

    def op(self, code: str, inputs: Sequence[int], outputs: Sequence[int], **options: object) -> None:
        self.inner.operator(code, inputs, outputs, **options)  # type: ignore[arg-type]

    def interface(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        self.inner.inputs[:], self.inner.outputs[:] = inputs, outputs


class _Case:
    """One model with one operator in it; `rng` gives its shapes."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.builder = Builder()
        self.graph = self.subgraph()

    def subgraph(self) -> _Graph:
        return _Graph(self.builder.subgraph("g"))

    def shape(self, rank: int = 4, most: int = 9) -> tuple[int, ...]:
        return (1, *(self.rng.randint(1, most) for _ in range(rank - 1))) if rank else ()

    def inp(self, shape: Sequence[int], type: str = "INT8", **more: object) -> int:
        index = self.graph.tensor(shape, type, **more)  # type: ignore[arg-type]
        self.graph.inner.inputs.append(index)
        return index

    def out(self, shape: Sequence[int], type: str = "INT8", **more: object) -> int:
        index = self.graph.tensor(shape, type, **more)  # type: ignore[arg-type]
        self.graph.inner.outputs.append(index)
        return index

    def const(self, shape: Sequence[int], type: str = "INT8", **more: object) -> int:
        elements = math.prod(shape)
        size = (elements + 1) // 2 if type == "INT4" else elements * np.dtype(type.lower()).itemsize
        return self.graph.tensor(shape, type, bytes(size), **more)  # type: ignore[arg-type]

    def ints(self, values: Sequence[int]) -> int:
        return self.graph.tensor((len(values),), "INT32", np.array(values, np.int32).tobytes())

    def op(self, code: str, inputs: Sequence[int], outputs: Sequence[int], **options: object) -> None:
        self.graph.op(code, inputs, outputs, **options)

    def custom(self, code: str, inputs: Sequence[int], outputs: Sequence[int], options: bytes = b"") -> None:
        self.graph.inner.custom(code, inputs, outputs, options)

    def bytes(self) -> bytes:
        return self.builder.finish()


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


def _unary(code: str, *types: str, options: dict[str, object] | None = None, **scales: object) -> None:
    def build(c: _Case, type: str) -> None:
        shape = c.shape(c.rng.randint(1, 4))
        quantized = {} if type in ("FLOAT32", "BOOL", "INT32", "INT64") else scales.get(type, {})
        c.op(code, [c.inp(shape, type)], [c.out(shape, type, **quantized)], **(options or {}))

    _case(code, *types)(build)


_FLOAT = ("FLOAT32",)
for _code, _types in (
    ("ABS", ("INT8", "INT16", "FLOAT32")),
    ("CEIL", _FLOAT),
    ("COS", _FLOAT),
    ("ELU", ("INT8", "FLOAT32")),
    ("EXP", _FLOAT),
    ("FLOOR", _FLOAT),
    ("HARD_SWISH", ("INT8", "FLOAT32")),
    ("L2_NORMALIZATION", _FLOAT),
    ("LEAKY_RELU", ("INT8", "INT16", "FLOAT32")),
    ("LOG", _FLOAT),
    ("LOGICAL_NOT", ("BOOL",)),
    ("NEG", _FLOAT),
    ("RELU", ("INT8", "INT16", "FLOAT32")),
    ("RELU6", ("INT8", "INT16", "FLOAT32")),
    ("ROUND", _FLOAT),
    ("RSQRT", ("INT8", "INT16", "FLOAT32")),
    ("SIN", _FLOAT),
    ("SQRT", _FLOAT),
    ("SQUARE", _FLOAT),
    ("ZEROS_LIKE", ("INT8", "INT32", "INT64", "FLOAT32")),
):
    _unary(_code, *_types)

_unary(
    "LOGISTIC",
    "INT8",
    "INT16",
    "FLOAT32",
    INT8={"scales": [1 / 256], "zero_points": [-128]},
    INT16={"scales": [1 / 32768]},
)
_unary(
    "TANH",
    "INT8",
    "INT16",
    "FLOAT32",
    INT8={"scales": [1 / 128]},
    INT16={"scales": [1 / 32768]},
)
_unary(
    "SOFTMAX",
    "INT8",
    "INT16",
    "FLOAT32",
    options={"beta": 1.0},
    INT8={"scales": [1 / 256], "zero_points": [-128]},
    INT16={"scales": [1 / 32768]},
)
_unary(
    "LOG_SOFTMAX",
    "INT8",
    "FLOAT32",
    INT8={"scales": [16 / 256], "zero_points": [127]},
)


@_case("SOFTMAX:int16-out")
def _(c: _Case, type: str) -> None:
    shape = c.shape(2)
    out = c.out(shape, "INT16", scales=[1 / 65536], zero_points=[-32768])
    c.op("SOFTMAX", [c.inp(shape)], [out], beta=1.0)


def _binary(code: str, out: str | None, *types: str) -> None:
    def build(c: _Case, type: str) -> None:
        shape = c.shape(4)
        second = c.const((1, 1, 1, shape[-1]), type) if c.rng.random() < 0.5 else c.inp(shape, type)
        c.op(code, [c.inp(shape, type), second], [c.out(shape, out or type)])

    _case(code, *types)(build)


for _code, _types in (
    ("ADD", ("INT8", "INT16", "INT32", "FLOAT32")),
    ("SUB", ("INT8", "INT16", "INT32", "FLOAT32")),
    ("MUL", ("INT8", "INT16", "INT32", "FLOAT32")),
    ("DIV", _FLOAT),
    ("MAXIMUM", ("INT8", "INT16", "INT32", "FLOAT32")),
    ("MINIMUM", ("INT8", "INT16", "INT32", "FLOAT32")),
    ("SQUARED_DIFFERENCE", ("INT8", "INT32", "FLOAT32")),
    ("FLOOR_DIV", _FLOAT),
    ("FLOOR_MOD", _FLOAT),
    ("LOGICAL_AND", ("BOOL",)),
    ("LOGICAL_OR", ("BOOL",)),
):
    _binary(_code, None, *_types)
for _code in ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"):
    _binary(_code, "BOOL", "INT8", "INT32", "FLOAT32")


@_case("ADD_N", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    inputs = [c.inp(shape, type) for _ in range(c.rng.randint(2, 6))]
    c.op("ADD_N", inputs, [c.out(shape, type)])


@_case("ARG_MAX", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(2)
    c.op("ARG_MAX", [c.inp(shape, type), c.ints([1])], [c.out(shape[:1], "INT32")], output_type=2)


@_case("ARG_MIN", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(2)
    c.op("ARG_MIN", [c.inp(shape, type), c.ints([1])], [c.out(shape[:1], "INT32")], output_type=2)


def _channels(c: _Case, count: int, axis: int) -> dict[str, object]:
    return {"scales": [c.rng.uniform(0.001, 0.1) for _ in range(count)], "axis": axis}


def _conv(c: _Case, activation: str, weight: str, bias: str | None) -> None:
    height, width, depth, filters = (c.rng.randint(3, 12) for _ in range(4))
    kernel, stride = c.rng.choice((1, 3)), c.rng.choice((1, 2))
    scales = {} if weight == "FLOAT32" else _channels(c, filters, 0)
    inputs = [
        c.inp((1, height, width, depth), activation),
        c.const((filters, kernel, kernel, depth), weight, **scales),
    ]
    if bias:
        inputs.append(c.const((filters,), bias, **({} if bias == "FLOAT32" else _channels(c, filters, 0))))
    out = c.out((1, -(-height // stride), -(-width // stride), filters), activation)
    options = {
        "padding": 0,
        "stride_w": stride,
        "stride_h": stride,
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
    }
    c.op("CONV_2D", inputs, [out], **options)


def _depthwise(c: _Case, activation: str, weight: str, bias: str | None) -> None:
    height, width, depth, multiplier = (c.rng.randint(1, 9) for _ in range(4))
    kernel, stride, filters = c.rng.choice((1, 3)), c.rng.choice((1, 2)), depth * multiplier
    scales = {} if weight == "FLOAT32" else _channels(c, filters, 3)
    inputs = [
        c.inp((1, height, width, depth), activation),
        c.const((1, kernel, kernel, filters), weight, **scales),
    ]
    if bias:
        inputs.append(c.const((filters,), bias, **({} if bias == "FLOAT32" else _channels(c, filters, 0))))
    out = c.out((1, -(-height // stride), -(-width // stride), filters), activation)
    options = {
        "padding": 0,
        "stride_w": stride,
        "stride_h": stride,
        "depth_multiplier": multiplier,
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
    }
    c.op("DEPTHWISE_CONV_2D", inputs, [out], **options)


def _dense(c: _Case, activation: str, weight: str, bias: str | None) -> None:
    depth, units = c.rng.randint(1, 40), c.rng.randint(2, 40)
    per_channel = weight == "INT8" and c.rng.random() < 0.5
    scales = {} if weight == "FLOAT32" else _channels(c, units if per_channel else 1, 0)
    inputs = [c.inp((1, depth), activation), c.const((units, depth), weight, **scales)]
    product = [] if bias == "FLOAT32" else [0.5 * s for s in scales.get("scales", [1])[:1]]  # type: ignore[index]
    inputs.append(c.const((units,), bias, scales=product) if bias else -1)
    c.op("FULLY_CONNECTED", inputs, [c.out((1, units), activation)])


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
    inputs = [
        c.ints(shape),
        c.const((filters, 3, 3, depth), weight, **scales),
        c.inp((1, height, width, depth), type),
    ]
    if c.rng.random() < 0.6:
        bias = {"INT8": "INT32", "INT16": c.rng.choice(("INT16", "INT64")), "FLOAT32": "FLOAT32"}[type]
        inputs.append(c.const((filters,), bias, **scales))
    options = {"padding": 0, "stride_w": 2, "stride_h": 2}
    c.op("TRANSPOSE_CONV", inputs, [c.out(shape, type)], **options)


@_case("BATCH_MATMUL", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    rows, inner, columns, batch = (c.rng.randint(1, 9) for _ in range(4))
    adj_x, adj_y = c.rng.random() < 0.5, c.rng.random() < 0.5
    left = (batch, inner, rows) if adj_x else (batch, rows, inner)
    right = (batch, columns, inner) if adj_y else (batch, inner, columns)
    second = c.const(right, type) if c.rng.random() < 0.5 else c.inp(right, type)
    options = {"adj_x": adj_x, "adj_y": adj_y}
    c.op("BATCH_MATMUL", [c.inp(left, type), second], [c.out((batch, rows, columns), type)], **options)


def _pool(code: str, *types: str) -> None:
    def build(c: _Case, type: str) -> None:
        height, width, depth = (c.rng.randint(2, 12) for _ in range(3))
        out = c.out((1, -(-height // 2), -(-width // 2), depth), type)
        options = {"padding": 0, "stride_w": 2, "stride_h": 2, "filter_width": 2, "filter_height": 2}
        c.op(code, [c.inp((1, height, width, depth), type)], [out], **options)

    _case(code, *types)(build)


_pool("AVERAGE_POOL_2D", "INT8", "INT16", "FLOAT32")
_pool("MAX_POOL_2D", "INT8", "INT16", "FLOAT32")
_pool("L2_POOL_2D", "FLOAT32")


@_case("BATCH_TO_SPACE_ND", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    depth = c.rng.randint(1, 9)
    crops = c.const((2, 2), "INT32")
    c.op(
        "BATCH_TO_SPACE_ND",
        [c.inp((4, 2, 3, depth), type), c.ints([2, 2]), crops],
        [c.out((1, 4, 6, depth), type)],
    )


@_case("SPACE_TO_BATCH_ND", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    depth = c.rng.randint(1, 9)
    pads = c.const((2, 2), "INT32")
    c.op(
        "SPACE_TO_BATCH_ND",
        [c.inp((1, 4, 6, depth), type), c.ints([2, 2]), pads],
        [c.out((4, 2, 3, depth), type)],
    )


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
    c.op("CAST", [c.inp(shape, "INT8")], [c.out(shape, "FLOAT32")])


@_case("CONCATENATION", "INT8", "INT16", "INT32", "BOOL", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(4)
    parts = [c.rng.randint(1, 9) for _ in range(c.rng.randint(1, 6))]
    inputs = [c.inp((*shape[:3], n), type) for n in parts]
    c.op("CONCATENATION", inputs, [c.out((*shape[:3], sum(parts)), type)], axis=3)


@_case("CUMSUM", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("CUMSUM", [c.inp(shape, type), c.ints([1])], [c.out(shape, type)])


@_case("DEPTH_TO_SPACE", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    h, w, d = (c.rng.randint(1, 6) for _ in range(3))
    c.op("DEPTH_TO_SPACE", [c.inp((1, h, w, 4 * d), type)], [c.out((1, 2 * h, 2 * w, d), type)], block_size=2)


@_case("SPACE_TO_DEPTH", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    h, w, d = (c.rng.randint(1, 6) for _ in range(3))
    c.op("SPACE_TO_DEPTH", [c.inp((1, 2 * h, 2 * w, d), type)], [c.out((1, h, w, 4 * d), type)], block_size=2)


@_case("DEQUANTIZE", "INT8", "INT16", "UINT8")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("DEQUANTIZE", [c.inp(shape, type, scales=[0.5])], [c.out(shape, "FLOAT32")])


@_case("QUANTIZE", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("QUANTIZE", [c.inp(shape, type)], [c.out(shape, "INT8", scales=[0.25])])


@_case("DYNAMIC_UPDATE_SLICE", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    inputs = [c.inp(shape, type), c.inp((1, 1, shape[2]), type), c.ints([0, 0, 0])]
    c.op("DYNAMIC_UPDATE_SLICE", inputs, [c.out(shape, type)])


@_case("EMBEDDING_LOOKUP", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    rows, columns, asked = (c.rng.randint(1, 9) for _ in range(3))
    c.op(
        "EMBEDDING_LOOKUP",
        [c.inp((asked,), "INT32"), c.const((rows, columns), type)],
        [c.out((asked, columns), "FLOAT32")],
    )


@_case("EXPAND_DIMS", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("EXPAND_DIMS", [c.inp(shape, type), c.ints([0])], [c.out((1, *shape), type)])


@_case("SQUEEZE", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("SQUEEZE", [c.inp(shape, type)], [c.out(shape[1:], type)], squeeze_dims=(0,))


@_case("FILL", "INT8", "INT32", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("FILL", [c.ints(shape), c.inp((), type)], [c.out(shape, type)])


@_case("GATHER", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    out = c.out((shape[0], 2, shape[2]), type)
    c.op("GATHER", [c.inp(shape, type), c.ints([0, 0])], [out], axis=1)


@_case("GATHER_ND", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("GATHER_ND", [c.inp(shape, type), c.const((2, 1), "INT32")], [c.out((2, *shape[1:]), type)])


@_case("MIRROR_PAD", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    h, w = c.rng.randint(2, 9), c.rng.randint(2, 9)
    pads = c.graph.tensor((2, 2), "INT32", np.array([1, 1, 1, 1], np.int32).tobytes())
    c.op("MIRROR_PAD", [c.inp((h, w), type), pads], [c.out((h + 2, w + 2), type)])


def _pads(c: _Case, type: str, code: str) -> None:
    h, w, d = (c.rng.randint(1, 9) for _ in range(3))
    pads = c.graph.tensor((4, 2), "INT32", np.array([0, 0, 1, 1, 1, 1, 0, 0], np.int32).tobytes())
    inputs = [c.inp((1, h, w, d), type), pads]
    if code == "PADV2":
        inputs.append(c.const((), type))
    c.op(code, inputs, [c.out((1, h + 2, w + 2, d), type)])


_case("PAD", "INT8", "INT16", "FLOAT32")(lambda c, type: _pads(c, type, "PAD"))
_case("PADV2", "INT8", "FLOAT32")(lambda c, type: _pads(c, type, "PADV2"))


def _reduce(code: str, *types: str) -> None:
    def build(c: _Case, type: str) -> None:
        shape = c.shape(4)
        keep = c.rng.random() < 0.5
        out = (1, 1, 1, shape[3]) if keep else (1, shape[3])
        c.op(code, [c.inp(shape, type), c.ints([1, 2])], [c.out(out, type)], keep_dims=keep)

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
    c.op("PACK", inputs, [c.out((count, *shape), type)], values_count=count, axis=0)


@_case("UNPACK", "INT8", "INT32", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape, count = c.shape(2), c.rng.randint(1, 5)
    outputs = [c.out(shape, type) for _ in range(count)]
    c.op("UNPACK", [c.inp((count, *shape), type)], outputs, num=count, axis=0)


@_case("PRELU", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(4)
    c.op("PRELU", [c.inp(shape, type), c.const((1, 1, shape[3]), type)], [c.out(shape, type)])


@_case("RESHAPE", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    flat = (1, shape[1] * shape[2])
    c.op("RESHAPE", [c.inp(shape, type), c.ints(flat)], [c.out(flat, type)], new_shape=flat)


def _resize(code: str) -> None:
    def build(c: _Case, type: str) -> None:
        h, w, d = (c.rng.randint(1, 6) for _ in range(3))
        c.op(code, [c.inp((1, h, w, d), type), c.ints([2 * h, 2 * w])], [c.out((1, 2 * h, 2 * w, d), type)])

    _case(code, "INT8", "FLOAT32")(build)


_resize("RESIZE_BILINEAR")
_resize("RESIZE_NEAREST_NEIGHBOR")


@_case("REVERSE_V2", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("REVERSE_V2", [c.inp(shape, type), c.ints([1])], [c.out(shape, type)])


@_case("SELECT_V2", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    inputs = [c.inp(shape, "BOOL"), c.inp(shape, type), c.inp(shape, type)]
    c.op("SELECT_V2", inputs, [c.out(shape, type)])


@_case("SHAPE")
def _(c: _Case, type: str) -> None:
    c.op("SHAPE", [c.inp(c.shape(4))], [c.out((4,), "INT32")], out_type=2)


@_case("SLICE", "INT8", "INT16", "INT32", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    size = (1, 1, shape[2])
    c.op("SLICE", [c.inp(shape, type), c.ints([0, 0, 0]), c.ints(size)], [c.out(size, type)])


@_case("STRIDED_SLICE", "INT8", "INT16", "INT32", "FLOAT32")
def _(c: _Case, type: str) -> None:
    h, w = c.rng.randint(2, 9), c.rng.randint(2, 9)
    inputs = [c.inp((h, w), type), c.ints([0, 0]), c.ints([h, w]), c.ints([1, 1])]
    c.op("STRIDED_SLICE", inputs, [c.out((h, w), type)])


@_case("SPLIT", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    count, width, depth = (c.rng.randint(1, 5) for _ in range(3))
    outputs = [c.out((1, width, depth), type) for _ in range(count)]
    c.op("SPLIT", [c.ints([1]), c.inp((1, width * count, depth), type)], outputs, num_splits=count)


@_case("SPLIT_V", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    parts, depth = [c.rng.randint(1, 5) for _ in range(3)], c.rng.randint(1, 5)
    outputs = [c.out((1, n, depth), type) for n in parts]
    inputs = [c.inp((1, sum(parts), depth), type), c.ints(parts), c.ints([1])]
    c.op("SPLIT_V", inputs, outputs, num_splits=len(parts))


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
    c.op("SVDF", inputs, [c.out((batch, units), type)], rank=rank)


@_case("TRANSPOSE", "INT8", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(3)
    c.op("TRANSPOSE", [c.inp(shape, type), c.ints([0, 2, 1])], [c.out((shape[0], shape[2], shape[1]), type)])


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
    out = c.out((batch, steps, state), type)
    c.op(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [out], fused_activation="TANH", time_major=c.rng.random() < 0
    )


@_case("CIRCULAR_BUFFER")
def _(c: _Case, type: str) -> None:
    slots, depth = c.rng.randint(1, 9), c.rng.randint(1, 9)
    out = c.out((1, slots, 1, depth), variable=True)
    options = _flex(cycles_max=1) if c.rng.random() < 0.5 else None
    c.custom("CIRCULAR_BUFFER", [c.inp((1, 1, 1, depth))], [out], options)


@_case("TFLM_DECODE:lut", "INT8", "INT16")
def _(c: _Case, type: str) -> None:
    count = c.rng.randint(2, 40)
    header = bytes([0, 1, 0, 0, 1, 4, 4]).ljust(16, b"\0")
    indices = c.graph.tensor(((count + 1) // 2,), "UINT8", bytes((count + 1) // 2))
    ancillary = c.graph.tensor((32,), "UINT8", header + bytes(16))
    values = c.graph.tensor((1, count), type)
    c.custom("TFLM_DECODE", [indices, ancillary], [values], b"")
    c.op("ADD", [c.inp((1, count), type), values], [c.out((1, count), type)])


@_case("TFLM_DECODE:huffman", "INT8")
def _(c: _Case, type: str) -> None:
    count = c.rng.randint(2, 40)
    header = bytes([1, 1, 0, 0, 1, 0]).ljust(16, b"\0")
    codes = c.graph.tensor((count,), "UINT8", bytes(count))
    ancillary = c.graph.tensor((32,), "UINT8", header + bytes(16))
    values = c.graph.tensor((1, count), type)
    c.custom("TFLM_DECODE", [codes, ancillary], [values])
    c.op("ABS", [values], [c.out((1, count), type)])


@_case("TFLM_DECODE:prune", "INT8")
def _(c: _Case, type: str) -> None:
    channels = c.rng.randint(2, 9)
    header = bytes([2, 1, 0, 0, 1]).ljust(16, b"\0")
    mask = c.graph.tensor((channels,), "UINT8", bytes(channels))
    ancillary = c.graph.tensor((32,), "UINT8", header + bytes(16))
    values = c.graph.tensor((channels, 8), type, scales=[0.5] * channels, zero_points=[1] * channels)
    c.custom("TFLM_DECODE", [mask, ancillary], [values], b"")
    c.op("ABS", [values], [c.out((channels, 8), type)])


@_case("TFLite_Detection_PostProcess", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    boxes, classes, most = c.rng.randint(2, 12), c.rng.randint(1, 6), c.rng.randint(1, 6)
    inputs = [c.inp((1, boxes, 4), type), c.inp((1, boxes, classes + 1), type), c.const((boxes, 4), type)]
    outputs = [
        c.out((1, most, 4), "FLOAT32"),
        *(c.out((1, most), "FLOAT32") for _ in range(2)),
        c.out((1,), "FLOAT32"),
    ]
    options = _flex(
        max_detections=most,
        max_classes_per_detection=1,
        nms_score_threshold=0.1,
        nms_iou_threshold=0.5,
        num_classes=classes,
        y_scale=10.0,
        x_scale=10.0,
        h_scale=5.0,
        w_scale=5.0,
        use_regular_nms=False,
    )
    c.custom("TFLite_Detection_PostProcess", inputs, outputs, options)


@_case("ethos-u")
def _(c: _Case, type: str) -> None:
    shape = c.shape(4)
    inputs = [c.const((64,), "UINT8", scales=[]), c.const((128,), "UINT8", scales=[])]
    inputs += [c.graph.tensor((c.rng.randint(100, 2000),), "INT8", scales=[]) for _ in range(2)]
    inputs += [c.inp(shape) for _ in range(c.rng.randint(1, 3))]
    outputs = [c.out(shape) for _ in range(c.rng.randint(1, 3))]
    c.custom("ethos-u", inputs, outputs, b"\x01\x04\x01")


@_case("SignalDelay", "INT16")
def _(c: _Case, type: str) -> None:
    outer, frame = c.rng.randint(1, 3), c.rng.randint(1, 30)
    options = _flex(delay_length=c.rng.randint(1, 9))
    c.custom("SignalDelay", [c.inp((outer, frame), type)], [c.out((outer, frame), type)], options)


@_case("SignalEnergy", "INT16")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(2, 30)
    c.custom(
        "SignalEnergy", [c.inp((2 * n,), type)], [c.out((n,), "UINT32")], _flex(end_index=n, start_index=0)
    )


@_case("SignalFftAutoScale", "INT16")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(2, 30)
    c.custom("SignalFftAutoScale", [c.inp((n,), type)], [c.out((n,), type), c.out((), "INT32")], b"")


@_case("SignalFilterBank", "UINT32")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(1, 12)
    inputs = [c.inp((40,), type), *(c.const((n + 1,), "INT16", scales=[]) for _ in range(5))]
    c.custom("SignalFilterBank", inputs, [c.out((n,), "UINT64")], _flex(num_channels=n))


@_case("SignalFilterBankSquareRoot", "UINT64")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(1, 12)
    c.custom(
        "SignalFilterBankSquareRoot", [c.inp((n,), type), c.inp((), "INT32")], [c.out((n,), "UINT32")], b""
    )


@_case("SignalFilterBankLog", "UINT32")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(1, 12)
    options = _flex(input_correction_bits=3, output_scale=64)
    c.custom("SignalFilterBankLog", [c.inp((n,), type)], [c.out((n,), "INT16", scales=[])], options)


@_case("SignalFilterBankSpectralSubtraction", "UINT32")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(1, 12)
    options = _flex(
        alternate_one_minus_smoothing=1,
        alternate_smoothing=1,
        clamping=False,
        min_signal_remaining=1,
        num_channels=n,
        one_minus_smoothing=1,
        smoothing=1,
        smoothing_bits=1,
        spectral_subtraction_bits=1,
    )
    code = "SignalFilterBankSpectralSubtraction"
    c.custom(code, [c.inp((n,), type)], [c.out((n,), type), c.out((n,), type)], options)


@_case("SignalFramer", "INT16")
def _(c: _Case, type: str) -> None:
    outer, step = c.rng.randint(1, 3), c.rng.randint(1, 9)
    frame, frames = step + c.rng.randint(0, 9), c.rng.randint(1, 3)
    options = _flex(frame_size=frame, frame_step=step, prefill=True)
    inputs = [c.inp((outer, frames * step), type)]
    outputs = [c.out((outer, frames, frame), type), c.out((), "BOOL")]
    c.custom("SignalFramer", inputs, outputs, options)


def _fft(code: str) -> None:
    def build(c: _Case, type: str) -> None:
        n = 2 ** c.rng.randint(3, 9)
        number = {"FLOAT32": 0, "INT16": 7, "INT32": 2}[type]
        real, spectrum = (1, n), (1, n + 2)
        given, made = (real, spectrum) if code == "SignalRfft" else (spectrum, real)
        options = _flex(T=number, fft_length=n)
        c.custom(code, [c.inp(given, type, scales=[])], [c.out(made, type, scales=[])], options)

    _case(code, "INT16", "INT32", "FLOAT32")(build)


_fft("SignalRfft")
_fft("SignalIrfft")


@_case("SignalOverlapAdd", "INT16", "FLOAT32")
def _(c: _Case, type: str) -> None:
    outer, step, frames = c.rng.randint(1, 3), c.rng.randint(1, 9), c.rng.randint(1, 3)
    options = _flex(T=7 if type == "INT16" else 0, frame_step=step)
    c.custom(
        "SignalOverlapAdd",
        [c.inp((outer, frames, 2 * step), type)],
        [c.out((outer, frames * step), type)],
        options,
    )


@_case("SignalPCAN", "UINT32")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(1, 12)
    inputs = [c.inp((n,), type), c.inp((n,), type), c.const((125,), "INT16", scales=[])]
    c.custom("SignalPCAN", inputs, [c.out((n,), type)], _flex(snr_shift=6))


@_case("SignalStacker", "INT16")
def _(c: _Case, type: str) -> None:
    n, left, right = c.rng.randint(1, 12), c.rng.randint(0, 3), c.rng.randint(0, 3)
    options = _flex(num_channels=n, stacker_left_context=left, stacker_right_context=right, stacker_step=1)
    outputs = [c.out((n * (left + right + 1),), type), c.out((), "BOOL")]
    c.custom("SignalStacker", [c.inp((n,), type)], outputs, options)


@_case("SignalWindow", "INT16")
def _(c: _Case, type: str) -> None:
    n = c.rng.randint(1, 30)
    inputs = [c.inp((n,), type), c.const((n,), type)]
    c.custom("SignalWindow", inputs, [c.out((n,), type)], _flex(shift=12))


def _variable(graph: _Graph, name: str) -> int:
    handle = graph.tensor((1,), "RESOURCE")
    graph.op("VAR_HANDLE", [], [handle], container="", shared_name=name)
    return handle


@_case("CALL_ONCE")
def _(c: _Case, type: str) -> None:
    """State in a resource variable that a subgraph fills before the first invoke."""
    shape = c.shape(2)
    setup = c.subgraph()
    c.op("CALL_ONCE", [], [], init_subgraph_index=1)
    handle = _variable(c.graph, "state")
    read = c.graph.tensor(shape, "INT8")
    c.op("READ_VARIABLE", [handle], [read])
    out = c.out(shape)
    c.op("ADD", [c.inp(shape), read], [out])
    c.op("ASSIGN_VARIABLE", [handle, out], [])
    first = _variable(setup, "state")
    zeros = setup.tensor(shape, "INT8", bytes(int(np.prod(shape))))
    setup.op("ASSIGN_VARIABLE", [first, zeros], [])


for _code in ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"):
    _CASES[_code] = _CASES["CALL_ONCE"]


@_case("IF", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(4)
    out = c.out(shape, type)
    c.op("IF", [c.inp((1,), "BOOL"), c.inp(shape, type)], [out], then_subgraph_index=1, else_subgraph_index=2)
    for code in ("SUB", "MUL"):
        branch = c.subgraph()
        given, middle, made = (branch.tensor(shape, type) for _ in range(3))
        branch.interface([given], [made])
        branch.op(code, [given, given], [middle])
        branch.op("ADD", [middle, given], [made])


@_case("WHILE", "INT8", "FLOAT32")
def _(c: _Case, type: str) -> None:
    shape = c.shape(4)
    inputs = [c.inp((1,), "INT32"), c.inp(shape, type)]
    outputs = [c.out((1,), "INT32"), c.out(shape, type)]
    c.op("WHILE", inputs, outputs, cond_subgraph_index=1, body_subgraph_index=2)
    test, body = c.subgraph(), c.subgraph()
    count, state, flag = test.tensor((1,), "INT32"), test.tensor(shape, type), test.tensor((1,), "BOOL")
    test.interface([count, state], [flag])
    most = test.tensor((1,), "INT32", np.array([3], np.int32).tobytes())
    test.op("LESS", [count, most], [flag])
    count, state = body.tensor((1,), "INT32"), body.tensor(shape, type)
    one = body.tensor((1,), "INT32", np.array([1], np.int32).tobytes())
    next_count, middle, next_state = (
        body.tensor((1,), "INT32"),
        body.tensor(shape, type),
        body.tensor(shape, type),
    )
    body.interface([count, state], [next_count, next_state])
    body.op("ADD", [count, one], [next_count])
    body.op("MUL", [state, state], [middle])
    body.op("ADD", [middle, state], [next_state])


def networks(seed: int, count: int) -> Iterator[Case]:
    """Yield `count` graphs of some dozen operators, with skips, several inputs and outputs, offline plans."""
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
            kind = rng.choice(
                ("conv", "depthwise", "pool", "add", "mul", "relu", "pad", "mean", "reshape", "softmax")
            )
            made = _layer(case, kind, source, shape, type, [t for t in alive if shapes[t] == shape])
            shapes[made[0]] = made[1]
            alive.append(made[0])
        case.graph.inner.outputs[:] = rng.sample(alive, k=min(len(alive), rng.randint(1, 3)))
        if rng.random() < 0.2:
            count_of = len(case.graph.inner.tensors)
            offsets = [rng.choice((-1, -1, -1, 16 * rng.randint(0, 40))) for _ in range(count_of)]
            case.builder.metadata["OfflineMemoryAllocation"] = np.array(
                [1, 0, count_of, *offsets], np.int32
            ).tobytes()
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
        inputs = [
            source,
            c.const(kernel, weight, **scales),
            c.const((filters,), bias, scales=[] if bias == "FLOAT32" else [0.2]),
        ]
        options = {"stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}
        if kind == "conv":
            g.op("CONV_2D", inputs, [out], **options)
        else:
            g.op("DEPTHWISE_CONV_2D", inputs, [out], **options, depth_multiplier=1)
        return out, made
    if kind == "pool":
        made = (1, -(-shape[1] // 2), -(-shape[2] // 2), shape[3])
        out = g.tensor(made, type)
        g.op("MAX_POOL_2D", [source], [out], stride_w=2, stride_h=2, filter_width=2, filter_height=2)
        return out, made
    if kind == "pad":
        made = (1, shape[1] + 2, shape[2] + 2, shape[3])
        pads = g.tensor((4, 2), "INT32", np.array([0, 0, 1, 1, 1, 1, 0, 0], np.int32).tobytes())
        out = g.tensor(made, type)
        g.op("PAD", [source, pads], [out])
        return out, made
    if kind == "mean":
        made = (1, shape[3])
        out = g.tensor(made, type)
        g.op("MEAN", [source, c.ints([1, 2])], [out])
        return out, made
    if kind == "reshape":
        made = (1, int(np.prod(shape)))
        out = g.tensor(made, type)
        g.op("RESHAPE", [source, c.ints(made)], [out], new_shape=made)
        return out, made
    if kind == "softmax" and type == "FLOAT32":
        out = g.tensor(shape, type)
        g.op("SOFTMAX", [source], [out], beta=1.0)
        return out, shape
    out = g.tensor(shape, type)
    if kind in ("add", "mul"):
        other = c.rng.choice(same)
        g.op(kind.upper(), [source, other], [out])
    else:
        g.op("RELU", [source], [out])
    return out, shape
