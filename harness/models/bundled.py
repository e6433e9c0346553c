"""The bundled models: MobileNetV2 0.35 shapes with seeded weights, generated rather than shipped.

They have the tensors, operators and cost of a classifier of their name, and so the time and the memory of
one, but nobody trained them: their answers mean nothing. Each says so in its description and metadata.

A random network forgets its input after a few layers, or saturates. So generation does what a batch
normalisation would have: it runs each layer on a few seeded pictures and sets scales and biases such that
every channel is centred and spread over the int8 range. All sums are of integers below 2**53 and all
other arithmetic is single IEEE operations in double precision, so every machine gets the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import HarnessError, nearest
from harness.models.build import Builder, Scale, Subgraph

if TYPE_CHECKING:
    import numpy as np

NOT_TRAINED = "not trained: seeded random weights in the shape of MobileNetV2 0.35"

# Stages of MobileNetV2: expansion, channels, repetitions, stride (Sandler et al. 2018, table 2).
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_WIDTH = 0.35
_PICTURES = 8  # that each layer is centred on
# The operator versions that brought int8, as TensorFlow's converter writes them.
_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "ADD": 2, "MEAN": 2, "FULLY_CONNECTED": 4, "SOFTMAX": 2}


@dataclass(frozen=True)
class _Spec:
    size: int
    colours: int
    classes: int
    stages: int  # the CIFAR-10 and MNIST networks of the model zoo stop after the third
    features: int  # channels of the last convolution, 0 for none
    seed: int


class _Grid(NamedTuple):
    """The quantisation of one activation: real = unit * (q - zero)."""

    unit: float
    zero: int

    @property
    def scale(self) -> Scale:
        return Scale(self.unit, self.zero)


_RELU6 = _Grid(6 / 255, -128)

_MODELS = {
    "person_mbv2_035_96_int8": _Spec(96, 3, 2, 7, 1280, 9601),
    "cifar10_mbv2_035_32_int8": _Spec(32, 3, 10, 3, 0, 3203),
    "mnist_mbv2_035_32_int8": _Spec(32, 1, 10, 3, 0, 3201),
}
DEFAULT = "person_mbv2_035_96_int8"


def names() -> list[str]:
    """Return the names of the bundled models, the default one first."""
    return list(_MODELS)


@cache
def build(name: str) -> bytes:
    """Return the .tflite bytes of a bundled model: int8, one picture in, class probabilities out.

    Raises HarnessError for a name that is not bundled.
    """
    if name not in _MODELS:
        raise HarnessError(f"no bundled model '{name}'{nearest(name, _MODELS)}")
    return _Network(name, _MODELS[name]).finish()


class _Network:
    """A network under construction: the graph so far, and what the pictures have become in it.

    `values` are the quantised activations, float64 integers of shape (pictures, height, width, channels);
    `grid` is their quantisation and `tensor` their index in the graph.
    """

    def __init__(self, name: str, spec: _Spec) -> None:
        import numpy as np

        self.builder = Builder(f"{name} ({NOT_TRAINED})")
        self.builder.metadata["harness"] = NOT_TRAINED.encode()
        self.graph: Subgraph = self.builder.subgraph("main")
        self.spec = spec
        self.bits = np.random.PCG64(spec.seed)
        self.layers = 0
        self.grid = _Grid(1 / 255, -128)
        self.values = self._pictures()
        self.tensor = self.graph.input("image", (1, *self.values.shape[1:]), "int8", self.grid.scale)

    def finish(self) -> bytes:
        self.conv(_round_channels(32), kernel=3, stride=2, relu6=True)
        for expansion, channels, repetitions, stride in _STAGES[: self.spec.stages]:
            for i in range(repetitions):
                self.inverted_residual(expansion, _round_channels(channels), stride if i == 0 else 1)
        if self.spec.features:
            self.conv(self.spec.features, relu6=True)
        self.global_average()
        self.classify()
        return self.builder.finish()

    def inverted_residual(self, expansion: int, channels: int, stride: int) -> None:
        tensor, values, grid = self.tensor, self.values, self.grid
        if expansion != 1:
            self.conv(values.shape[-1] * expansion, relu6=True)
        self.depthwise(stride)
        self.conv(channels, relu6=False)
        if stride == 1 and values.shape[-1] == channels:
            self.add(tensor, values, grid)

    def conv(self, channels: int, *, kernel: int = 1, stride: int = 1, relu6: bool) -> None:
        weights = self._weights((channels, kernel, kernel, self.values.shape[-1]))
        taps = _taps(self._centred(), kernel, stride)
        sums = sum(tap @ weights[:, i // kernel, i % kernel].astype("f8").T for i, tap in enumerate(taps))
        options: dict[str, int | str] = {"stride_h": stride, "stride_w": stride, "padding": "SAME"}
        self._weighted("CONV_2D", weights, 0, sums, relu6, options)

    def depthwise(self, stride: int) -> None:
        weights = self._weights((1, 3, 3, self.values.shape[-1]))
        taps = _taps(self._centred(), 3, stride)
        sums = sum(tap * weights[0, i // 3, i % 3] for i, tap in enumerate(taps))
        options: dict[str, int | str] = {
            "stride_h": stride,
            "stride_w": stride,
            "padding": "SAME",
            "depth_multiplier": 1,
        }
        self._weighted("DEPTHWISE_CONV_2D", weights, 3, sums, True, options)

    def add(self, tensor: int, values: np.ndarray, grid: _Grid) -> None:
        """Add an earlier activation, the residual of a block."""
        import numpy as np

        real = self._real() + (values - grid.zero) * grid.unit
        out = _Grid(float(np.abs(real).max()) / 127, 0)
        self._emit("ADD", [tensor, self.tensor], real, out, {})

    def global_average(self) -> None:
        import numpy as np

        height, width = self.values.shape[1:3]
        sums = self._centred().sum(axis=(1, 2))
        real = sums / (height * width) * self.grid.unit
        axes = self.graph.constant("axes", np.array([1, 2], dtype=np.int32))
        peak = float(np.abs(real).max())
        out = _Grid(peak / 127, 0) if float(real.min()) < 0 else _Grid(peak / 255, -128)
        self._emit("MEAN", [self.tensor, axes], real, out, {"keep_dims": False})

    def classify(self) -> None:
        """Fully connected layer and softmax; the logits of the pictures spread over a few units."""
        import numpy as np

        weights = self._weights((self.spec.classes, self.values.shape[-1]))
        sums = self._centred() @ weights.astype("f8").T
        mean, spread = _statistics(sums)
        scale = 2.0 / float(spread.max()) / self.grid.unit
        bias = np.rint(-mean).astype(np.int32)
        w = self.graph.constant("classes/weights", weights, Scale(scale))
        b = self.graph.constant("classes/bias", bias, Scale(scale * self.grid.unit))
        real = (sums + bias) * (scale * self.grid.unit)
        out = _Grid(8 / 127, 0)
        self._emit("FULLY_CONNECTED", [self.tensor, w, b], real, out, {"fused_activation": "NONE"})
        y = self.graph.output("probabilities", (1, self.spec.classes), "int8", Scale(1 / 256, -128))
        self.graph.operator("SOFTMAX", [self.tensor], [y], version=_VERSIONS["SOFTMAX"], beta=1.0)

    def _weighted(
        self,
        code: str,
        weights: np.ndarray,
        axis: int,
        sums: np.ndarray,
        relu6: bool,
        options: dict[str, int | str],
    ) -> None:
        """Emit a convolution whose sums over the pictures are given, normalised channel by channel.

        Before a ReLU6 every channel has mean 2 and standard deviation 2, so that both of its corners
        are reached; without, mean 0 and standard deviation 1, with +-4 of them in the int8 range.
        """
        import numpy as np

        mean, spread = _statistics(sums)
        centre, width = (2.0, 2.0) if relu6 else (0.0, 1.0)
        out = _RELU6 if relu6 else _Grid(4 / 127, 0)
        unit = width / spread  # real value of one unit of the sums
        bias = np.rint(centre / unit - mean).astype(np.int32)
        label = f"{self.layers:02d}_{code.lower()}"
        w = self.graph.constant(
            f"{label}/weights", weights, Scale(tuple(unit / self.grid.unit), (0,) * len(unit), axis)
        )
        b = self.graph.constant(f"{label}/bias", bias, Scale(tuple(unit), (0,) * len(unit)))
        real = (sums + bias) * unit
        activation = "RELU6" if relu6 else "NONE"
        self._emit(code, [self.tensor, w, b], real, out, {**options, "fused_activation": activation})

    def _emit(
        self, code: str, inputs: list[int], real: np.ndarray, out: _Grid, options: dict[str, int | str]
    ) -> None:
        """Add the operator and its output, and go on from that output."""
        import numpy as np

        tensor = self.graph.tensor(
            f"{self.layers:02d}_{code.lower()}", (1, *real.shape[1:]), "int8", out.scale
        )
        self.graph.operator(code, inputs, [tensor], version=_VERSIONS[code], **options)
        self.layers += 1
        self.tensor, self.grid = tensor, out
        self.values = np.clip(np.rint(real / out.unit) + out.zero, -128, 127)

    def _centred(self) -> np.ndarray:
        return self.values - self.grid.zero

    def _real(self) -> np.ndarray:
        return self._centred() * self.grid.unit

    def _weights(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return bell-shaped int8 weights in -127..127: scaled sums of four uniform bytes."""
        import numpy as np

        count = int(np.prod(shape))
        sums = self._bytes(4 * count).reshape(4, count).astype(np.int16).sum(axis=0)
        return ((sums - 510) // 4).clip(-127, 127).astype(np.int8).reshape(shape)

    def _pictures(self) -> np.ndarray:
        """Return the pictures that layers are centred on: half of them noise, half of them blocks."""
        import numpy as np

        size, colours = self.spec.size, self.spec.colours
        half = _PICTURES // 2
        noise = self._bytes(half * size * size * colours).reshape(half, size, size, colours)
        blocks = self._bytes(half * 16 * colours).reshape(half, 4, 4, colours)
        blocks = blocks.repeat(size // 4, axis=1).repeat(size // 4, axis=2)
        return np.concatenate([noise, blocks]).astype("f8") - 128

    def _bytes(self, count: int) -> np.ndarray:
        """Return uniform bytes from the bit generator itself, whose stream NumPy keeps for ever (NEP 19)."""
        import numpy as np

        return self.bits.random_raw(-(-count // 8)).astype("<u8").view(np.uint8)[:count]


def _round_channels(channels: int) -> int:
    """Scale a channel count by the width, to a multiple of 8 that is not more than a tenth too small."""
    wanted = channels * _WIDTH
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def _taps(values: np.ndarray, kernel: int, stride: int) -> list[np.ndarray]:
    """Return what each kernel position sees, row by row, under SAME padding with zeros."""
    import numpy as np

    size = values.shape[1]
    out = -(-size // stride)
    padding = max((out - 1) * stride + kernel - size, 0)
    edge = (padding // 2, padding - padding // 2)
    padded = np.pad(values, ((0, 0), edge, edge, (0, 0)))
    span = (out - 1) * stride + 1
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
