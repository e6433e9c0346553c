"""What a TFLite model is made of, as plain immutable data (see `harness.models.tflite` for the reader)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

# Bits an element takes in memory. A resource is a 32-bit handle in TFLite-Micro; strings and variants have
# no fixed size.
BITS = {
    "float32": 32,
    "float16": 16,
    "int32": 32,
    "uint8": 8,
    "int64": 64,
    "string": 0,
    "bool": 8,
    "int16": 16,
    "complex64": 64,
    "int8": 8,
    "float64": 64,
    "complex128": 128,
    "uint64": 64,
    "resource": 32,
    "variant": 0,
    "uint32": 32,
    "uint16": 16,
    "int4": 4,
    "bfloat16": 16,
}


@dataclass(frozen=True, slots=True)
class Quantization:
    """real = scale * (stored - zero point), one pair a tensor or one for each index along `axis`.

    There are as many zero points as scales, but not checked to be as many as the dimension `axis` has.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a subgraph; `constant` if the file holds its data, `variable` if it is state."""

    index: int
    name: str
    shape: tuple[int, ...]
    type: str
    buffer: int
    constant: bool
    variable: bool
    quantization: Quantization | None

    @property
    def elements(self) -> int:
        """How many values the tensor has (1 for a scalar)."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in memory; two int4 values share a byte."""
        return (self.elements * BITS[self.type] + 7) // 8


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator of a subgraph; tensors by index, -1 for an optional input that is absent.

    `options` are named as in the TFLite schema, in snake case (`fused_activation_function` is
    `fused_activation`), with enumerations by name: padding "SAME", fused_activation "RELU6". What a custom
    operator is given is `custom_options`, in a format of its own.
    """

    index: int
    code: str
    custom_code: str | None
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    intermediates: tuple[int, ...]
    options: Mapping[str, int | float | bool | str | tuple[int | float, ...]]
    custom_options: bytes = field(default=b"", repr=False)

    @property
    def label(self) -> str:
        """The name to show: a custom operator's own, otherwise the builtin's."""
        return self.custom_code or self.code

    def number(self, option: str) -> int:
        """Return an option that is a whole number; raises LookupError if the operator lacks it."""
        return int(self.options[option])  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Subgraph:
    """A graph of operators in execution order; the first one of a model is its entry point."""

    index: int
    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """A named entry into a subgraph: argument and result names to tensor indices."""

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model file: its bytes, what they say, and where each buffer lies in them (start, length).

    Bytes may follow that are not part of the model: in flash nothing tells where a file ends.
    """

    name: str
    data: bytes = field(repr=False)
    sha1: str
    sha256: str
    version: int
    description: str
    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...]
    metadata: Mapping[str, bytes]
    buffers: tuple[tuple[int, int], ...] = field(repr=False)

    def buffer(self, index: int) -> memoryview:
        """Return the bytes of buffer `index` (empty if it has none); raises IndexError."""
        start, length = self.buffers[index]
        return memoryview(self.data)[start : start + length]

    def constant(self, tensor: Tensor) -> memoryview | None:
        """Return the data of a constant tensor, None if it is computed or fed at run time."""
        return self.buffer(tensor.buffer) if tensor.constant else None
