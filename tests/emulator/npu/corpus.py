"""Seeded single-operator models and small graphs over everything that Vela takes for an Ethos-U55.

`case(seed)` always gives the same model. Shapes are small and odd on purpose; scales, zero points,
strides, dilations, paddings, activations, types, broadcasts and axes are drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.models.build import Builder, Scale, Subgraph

FUSED = ("NONE", "NONE", "RELU", "RELU6", "RELU_N1_TO_1")
RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


@dataclass(frozen=True)
class Case:
    """A generated model with the name of what it exercises."""

    seed: int
    family: str
    model: bytes

    @property
    def name(self) -> str:
        return f"{self.family}-{self.seed}"


class Draw:
    """One model under construction, with the random choices that it is made of."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.builder = Builder()
        self.graph: Subgraph = self.builder.subgraph("main")
        self.type = "int8"

    def one(self, *choices):
        return choices[int(self.rng.integers(len(choices)))]

    def size(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def zero(self) -> int:
        low, high = RANGES[self.type]
        if self.type == "int16":
            return 0
        return self.one(low, high, 0 if low < 0 else 128, self.size(low, high))

    def factor(self, low: float = -8.0, high: float = 0.0) -> float:
        return float(np.float32(2.0 ** self.rng.uniform(low, high)))

    def scale(self) -> Scale:
        return Scale(self.factor(), self.zero())

    def shape(self, height: int = 14, width: int = 14, depth: int = 40) -> tuple[int, ...]:
        return (1, self.size(1, height), self.size(1, width), self.one(1, 3, 8, 16, 17, self.size(1, depth)))

    def input(self, shape, scale: Scale | None = None, name: str = "x") -> int:
        return self.graph.input(name, shape, self.type, scale or self.scale())

    def output(self, shape, scale: Scale | None = None, name: str = "y") -> int:
        return self.graph.output(name, shape, self.type, scale or self.scale())

    def middle(self, shape, scale: Scale | None = None, name: str = "m") -> int:
        return self.graph.tensor(name, shape, self.type, scale or self.scale())

    def ints(self, name: str, values) -> int:
        return self.graph.constant(name, np.array(values, np.int32))

    def tensor_scale(self, index: int) -> Scale:
        scale = self.graph.tensors[index].scale
        assert scale is not None
        return scale

    def weights(self, shape, axis: int) -> np.ndarray:
        low = self.one(-127, -127, -20, -1)
        values = self.rng.integers(low, -low + 1, shape)
        if self.chance(0.2):
            values *= self.rng.random(shape) < 0.3
        return values.astype(np.int8)

    def biased(
        self, name: str, inputs: int, values: np.ndarray, axis: int, taps: int
    ) -> tuple[list[int], Scale]:
        """Add weights and a bias; returns the operator's inputs and an output scale that suits the sums."""
        channels = values.shape[axis]
        per_channel = self.chance(0.7)
        scales = [self.factor(-9, -5) for _ in range(channels if per_channel else 1)]
        x = self.tensor_scale(inputs)
        assert isinstance(x.scale, float)
        weight = self.graph.constant(
            f"{name}/w",
            values,
            Scale(scales if per_channel else scales[0], [0] * len(scales) if per_channel else 0, axis),
        )
        spread = 73.0 * np.abs(values).mean() * math.sqrt(taps) + 1.0
        if self.type == "int16":
            spread *= 256
        bound = int(spread)
        kind = np.int64 if self.type == "int16" else np.int32
        bias = self.rng.integers(-bound, bound + 1, channels).astype(kind)
        bias_scales = [float(np.float32(s) * np.float32(x.scale)) for s in scales]
        extra = [
            self.graph.constant(
                f"{name}/b",
                bias,
                Scale(
                    bias_scales if per_channel else bias_scales[0], [0] * len(scales) if per_channel else 0, 0
                ),
            )
        ]
        if name == "dw" and self.chance(0.3):
            extra = []
        steps = 64 if self.type != "int16" else 16384
        out = float(np.float32(spread * float(np.mean(scales)) * x.scale / steps * self.factor(-1, 2)))
        return [inputs, weight, *extra], Scale(out, self.zero())


def out_size(size: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    reach = (kernel - 1) * dilation + 1
    return -(-size // stride) if padding == "SAME" else (size - reach) // stride + 1


def _window(d: Draw, height: int, width: int, largest: int, dilate: bool):
    """Draw kernel, stride, dilation and padding that leave an output."""
    while True:
        kernel = (d.size(1, min(largest, 2 * height)), d.size(1, min(largest, 2 * width)))
        if d.chance(0.3):
            kernel = (1, 1)
        stride = (d.size(1, 3), d.size(1, 3)) if d.chance(0.5) else (1, 1)
        dilation = (d.size(1, 3), d.size(1, 3)) if dilate and stride == (1, 1) and d.chance(0.4) else (1, 1)
        padding = d.one("SAME", "VALID")
        out = [
            out_size(s, k, t, e, padding)
            for s, k, t, e in zip((height, width), kernel, stride, dilation, strict=True)
        ]
        if min(out) >= 1:
            return kernel, stride, dilation, padding, out


def conv_2d(d: Draw) -> None:
    d.type = d.one("int8", "int8", "int16")
    shape = d.shape()
    kernel, stride, dilation, padding, out = _window(d, shape[1], shape[2], 7, True)
    channels = d.one(1, 2, 8, 16, 33, d.size(1, 40))
    x = d.input(shape)
    weights = d.weights((channels, *kernel, shape[3]), 0)
    inputs, scale = d.biased("conv", x, weights, 0, kernel[0] * kernel[1] * shape[3])
    y = d.output((1, *out, channels), scale)
    d.graph.operator(
        "CONV_2D",
        inputs,
        [y],
        version=4,
        padding=padding,
        stride_h=stride[0],
        stride_w=stride[1],
        dilation_h_factor=dilation[0],
        dilation_w_factor=dilation[1],
        fused_activation=d.one(*FUSED),
    )


def depthwise_conv_2d(d: Draw) -> None:
    d.type = d.one("int8", "int8", "int16")
    shape = d.shape()
    multiplier = 1
    if shape[3] == 1 and d.chance(0.7):
        multiplier = d.size(2, 9)
    kernel, stride, dilation, padding, out = _window(d, shape[1], shape[2], 7, True)
    channels = shape[3] * multiplier
    x = d.input(shape)
    weights = d.weights((1, *kernel, channels), 3)
    inputs, scale = d.biased("dw", x, weights, 3, kernel[0] * kernel[1])
    y = d.output((1, *out, channels), scale)
    d.graph.operator(
        "DEPTHWISE_CONV_2D",
        inputs,
        [y],
        version=4,
        padding=padding,
        stride_h=stride[0],
        stride_w=stride[1],
        dilation_h_factor=dilation[0],
        dilation_w_factor=dilation[1],
        depth_multiplier=multiplier,
        fused_activation=d.one(*FUSED),
    )


def transpose_conv(d: Draw) -> None:
    d.type = d.one("int8", "int8", "int16")
    shape = d.shape(8, 8, 20)
    stride = d.one(1, 2, 2)
    kernel = (d.size(stride, 5), d.size(stride, 5))
    padding = d.one("SAME", "VALID")
    channels = d.size(1, 20)
    out = [
        s * stride + (0 if padding == "SAME" else k - stride) for s, k in zip(shape[1:3], kernel, strict=True)
    ]
    x = d.input(shape)
    weights = d.weights((channels, *kernel, shape[3]), 0)
    (_, w, *bias), scale = d.biased("tc", x, weights, 0, kernel[0] * kernel[1] * shape[3])
    y = d.output((1, *out, channels), scale)
    size = d.ints("size", [1, *out, channels])
    d.graph.operator(
        "TRANSPOSE_CONV",
        [size, w, x, *bias],
        [y],
        version=3,
        padding=padding,
        stride_h=stride,
        stride_w=stride,
    )


def fully_connected(d: Draw) -> None:
    d.type = d.one("int8", "int8", "int16")
    batch, depth, channels = d.one(1, 1, d.size(1, 9)), d.size(1, 200), d.size(1, 70)
    x = d.input((batch, depth))
    values = d.weights((channels, depth), 0)
    x_scale = d.tensor_scale(x)
    assert isinstance(x_scale.scale, float)
    factor = d.factor(-9, -5)
    w = d.graph.constant("w", values, Scale(factor, 0))
    spread = 73.0 * np.abs(values).mean() * math.sqrt(depth) * (256 if d.type == "int16" else 1) + 1
    kind = np.int64 if d.type == "int16" else np.int32
    bias = d.rng.integers(-int(spread), int(spread) + 1, channels).astype(kind)
    b = d.graph.constant("b", bias, Scale(float(np.float32(factor) * np.float32(x_scale.scale)), 0))
    steps = 64 if d.type != "int16" else 16384
    out = Scale(float(np.float32(spread * factor * x_scale.scale / steps * d.factor(-1, 2))), d.zero())
    y = d.output((batch, channels), out)
    d.graph.operator(
        "FULLY_CONNECTED", [x, w, d.one(b, b, b, -1)], [y], version=4, fused_activation=d.one(*FUSED)
    )


def _pool(d: Draw, code: str) -> None:
    d.type = d.one("int8", "int8", "int16", "uint8")
    shape = d.shape()
    kernel, stride, _, padding, out = _window(d, shape[1], shape[2], 8, False)
    scale = d.scale()
    x = d.input(shape, scale)
    y = d.output((1, *out, shape[3]), scale)
    d.graph.operator(
        code,
        [x],
        [y],
        version=3 if d.type == "int16" else 2,
        padding=padding,
        stride_h=stride[0],
        stride_w=stride[1],
        filter_height=kernel[0],
        filter_width=kernel[1],
        fused_activation=d.one(*FUSED),
    )


def max_pool_2d(d: Draw) -> None:
    _pool(d, "MAX_POOL_2D")


def average_pool_2d(d: Draw) -> None:
    _pool(d, "AVERAGE_POOL_2D")


def _broadcast(d: Draw, shape):
    """Return the shape of a second operand, equal or with some dimensions of 1."""
    if d.chance(0.5):
        return shape
    if d.chance(0.2):
        return (1, 1, 1, 1)
    return tuple(1 if d.chance(0.4) else s for s in shape)


def _binary(
    d: Draw, code: str, fused: bool, same_scale: bool, types=("int8", "int8", "int16", "uint8")
) -> None:
    d.type = d.one(*types)
    shape = d.shape(8, 8, 30)
    other = _broadcast(d, shape)
    scale = d.scale()
    first = d.input(shape, scale)
    second_scale = scale if same_scale or d.chance(0.3) else d.scale()
    if d.chance(0.3):
        low, high = RANGES[d.type]
        values = d.rng.integers(low, high + 1, other).astype(d.type)
        second = d.graph.constant("c", values, second_scale)
    else:
        second = d.input(other, second_scale, "x2")
    operands = [first, second]
    if d.chance(0.3):
        operands.reverse()
    if same_scale:
        out = scale
    else:
        assert isinstance(scale.scale, float)
        assert isinstance(second_scale.scale, float)
        largest = max(scale.scale, second_scale.scale)
        if code == "MUL":
            steps = 64 if d.type != "int16" else 16384
            largest = scale.scale * second_scale.scale * steps
        out = Scale(float(np.float32(largest * d.factor(-1, 2))), d.zero())
    y = d.output(shape, out)
    options = {"fused_activation": d.one(*FUSED)} if fused else {}
    if fused and code != "MUL" and d.type == "int16":
        options["pot_scale_int16"] = False
    d.graph.operator(code, operands, [y], version=2, **options)


def add(d: Draw) -> None:
    _binary(d, "ADD", True, False)


def sub(d: Draw) -> None:
    _binary(d, "SUB", True, False)


def mul(d: Draw) -> None:
    _binary(d, "MUL", True, False)


def minimum(d: Draw) -> None:
    _binary(d, "MINIMUM", False, True, ("int8", "uint8"))


def maximum(d: Draw) -> None:
    _binary(d, "MAXIMUM", False, True, ("int8", "uint8"))


def squared_difference(d: Draw) -> None:
    _binary(d, "SQUARED_DIFFERENCE", False, False, ("int8",))


def _unary(
    d: Draw, code: str, out: Scale | None, same: bool, types=("int8",), x: Scale | None = None, **options
) -> None:
    d.type = d.one(*types)
    shape = d.shape()
    scale = x or Scale(d.factor(-7, -2), d.zero())
    first = d.input(shape, scale)
    y = d.output(shape, scale if same else out or d.scale())
    d.graph.operator(
        code, [first], [y], version=1 if code in ("HARD_SWISH", "RELU_N1_TO_1") else 2, **options
    )


def logistic(d: Draw) -> None:
    d.type = d.one("int8", "int16")
    out = Scale(1 / 256, -128) if d.type == "int8" else Scale(1 / 32768, 0)
    _unary(d, "LOGISTIC", out, False, (d.type,))


def tanh(d: Draw) -> None:
    d.type = d.one("int8", "int16")
    out = Scale(1 / 128, 0) if d.type == "int8" else Scale(1 / 32768, 0)
    _unary(d, "TANH", out, False, (d.type,))


def hard_swish(d: Draw) -> None:
    _unary(d, "HARD_SWISH", None, False)


def relu(d: Draw) -> None:
    code = d.one("RELU", "RELU6", "RELU_N1_TO_1")
    # No reference has RELU_N1_TO_1 for int16.
    types = ("int8",) if code == "RELU_N1_TO_1" else ("int8", "int8", "int16")
    _unary(d, code, None, d.chance(0.5), types)


def leaky_relu(d: Draw) -> None:
    _unary(d, "LEAKY_RELU", None, False, ("int8", "int16"), alpha=float(d.rng.uniform(0.01, 0.9)))


def absolute(d: Draw) -> None:
    _unary(d, "ABS", None, False, ("int8", "int16"))


def exponential(d: Draw) -> None:
    d.type = d.one("int8", "int16")
    if d.type == "int8":
        # Results beyond 32 bits are undefined in the reference.
        _unary(d, "EXP", None, False, ("int8",), Scale(d.factor(-7, -5), d.zero()))
    else:
        # Beyond exp(80) the reference's table holds infinities.
        _unary(d, "EXP", Scale(d.factor(-6, 0), 0), False, ("int16",), Scale(d.factor(-16, -10), 0))


def rsqrt(d: Draw) -> None:
    _unary(d, "RSQRT", Scale(d.factor(-6, -1), d.zero()), False, ("int8",), Scale(d.factor(-6, 0), -128))


def prelu(d: Draw) -> None:
    shape = d.shape()
    x = d.input(shape)
    slope = d.rng.integers(-128, 128, (1, 1, shape[3])).astype(np.int8)
    a = d.graph.constant("alpha", slope, Scale(d.factor(-9, -6), d.zero()))
    y = d.output(shape)
    d.graph.operator("PRELU", [x, a], [y])


def quantize(d: Draw) -> None:
    d.type = d.one("int8", "int16")
    shape = d.shape()
    x = d.input(shape)
    d.type = "int8" if d.type == "int8" else d.one("int8", "int16")
    y = d.output(shape)
    d.graph.operator("QUANTIZE", [x], [y], version=2)


def softmax(d: Draw) -> None:
    d.type = d.one("int8", "int8", "int16")
    shape = d.one((1, d.size(1, 40)), (1, d.size(1, 6), d.size(1, 6), d.size(1, 20)))
    out = Scale(1 / 256, -128) if d.type == "int8" else Scale(1 / 32768, 0)
    x = d.input(shape, Scale(d.factor(-8, -1) * (1 if d.type == "int8" else 1 / 256), d.zero()))
    y = d.output(shape, out)
    d.graph.operator("SOFTMAX", [x], [y], version=3 if d.type == "int16" else 2, beta=d.one(1.0, 1.0, 0.5))


def _resize(d: Draw, code: str) -> None:
    d.type = d.one("int8", "int8", "int16")
    shape = d.shape(6, 6, 20)
    factor = d.one(1, 2, 2, 4, 8)
    align = d.chance(0.3)
    half = not align and d.chance(0.3)
    if half and code == "RESIZE_BILINEAR":
        factor = 2
    out = [(s - 1) * factor + 1 if align else s * factor for s in shape[1:3]]
    scale = d.scale()
    x = d.input(shape, scale)
    y = d.output((1, *out, shape[3]), scale)
    size = d.ints("size", out)
    d.graph.operator(code, [x, size], [y], version=3, align_corners=align, half_pixel_centers=half)


def resize_bilinear(d: Draw) -> None:
    _resize(d, "RESIZE_BILINEAR")


def resize_nearest_neighbor(d: Draw) -> None:
    _resize(d, "RESIZE_NEAREST_NEIGHBOR")


def _reduce(d: Draw, code: str, same: bool, types=("int8", "int8", "int16")) -> None:
    axes = d.one([1, 2], [1, 2], [1], [2], [3]) if code != "SUM" else d.one([1], [2], [3])
    keep = d.chance(0.5) or (code.startswith("REDUCE") and axes in ([2], [3]))
    _reduce_axes(d, code, same, d.one(*types), d.shape(12, 12, 24), axes, keep)


def _reduce_axes(d: Draw, code: str, same: bool, kind: str, shape, axes: list[int], keep: bool) -> None:
    d.type = kind
    out = [1 if i in axes else s for i, s in enumerate(shape)]
    if not keep:
        out = [s for i, s in enumerate(shape) if i not in axes]
    scale = d.scale()
    x = d.input(shape, scale)
    y = d.output(out, scale if same else Scale(scale.scale * d.factor(-1, 1), d.zero()))
    d.graph.operator(code, [x, d.ints("axes", axes)], [y], version=2, keep_dims=keep)


def mean(d: Draw) -> None:
    _reduce(d, "MEAN", d.chance(0.3))


def reduce_max(d: Draw) -> None:
    _reduce(d, d.one("REDUCE_MAX", "REDUCE_MIN"), True)


def summed(d: Draw) -> None:
    _reduce(d, "SUM", False, ("int8",))


def pad(d: Draw) -> None:
    d.type = d.one("int8", "int8", "int16")
    shape = d.shape(8, 8, 20)
    amounts = [[0, 0], *([d.size(0, 3), d.size(0, 3)] for _ in range(2)), [0, 0]]
    if d.chance(0.3):
        amounts[3] = [d.size(0, 3), d.size(0, 3)]
    scale = d.scale()
    x = d.input(shape, scale)
    y = d.output([s + sum(a) for s, a in zip(shape, amounts, strict=True)], scale)
    d.graph.operator("PAD", [x, d.ints("pads", amounts)], [y], version=2)


def mirror_pad(d: Draw) -> None:
    shape = (1, d.size(3, 8), d.size(3, 8), d.size(1, 20))
    amounts = [[0, 0], *([d.size(0, 2), d.size(0, 2)] for _ in range(2)), [0, 0]]
    scale = d.scale()
    x = d.input(shape, scale)
    y = d.output([s + sum(a) for s, a in zip(shape, amounts, strict=True)], scale)
    d.graph.operator("MIRROR_PAD", [x, d.ints("pads", amounts)], [y], mode=d.one(0, 1))


def concatenation(d: Draw) -> None:
    d.type = d.one("int8", "int8", "int16")
    shape = d.shape(6, 6, 20)
    axis = d.size(1, 3)
    count = d.size(2, 4)
    scale = d.scale()
    parts = []
    total = 0
    for i in range(count):
        own = list(shape)
        own[axis] = d.size(1, 9)
        total += own[axis]
        parts.append(d.input(own, scale, f"x{i}"))
    out = list(shape)
    out[axis] = total
    y = d.output(out, scale)
    d.graph.operator("CONCATENATION", parts, [y], version=2, axis=axis, fused_activation="NONE")


def split(d: Draw) -> None:
    d.type = d.one("int8", "int16")
    shape = list(d.shape(6, 6, 20))
    axis = d.size(1, 3)
    count = d.size(2, 3)
    shape[axis] = count * d.size(1, 6)
    scale = d.scale()
    x = d.input(shape, scale)
    out = list(shape)
    out[axis] //= count
    ys = [d.output(out, scale, f"y{i}") for i in range(count)]
    d.graph.operator("SPLIT", [d.ints("axis", axis), x], ys, version=2, num_splits=count)


def strided_slice(d: Draw) -> None:
    d.type = d.one("int8", "int16")
    shape = d.shape(10, 10, 20)
    begin = [0, *(d.size(0, s - 1) for s in shape[1:])]
    end = [1, *(d.size(b + 1, s) for b, s in zip(begin[1:], shape[1:], strict=True))]
    strides = [1, *((d.one(1, 1, 2),) * 2), 1]
    out = [-(-(e - b) // s) for b, e, s in zip(begin, end, strides, strict=True)]
    scale = d.scale()
    x = d.input(shape, scale)
    y = d.output(out, scale)
    constants = [d.ints(n, v) for n, v in (("begin", begin), ("end", end), ("strides", strides))]
    d.graph.operator(
        "STRIDED_SLICE",
        [x, *constants],
        [y],
        version=2,
        begin_mask=0,
        end_mask=0,
        ellipsis_mask=0,
        new_axis_mask=0,
        shrink_axis_mask=0,
    )


def sliced(d: Draw) -> None:
    shape = d.shape(10, 10, 20)
    begin = [0, *(d.size(0, s - 1) for s in shape[1:])]
    size = [1, *(d.size(1, s - b) for b, s in zip(begin[1:], shape[1:], strict=True))]
    scale = d.scale()
    x = d.input(shape, scale)
    y = d.output(size, scale)
    d.graph.operator("SLICE", [x, d.ints("begin", begin), d.ints("size", size)], [y], version=2)


def transpose(d: Draw) -> None:
    d.type = d.one("int8", "int16")
    shape = d.shape(9, 9, 20)
    order = [0, *(int(i) + 1 for i in d.rng.permutation(3))]
    scale = d.scale()
    x = d.input(shape, scale)
    y = d.output([shape[i] for i in order], scale)
    d.graph.operator("TRANSPOSE", [x, d.ints("order", order)], [y], version=2)


def reshaped(d: Draw) -> None:
    """A reshape between two convolutions, so that layouts have to change."""
    shape = d.shape(6, 6, 24)
    x = d.input(shape)
    middle = _inner_conv(d, x, shape, d.one(8, 16, 24))
    own = d.graph.tensors[middle].shape
    flat = (1, 1, own[1] * own[2], own[3])
    m2 = d.middle(flat, d.tensor_scale(middle), "flat")
    d.graph.operator("RESHAPE", [middle, d.ints("shape", flat)], [m2])
    weights = d.weights((5, 1, 1, own[3]), 0)
    inputs, scale = d.biased("c2", m2, weights, 0, own[3])
    y = d.output((*flat[:3], 5), scale)
    d.graph.operator("CONV_2D", inputs, [y], version=3, padding="SAME", stride_h=1, stride_w=1)


def _inner_conv(d: Draw, x: int, shape, channels: int, name: str = "c1") -> int:
    kernel = d.one(1, 3)
    weights = d.weights((channels, kernel, kernel, shape[3]), 0)
    inputs, scale = d.biased(name, x, weights, 0, kernel * kernel * shape[3])
    m = d.middle((*shape[:3], channels), scale, f"{name}/y")
    d.graph.operator(
        "CONV_2D",
        inputs,
        [m],
        version=3,
        padding="SAME",
        stride_h=1,
        stride_w=1,
        fused_activation=d.one(*FUSED),
    )
    return m


def residual(d: Draw) -> None:
    """Two convolutions and an ADD of both results: cascades, feature maps in NHCWB16, two consumers."""
    shape = d.shape(12, 12, 24)
    channels = d.one(8, 16, 20)
    x = d.input(shape)
    first = _inner_conv(d, x, shape, channels)
    second = _inner_conv(d, first, d.graph.tensors[first].shape, channels, "c2")
    scales = [d.tensor_scale(t).scale for t in (first, second)]
    y = d.output((*shape[:3], channels), Scale(float(np.float32(max(scales) * d.factor(0, 1))), d.zero()))
    d.graph.operator("ADD", [first, second], [y], version=2, fused_activation=d.one(*FUSED))


def cpu_between(d: Draw) -> None:
    """Convolution, an operator that Vela leaves on the CPU, convolution: two NPU subgraphs."""
    shape = d.shape(8, 8, 16)
    x = d.input(shape)
    first = _inner_conv(d, x, shape, 8)
    own = d.graph.tensors[first]
    middle = d.middle(own.shape, Scale(1 / 128, 0), "cpu")
    d.graph.operator("L2_NORMALIZATION", [first], [middle], version=2, fused_activation="NONE")
    second = _inner_conv(d, middle, own.shape, 8, "c2")
    d.graph.outputs.append(second)


def batch_matmul(d: Draw) -> None:
    rows, inner, columns = d.size(1, 8), d.size(1, 20), d.size(1, 8)
    batch = d.size(1, 3)
    first = d.input((batch, rows, inner))
    second = d.input((batch, inner, columns), None, "x2")
    scales = [d.tensor_scale(t).scale for t in (first, second)]
    y = d.output((batch, rows, columns), Scale(scales[0] * scales[1] * 64 * d.factor(0, 2), d.zero()))
    d.graph.operator("BATCH_MATMUL", [first, second], [y], version=2, adj_x=False, adj_y=False)


def arg_max(d: Draw) -> None:
    shape = d.shape(8, 8, 30)
    x = d.input(shape)
    y = d.graph.output("y", shape[:3], "int32")
    d.graph.operator("ARG_MAX", [x, d.ints("axis", 3)], [y], version=2, output_type=2)


def unidirectional_sequence_lstm(d: Draw) -> None:
    """An integer LSTM (int8 activations, int16 cell) as TensorFlow's quantiser writes it."""
    batch, time, inputs, cells = d.one(1, 1, 2), d.size(1, 4), d.size(1, 10), d.size(2, 10)
    time_major = batch == 1 and d.chance(0.3)
    shape = (time, batch, inputs) if time_major else (batch, time, inputs)
    x = d.input(shape, Scale(d.factor(-7, -5), d.size(-20, 20)))
    g = d.graph
    hidden = Scale(1 / 128, d.one(0, -4, 9))
    ins = [x]
    for name in "ifco":
        ins.append(g.constant(f"w{name}", d.weights((cells, inputs), 0), Scale(d.factor(-9, -6), 0)))
    for name in "ifco":
        ins.append(g.constant(f"r{name}", d.weights((cells, cells), 0), Scale(d.factor(-9, -6), 0)))
    ins += [-1, -1, -1]
    for index, name in enumerate("ifco"):
        scale = g.tensors[ins[1 + index]].scale
        assert scale is not None
        bias = d.rng.integers(-2000, 2000, cells).astype(np.int32)
        ins.append(g.constant(f"b{name}", bias, Scale(scale.scale * d.tensor_scale(x).scale, 0)))
    ins += [-1, -1]
    ins.append(g.tensor("h", (batch, cells), "int8", hidden, variable=True))
    ins.append(g.tensor("c", (batch, cells), "int16", Scale(2.0 ** d.one(-11, -12), 0), variable=True))
    ins += [-1] * 4
    out = (time, batch, cells) if time_major else (batch, time, cells)
    y = g.output("y", out, "int8", hidden)
    inside = [g.tensor(f"q{i}", (0,), "int16", Scale(2.0**-12, 0)) for i in range(4)]
    inside.append(g.tensor("q4", (0,), "int8", Scale(1 / 128, 0)))
    g.operator(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        ins,
        [y],
        version=3,
        intermediates=inside,
        fused_activation="TANH",
        cell_clip=0.0,
        proj_clip=0.0,
        time_major=time_major,
    )


FAMILIES: tuple[Callable[[Draw], None], ...] = (
    conv_2d, conv_2d, conv_2d, depthwise_conv_2d, depthwise_conv_2d, transpose_conv, fully_connected,
    max_pool_2d, average_pool_2d, add, add, sub, mul, minimum, maximum, squared_difference, logistic, tanh,
    hard_swish, relu, leaky_relu, absolute, exponential, rsqrt, prelu, quantize, softmax, resize_bilinear,
    resize_nearest_neighbor, mean, reduce_max, summed, pad, mirror_pad, concatenation, split, strided_slice,
    sliced, transpose, reshaped, residual, cpu_between, batch_matmul, unidirectional_sequence_lstm,
    arg_max,
)  # fmt: skip


def _reduce_to_flat(d: Draw) -> None:
    _reduce_axes(d, "REDUCE_MAX", True, "int8", (1, 5, 7, 3), [2], False)


def _sum_two_axes(d: Draw) -> None:
    _reduce_axes(d, "SUM", False, "int8", (1, 3, 5, 8), [1, 2], True)


# What Vela 5.2 itself compiles wrongly; the NPU would compute the same as this model does.
MISCOMPILED: dict[str, Callable[[Draw], None]] = {
    # The operation reads one row of the input for all of the output.
    "REDUCE_MAX or REDUCE_MIN over width or depth without keep_dims": _reduce_to_flat,
    # Only the first axis is summed; the result is larger than the output tensor.
    "SUM over two axes": _sum_two_axes,
}

# What Vela's older core (--debug-force-legacy-core) gets wrong beyond that, by family, and why.
LEGACY = {
    "transpose_conv": "stride 1 is compiled without padding",
    "squared_difference": "a broadcast first operand keeps its own shape",
    "mean": "over a dimension of 1 it is dropped although the scales differ",
    "exponential": "its int16 table is rounded otherwise than the reference's",
    "pad": "it stops with an internal error on some",
}


def miscompiled(name: str) -> Case:
    """Return the model of an entry of MISCOMPILED."""
    draw = Draw(1)
    MISCOMPILED[name](draw)
    return Case(1, name, draw.builder.finish())


def case(seed: int) -> Case:
    """Return the model of a seed; consecutive seeds go through the families in turn."""
    family = FAMILIES[seed % len(FAMILIES)]
    draw = Draw(seed)
    family(draw)
    return Case(seed, family.__name__, draw.builder.finish())
