"""What TFLite-Micro's kernels refuse when they are prepared or run: types, scales, shapes, inputs to come.

The tables in kernels.toml are what its Python wheel answers for each operator; tests/models/test_kernels.py
asks it again. A build may have less (int8 variants of kernels alone), none has more.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from harness.models.graph import BITS, Model, Operator, Subgraph, Tensor

_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_CONSTANT: dict[str, list[int]] = _TABLES["constant"]
_DIMENSIONS: dict[str, int] = _TABLES["dimensions"]
_INPUTS: dict[str, int] = _TABLES["inputs"]
_SCALES: dict[tuple[str, str, str], tuple[float | None, int]] = {
    (label, given, made): (scale or None, zero) for label, given, made, scale, zero in _TABLES["scales"]
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
class RefusedOperator:
    """An operator that TFLite-Micro refuses, by its place in the model, and why: the rest of a sentence.

    "hybrid" are float activations with integer weights, as dynamic-range quantization leaves them; "dynamic"
    is an output without a size: TFLite-Micro plans memory once, before it knows any data.
    """

    subgraph: int
    index: int
    operator: str
    kind: Kind
    why: str


def refusals(model: Model) -> Iterator[RefusedOperator]:
    """Yield the operators of `model` that TFLite-Micro has a kernel for and refuses, in order."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            for kind, why in _against(graph, operator):
                yield RefusedOperator(graph.index, operator.index, operator.label, kind, why)
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
    for x, form, operators in _TABLES["forms"]:
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
