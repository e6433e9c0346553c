"""Operators that Vela left on the CPU, as a model of their own for TFLite-Micro."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from harness.errors import HarnessError
from harness.models.tflite import Model, Operator


@dataclass(frozen=True)
class Segment:
    """Operators that run one after the other on the CPU, with the tensors that enter and leave them."""

    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def segment(model: Model, operators: tuple[Operator, ...]) -> Segment:
    """Find what enters and leaves `operators`, which are consecutive in the first subgraph."""
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
    return Segment(operators, tuple(inputs), tuple(sorted(produced & wanted)))


@cache
def schema() -> ModuleType:
    """Return the generated classes of the TFLite schema that can rewrite a model (object API)."""
    try:
        from tflite_micro.tensorflow.lite.micro.python import schema_py_generated
    except ImportError:
        raise HarnessError(
            "operators left on the CPU need the 'tflite-micro' wheel, which exists for Linux on x86-64 only"
        ) from None
    module: ModuleType = schema_py_generated
    return module


def extract(model: Model, part: Segment) -> bytes:
    """Return a model file with the segment's operators alone, tensors keeping their indices.

    Other subgraphs stay, as control flow may call them; buffers and tensors that nothing in the file
    needs any longer are emptied.
    """
    import flatbuffers

    root: Any = schema().ModelT.InitFromPackedBuf(model.data, 0)
    graph = root.subgraphs[0]
    graph.operators = [graph.operators[op.index] for op in part.operators]
    graph.inputs, graph.outputs = list(part.inputs), list(part.outputs)
    root.metadata = root.metadataBuffer = root.signatureDefs = None
    used = {index for op in part.operators for index in (*op.inputs, *op.outputs) if index >= 0}
    needed = {graph.tensors[index].buffer for index in used}
    needed |= {tensor.buffer for other in root.subgraphs[1:] for tensor in other.tensors}
    for index, buffer in enumerate(root.buffers):
        if index not in needed:
            buffer.data = None
    for index, tensor in enumerate(graph.tensors):
        if index not in used:
            # TFLite-Micro gives arena to every tensor without data, used or not.
            tensor.shape = [1]
            tensor.buffer = 0
    builder = flatbuffers.Builder(1024)
    builder.Finish(root.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
