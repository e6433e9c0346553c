"""Sum up a model: what goes in and out, what it computes, what that costs, and what it was built for."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from harness.models import cost, ethosu, lifetimes, ops
from harness.models.graph import Model, Operator, Quantization, Subgraph, Tensor

# Types that say what arithmetic a model does; others (int32, bool, ...) are indices, conditions and biases.
_ARITHMETIC = ("int8", "int16", "uint8", "int4", "float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True, slots=True)
class ModelTensor:
    """An input or output of the model, or a tensor that is state; bytes in memory."""

    name: str
    shape: tuple[int, ...]
    type: str
    bytes: int
    quantization: Quantization | None


@dataclass(frozen=True, slots=True)
class OperatorCount:
    """All operators of one name; `macs` of an invoke as far as they are known, `supported` is TFLM's."""

    operator: str
    count: int
    macs: int
    supported: bool


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator; shape and type of its first output (None if it has none)."""

    subgraph: int
    index: int
    operator: str
    output_shape: tuple[int, ...] | None
    type: str | None
    macs: int | None
    weight_bytes: int
    input_bytes: int
    output_bytes: int
    supported: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """A subgraph in numbers."""

    index: int
    name: str
    tensors: int
    operators: int
    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Npu:
    """What Vela compiled: for which accelerator, and how far its plan reaches into the arena."""

    accelerator: str
    vela_version: str | None
    planned_arena_bytes: int | None
    payloads: tuple[ethosu.Payload, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What `harness inspect` says of a model.

    `macs` are those of an invoke: subgraphs that it does not enter count nothing. They and `parameters` are
    None if part of the model is encoded for an NPU.
    """

    name: str
    description: str
    bytes: int
    sha1: str
    sha256: str
    precision: str
    parameters: int | None
    macs: int | None
    inputs: tuple[ModelTensor, ...]
    outputs: tuple[ModelTensor, ...]
    state: tuple[ModelTensor, ...]
    operators: tuple[OperatorCount, ...]
    unsupported: tuple[ops.Unsupported, ...]
    subgraphs: tuple[Graph, ...]
    signatures: tuple[str, ...]
    npu: Npu | None
    layers: tuple[Layer, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return dataclasses.asdict(self)


def summarize(model: Model) -> Summary:
    """Return the summary of `model`; raises ModelError if its NPU parts are damaged."""
    npu = _npu(model)
    layers = tuple(_layers(model))
    entered = lifetimes.invoked(model)
    macs = [layer.macs for layer in layers if layer.subgraph in entered]
    main = model.subgraphs[0]
    return Summary(
        name=model.name,
        description=model.description,
        bytes=len(model.data),
        sha1=model.sha1,
        sha256=model.sha256,
        precision=precision(model),
        parameters=None if npu else cost.parameters(model),
        macs=None if None in macs else sum(m for m in macs if m is not None),
        inputs=tuple(_described(main.tensors[i]) for i in main.inputs),
        outputs=tuple(_described(main.tensors[i]) for i in main.outputs),
        state=tuple(_state(model)),
        operators=tuple(_counts(layers, entered)),
        # That a board has the NPU a file was compiled for is not the file's to say.
        unsupported=tuple(ops.unsupported(model, npu=True)),
        subgraphs=tuple(
            Graph(g.index, g.name, len(g.tensors), len(g.operators), len(g.inputs), len(g.outputs))
            for g in model.subgraphs
        ),
        signatures=tuple(s.key for s in model.signatures),
        npu=npu,
        layers=layers,
    )


def precision(model: Model) -> str:
    """Name the arithmetic of `model`: "int8", "int16x8", "float32", "mixed"; Vela's with " (Vela)".

    Activations by weights, one name if they are alike ("int8", not "int8x8"), taken from the operators
    that multiply weights; from all operators in a model without such. "float32x8" is float activations with
    8-bit weights. More than one kind makes it "mixed".
    """
    operators = [(g, o) for g in model.subgraphs for o in g.operators]
    kinds = {kind for g, o in operators if (kind := _kind(g, o))}
    if not kinds:
        kinds = {
            t.type for g, o in operators for i in o.outputs if (t := g.tensors[i]).type in _ARITHMETIC
        } or {t.type for i in model.subgraphs[0].inputs if (t := model.subgraphs[0].tensors[i])}
    label = kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "none"
    return f"{label} (Vela)" if ethosu.is_compiled(model) else label


def _kind(graph: Subgraph, operator: Operator) -> str | None:
    """Name the arithmetic of one operator with weights, None for any other."""
    if operator.custom_code == ops.ETHOS_U:
        # The NPU's weights are 8 bits wide; only its data tells int8 from 16-bit activations.
        types = {graph.tensors[i].type for i in operator.inputs[4:] if i >= 0} & set(_ARITHMETIC)
        if len(types) != 1:
            return "mixed"
        activations = types.pop()
        return "int16x8" if activations == "int16" else activations
    if operator.code not in cost.WEIGHTED:
        return None
    present = [graph.tensors[i] for i in operator.inputs if i >= 0]
    data = next((t.type for t in present if not t.constant and t.type in _ARITHMETIC), None)
    weights = next((t.type for t in present if t.constant and t.type in _ARITHMETIC), data)
    if data is None or weights is None:
        return None
    return data if data == weights else f"{data}x{weights.strip('abcdefghijklmnopqrstuvwxyz')}"


def _npu(model: Model) -> Npu | None:
    accelerator = ethosu.accelerator(model)
    if accelerator is None:
        return None
    version = model.metadata.get("vela_version")
    return Npu(
        accelerator=accelerator,
        vela_version=version.rstrip(b"\0").decode("utf-8", "replace") if version else None,
        planned_arena_bytes=ethosu.arena_bytes(model),
        payloads=tuple(ethosu.payloads(model)),
    )


def _described(tensor: Tensor) -> ModelTensor:
    return ModelTensor(tensor.name, tensor.shape, tensor.type, tensor.bytes, tensor.quantization)


def _state(model: Model) -> Iterable[ModelTensor]:
    """Yield what outlives an invoke: variable tensors, then resources by name, shaped as what is put in."""
    resources: dict[str, ModelTensor] = {}
    for graph in model.subgraphs:
        yield from (_described(t) for t in graph.tensors if t.variable)
        handles = {
            o.outputs[0]: str(o.options.get("shared_name", ""))
            for o in graph.operators
            if o.code == "VAR_HANDLE" and o.outputs
        }
        for name in handles.values():
            resources.setdefault(name, ModelTensor(name, (), "resource", 0, None))
        for o in graph.operators:
            if (
                o.code == "ASSIGN_VARIABLE"
                and len(o.inputs) == 2
                and o.inputs[0] in handles
                and o.inputs[1] >= 0
            ):
                name = handles[o.inputs[0]]
                resources[name] = dataclasses.replace(
                    _described(graph.tensors[o.inputs[1]]), name=name, quantization=None
                )
    yield from resources.values()


def _layers(model: Model) -> Iterable[Layer]:
    for spent in cost.costs(model):
        graph = model.subgraphs[spent.subgraph]
        operator = graph.operators[spent.index]
        output = graph.tensors[operator.outputs[0]] if operator.outputs else None
        yield Layer(
            subgraph=spent.subgraph,
            index=spent.index,
            operator=spent.label,
            output_shape=output.shape if output else None,
            type=output.type if output else None,
            macs=spent.macs,
            weight_bytes=spent.weight_bytes,
            input_bytes=spent.input_bytes,
            output_bytes=spent.output_bytes,
            supported=ops.is_supported(operator, npu=True),
        )


def _counts(layers: Iterable[Layer], entered: Container[int]) -> Iterable[OperatorCount]:
    """Yield one entry an operator name, the one with the most MACs in an invoke first."""
    counts: dict[str, OperatorCount] = {}
    for layer in layers:
        so_far = counts.get(layer.operator, OperatorCount(layer.operator, 0, 0, layer.supported))
        counts[layer.operator] = dataclasses.replace(
            so_far,
            count=so_far.count + 1,
            macs=so_far.macs + (layer.macs or 0 if layer.subgraph in entered else 0),
        )
    return sorted(counts.values(), key=lambda c: (-c.macs, -c.count, c.operator))
