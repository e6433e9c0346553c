"""How long an invoke takes on a board, by operator: an estimate, never to be shown as a measurement.

On the CPU an operator costs

    cycles_per_operator + MACs * cycles_per_mac[kernel] + output elements * cycles_per_element[kernel]
    + filter rows * cycles_per_row[kernel] + bytes of constants * cycles_per_byte[weights]
    + bytes that pass through the memory of the arena * cycles_per_byte[arena]

with coefficients from the board's profile, and an invoke `fixed_cycles` besides. If kernels work in
vectors (`vector_bytes`), the MACs are those of whole vectors. Bytes are counted as such kernels move them,
with padded copies of input and filter; a filter that the cache cannot hold is read again for each output
position.

A job of the NPU costs `npu_cycles_per_job` on the CPU, `npu_cycles_per_byte` for each byte of its tensors
(the driver takes them out of the cache before and after), and what its command stream takes (see
`harness.models.npu.cycles`), as Vela counts it if the stream is for an NPU that is not costed here.
Bodies of IF and WHILE count as if each ran once; what CALL_ONCE calls counts nothing, since only the first
invoke runs it, nor does a subgraph that nothing calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from harness.errors import HarnessError
from harness.models import cost, lifetimes
from harness.models.graph import Model, Operator, Subgraph
from harness.models.npu import cycles as stream_cycles
from harness.models.npu.accelerator import Accelerator, named
from harness.models.npu.faults import NotModelled, NpuFault
from harness.models.npu.jobs import jobs
from harness.models.ops import ETHOS_U
from harness.models.tflite import ModelError
from harness.models.vela import Compiled

Method = Literal["coefficients", "vela", "command stream", "not known"]

# Types of which no known time speaks: operators on them have none, but for the conversions at a model's ends.
_OTHER_TYPES = ("int16", "float16", "bfloat16", "float32", "float64")
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")

# What vector kernels copy to and do at a time: 16 bytes of a filter's row, 8 positions of a pointwise
# convolution.
_VECTOR = 16
_POSITIONS = 8
POINTWISE = "_pointwise"


@dataclass(frozen=True, slots=True)
class Demand:
    """What one operator computes and moves in an invoke.

    `kernel` is the name that coefficients know it by: its label, or that and "_pointwise" for a convolution
    of 1x1 with a stride of 1, which kernels do in another way. `rows` are the rows of filters that are gone
    through, of `row` values each (0 for operators that have none). `arena_bytes` are inputs, outputs and what
    copies in the arena are written and read; `filter_bytes` are read once for each of `passes` if they,
    with the `window_bytes` of input beside them, are larger than the cache.
    """

    subgraph: int
    index: int
    label: str
    kernel: str
    macs: int
    elements: int
    rows: int
    weight_bytes: int
    arena_bytes: int
    row: int = 0
    filter_bytes: int = 0
    window_bytes: int = 0
    passes: int = 0

    def reread_bytes(self, cache_bytes: int) -> int:
        """Return the bytes of the filter that are read again because a cache of this size lost them."""
        if not cache_bytes or self.filter_bytes + self.window_bytes <= cache_bytes:
            return 0
        return self.filter_bytes * (self.passes - 1)

    def vector_macs(self, vector_bytes: int) -> int:
        """Return the MACs of kernels that do rows in whole vectors of so many bytes (0: in single values)."""
        if not vector_bytes or not self.row:
            return self.macs
        unit = vector_bytes // 2 if self.kernel.endswith(POINTWISE) else vector_bytes
        return self.rows * cost.whole(self.row, unit)

    def cycles(self, coefficients: Mapping[str, Any]) -> float:
        """Return the cycles of the operator by the coefficients of a profile."""
        by_byte = coefficients.get("cycles_per_byte", {})
        through_arena = self.arena_bytes + self.reread_bytes(coefficients.get("cache_bytes", 0))
        return float(
            coefficients["cycles_per_operator"]
            + self.vector_macs(coefficients.get("vector_bytes", 0))
            * self.each(coefficients["cycles_per_mac"])
            + self.elements * self.each(coefficients["cycles_per_element"])
            + self.rows * self.each(coefficients.get("cycles_per_row", _NO_ROWS))
            + self.weight_bytes * by_byte.get("weights", 0)
            + through_arena * by_byte.get("arena", 0)
        )

    def job_cycles(self, stream: float, coefficients: Mapping[str, Any]) -> float:
        """Return the cycles of an NPU operator whose command stream takes `stream` cycles of the CPU's."""
        return float(
            coefficients.get("npu_cycles_per_job", 0)
            + (self.weight_bytes + self.arena_bytes) * coefficients.get("npu_cycles_per_byte", 0)
            + stream * coefficients.get("npu_factor", 1)
        )

    def each(self, table: Mapping[str, float]) -> float:
        """Return the coefficient of this operator from a table by operator name."""
        return table[key_of(self.kernel, table)]


_NO_ROWS = {"default": 0.0}


def key_of(kernel: str, table: Mapping[str, float]) -> str:
    """Return the name in `table` under which the coefficient of a kernel is."""
    names = (kernel, kernel.removesuffix(POINTWISE), "default")
    return next(name for name in names if name in table)


@dataclass(frozen=True, slots=True)
class OperatorEstimate:
    """Cycles of the board's clock that one operator takes in an invoke, and how they were found.

    An operator of which nothing is known has the method "not known" and 0 cycles.
    """

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

    `coefficients` are those of a profile (`Profile.coefficients`): cycles_per_mac, cycles_per_element and
    cycles_per_row by kernel with a default, cycles_per_operator, fixed_cycles, vector_bytes, cache_bytes,
    cycles_per_byte of "weights" and "arena", npu_cycles_per_job, npu_cycles_per_byte and npu_factor (0, and 1
    for the factor, if left out). For a model with NPU operators `vela_settings` are the sections of
    Vela's configuration, and `compiled` is Vela's account of it if there is one.

    Raises HarnessError for a model with NPU operators if `vela_settings` are missing, ModelError if
    its command stream is damaged, NotModelled if that uses what is not costed here.
    """
    npu: dict[tuple[int, int], tuple[float, Method]] = {}
    if any(o.custom_code == ETHOS_U for graph in model.subgraphs for o in graph.operators):
        if vela_settings is None:
            raise HarnessError(
                f"{model.name}: compiled for an NPU, and the board has none; give the int8 model"
            )
        npu = _npu(model, vela_settings, clock_hz, compiled)
    operators = []
    unknown = unlike_known(model)
    for demand in demands(model):
        at = (demand.subgraph, demand.index)
        method: Method = "not known" if at in unknown else "coefficients"
        cycles = 0.0 if at in unknown else demand.cycles(coefficients)
        if at in npu:
            stream, method = npu[at]
            cycles = demand.job_cycles(stream, coefficients)
        operators.append(OperatorEstimate(*at, demand.label, round(cycles), method))
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


def unlike_known(model: Model) -> dict[tuple[int, int], str]:
    """Return the CPU operators that no known time speaks of: (subgraph, index) -> their kind."""
    found = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            kind = _unlike(graph, operator)
            if kind:
                found[graph.index, operator.index] = kind
    return found


def _unlike(graph: Subgraph, operator: Operator) -> str | None:
    if operator.custom_code is not None:
        return None if operator.custom_code == ETHOS_U else "custom operators"
    if operator.code in _CONVERSIONS:
        return None
    types = {graph.tensors[i].type for i in operator.outputs}
    return next((f"{type} operators" for type in _OTHER_TYPES if type in types), None)


def _demand(graph: Subgraph, operator: Operator) -> Demand:
    inputs = [graph.tensors[i] for i in operator.inputs if i >= 0]
    outputs = [graph.tensors[i] for i in operator.outputs]
    plain = Demand(
        subgraph=graph.index,
        index=operator.index,
        label=operator.label,
        kernel=operator.label,
        macs=cost.macs(graph, operator) or 0,
        elements=sum(t.elements for t in outputs),
        rows=0,
        weight_bytes=sum(t.bytes for t in inputs if t.constant),
        arena_bytes=sum(t.bytes for t in (*inputs, *outputs) if not t.constant),
    )
    if operator.code not in ("CONV_2D", "DEPTHWISE_CONV_2D") or len(inputs) < 2:
        return plain
    image, filter, made = (t.shape for t in (inputs[0], inputs[1], outputs[0]))
    if any(len(shape) != 4 for shape in (image, filter, made)) or 0 in (*filter, *made):
        return plain
    copied = 2 * inputs[0].bytes if _is_padded(operator, filter) else 0
    if operator.code == "DEPTHWISE_CONV_2D":
        return replace(plain, arena_bytes=plain.arena_bytes + copied)
    return _convolution(plain, operator, image, filter, made, copied)


def _convolution(
    plain: Demand,
    operator: Operator,
    image: tuple[int, ...],
    filter: tuple[int, ...],
    made: tuple[int, ...],
    copied: int,
) -> Demand:
    """Count what a convolution does on copies: its filter in rows of whole vectors, written and read once."""
    filters, height, width, depth = filter
    positions = made[0] * made[1] * made[2]
    if (height, width) == (1, 1) and (operator.options.get("stride_h"), operator.options.get("stride_w")) == (
        1,
        1,
    ):
        padded = cost.whole(depth, _VECTOR // 2)
        copy = filters * padded
        return replace(
            plain,
            kernel=operator.label + POINTWISE,
            rows=plain.elements,
            row=depth,
            arena_bytes=plain.arena_bytes + 2 * copy,
            filter_bytes=copy,
            window_bytes=2 * _POSITIONS * padded,
            passes=-(-positions // _POSITIONS),
        )
    copy = filters * height * cost.whole(width * depth, _VECTOR)
    return replace(
        plain,
        rows=plain.elements * height,
        row=width * depth,
        arena_bytes=plain.arena_bytes + 2 * copy + copied,
        filter_bytes=copy,
        window_bytes=height * image[2] * depth,
        passes=positions,
    )


def _is_padded(operator: Operator, filter: tuple[int, ...]) -> bool:
    """Say whether the kernel pads the input itself, into a copy."""
    return operator.options.get("padding", "SAME") == "SAME" and filter[1:3] != (1, 1)


def _npu(
    model: Model, settings: Mapping[str, Mapping[str, str]], clock_hz: int, compiled: Compiled | None
) -> dict[tuple[int, int], tuple[float, Method]]:
    """Return the cycles of the NPU operators' command streams, in the CPU's clock.

    Vela sums over all of a model's NPU operators; if its sum is all there is, each gets an equal part.
    """
    system = next(values for section, values in settings.items() if section.startswith("System_Config."))
    ratio = clock_hz / float(system["core_clock"])
    try:
        return {
            at: (cycles * ratio, "command stream") for at, cycles in stream_times(model, settings).items()
        }
    except NotModelled:
        if compiled is None:
            raise
    places = [(g.index, o.index) for g in model.subgraphs for o in g.operators if o.custom_code == ETHOS_U]
    return dict.fromkeys(places, (compiled.cycles * ratio / len(places), "vela"))


def stream_times(model: Model, settings: Mapping[str, Mapping[str, str]]) -> dict[tuple[int, int], int]:
    """Return the cycles of the NPU operators by their command streams, in the NPU's clock.

    Raises ModelError if a command stream is damaged, NotModelled if it uses what is not costed here.
    """
    memories = stream_cycles.memories(settings)
    try:
        return {
            (job.subgraph, job.operator.index): stream_cycles.total(
                stream_cycles.estimate(job.operations, _costed(job.configuration.accelerator), memories)
            )
            for job in jobs(model)
        }
    except NotModelled:
        raise
    except NpuFault as fault:
        raise ModelError(f"{model.name}: {fault}; compile the model again with Vela") from None


def _costed(accelerator: str) -> Accelerator:
    if accelerator.startswith("ethos-u65-"):
        raise NotModelled(f"commands for {accelerator} are costed by Vela alone; give the int8 model")
    return named(accelerator)
