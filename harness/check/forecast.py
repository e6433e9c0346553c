"""What a board will make of a model: the file it gets, its memory, its time by layer, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.boards import Profile
from harness.check.memory import Ram, ram
from harness.models import ethosu, tflite, vela
from harness.models.estimate import Demand, Estimate, demands, estimate
from harness.models.graph import Model
from harness.models.ops import ETHOS_U
from harness.models.vela import Compiled


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator, or one of Vela's operations on the NPU; `seconds` is None where no time is known.

    `share` is its part of all known time. `target` is "CPU" or "NPU".
    """

    subgraph: int
    index: int
    operator: str
    target: str
    seconds: float | None
    share: float | None
    macs: int | None
    weight_bytes: int | None
    arena_bytes: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Time:
    """An invoke, estimated; `seconds` is None where that would be a guess, and `why_none` says why.

    `band_percent` is how far off such estimates are: two thirds of the published times that nothing was
    fitted to are nearer. None where no such figure exists. `left_out` names what of the model has no time.
    """

    seconds: float | None
    band_percent: float | None
    held_out: int
    why_none: str | None
    left_out: tuple[str, ...]
    not_modelled: tuple[str, ...]
    methods: tuple[str, ...]
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """`deployed` is the file that the board gets: compiled by Vela where the board wants that."""

    deployed: Model
    compiled: Compiled | None
    ram: Ram
    time: Time


def deployed(model: Model, board: Profile) -> tuple[Model, Compiled | None]:
    """Return the file that `board` gets for `model`, and Vela's account of it where there is one.

    Raises VelaError where Vela refuses the model.
    """
    if ethosu.is_compiled(model):
        return model, vela.source_of(model.sha256)
    if board.vela is None or board.model_format != "vela":
        return model, None
    made = vela.compile(
        model.data, model.name, accelerator=board.vela.accelerator, settings=board.vela.settings()
    )
    return tflite.parse(made.data, f"{model.name} (Vela)"), made


def forecast(model: Model, board: Profile) -> Forecast:
    """Return what `board` will make of `model`; raises VelaError and ModelError as its steps do."""
    file, compiled = deployed(model, board)
    return Forecast(file, compiled, ram(file, board), time(file, board, compiled))


def time(model: Model, board: Profile, compiled: Compiled | None) -> Time:
    """Estimate an invoke of the file `model` on `board`."""
    on_npu = ethosu.is_compiled(model)
    error = board.estimate.npu_error if on_npu else board.estimate.error
    if on_npu and board.vela is None:
        return _no_time(f"compiled for an NPU, and {board.id} has none", model)
    if error is None:
        what = "NPU" if on_npu else board.chip.core
        return _no_time(f"no time is published for the {what} of {board.id}, so any would be a guess", model)
    cpu_known = board.estimate.error is not None
    found = estimate(
        model,
        board.coefficients(),
        clock_hz=board.clock_hz,
        vela_settings=board.vela.settings() if board.vela else None,
        compiled=compiled,
    )
    layers = _layers(model, found, compiled, cpu_known)
    known = sum(layer.seconds for layer in layers if layer.seconds is not None)
    seconds = known + (found.fixed_cycles / board.clock_hz if cpu_known else 0)
    left_out = sorted({layer.operator for layer in layers if layer.seconds is None})
    return Time(
        seconds=seconds,
        band_percent=error.percent,
        held_out=error.held_out,
        why_none=None,
        left_out=tuple(f"{operator} on the {board.chip.core}" for operator in left_out),
        not_modelled=error.not_modelled,
        methods=found.methods,
        layers=tuple(_shared(layers, known)),
    )


def _no_time(why: str, model: Model) -> Time:
    layers = tuple(_cpu_layer(demand, None) for demand in demands(model))
    return Time(None, None, 0, why, (), (), (), layers)


def _layers(model: Model, found: Estimate, compiled: Compiled | None, cpu_known: bool) -> list[Layer]:
    """Return the layers in order; an NPU operator as Vela's operations where Vela's account is known."""
    npu_operators = sum(o.custom_code == ETHOS_U for g in model.subgraphs for o in g.operators)
    split = compiled if compiled is not None and npu_operators == 1 else None
    layers = []
    for demand, operator in zip(demands(model), found.operators, strict=True):
        seconds = operator.cycles / found.clock_hz
        if demand.label != ETHOS_U:
            layers.append(_cpu_layer(demand, seconds if cpu_known else None))
        elif split is not None:
            layers += _npu_layers(demand, split)
        else:
            layers.append(_cpu_layer(demand, seconds, target="NPU"))
    return layers


def _cpu_layer(demand: Demand, seconds: float | None, target: str = "CPU") -> Layer:
    return Layer(
        demand.subgraph,
        demand.index,
        demand.label,
        "NPU" if demand.label == ETHOS_U else target,
        seconds,
        None,
        None if demand.label == ETHOS_U else demand.macs,
        demand.weight_bytes,
        demand.arena_bytes,
        "",
    )


def _npu_layers(demand: Demand, compiled: Compiled) -> list[Layer]:
    """Return Vela's operations; their cycles are of the NPU's clock and add up to Vela's total.

    Vela names them by what they put out, and so does the source model: the bytes are those of the operator
    there, given once where Vela made several operations of it.
    """
    clock = float(compiled.summary["core_clock"])
    sources = _by_output(tflite.parse(compiled.source, "source"))
    layers = []
    for operation in compiled.layers:
        # An activation that is fused into what comes before takes no cycles of its own.
        if operation.target != "NPU" or not operation.cycles:
            continue
        source = sources.pop(operation.name, None)
        layers.append(
            Layer(
                demand.subgraph,
                demand.index,
                operation.npu_operator,
                "NPU",
                operation.cycles / clock,
                None,
                operation.macs,
                source.weight_bytes if source else None,
                source.arena_bytes if source else None,
                operation.name,
            )
        )
    return layers


def _by_output(source: Model) -> dict[str, Demand]:
    """Return what each operator of a model needs, by the name of its first output."""
    found = {}
    for need in demands(source):
        graph = source.subgraphs[need.subgraph]
        outputs = graph.operators[need.index].outputs
        if outputs:
            found[graph.tensors[outputs[0]].name] = need
    return found


def _shared(layers: list[Layer], total: float) -> list[Layer]:
    return [
        layer if layer.seconds is None or not total else replace(layer, share=layer.seconds / total)
        for layer in layers
    ]
