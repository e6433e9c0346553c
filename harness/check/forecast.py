"""What a board will make of a model: the file it gets, its memory, its time by layer, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.boards import Profile
from harness.check.memory import Ram, ram
from harness.models import ethosu, tflite, vela
from harness.models.estimate import Demand, Estimate, demands, estimate
from harness.models.graph import Model, Operator, Subgraph
from harness.models.npu.accelerator import ACCELERATORS
from harness.models.npu.faults import NotModelled
from harness.models.ops import ETHOS_U
from harness.models.vela import Compiled

# What the published times that coefficients are fitted to say nothing of.
_OTHER_TYPES = ("int16", "float16", "bfloat16", "float32", "float64")
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


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
    """`deployed` is the file that the board gets for the model `given`: compiled where it wants that."""

    given: Model
    deployed: Model
    compiled: Compiled | None
    ram: Ram
    time: Time


def deployed(model: Model, board: Profile) -> tuple[Model, Compiled | None]:
    """Return the file that `board` gets for `model`, and Vela's account of it where there is one.

    A model of which Vela puts nothing on the NPU goes on the board as it is: Vela wins nothing there and may
    lose, it moves a CALL_ONCE behind the operators that rely on it.

    Raises VelaError where Vela refuses the model.
    """
    if ethosu.is_compiled(model):
        return model, _account(model, board)
    if board.vela is None or board.model_format != "vela":
        return model, None
    made = vela.compile(
        model.data, model.name, accelerator=board.vela.accelerator, settings=board.vela.settings()
    )
    if not made.npu_operators:
        return model, None
    return tflite.parse(made.data, f"{model.name} (Vela)"), made


def _account(model: Model, board: Profile) -> Compiled | None:
    """Return Vela's account of a compiled file with the settings of `board`.

    None where its source is not known here, or does not become this file with those settings.
    """
    known = vela.source_of(model.sha256)
    if known is None or board.vela is None or known.accelerator != board.vela.accelerator:
        return None
    made = vela.compile(
        known.source,
        known.name,
        accelerator=board.vela.accelerator,
        settings=board.vela.settings(),
        optimise="Size" if known.settings["optimise"] == "Size" else "Performance",
    )
    return made if made.sha256 == model.sha256 else None


def forecast(model: Model, board: Profile) -> Forecast:
    """Return what `board` will make of `model`; raises VelaError and ModelError as its steps do."""
    file, compiled = deployed(model, board)
    return Forecast(model, file, compiled, ram(file, board), time(file, board, compiled))


def time(model: Model, board: Profile, compiled: Compiled | None) -> Time:
    """Estimate an invoke of the file `model` on `board`."""
    on_npu = ethosu.is_compiled(model)
    error = board.estimate.npu_error if on_npu else board.estimate.error
    if on_npu and (why := _other_npu(model, board, compiled)):
        return _no_time(why, model)
    if error is None:
        what = "NPU" if on_npu else board.chip.core
        return _no_time(f"no time is published for the {what} of {board.id}, so any would be a guess", model)
    unlike = _unlike_published(model)
    if any(demand.macs for demand in demands(model) if (demand.subgraph, demand.index) in unlike):
        kinds = " and ".join(sorted(set(unlike.values())))
        return _no_time(f"the published times are of int8 kernels, and this model has {kinds}", model)
    cpu_known = board.estimate.error is not None
    try:
        found = estimate(
            model,
            board.coefficients(),
            clock_hz=board.clock_hz,
            vela_settings=board.vela.settings() if board.vela else None,
            compiled=compiled,
        )
    except NotModelled as fault:
        return _no_time(f"its commands use what is not costed here: {fault.where}{fault.reason}", model)
    layers = [
        replace(layer, seconds=None) if (layer.subgraph, layer.index) in unlike else layer
        for layer in _layers(model, found, compiled, cpu_known)
    ]
    if layers and all(layer.seconds is None for layer in layers):
        what = " and ".join(sorted({layer.operator for layer in layers}))
        return _no_time(f"no time is published for {what} on the {board.chip.core} of {board.id}", model)
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


def _other_npu(model: Model, board: Profile, compiled: Compiled | None) -> str | None:
    """Return why the NPU part of `model` has no time on `board`, None where it has."""
    built_for = ethosu.accelerator(model)
    if board.vela is None:
        return f"compiled for an NPU, and {board.id} has none"
    if built_for != board.vela.accelerator:
        return f"compiled for {built_for}, and {board.id} has {board.vela.accelerator}"
    if built_for not in ACCELERATORS and (compiled is None or compiled.npu_operators > 1):
        return f"commands for {built_for} are costed by Vela alone; give the int8 model"
    return None


def _unlike_published(model: Model) -> dict[tuple[int, int], str]:
    """Return the CPU operators that no published time speaks of: (subgraph, index) -> their kind."""
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
