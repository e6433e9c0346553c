"""What a model costs: multiply-accumulates, parameters and bytes, counted from its shapes.

A multiply-accumulate (MAC) is one product added to a sum, counted as the operator is defined: padding
counts as if it were computed, and so does an output that a converter cropped. Additions of bias, activation
functions, poolings and elementwise arithmetic count nothing. Vela counts convolutions and fully connected
layers in the same way, and poolings too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from harness.models.graph import Model, Operator, Subgraph, Tensor
from harness.models.ops import ETHOS_U


@dataclass(frozen=True, slots=True)
class OperatorCost:
    """The cost of one run of an operator; `macs` is None if the file does not tell (NPU, odd shapes)."""

    subgraph: int
    index: int
    label: str
    macs: int | None
    weight_bytes: int
    input_bytes: int
    output_bytes: int


def costs(model: Model) -> tuple[OperatorCost, ...]:
    """Return the cost of every operator, subgraph after subgraph.

    Bodies of IF and WHILE are subgraphs of their own, counted as if each ran once.
    """
    return tuple(_cost(graph, operator) for graph in model.subgraphs for operator in graph.operators)


def parameters(model: Model) -> int:
    """Return how many learned numbers the file holds: constants that are floating-point or quantized.

    Integers without a scale are shapes, axes and paddings; a constant that several tensors share counts once.
    """
    sizes = {
        tensor.buffer: tensor.elements
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.constant and (tensor.quantization or "float" in tensor.type)
    }
    return sum(sizes.values())


def whole(size: int, unit: int) -> int:
    """Round `size` up to whole units."""
    return -(-size // unit) * unit


def _cost(graph: Subgraph, operator: Operator) -> OperatorCost:
    inputs = [graph.tensors[i] for i in operator.inputs if i >= 0]
    return OperatorCost(
        subgraph=graph.index,
        index=operator.index,
        label=operator.label,
        macs=macs(graph, operator),
        weight_bytes=sum(t.bytes for t in inputs if t.constant),
        input_bytes=sum(t.bytes for t in inputs if not t.constant),
        output_bytes=sum(graph.tensors[i].bytes for i in operator.outputs),
    )


def macs(graph: Subgraph, operator: Operator) -> int | None:
    """Return the multiply-accumulates of one run of `operator`, None if its shapes do not tell."""
    if operator.custom_code == ETHOS_U:
        return None
    formula = _FORMULAS.get(operator.code)
    if formula is None:
        return 0
    try:
        return formula(graph, operator)
    except (IndexError, ValueError):
        return None


def _tensor(graph: Subgraph, indices: tuple[int, ...], place: int) -> Tensor:
    """Return the tensor at `place` among `indices`; raises IndexError if it is absent."""
    if indices[place] < 0:
        raise IndexError(place)
    return graph.tensors[indices[place]]


def _convolution(graph: Subgraph, operator: Operator) -> int:
    """Each output value sums over the window and the channels of its group; the filter is OHWI."""
    _, height, width, channels = _tensor(graph, operator.inputs, 1).shape
    return _tensor(graph, operator.outputs, 0).elements * height * width * channels


def _depthwise(graph: Subgraph, operator: Operator) -> int:
    """Each output value sums over the window of one channel; the filter is 1HWO."""
    _, height, width, _ = _tensor(graph, operator.inputs, 1).shape
    return _tensor(graph, operator.outputs, 0).elements * height * width


def _transposed(graph: Subgraph, operator: Operator) -> int:
    """Each input value is spread over the window and the output channels; inputs are shape, OHWI, data."""
    channels, height, width, _ = _tensor(graph, operator.inputs, 1).shape
    return _tensor(graph, operator.inputs, 2).elements * height * width * channels


def _fully_connected(graph: Subgraph, operator: Operator) -> int:
    """Each output value sums over the inputs of its unit; the weights are (units, inputs)."""
    _, depth = _tensor(graph, operator.inputs, 1).shape
    return _tensor(graph, operator.outputs, 0).elements * depth


def _batch_matmul(graph: Subgraph, operator: Operator) -> int:
    """Each output value sums over the inner dimension, the last of x unless x is read transposed."""
    inner = _tensor(graph, operator.inputs, 0).shape[-2 if operator.options.get("adj_x") else -1]
    return _tensor(graph, operator.outputs, 0).elements * inner


def _lstm(graph: Subgraph, operator: Operator) -> int:
    """Each weight of the gates (inputs 1 to 8), peepholes (9 to 11) and projection (16) is used once a step.

    The products of gates with state, a few for each cell, are elementwise and count nothing.
    """
    data = _tensor(graph, operator.inputs, 0)
    places = [p for p in (*range(1, 12), 16) if p < len(operator.inputs) and operator.inputs[p] >= 0]
    weights = sum(graph.tensors[operator.inputs[p]].elements for p in places)
    return math.prod(data.shape[:-1]) * weights


def _svdf(graph: Subgraph, operator: Operator) -> int:
    """Each filter takes the input through its feature weights, then its memory through its time weights."""
    data = _tensor(graph, operator.inputs, 0)
    feature, time = (_tensor(graph, operator.inputs, p).elements for p in (1, 2))
    return data.shape[0] * (feature + time)


_FORMULAS: dict[str, Callable[[Subgraph, Operator], int]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    "SVDF": _svdf,
}
WEIGHTED = frozenset(_FORMULAS)
