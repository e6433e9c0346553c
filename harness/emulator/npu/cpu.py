"""Operators that Vela left on the CPU, as models of their own for TFLite-Micro."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from harness.emulator.npu.variables import is_stateful
from harness.emulator.tflm import require_runtime
from harness.errors import printable
from harness.models.npu.faults import NotModelled
from harness.models.tflite import Model, Operator

HANDLES = ("resource", "string", "variant")
"""Types whose tensors no runtime gives out; TFLite-Micro, asked for one, ends the process."""


@dataclass(frozen=True)
class CpuSegment:
    """Operators that run one after the other on the CPU, with the tensors that enter and leave them."""

    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def segment(model: Model, operators: tuple[Operator, ...]) -> CpuSegment:
    """Find what enters and leaves `operators`, which are consecutive in the first subgraph.

    Raises NotModelled if that is something TFLite-Micro only passes on inside a model.
    """
    subgraph = model.subgraphs[0]
    produced = {index for op in operators for index in op.outputs if index >= 0}
    last = operators[-1].index
    wanted = set(subgraph.outputs)
    wanted |= {index for op in subgraph.operators[last + 1 :] for index in op.inputs if index >= 0}
    inputs: dict[int, None] = {}
    for op in operators:
        for index in op.inputs:
            tensor = subgraph.tensors[index] if index >= 0 else None
            if tensor is not None and not tensor.constant and not tensor.variable and index not in produced:
                inputs[index] = None
    found = CpuSegment(operators, tuple(inputs), tuple(sorted(produced & wanted)))
    for index in (*found.inputs, *found.outputs):
        tensor = subgraph.tensors[index]
        if tensor.type in HANDLES:
            raise NotModelled(
                f"tensor {index} '{printable(tensor.name)}' is a {tensor.type}, which cannot be handed from "
                "one part of the CPU's operators to another"
            )
    return found


def check_calls(model: Model, operators: Iterable[Operator]) -> None:
    """Raise NotModelled if `operators` call subgraphs that use variables: each part has its own."""
    for op in operators:
        for index in _reached(model, op):
            if is_stateful(model.subgraphs[index]):
                raise NotModelled(
                    f"operator {op.index} ({printable(op.label)}) calls subgraph {index}, which uses "
                    "variables; beside an NPU only the first subgraph may"
                )


def _called(op: Operator) -> set[int]:
    return {v for k, v in op.options.items() if k.endswith("subgraph_index") and isinstance(v, int)}


def _reached(model: Model, op: Operator) -> set[int]:
    """Return the subgraphs that `op` calls, and that those call."""
    found: set[int] = set()
    waiting = _called(op)
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting |= {i for inner in model.subgraphs[index].operators for i in _called(inner)}
    return found


@cache
def schema() -> ModuleType:
    """Return the generated classes of the TFLite schema that can rewrite a model (object API)."""
    require_runtime("running operators left on the CPU")
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated

    module: ModuleType = schema_py_generated
    return module


def packed(root: Any) -> bytes:
    """Return the model file of a model in the schema's object API."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(root.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class Extractor:
    """Makes model files of segments; the whole model is unpacked once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._root: Any = schema().ModelT.InitFromPackedBuf(model.data, 0)

    def extract(self, part: CpuSegment) -> bytes:
        """Return a model file with the operators of `part` and the tensors that they use.

        Other subgraphs come along if an operator calls them; so do the buffers that are used.
        """
        root = copy.copy(self._root)
        root.metadata = root.metadataBuffer = root.signatureDefs = None
        root.subgraphs = [self._main(part)]
        if any(_called(op) for op in part.operators):
            root.subgraphs += [_with_own_tensors(graph) for graph in self._root.subgraphs[1:]]
        root.buffers = [schema().BufferT()]
        places: dict[int, int] = {}
        for graph in root.subgraphs:
            for tensor in graph.tensors:
                buffer = self._root.buffers[tensor.buffer]
                if buffer.data is None and not buffer.size:
                    tensor.buffer = 0
                    continue
                if tensor.buffer not in places:
                    places[tensor.buffer] = len(root.buffers)
                    root.buffers.append(buffer)
                tensor.buffer = places[tensor.buffer]
        return packed(root)

    def _main(self, part: CpuSegment) -> Any:
        graph = copy.copy(self._root.subgraphs[0])
        used = {
            index: None
            for op in part.operators
            for index in (*op.inputs, *op.outputs, *op.intermediates)
            if index >= 0
        }
        places = {index: place for place, index in enumerate(used)} | {-1: -1}

        def moved(indices: Iterable[int]) -> list[int]:
            return [places[index] for index in indices]

        graph.tensors = [copy.copy(graph.tensors[index]) for index in used]
        graph.inputs, graph.outputs = moved(part.inputs), moved(part.outputs)
        operators = []
        for op in part.operators:
            operator = copy.copy(self._root.subgraphs[0].operators[op.index])
            operator.inputs, operator.outputs = moved(op.inputs), moved(op.outputs)
            operator.intermediates = moved(op.intermediates) or None
            operators.append(operator)
        graph.operators = operators
        return graph


def _with_own_tensors(graph: Any) -> Any:
    own = copy.copy(graph)
    own.tensors = [copy.copy(tensor) for tensor in graph.tensors]
    return own
