"""Resource variables and the operators that use them, as TFLite-Micro has them.

What Vela leaves on the CPU is cut into pieces by the NPU's jobs, and a variable is read in one and assigned
in another; so variables are kept here. A variable is known by its name. Its size, and the byte that fills
it at first, come from the tensor of the first ASSIGN_VARIABLE in the file: the zero point, or 0
(`micro_resource_variable.cc`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.emulator.npu.memory import Bytes
from harness.errors import printable
from harness.models.npu.faults import NotModelled
from harness.models.tflite import Model, Operator, Subgraph

# Inputs and outputs of each.
_ARITY = {"VAR_HANDLE": (0, 1), "READ_VARIABLE": (1, 1), "ASSIGN_VARIABLE": (2, 0), "CALL_ONCE": (0, 0)}
OPERATORS = frozenset(_ARITY)

Name = tuple[str, str]


@dataclass(frozen=True)
class StateOperators:
    """Operators on variables that run one after the other on the CPU."""

    operators: tuple[Operator, ...]


def is_stateful(graph: Subgraph) -> bool:
    """Whether any operator of `graph` uses a variable."""
    return any(op.code in OPERATORS for op in graph.operators)


class Variables:
    """The variables of a model, and which of its CALL_ONCE operators have run.

    Raises NotModelled if the first subgraph uses a variable in a way that is not modelled.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        for graph in model.subgraphs:
            _check_arity(graph)
        self._handles = [_handles(graph) for graph in model.subgraphs]
        self._defaults: dict[Name, tuple[int, int]] = {}
        for graph in model.subgraphs:
            for op in graph.operators:
                if op.code != "ASSIGN_VARIABLE":
                    continue
                name = self._handles[graph.index].get(op.inputs[0])
                if name is not None:
                    tensor = graph.tensors[op.inputs[1]]
                    zero_point = tensor.quantization.zero_points[0] if tensor.quantization else 0
                    self._defaults.setdefault(name, (tensor.bytes, zero_point & 0xFF))
        for op in model.subgraphs[0].operators:
            self._check(op)
        self._values: dict[Name, Bytes] = {}
        self._called: set[int] = set()
        self.reset()

    def reset(self) -> None:
        """Go back to what holds before the first invoke."""
        self._values = {name: np.full(size, byte, np.uint8) for name, (size, byte) in self._defaults.items()}
        self._called.clear()

    def run(self, step: StateOperators, tensor: Callable[[int], Bytes]) -> None:
        """Run operators of the first subgraph; `tensor` gives the bytes of one of its tensors."""
        for op in step.operators:
            if op.code == "READ_VARIABLE":
                tensor(op.outputs[0])[...] = self._values[self._handles[0][op.inputs[0]]]
            elif op.code == "ASSIGN_VARIABLE":
                self._assign(self._handles[0][op.inputs[0]], tensor(op.inputs[1]))
            elif op.code == "CALL_ONCE" and op.index not in self._called:
                self._initialise(self._called_by(op))
                self._called.add(op.index)

    def _initialise(self, graph: Subgraph) -> None:
        for op in graph.operators:
            if op.code == "ASSIGN_VARIABLE":
                value = self._model.constant(graph.tensors[op.inputs[1]])
                assert value is not None
                self._assign(self._handles[graph.index][op.inputs[0]], np.frombuffer(value, np.uint8))

    def _assign(self, name: Name, value: Bytes) -> None:
        variable = self._values[name]
        variable[...] = value[: variable.size]  # a constant's buffer may be larger than its tensor

    def _called_by(self, op: Operator) -> Subgraph:
        index = op.options.get("init_subgraph_index", 0)
        assert isinstance(index, int)
        return self._model.subgraphs[index]

    def _check(self, op: Operator) -> None:
        """Raise NotModelled if an operator of the first subgraph cannot be run here."""
        where = f"operator {op.index} ({op.code})"
        if op.code == "CALL_ONCE":
            graph = self._called_by(op)
            for inner in graph.operators:
                assigns = inner.code == "ASSIGN_VARIABLE"
                if inner.code != "VAR_HANDLE" and not (assigns and graph.tensors[inner.inputs[1]].constant):
                    raise NotModelled(
                        f"{where} calls a subgraph with {printable(inner.label)}; beside an NPU only those "
                        "are run that assign constants to variables"
                    )
                if assigns:
                    self._check_use(graph, inner, inner.inputs[1], f"{where}, operator {inner.index} of it,")
        elif op.code in ("READ_VARIABLE", "ASSIGN_VARIABLE"):
            value = op.outputs[0] if op.code == "READ_VARIABLE" else op.inputs[1]
            self._check_use(self._model.subgraphs[0], op, value, where)

    def _check_use(self, graph: Subgraph, op: Operator, value: int, where: str) -> None:
        name = self._handles[graph.index].get(op.inputs[0])
        if name is None:
            raise NotModelled(f"{where} has a handle that no VAR_HANDLE of its subgraph gives it")
        called = printable("/".join(filter(None, name)))
        size = self._defaults.get(name, (None, 0))[0]
        if size is None:
            raise NotModelled(f"{where} reads the variable '{called}', which nothing assigns")
        if size != graph.tensors[value].bytes:
            raise NotModelled(
                f"{where} takes the variable '{called}' as {graph.tensors[value].bytes} bytes; it has {size}"
            )


def _check_arity(graph: Subgraph) -> None:
    """Raise NotModelled if an operator on a variable lacks an input or output, or has one too many."""
    for op in graph.operators:
        found = (len(op.inputs), len(op.outputs))
        if op.code in OPERATORS and (
            found != _ARITY[op.code] or min((*op.inputs, *op.outputs), default=0) < 0
        ):
            raise NotModelled(
                f"operator {op.index} of subgraph {graph.index} ({op.code}) has {found[0]} inputs and "
                f"{found[1]} outputs; it takes {_ARITY[op.code][0]} and {_ARITY[op.code][1]}"
            )


def _handles(graph: Subgraph) -> dict[int, Name]:
    """Return the variable behind each tensor that a VAR_HANDLE makes."""
    return {
        op.outputs[0]: (str(op.options.get("container", "")), str(op.options.get("shared_name", "")))
        for op in graph.operators
        if op.code == "VAR_HANDLE" and op.outputs
    }
