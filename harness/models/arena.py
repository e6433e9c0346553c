"""How much tensor arena a model uses on a 32-bit target, as TFLite-Micro's arena_used_bytes() reports it.

The arena is used from both ends. The head holds activations and scratch buffers where the memory planner
put them. The tail holds what lives as long as the interpreter, allocated downwards from the arena's end in
a fixed order: the allocators, records for each tensor and operator, then what each operator asks for.
Alignment makes the tail depend on that order, so it is gone through allocation by allocation. Both ends of
the arena are taken to lie on 16-byte boundaries.

Enumerations are taken to have 4 bytes, as on Xtensa and 32-bit Arm Linux. Bare-metal Arm compilers give them
one (-fshort-enums), which takes 8 bytes off the record of each input and output and 3 to 12 off the options
of some operators (FULLY_CONNECTED, ADD, MUL, SUB, DIV, ...): there a build uses up to some 100 bytes less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.models import lifetimes, operator_memory, planner
from harness.models.graph import Model, Operator, Subgraph, Tensor
from harness.models.lifetimes import Scratch
from harness.models.operator_memory import REFERENCE, Kernels, Node, Requests, Variables

# Sizes with 4-byte pointers, from TFLite-Micro's headers.
_ARENA_ALLOCATOR = 36
_GREEDY_PLANNER = 44
_MICRO_ALLOCATOR = 36
_OPTIONS_ALLOCATOR = 8
_SUBGRAPH = 8
_EVAL_TENSOR = 12
_NODE_AND_REGISTRATION = 32
_SCRATCH_HANDLE = 4
_TENSOR = 40
_AFFINE_QUANTIZATION = 12
_RESOURCE_VARIABLES = 12
_RESOURCE_VARIABLE = 20
_POINTER = 4

# What planning takes of the arena's free middle while it runs.
_SCRATCH_REQUEST = 12
_REQUESTS_RESERVED = 12
_ALLOCATION_INFO = 24
_PLANNED_BUFFER = 40
_PREPARED_TWICE = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")

_ALIGNMENT = 16

# The most that any accounted operator keeps beyond what its tensors explain (the LSTM), for the bound.
_LARGEST_STATE = 704
_BOUND_PER_CHANNEL = 8
_BOUND_PER_ELEMENT = 8


@dataclass(frozen=True)
class Unaccounted:
    """An operator whose memory is not known: its place, and the most that the bound grants it."""

    subgraph: int
    index: int
    label: str
    bound_bytes: int


@dataclass(frozen=True)
class Arena:
    """Arena use in bytes; `minimum_bytes` is the smallest arena in which the model can be set up.

    `exact` is False if operators are not accounted for: then the use is at least `used_bytes`, and at
    most `bound_bytes` if those operators ask for no more than the most demanding accounted ones do.
    """

    used_bytes: int
    head_bytes: int
    tail_bytes: int
    minimum_bytes: int
    bound_bytes: int
    breakdown: Mapping[str, int]
    operators: Mapping[tuple[int, int], int] = field(repr=False)
    unaccounted: tuple[Unaccounted, ...] = ()

    @property
    def exact(self) -> bool:
        return not self.unaccounted


class _Tail:
    """The arena's end, growing downwards: how far, and for what."""

    def __init__(self) -> None:
        self.bytes = 0
        self.by_kind: Counter[str] = Counter()

    def take(self, kind: str, size: int, alignment: int = _POINTER) -> int:
        """Allocate `size` bytes; returns what that took with its padding."""
        before = self.bytes
        self.bytes = -(-(self.bytes + size) // alignment) * alignment
        self.by_kind[kind] += self.bytes - before
        return self.bytes - before


def arena(model: Model, kernels: Kernels = REFERENCE) -> Arena:
    """Return the arena use of `model` with `kernels` on a 32-bit target.

    Raises ModelError if subgraphs call each other without end.
    """
    tail = _Tail()
    _interpreter(tail, model)
    asked = _operators(tail, model, kernels)
    scratch = asked.scratch
    if scratch:
        tail.take("scratch buffer handles", _SCRATCH_HANDLE * len(scratch))
    _variable_tensors(tail, model)
    buffers = lifetimes.buffers(model, scratch, asked.variables.handles.keys())
    head = planner.head_bytes(buffers)
    planning = lifetimes.aligned(tail.bytes) + _planning_bytes(model, len(scratch), len(buffers))
    first = model.subgraphs[0]
    _interface(tail, "inputs", first, first.inputs)
    _interface(tail, "outputs", first, first.outputs)
    used = head + tail.bytes
    return Arena(
        used_bytes=used,
        head_bytes=head,
        tail_bytes=tail.bytes,
        minimum_bytes=lifetimes.aligned(max(used, planning, asked.preparing)),
        bound_bytes=used + sum(u.bound_bytes for u in asked.unaccounted.values()),
        breakdown=dict(tail.by_kind),
        operators=dict(asked.taken),
        unaccounted=tuple(asked.unaccounted.values()),
    )


@dataclass
class _Asked:
    """What the operators of a model ask for; `taken` and `unaccounted` are by (subgraph, operator).

    `preparing` is how far the tail reaches at most while one of them is prepared.
    """

    taken: Counter[tuple[int, int]] = field(default_factory=Counter)
    unaccounted: dict[tuple[int, int], Unaccounted] = field(default_factory=dict)
    scratch: list[Scratch] = field(default_factory=list)
    variables: Variables = field(default_factory=Variables)
    preparing: int = 0


def _operators(tail: _Tail, model: Model, kernels: Kernels) -> _Asked:
    """Allocate what each operator keeps: first the options of all, then what each asks for."""
    found = _Asked()
    for graph, operator in _nodes(model):
        structure = operator_memory.options_structure(operator)
        if structure:
            found.taken[graph.index, operator.index] += tail.take("operator options", *structure)
    for step in (operator_memory.init, operator_memory.prepare):
        for graph, operator in _nodes(model):
            place = (graph.index, operator.index)
            requests = Requests()
            try:
                step(Node(model, graph, operator, found.variables, requests), kernels)
            except (LookupError, ArithmeticError):
                found.unaccounted.setdefault(place, _unaccounted(graph, operator))
            for size in requests.persistent:
                found.taken[place] += tail.take("operator data", size, _ALIGNMENT)
            if step is operator_memory.prepare:
                preparing = tail.bytes + _preparing_bytes(graph, operator, len(found.scratch))
                found.preparing = max(found.preparing, preparing)
            found.scratch += [Scratch(*place, size) for size in requests.scratch]
    return found


def _nodes(model: Model) -> Iterator[tuple[Subgraph, Operator]]:
    for graph in model.subgraphs:
        for operator in graph.operators:
            yield graph, operator


def _interpreter(tail: _Tail, model: Model) -> None:
    """Allocate what there is before any operator is looked at."""
    for size in (_ARENA_ALLOCATOR, _GREEDY_PLANNER, _MICRO_ALLOCATOR):
        tail.take("interpreter", size)
    resources = resource_variables(model)
    if resources:
        tail.take("resource variables", _RESOURCE_VARIABLES, _ALIGNMENT)
        tail.take("resource variables", _RESOURCE_VARIABLE * resources, _ALIGNMENT)
    tail.take("interpreter", _OPTIONS_ALLOCATOR)
    tail.take("interpreter", _SUBGRAPH * len(model.subgraphs))
    for graph in model.subgraphs:
        tail.take("tensor records", _EVAL_TENSOR * len(graph.tensors))
    for graph in model.subgraphs:
        tail.take("operator records", _NODE_AND_REGISTRATION * len(graph.operators))


def resource_variables(model: Model) -> int:
    """Return how many resource variables the model names, the least that a firmware has to provide for."""
    return len(
        {
            (operator.options.get("container"), operator.options.get("shared_name"))
            for _, operator in _nodes(model)
            if operator.code == "VAR_HANDLE"
        }
    )


def _variable_tensors(tail: _Tail, model: Model) -> None:
    """Allocate the tensors that keep their values between invokes.

    TFLite-Micro looks up the offline plan of each subgraph from the plan's start, and so does this.
    """
    plan = lifetimes.offline_offsets(model)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.variable and (plan is None or plan[tensor.index] == -1):
                tail.take("variable tensors", lifetimes.tensor_bytes(tensor), _ALIGNMENT)


def _interface(tail: _Tail, kind: str, graph: Subgraph, tensors: tuple[int, ...]) -> None:
    """Allocate the records through which an application reaches the model's inputs or outputs."""
    tail.take(kind, _POINTER * len(tensors), _ALIGNMENT)
    for index in tensors:
        tail.take(kind, _TENSOR)
        for size in _quantization_records(graph.tensors[index]):
            tail.take(kind, size)


def _planning_bytes(model: Model, scratch: int, buffers: int) -> int:
    """Return what the planner takes of the arena while it plans, all of it given back afterwards."""
    tensors = sum(len(graph.tensors) for graph in model.subgraphs)
    lists = _SCRATCH_REQUEST * (scratch + _REQUESTS_RESERVED) + _POINTER * len(model.subgraphs)
    lists += _ALLOCATION_INFO * (tensors + scratch)
    return lifetimes.aligned(lists) + _PLANNED_BUFFER * buffers


def _preparing_bytes(graph: Subgraph, operator: Operator, scratch: int) -> int:
    """Return the most that the preparation of an operator takes for a time: full records of its tensors.

    Convolutions look at theirs a second time while they hold the first, but for the bias.
    """
    tensors = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
    if operator.code in _PREPARED_TWICE:
        tensors += [t for t in tensors if len(t.shape) > 1]
    reserved = _SCRATCH_REQUEST * (scratch + _REQUESTS_RESERVED)
    return reserved + sum(_TENSOR + sum(_quantization_records(t)) for t in tensors)


def _quantization_records(tensor: Tensor) -> tuple[int, ...]:
    """Return the sizes of what the full record of a quantized tensor refers to: scales and zero points."""
    if tensor.quantization is None:
        return ()
    return (_AFFINE_QUANTIZATION, _POINTER * (1 + len(tensor.quantization.scales)))


def _unaccounted(graph: Subgraph, operator: Operator) -> Unaccounted:
    """Bound an unknown operator by the most demanding known ones.

    That is the largest structure, two words for each channel of each constant input, and as scratch eight
    bytes for each value it reads or writes (what a transposed int16 convolution takes for its output).
    """
    inputs = [graph.tensors[i] for i in operator.inputs if i >= 0]
    outputs = [graph.tensors[i] for i in operator.outputs]
    channels = sum(max(t.shape, default=1) for t in inputs if t.constant)
    values = sum(t.elements for t in (*inputs, *outputs) if not t.constant)
    bound = _LARGEST_STATE + _BOUND_PER_CHANNEL * channels + _BOUND_PER_ELEMENT * values
    return Unaccounted(graph.index, operator.index, operator.label, lifetimes.aligned(bound))
