"""How long an invoke takes on a board, by operator: an estimate, and nowhere to be shown as anything else.

On the CPU an operator costs

    cycles_per_operator + MACs * cycles_per_mac[operator] + output elements * cycles_per_element[operator]
    + bytes of constants * cycles_per_byte[weights]
    + bytes of other inputs and of outputs * cycles_per_byte[arena]

with coefficients from the board's profile, and an invoke `fixed_cycles` besides. On the NPU the cycles are
Vela's own where it compiled the model here, and else what the command stream tells
(`harness.models.npu.cycles`). Bodies of IF and WHILE count as if each ran once; what CALL_ONCE calls
counts nothing, since only the first invoke runs it, nor does a subgraph that nothing calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.errors import HarnessError
from harness.models import cost, lifetimes
from harness.models.graph import Model, Operator, Subgraph
from harness.models.npu import cycles as stream_cycles
from harness.models.npu.accelerator import named
from harness.models.npu.faults import NotModelled, NpuFault
from harness.models.npu.jobs import jobs
from harness.models.ops import ETHOS_U
from harness.models.tflite import ModelError
from harness.models.vela import Compiled

Method = Literal["coefficients", "vela", "command stream"]


# A convolution over a window, of fewer channels than a vector of 8: kernels have a slower way for it.
_NARROW = 8


@dataclass(frozen=True, slots=True)
class Demand:
    """What one operator computes and moves in an invoke: MACs, output elements, bytes.

    `kernel` is the name that coefficients know it by: its label, or that and "_narrow" for a convolution of
    few channels.
    """

    subgraph: int
    index: int
    label: str
    kernel: str
    macs: int
    elements: int
    weight_bytes: int
    arena_bytes: int

    def cycles(self, coefficients: Mapping[str, Any]) -> float:
        """Return the cycles of the operator by the coefficients of a profile."""
        by_byte = coefficients.get("cycles_per_byte", {})
        return float(
            coefficients["cycles_per_operator"]
            + self.macs * self.each(coefficients["cycles_per_mac"])
            + self.elements * self.each(coefficients["cycles_per_element"])
            + self.weight_bytes * by_byte.get("weights", 0)
            + self.arena_bytes * by_byte.get("arena", 0)
        )

    def each(self, table: Mapping[str, float]) -> float:
        """Return the coefficient of this operator from a table by operator name."""
        return table[self.key(table)]

    def key(self, table: Mapping[str, float]) -> str:
        """Return the name in `table` under which this operator's coefficient is."""
        return next(name for name in (self.kernel, self.label, "default") if name in table)


@dataclass(frozen=True, slots=True)
class OperatorEstimate:
    """Cycles of the board's clock that one operator takes in an invoke, and how they were found."""

    subgraph: int
    index: int
    label: str
    cycles: int
    method: Method


@dataclass(frozen=True, slots=True)
class Estimate:
    """An invoke: its operators in order, and what it costs besides, in cycles of a clock of `clock_hz`."""

    operators: tuple[OperatorEstimate, ...]
    fixed_cycles: int
    clock_hz: int

    @property
    def cycles(self) -> int:
        """The sum of everything."""
        return self.fixed_cycles + sum(operator.cycles for operator in self.operators)

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self.cycles / self.clock_hz

    @property
    def methods(self) -> tuple[Method, ...]:
        """How the operators' cycles were found, each way once, in order of appearance."""
        return tuple(dict.fromkeys(operator.method for operator in self.operators))


def estimate(
    model: Model,
    coefficients: Mapping[str, Any],
    *,
    clock_hz: int,
    vela_settings: Mapping[str, Mapping[str, str]] | None = None,
    compiled: Compiled | None = None,
) -> Estimate:
    """Estimate an invoke of `model` on a board whose CPU has a clock of `clock_hz`.

    `coefficients` are those of a profile: cycles_per_mac and cycles_per_element by operator with a default,
    cycles_per_operator, fixed_cycles, and cycles_per_byte of "weights" and "arena" (0 where left out). For
    a model with NPU operators `vela_settings` are the sections of Vela's configuration, and `compiled` is
    Vela's account of it where there is one.

    Raises HarnessError for a model with NPU operators where `vela_settings` are missing, ModelError where
    its command stream is damaged, NotModelled where that uses what is not costed here.
    """
    npu: dict[tuple[int, int], tuple[int, Method]] = {}
    if any(o.custom_code == ETHOS_U for graph in model.subgraphs for o in graph.operators):
        if vela_settings is None:
            raise HarnessError(
                f"{model.name}: compiled for an NPU, and the board has none; give the int8 model"
            )
        npu = _npu(model, vela_settings, clock_hz, compiled)
    operators = []
    for demand in demands(model):
        at = (demand.subgraph, demand.index)
        cycles, method = npu.get(at) or (round(demand.cycles(coefficients)), "coefficients")
        operators.append(OperatorEstimate(*at, demand.label, cycles, method))
    return Estimate(tuple(operators), round(coefficients["fixed_cycles"]), clock_hz)


def demands(model: Model) -> list[Demand]:
    """Return what each operator of `model` computes and moves in an invoke, in order."""
    entered = lifetimes.invoked(model)
    return [
        _demand(graph, operator)
        for graph in model.subgraphs
        if graph.index in entered
        for operator in graph.operators
    ]


def _demand(graph: Subgraph, operator: Operator) -> Demand:
    inputs = [graph.tensors[i] for i in operator.inputs if i >= 0]
    outputs = [graph.tensors[i] for i in operator.outputs]
    return Demand(
        subgraph=graph.index,
        index=operator.index,
        label=operator.label,
        kernel=f"{operator.label}_narrow" if _is_narrow(graph, operator) else operator.label,
        macs=cost.macs(graph, operator) or 0,
        elements=sum(t.elements for t in outputs),
        weight_bytes=sum(t.bytes for t in inputs if t.constant),
        arena_bytes=sum(t.bytes for t in (*inputs, *outputs) if not t.constant),
    )


def _is_narrow(graph: Subgraph, operator: Operator) -> bool:
    if operator.code != "CONV_2D" or len(operator.inputs) < 2 or operator.inputs[1] < 0:
        return False
    shape = graph.tensors[operator.inputs[1]].shape
    return len(shape) == 4 and shape[1] * shape[2] > 1 and shape[3] < _NARROW


def _npu(
    model: Model, settings: Mapping[str, Mapping[str, str]], clock_hz: int, compiled: Compiled | None
) -> dict[tuple[int, int], tuple[int, Method]]:
    """Return the cycles of the NPU operators, in the CPU's clock.

    Vela sums over all of a model's NPU operators; its sum is shared out as the command streams suggest.
    """
    system = next(values for section, values in settings.items() if section.startswith("System_Config."))
    ratio = clock_hz / float(system["core_clock"])
    places = [
        (graph.index, o.index)
        for graph in model.subgraphs
        for o in graph.operators
        if o.custom_code == ETHOS_U
    ]
    if compiled is not None and len(places) == 1:
        return {places[0]: (round(compiled.cycles * ratio), "vela")}
    streams = _streams(model, settings)
    total = sum(streams.values())
    method: Method = "command stream"
    if compiled is not None and total:
        ratio *= compiled.cycles / total
        method = "vela"
    return {place: (round(cycles * ratio), method) for place, cycles in streams.items()}


def _streams(model: Model, settings: Mapping[str, Mapping[str, str]]) -> dict[tuple[int, int], int]:
    """Return the cycles of the NPU operators by their command streams, in the NPU's clock."""
    memories = stream_cycles.memories(settings)
    try:
        return {
            (job.subgraph, job.operator.index): stream_cycles.total(
                stream_cycles.estimate(job.operations, named(job.configuration.accelerator), memories)
            )
            for job in jobs(model)
        }
    except NotModelled:
        raise
    except NpuFault as fault:
        raise ModelError(f"{model.name}: {fault}; compile the model again with Vela") from None
