"""MLPerf Tiny's benchmarks: which one a model is for, and what the bytes of `db` are to its reference device.

As mlcommons/tiny has them at 1afd2c9, benchmark/reference_submissions: `th_load_tensor` and `th_results` of
person_detection, image_classification, keyword_spotting and anomaly_detection. firmware/PROTOCOL.md has the
same rule in words, firmware/core/benchmark.c in C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

OTHER = "other"
"""The name of a model that is for none of the benchmarks. Its input is sent as it is."""


class Content(Enum):
    """What the bytes of `db` are."""

    TENSOR = auto()
    """The input tensor as it is."""
    PIXELS = auto()
    """uint8, of which the device makes int8 by taking 128 away."""
    FLOATS = auto()
    """float32, which the device quantises."""


@dataclass(frozen=True)
class Benchmark:
    """One of the benchmarks: its input, and how many values its output has. Both are int8 with a scale."""

    name: str
    shape: tuple[int, ...]
    values: int
    content: Content

    @property
    def tensor_bytes(self) -> int:
        """Bytes of the model's input tensor."""
        return math.prod(self.shape)

    @property
    def db_bytes(self) -> int:
        """Bytes that `db load` takes."""
        return self.tensor_bytes * (4 if self.content is Content.FLOATS else 1)


BENCHMARKS = (
    Benchmark("vww01", (1, 96, 96, 3), 2, Content.PIXELS),
    Benchmark("ic01", (1, 32, 32, 3), 10, Content.PIXELS),
    Benchmark("kws01", (1, 49, 10, 1), 12, Content.TENSOR),
    Benchmark("ad01", (1, 640), 640, Content.FLOATS),
)


class TensorLike(Protocol):
    """An input or output, as far as it tells benchmarks apart."""

    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def scale(self) -> float: ...


def benchmark_of(inputs: Sequence[TensorLike], outputs: Sequence[TensorLike]) -> Benchmark | None:
    """Return the benchmark that a model with these tensors is for; None: it is for none."""
    if len(inputs) != 1 or len(outputs) != 1:
        return None
    given, made = inputs[0], outputs[0]
    if given.type != "int8" or made.type != "int8" or not given.scale or not made.scale:
        return None
    for benchmark in BENCHMARKS:
        if given.shape == benchmark.shape and made.shape == (1, benchmark.values):
            return benchmark
    return None


def to_tensor(content: Content, data: bytes, scale: float, zero_point: int) -> bytes:
    """Return what a device makes of bytes of `db`; what is no whole element is left out."""
    if content is Content.TENSOR:
        return data
    if content is Content.PIXELS:
        return data.translate(_FLIPPED)
    import numpy as np

    # float32 throughout, halves away from zero, as the device's C does it.
    with np.errstate(all="ignore"):
        units = np.frombuffer(data[: len(data) // 4 * 4], "<f4") / np.float32(scale)
    units = np.clip(np.where(np.isnan(units), -1000, units), -1000, 1000).astype(np.float32)
    whole = np.trunc(units)
    whole += np.where(np.abs(units - whole) >= 0.5, np.sign(units), 0)
    return np.clip(whole + zero_point, -128, 127).astype(np.int8).tobytes()


def from_tensor(content: Content, tensor: bytes, scale: float, zero_point: int) -> bytes:
    """Return bytes of `db` of which a device makes this input tensor."""
    if content is Content.TENSOR:
        return tensor
    if content is Content.PIXELS:
        return tensor.translate(_FLIPPED)
    return _real(tensor, scale, zero_point).astype("<f4").tobytes()


def reconstruction_error(
    given: bytes, tensor: bytes, output: bytes, scales: tuple[float, float], zero_points: tuple[int, int]
) -> float:
    """Return the one result of ad01: the mean squared difference between output and input.

    Args:
        given: the float32 values that `db` brought. One that is not what stands in the input tensor (nothing
            was loaded, or something else since) is taken from there instead.
        tensor, output: the input tensor and what the model made of it.
        scales, zero_points: of input and output.
    """
    import numpy as np

    kept = np.frombuffer(given.ljust(4 * len(tensor), b"\0"), "<f4")
    stands = np.frombuffer(to_tensor(Content.FLOATS, kept.tobytes(), scales[0], zero_points[0]), np.int8)
    loaded = (np.arange(len(tensor)) < len(given) // 4) & (stands == np.frombuffer(tensor, np.int8))
    expected = np.where(loaded, kept, _real(tensor, scales[0], zero_points[0]))
    difference = _real(output, scales[1], zero_points[1]) - expected
    # A running sum, value after value, rounds as the device's loop does.
    with np.errstate(over="ignore"):
        sums = np.cumsum(difference * difference, dtype=np.float32)
    return float(sums[-1] / np.float32(len(tensor)))


def _real(tensor: bytes, scale: float, zero_point: int) -> np.ndarray:
    import numpy as np

    units = np.frombuffer(tensor, np.int8).astype(np.int64) - zero_point
    return units.astype(np.float32) * np.float32(scale)


_FLIPPED = bytes(byte ^ 0x80 for byte in range(256))
"""A byte less 128, modulo 256; twice is the byte again."""
