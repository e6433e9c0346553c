"""Which layer of the source model an NPU operation computes, found by what it writes.

A Vela file names no layers. Run on the same inputs, the source model's intermediate tensors show up in the
NPU's output feature maps, whole or in parts (stripes of rows, slices of channels). An operation that
writes part of a layer's output belongs to that layer; one that writes none (a step of a softmax, a copy)
belongs to the next layer that does show up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.emulator.npu.cpu import HANDLES, packed, schema
from harness.models import reference
from harness.models.tflite import Model

_ALIGNED = 8


@dataclass(frozen=True)
class Layer:
    """An operator of the source model, and its first output on the inputs at hand."""

    index: int
    label: str
    name: str
    values: NDArray[Any]

    @property
    def title(self) -> str:
        """Operator index, its kind and its output, e.g. `4 CONV_2D 'conv1/Relu'`.

        A fused operator's name lists all that went into it; the first one will do.
        """
        return f"{self.index} {self.label} '{self.name.split(';')[0]}'"


@dataclass(frozen=True)
class Difference:
    """How an operation's output differs from the layer's it resembles most."""

    layer: Layer
    elements: int
    of: int
    largest: int


def run(source: Model, inputs: Sequence[NDArray[Any]]) -> list[Layer]:
    """Run the source model on the desktop runtime's reference kernels and return every operator's output,
    but for handles, which no runtime gives out.

    Raises ReferenceError if the runtime refuses the model.
    """
    graph = source.subgraphs[0]
    produced = [
        op
        for op in graph.operators
        if op.outputs and op.outputs[0] >= 0 and graph.tensors[op.outputs[0]].type not in HANDLES
    ]
    wanted = [op.outputs[0] for op in produced]
    values = reference.run(_with_outputs(source, wanted), inputs)
    return [
        Layer(op.index, op.label, graph.tensors[op.outputs[0]].name, array)
        for op, array in zip(produced, values, strict=True)
    ]


def _with_outputs(source: Model, wanted: Sequence[int]) -> bytes:
    """Return the model with the tensors `wanted` as outputs of its first subgraph."""

    root: Any = schema().ModelT.InitFromPackedBuf(source.data, 0)
    root.subgraphs[0].outputs = list(wanted)
    root.signatureDefs = None
    return packed(root)


def _volume(values: NDArray[Any]) -> NDArray[Any] | None:
    """Return a tensor as (height, width, depth), None if it has more than one batch or no such shape."""
    shape = values.shape
    if len(shape) == 4:
        return values[0] if shape[0] == 1 else None
    if len(shape) > 4:
        return None
    return values.reshape((1,) * (3 - len(shape)) + shape)


def _part_of(part: NDArray[Any], whole: NDArray[Any]) -> bool:
    """True if `part` equals `whole` over some rows and a slice of channels."""
    height, width, depth = part.shape
    if width != whole.shape[1] or height > whole.shape[0] or depth > whole.shape[2]:
        return False
    channels = range(0, whole.shape[2] - depth + 1, _ALIGNED if depth < whole.shape[2] else 1)
    for channel in channels:
        slab = whole[:, :, channel : channel + depth]
        for row in np.flatnonzero((slab[: len(slab) - height + 1, 0] == part[0, 0]).all(axis=1)):
            if np.array_equal(slab[row : row + height], part):
                return True
    return False


class Matcher:
    """Assigns output feature maps, given in the order they are written, to the layers of one run."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._last = 0

    def match(self, values: NDArray[Any]) -> Layer | None:
        """Return the layer that `values` (height, width, depth) are the output of, or a part of it."""
        order = [*self._layers[self._last :], *reversed(self._layers[: self._last])]
        for layer in order:
            if layer.values.dtype != values.dtype:
                continue
            volume = _volume(layer.values)
            same = layer.values.size == values.size and np.array_equal(layer.values.ravel(), values.ravel())
            if same or (volume is not None and _part_of(values, volume)):
                self._last = self._layers.index(layer)
                return layer
        return None

    def resembles(self, values: NDArray[Any]) -> Difference | None:
        """Return how `values` differ from the most similar whole output of the same size."""
        best: Difference | None = None
        for layer in self._layers:
            if layer.values.dtype != values.dtype or layer.values.size != values.size:
                continue
            gap = np.abs(layer.values.ravel().astype(np.int64) - values.ravel().astype(np.int64))
            found = Difference(layer, int(np.count_nonzero(gap)), gap.size, int(gap.max(initial=0)))
            if best is None or found.elements < best.elements:
                best = found
        return best


def spread(matched: Sequence[Layer | None]) -> list[Layer | None]:
    """Give each operation without a layer the layer of the next operation that has one."""
    result: list[Layer | None] = []
    following: Layer | None = None
    for layer in reversed(matched):
        following = layer or following
        result.append(following)
    return result[::-1]
