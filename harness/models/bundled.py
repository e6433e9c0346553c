"""The bundled models: networks of the model zoo, layer by layer, with seeded weights.

They are generated rather than shipped. Each has the operators, tensors and cost of the network on its card,
and so the time and the memory of one, but nobody trained it: its answers mean nothing. Each says so in its
description and metadata. The shapes are those of the zoo's training framework (Seeed-Studio/ModelAssistant
2.0.0) as its converter (TinyNeuralNetwork) deploys them:

- "MobileNetV2 Rep" (sscma/models/backbones/MobileNetv2.py, rep=True): MobileNetV2 in name and stages alone.
  Each block is trained as a stack of branches and deployed as one dense 3x3 convolution of twice the
  channels of MobileNetV2's block. The classifier ends behind stage 3 or 4.
- "Swift-YOLO" (configs/swift_yolo): YOLOv5 with ReLU, of width 0.15 and depth 0.33, whose boxes are decoded
  in the graph.

A random network forgets its input after a few layers, or saturates. So generation does what a batch
normalisation would have: it runs each layer on a few seeded pictures and sets scales and biases such that
every channel is centred and spread over the int8 range. All sums are of integers below 2**53 and all
other arithmetic is single IEEE operations in double precision, so every machine gets the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import HarnessError, nearest
from harness.models.build import Builder, Scale, Subgraph

if TYPE_CHECKING:
    import numpy as np

NOT_TRAINED = "not trained: seeded random weights in the shape of"

_PICTURES = 4  # that each layer is centred on
# The operator versions that brought int8, as TensorFlow's converter writes them.
_VERSIONS = {
    "ADD": 2,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "LOGISTIC": 2,
    "MAX_POOL_2D": 2,
    "MEAN": 2,
    "MUL": 2,
    "PAD": 2,
    "RESIZE_NEAREST_NEIGHBOR": 2,
    "SOFTMAX": 2,
    "SPLIT_V": 2,
    "TRANSPOSE": 2,
}


class _Grid(NamedTuple):
    """The quantisation of one activation: real = unit * (q - zero)."""

    unit: float
    zero: int

    @property
    def scale(self) -> Scale:
        return Scale(self.unit, self.zero)


_PICTURE = _Grid(1 / 255, -128)
_RELU = _Grid(10 / 255, -128)
_LOGITS = _Grid(8 / 127, 0)
_PROBABILITY = _Grid(1 / 256, -128)
_PIXELS = _Grid(1.6, -128)  # box coordinates, as far as they are inside a picture


class _Activation(NamedTuple):
    """What a convolution puts out, in standard deviations of its sums: where the mean goes, and the grid."""

    mean: float
    deviation: float
    grid: _Grid


# Before a ReLU the mean is 2 and the deviation 2, so that both ends of its range are reached.
_ACTIVATIONS = {
    "RELU": _Activation(2.0, 2.0, _RELU),
    "RELU6": _Activation(2.0, 2.0, _Grid(6 / 255, -128)),
    "NONE": _Activation(0.0, 2.0, _LOGITS),
}


class _Value(NamedTuple):
    """A tensor of the graph, and what the pictures have become in it.

    `values` are quantised activations, float64 integers of shape (pictures, height, width, channels).
    """

    tensor: int
    values: np.ndarray
    grid: _Grid

    @property
    def channels(self) -> int:
        return int(self.values.shape[-1])

    @property
    def size(self) -> int:
        return int(self.values.shape[1])


@dataclass(frozen=True)
class _Spec:
    network: str  # as its card names it
    seed: int
    size: int
    colours: int
    classes: int
    body: Callable[[_Network, _Spec, _Value], None]


@cache
def build(name: str) -> bytes:
    """Return the .tflite bytes of a bundled model: int8, one picture in, class probabilities or boxes out.

    Raises HarnessError for a name that is not bundled.
    """
    if name not in _MODELS:
        raise HarnessError(f"no bundled model '{name}'{nearest(name, _MODELS)}")
    spec = _MODELS[name]
    network = _Network(f"{name} ({NOT_TRAINED} {spec.network})", spec.seed)
    spec.body(network, spec, network.picture(spec.size, spec.colours))
    network.builder.metadata["harness"] = f"{NOT_TRAINED} {spec.network}".encode()
    return network.builder.finish()


def names() -> list[str]:
    """Return the names of the bundled models, the default one first."""
    return list(_MODELS)


# Stages of MobileNetV2: channels, repetitions, stride (Sandler et al. 2018, table 2, as far as used here).
_STAGES = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2))


def _rep_classifier(width: float, stages: int, network: _Network, spec: _Spec, at: _Value) -> None:
    """MobileNetv2(widen_factor=width, rep=True) as far as stage `stages`, mean, linear layer, softmax."""
    at = network.conv(at, _rounded(32 * width), 3, stride=2, activation="RELU6")
    for channels, repetitions, stride in _STAGES[:stages]:
        for i in range(repetitions):
            at = network.conv(at, 2 * _rounded(channels * width), 3, stride=stride if i == 0 else 1)
    network.classify(at, spec.classes)


def _rounded(wanted: float) -> int:
    """Round channels to a multiple of 8 that is not more than a tenth too small (torchvision)."""
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


_ANCHORS = (
    (8, ((10, 13), (16, 30), (33, 23))),
    (16, ((30, 61), (62, 45), (59, 119))),
    (32, ((116, 90), (156, 198), (373, 326))),
)  # by stride, in pixels of a picture of 640


def _swift_yolo(network: _Network, spec: _Spec, at: _Value) -> None:
    """YOLOv5CSPDarknet, YOLOv5PAFPN and DetHead of width 0.15 and depth 0.33 (swift_yolo_tiny)."""
    deep = partial(_csp, network)
    channels = [math.ceil(c * 0.15 / 8) * 8 for c in (64, 128, 256, 512, 1024)]
    at = network.conv(at, channels[0], 6, stride=2, padding=2)
    levels = []
    for wide, blocks in zip(channels[1:], (1, 2, 3, 1), strict=True):
        at = deep(network.conv(at, wide, 3, stride=2), wide, blocks, identity=True)
        levels.append(at)
    _, small, middle, _ = levels
    at = _spatial_pyramid(network, at)
    top = network.conv(at, middle.channels, 1)
    inner = deep(network.concatenate(network.upsample(top), middle), middle.channels, 1)
    inner = network.conv(inner, small.channels, 1)
    outs = [deep(network.concatenate(network.upsample(inner), small), small.channels, 1)]
    for beside, wide in ((inner, middle.channels), (top, channels[-1])):
        down = network.conv(outs[-1], outs[-1].channels, 3, stride=2)
        outs.append(deep(network.concatenate(down, beside), wide, 1))
    boxes = [
        network.boxes(network.conv(out, 3 * (5 + spec.classes), 1, activation="NONE"), stride, anchors)
        for out, (stride, anchors) in zip(outs, _ANCHORS, strict=True)
    ]
    network.list_boxes(boxes, 5 + spec.classes)


def _csp(network: _Network, at: _Value, channels: int, blocks: int, *, identity: bool = False) -> _Value:
    """CSPLayer: half of the channels pass the bottlenecks, half do not."""
    main, short = (network.conv(at, channels // 2, 1) for _ in range(2))
    for _ in range(blocks):
        inside = network.conv(network.conv(main, channels // 2, 1), channels // 2, 3)
        main = network.add(inside, main) if identity else inside
    return network.conv(network.concatenate(main, short), channels, 1)


def _spatial_pyramid(network: _Network, at: _Value) -> _Value:
    """SPPFBottleneck: what windows of 5, 9 and 13 see beside it."""
    seen = [network.conv(at, at.channels // 2, 1)]
    for _ in range(3):
        seen.append(network.max_pool(seen[-1], 5))
    return network.conv(network.concatenate(*seen), at.channels, 1)


_MODELS = {
    "person_mbv2_035_96_int8": _Spec(
        "MobileNetV2 0.35 Rep, person 96x96", 9605, 96, 3, 2, partial(_rep_classifier, 1.0, 4)
    ),
    "person_mbv2_035_32_int8": _Spec(
        "MobileNetV2 0.35 Rep, person 32x32", 9602, 32, 3, 2, partial(_rep_classifier, 1.0, 4)
    ),
    "cifar10_mbv2_035_32_int8": _Spec(
        "MobileNetV2 0.35 Rep, CIFAR-10", 3203, 32, 3, 10, partial(_rep_classifier, 0.35, 3)
    ),
    "mnist_mbv2_035_32_int8": _Spec(
        "MobileNetV2 0.5 Rep, MNIST", 3201, 32, 1, 10, partial(_rep_classifier, 0.35, 3)
    ),
    "swift_yolo_192_int8": _Spec("Swift-YOLO 192x192, one class", 1921, 192, 3, 1, _swift_yolo),
    "meter_swift_yolo_192_int8": _Spec("Swift-YOLO 192x192, ten digits", 1922, 192, 3, 10, _swift_yolo),
}


class _Network:
    """A network under construction."""

    def __init__(self, description: str, seed: int) -> None:
        import numpy as np

        self.builder = Builder(description)
        self.graph: Subgraph = self.builder.subgraph("main")
        self.bits = np.random.PCG64(seed)
        self.layers = 0

    def picture(self, size: int, colours: int) -> _Value:
        """Add the input; the pictures that layers are centred on are half of them noise, half blocks."""
        import numpy as np

        half = _PICTURES // 2
        noise = self._bytes(half * size * size * colours).reshape(half, size, size, colours)
        blocks = self._bytes(half * 16 * colours).reshape(half, 4, 4, colours)
        blocks = blocks.repeat(size // 4, axis=1).repeat(size // 4, axis=2)
        values = np.concatenate([noise, blocks]).astype("f8") - 128
        tensor = self.graph.input("image", (1, *values.shape[1:]), "int8", _PICTURE.scale)
        return _Value(tensor, values, _PICTURE)

    def conv(
        self,
        at: _Value,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 1,
        activation: str = "RELU",
    ) -> _Value:
        """Convolve: with a PAD of its own before a stride of 2, as the converter writes PyTorch's padding."""
        import numpy as np

        if stride > 1:
            at = self._pad(at, padding)
        weights = self._weights((channels, kernel, kernel, at.channels))
        same = stride == 1 and kernel > 1
        taps = _taps(at.values - at.grid.zero, kernel, stride, kernel // 2 if same else 0)
        sums = sum(tap @ weights[:, i // kernel, i % kernel].astype("f8").T for i, tap in enumerate(taps))
        out = _ACTIVATIONS[activation]
        mean, spread = _statistics(sums)
        unit = out.deviation / spread  # real value of one unit of the sums, by channel
        bias = np.rint(out.mean / unit - mean).astype(np.int32)
        no_zero = (0,) * channels
        label = f"{self.layers:03d}"
        inputs = [
            at.tensor,
            self.graph.constant(f"{label}_weights", weights, Scale(tuple(unit / at.grid.unit), no_zero)),
            self.graph.constant(f"{label}_bias", bias, Scale(tuple(unit), no_zero)),
        ]
        real = (sums + bias) * unit
        return self._emit(
            "CONV_2D",
            inputs,
            _quantized(real, out.grid),
            out.grid,
            padding="SAME" if same else "VALID",
            stride_h=stride,
            stride_w=stride,
            fused_activation=activation,
        )

    def _pad(self, at: _Value, padding: int) -> _Value:
        import numpy as np

        sides = np.array([[0, 0], [padding] * 2, [padding] * 2, [0, 0]], np.int32)
        values = np.pad(at.values, sides, constant_values=at.grid.zero)
        return self._emit("PAD", [at.tensor, self.graph.constant("padding", sides)], values, at.grid)

    def add(self, one: _Value, other: _Value) -> _Value:
        """Add two activations; the sum saturates at the end of their grid."""
        real = _real(one) + _real(other)
        inputs = [one.tensor, other.tensor]
        return self._emit("ADD", inputs, _quantized(real, _RELU), _RELU, fused_activation="NONE")

    def concatenate(self, *parts: _Value) -> _Value:
        """Put channels side by side; all parts are on one grid."""
        import numpy as np

        values = np.concatenate([part.values for part in parts], axis=3)
        tensors = [part.tensor for part in parts]
        return self._emit("CONCATENATION", tensors, values, parts[0].grid, axis=3, fused_activation="NONE")

    def upsample(self, at: _Value) -> _Value:
        """Double height and width."""
        import numpy as np

        values = at.values.repeat(2, axis=1).repeat(2, axis=2)
        size = self.graph.constant("size", np.array([2 * at.size] * 2, np.int32))
        return self._emit("RESIZE_NEAREST_NEIGHBOR", [at.tensor, size], values, at.grid)

    def max_pool(self, at: _Value, window: int) -> _Value:
        """Return the largest of each window, in the same size."""
        import numpy as np

        values = np.maximum.reduce(_taps(at.values, window, 1, window // 2, outside=-128))
        return self._emit(
            "MAX_POOL_2D",
            [at.tensor],
            values,
            at.grid,
            padding="SAME",
            stride_h=1,
            stride_w=1,
            filter_height=window,
            filter_width=window,
            fused_activation="NONE",
        )

    def classify(self, at: _Value, classes: int) -> None:
        """Average, classify and take the softmax; the logits of the pictures spread over a few units."""
        import numpy as np

        sums = (at.values - at.grid.zero).sum(axis=(1, 2), keepdims=True)
        pooled = np.clip(np.rint(sums / at.size**2) + at.grid.zero, -128, 127)
        axes = self.graph.constant("axes", np.array([1, 2], np.int32))
        at = self._emit("MEAN", [at.tensor, axes], pooled, at.grid, keep_dims=True)
        flat = (1, at.channels)
        at = self._reshape(at.tensor, at.values.reshape(-1, at.channels), at.grid, flat)
        weights = self._weights((classes, at.channels))
        products = (at.values - at.grid.zero) @ weights.astype("f8").T
        mean, spread = _statistics(products)
        scale = 2.0 / float(spread.max()) / at.grid.unit
        bias = np.rint(-mean).astype(np.int32)
        inputs = [
            at.tensor,
            self.graph.constant("classes_weights", weights, Scale(scale)),
            self.graph.constant("classes_bias", bias, Scale(scale * at.grid.unit)),
        ]
        logits = _quantized((products + bias) * (scale * at.grid.unit), _LOGITS)
        at = self._emit("FULLY_CONNECTED", inputs, logits, _LOGITS, fused_activation="NONE")
        y = self.graph.output("probabilities", (1, classes), "int8", _PROBABILITY.scale)
        self.graph.operator("SOFTMAX", [at.tensor], [y], version=_VERSIONS["SOFTMAX"], beta=1.0)

    def boxes(self, at: _Value, stride: int, anchors: Sequence[tuple[int, int]]) -> int:
        """Decode the boxes of one level: (1, anchors * positions, 5 + classes) in pixels and percent.

        Sigmoid s; centre (2 s - 0.5 + position) * stride, size (2 s)^2 * anchor, score 100 s.
        """
        import numpy as np

        size, per_anchor = at.size, at.channels // len(anchors)
        places, row = size * size, (1, len(anchors), per_anchor, size * size)
        s = self._plain("LOGISTIC", [at.tensor], (1, size, size, at.channels), _PROBABILITY)
        s = self._plain("TRANSPOSE", [s, self._ints(0, 3, 1, 2)], (1, at.channels, size, size), _PROBABILITY)
        s = self._plain("RESHAPE", [s, self._ints(*row)], row, _PROBABILITY, new_shape=row)
        s = self._plain(
            "TRANSPOSE", [s, self._ints(0, 1, 3, 2)], (1, len(anchors), places, per_anchor), _PROBABILITY
        )
        widths = (2, 2, per_anchor - 4)
        shapes = [(1, len(anchors), places, width) for width in widths]
        parts = [
            self.graph.tensor(f"part{i}", shape, "int8", _PROBABILITY.scale) for i, shape in enumerate(shapes)
        ]
        split = [s, self._ints(*widths), self._ints(3)]
        self.graph.operator("SPLIT_V", split, parts, version=2, num_splits=3)
        xy, wh, scores = parts
        pair = shapes[0]
        twice = _Grid(2 / 256, -128)
        grid = np.broadcast_to(np.arange(size), (size, size))
        cells = np.stack([grid, grid.T], axis=-1).reshape(1, 1, places, 2).repeat(len(anchors), axis=1)
        of_anchors = np.array(anchors, "f8").reshape(1, -1, 1, 2).repeat(places, axis=2)
        xy = self._by("MUL", xy, self._number(2.0), pair, twice)
        xy = self._by("ADD", xy, self._number(-0.5), pair, _Grid(2 / 256, -64))
        xy = self._by("ADD", xy, self._table(cells), pair, _Grid((size + 1) / 255, -128))
        xy = self._by("MUL", xy, self._table(np.full(cells.shape, float(stride))), pair, _PIXELS)
        wh = self._by("MUL", wh, self._number(2.0), pair, twice)
        wh = self._by("MUL", wh, wh, pair, _Grid(4 / 255, -128))
        wh = self._by("MUL", wh, self._table(of_anchors), pair, _PIXELS)
        percent = self._by("MUL", scores, self._number(100.0), shapes[2], _Grid(100 / 255, -128))
        percent = self._plain("QUANTIZE", [percent], shapes[2], _PIXELS)
        whole = (1, len(anchors), places, per_anchor)
        made = self._plain(
            "CONCATENATION", [xy, wh, percent], whole, _PIXELS, axis=3, fused_activation="NONE"
        )
        flat = (1, len(anchors) * places, per_anchor)
        return self._plain("RESHAPE", [made, self._ints(*flat)], flat, _PIXELS, new_shape=flat)

    def list_boxes(self, levels: Sequence[int], per_box: int) -> None:
        """Put the boxes of all levels in one list, the output."""
        count = sum(self.graph.tensors[level].shape[1] for level in levels)
        y = self.graph.output("boxes", (1, count, per_box), "int8", _PIXELS.scale)
        self.graph.operator(
            "CONCATENATION", levels, [y], version=_VERSIONS["CONCATENATION"], axis=1, fused_activation="NONE"
        )

    def _by(self, code: str, one: int, other: int, shape: tuple[int, ...], out: _Grid) -> int:
        return self._plain(code, [one, other], shape, out, fused_activation="NONE")

    def _plain(
        self,
        code: str,
        inputs: Sequence[int],
        shape: tuple[int, ...],
        out: _Grid,
        **options: str | int | float | bool | Sequence[int],
    ) -> int:
        """Add an operator and its output; no later layer is centred on its values."""
        tensor = self.graph.tensor(f"{self.layers:03d}_{code.lower()}", shape, "int8", out.scale)
        self.graph.operator(code, inputs, [tensor], version=_VERSIONS.get(code, 1), **options)
        self.layers += 1
        return tensor

    def _ints(self, *values: int) -> int:
        import numpy as np

        return self.graph.constant("numbers", np.array(values, np.int32))

    def _number(self, value: float) -> int:
        import numpy as np

        sign = 1 if value > 0 else -1
        return self.graph.constant("number", np.array([127 * sign], np.int8), Scale(abs(value) / 127))

    def _table(self, values: np.ndarray) -> int:
        """Add positive numbers, 0 at the low end of int8."""
        grid = _Grid(float(values.max()) / 255, -128)
        return self.graph.constant("table", _quantized(values, grid).astype("i1"), grid.scale)

    def _reshape(self, tensor: int, values: np.ndarray, grid: _Grid, shape: tuple[int, ...]) -> _Value:
        return self._emit("RESHAPE", [tensor, self._ints(*shape)], values, grid, new_shape=shape)

    def _emit(
        self,
        code: str,
        inputs: Sequence[int],
        values: np.ndarray,
        grid: _Grid,
        **options: str | int | float | bool | Sequence[int],
    ) -> _Value:
        """Add an operator and its output, with what the pictures have become in it."""
        return _Value(self._plain(code, inputs, (1, *values.shape[1:]), grid, **options), values, grid)

    def _weights(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return bell-shaped int8 weights in -127..127: scaled sums of four uniform bytes."""
        import numpy as np

        count = math.prod(shape)
        sums = self._bytes(4 * count).reshape(4, count).astype(np.int16).sum(axis=0)
        return ((sums - 510) // 4).clip(-127, 127).astype(np.int8).reshape(shape)

    def _bytes(self, count: int) -> np.ndarray:
        """Return uniform bytes from the bit generator itself, whose stream NumPy keeps for ever (NEP 19)."""
        import numpy as np

        return self.bits.random_raw(-(-count // 8)).astype("<u8").view(np.uint8)[:count]


def _real(value: _Value) -> np.ndarray:
    return (value.values - value.grid.zero) * value.grid.unit


def _quantized(real: np.ndarray, grid: _Grid) -> np.ndarray:
    import numpy as np

    return np.clip(np.rint(real / grid.unit) + grid.zero, -128, 127)


def _taps(values: np.ndarray, kernel: int, stride: int, edge: int, outside: float = 0.0) -> list[np.ndarray]:
    """Return what each kernel position sees, row by row, of values with `edge` of `outside` around them."""
    import numpy as np

    padded = np.pad(values, ((0, 0), (edge, edge), (edge, edge), (0, 0)), constant_values=outside)
    span = padded.shape[1] - kernel + 1
    return [
        padded[:, y : y + span : stride, x : x + span : stride] for y in range(kernel) for x in range(kernel)
    ]


def _statistics(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each channel, from exact integer totals."""
    import numpy as np

    exact = sums.astype(np.int64).reshape(-1, sums.shape[-1])
    mean = exact.sum(axis=0) / len(exact)
    deviations = exact - np.rint(mean).astype(np.int64)
    return mean, np.maximum(np.sqrt((deviations * deviations).sum(axis=0) / len(exact)), 1.0)
