"""From when to when each tensor and scratch buffer of a model lives, as TFLite-Micro counts it.

Time is counted in allocation scopes: one for each operator, and one for each subgraph that an IF, WHILE or
CALL_ONCE enters, in the order of a depth-first walk from the first subgraph.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from harness.models.cost import whole
from harness.models.graph import BITS, Model, Operator, Tensor
from harness.models.planner import Buffer
from harness.models.tflite import ModelError

# TFLite-Micro's size of one element. Unlike in the file, int4 values take a byte each.
ELEMENT_BYTES = {kind: max(1, bits // 8) for kind, bits in BITS.items() if bits}
_CALLED = {
    "IF": ("then_subgraph_index", "else_subgraph_index"),
    "WHILE": ("cond_subgraph_index", "body_subgraph_index"),
    "CALL_ONCE": ("init_subgraph_index",),
}
_OFFLINE_PLAN = "OfflineMemoryAllocation"
_ONLINE = -1
_ALIGNMENT = 16
# Real models nest a few subgraphs; a file made for it could ask for runs without end.
_MOST_RUNS = 10_000
_DEEPEST = 100


@dataclass(frozen=True, slots=True)
class Scratch:
    """A buffer that an operator asked for while it was prepared."""

    subgraph: int
    operator: int
    bytes: int


@dataclass(slots=True)
class _Life:
    first: int = -1
    last: int = -1

    def use(self, scope: int) -> None:
        if self.first == -1:
            self.first = scope
        self.last = scope


def tensor_bytes(tensor: Tensor) -> int:
    """Return what TFLite-Micro reserves for the values of a tensor; 0 for types that it has no size for."""
    return tensor.elements * ELEMENT_BYTES.get(tensor.type, 0)


def offline_offsets(model: Model) -> tuple[int, ...] | None:
    """Return the offset of each tensor from the model's offline memory plan, -1 if it has none.

    The metadata is int32: version, subgraph, number of tensors, then one offset a tensor over all subgraphs.
    None if there is no plan, or none for this number of tensors (which TFLite-Micro refuses).
    """
    plan = model.metadata.get(_OFFLINE_PLAN)
    tensors = sum(len(graph.tensors) for graph in model.subgraphs)
    if plan is None or len(plan) < 12 + 4 * tensors or struct.unpack_from("<i", plan, 8)[0] != tensors:
        return None
    return struct.unpack_from(f"<{tensors}i", plan, 12)


def invoked(model: Model) -> frozenset[int]:
    """Return the subgraphs that an invoke enters: the first, and what IF and WHILE call from there on.

    What CALL_ONCE calls is entered by the first invoke alone, and a second signature's subgraph by none.
    """
    found: set[int] = set()
    ahead = [0]
    while ahead:
        index = ahead.pop()
        if index not in found and 0 <= index < len(model.subgraphs):
            found.add(index)
            for operator in model.subgraphs[index].operators:
                ahead += () if operator.code == "CALL_ONCE" else called(operator)
    return frozenset(found)


def called(operator: Operator) -> tuple[int, ...]:
    """Return the subgraphs that an operator runs, in the order they are planned."""
    names = _CALLED.get(operator.code, ())
    return tuple(operator.number(name) for name in names if name in operator.options)


def buffers(
    model: Model, scratch: Sequence[Scratch], elsewhere: Collection[tuple[int, int]] = ()
) -> list[Buffer]:
    """Return what the memory planner has to place, in the order in which it is told of them.

    That is every tensor the file holds no data for, but for variables (they outlive an invoke and lie in
    the tail) and those `elsewhere` (subgraph, tensor) whose values are kept by an operator; then the
    scratch buffers. Sizes are rounded up to 16 bytes. Raises ModelError if subgraphs call each other
    without end.
    """
    lives = [[_Life() for _ in graph.tensors] for graph in model.subgraphs]
    scratch_lives = [_Life() for _ in scratch]
    _Walk(model, lives, scratch, scratch_lives).run(0, 0, ())
    plan = offline_offsets(model)
    found = []
    number = 0
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            offset = plan[number] if plan else _ONLINE
            number += 1
            held = tensor.constant or (graph.index, tensor.index) in elsewhere
            needed = tensor_bytes(tensor) > 0 and not held and not tensor.variable
            if needed or (tensor.variable and offset != _ONLINE):
                life = lives[graph.index][tensor.index]
                fixed = None if offset == _ONLINE else offset
                found.append(Buffer(aligned(tensor_bytes(tensor)), life.first, life.last, fixed))
    found += [
        Buffer(aligned(s.bytes), life.first, life.last)
        for s, life in zip(scratch, scratch_lives, strict=True)
    ]
    return found


def aligned(size: int) -> int:
    """Round `size` up to the alignment of the arena."""
    return whole(size, _ALIGNMENT)


@dataclass(slots=True)
class _Walk:
    """A run through the subgraphs of a model that marks what each step uses."""

    model: Model
    lives: list[list[_Life]]
    scratch: Sequence[Scratch]
    scratch_lives: Sequence[_Life]
    entered: int = 0

    def run(self, index: int, scope: int, callers: tuple[int, ...]) -> int:
        """Mark what one run of a subgraph from `scope` on uses; returns the last scope."""
        self.entered += 1
        if self.entered > _MOST_RUNS or len(callers) > _DEEPEST:
            raise ModelError(f"{self.model.name}: its subgraphs call each other too often to be planned")
        graph, mine = self.model.subgraphs[index], self.lives[index]
        for tensor in graph.inputs:
            mine[tensor].use(scope)
        for operator in graph.operators:
            scope += 1
            start = scope
            for tensor in operator.outputs:
                if mine[tensor].first == -1:
                    mine[tensor].first = scope
            for callee in called(operator):
                if callee not in (*callers, index):
                    scope = self.run(callee, scope + 1, (*callers, index))
            for tensor in operator.inputs:
                if tensor >= 0:
                    mine[tensor].last = scope
            for tensor in operator.outputs:
                mine[tensor].last = scope
            self._mark_scratch(index, operator, start, scope)
        for tensor in graph.outputs:
            mine[tensor].use(scope)
        return scope

    def _mark_scratch(self, index: int, operator: Operator, start: int, scope: int) -> None:
        for request, life in zip(self.scratch, self.scratch_lives, strict=True):
            if (request.subgraph, request.operator) == (index, operator.index):
                life.use(start)
                life.last = scope
