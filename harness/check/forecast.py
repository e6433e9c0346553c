"""What a board will make of a model: the file it gets, its memory, its time by layer, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness import extras
from harness.boards import Profile
from harness.boards.profile import EstimateError
from harness.check.memory import MemoryNeed, ram
from harness.models import ethosu, tflite, vela
from harness.models.calibration import Band
from harness.models.estimate import Demand, Estimate, demands, estimate, unlike_known
from harness.models.graph import Model
from harness.models.npu.accelerator import ACCELERATORS
from harness.models.npu.faults import NotModelled
from harness.models.ops import ETHOS_U
from harness.models.vela import Compiled

# If more of a time than this is in kernels of which no time is known, it is a guess.
_MOST_UNKNOWN = 0.5


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator, or one of Vela's operations on the NPU; `seconds` is None if no time is known.

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
    """An invoke, estimated; `seconds` is None if that would be a guess, and `why_none` says why.

    `band_percent` and `below_percent` are how much longer and shorter nine of ten measured times are at most,
    in percent of the estimate. None if no figure exists. `left_out` names what of the model has no time.
    """

    seconds: float | None
    band_percent: float | None
    below_percent: float | None
    held_out: int
    why_none: str | None
    left_out: tuple[str, ...]
    not_modelled: tuple[str, ...]
    methods: tuple[str, ...]
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """`deployed` is the file that the board gets for the model `given`: compiled if it wants that."""

    given: Model
    deployed: Model
    compiled: Compiled | None
    ram: MemoryNeed
    time: Time


def deployed(model: Model, board: Profile) -> tuple[Model, Compiled | None]:
    """Return the file that `board` gets for `model`, and Vela's account of it if there is one.

    A model of which Vela puts nothing on the NPU goes on the board as it is: Vela wins nothing there and may
    lose, it moves a CALL_ONCE behind the operators that rely on it.

    Raises VelaError if Vela refuses the model.
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

    None if its source is not known here, or does not become this file with those settings, or there is no
    Vela to tell.
    """
    known = vela.source_of(model.sha256) if extras.is_installed("ethosu") else None
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


class _Guess(Exception):
    """A time would be a guess; the message says why."""


def time(model: Model, board: Profile, compiled: Compiled | None) -> Time:
    """Estimate an invoke of the file `model` on `board`."""
    needs = demands(model)
    try:
        return _estimated(model, board, compiled, needs)
    except _Guess as guess:
        layers = tuple(_cpu_layer(demand, None) for demand in needs)
        return Time(None, None, None, 0, str(guess), (), (), (), layers)


def _estimated(model: Model, board: Profile, compiled: Compiled | None, needs: Sequence[Demand]) -> Time:
    error = _error(model, board, compiled, needs)
    try:
        found = estimate(
            model,
            board.coefficients(),
            clock_hz=board.clock_hz,
            vela_settings=board.vela.settings() if board.vela else None,
            compiled=compiled,
        )
    except NotModelled as fault:
        raise _Guess(f"its commands use what is not costed here: {fault.where}{fault.reason}") from fault
    layers = _layers(needs, found, compiled)
    if layers and all(layer.seconds is None for layer in layers):
        what = " and ".join(sorted({layer.operator for layer in layers}))
        raise _Guess(f"no time is published for {what} on the {board.chip.core} of {board.id}")
    cycles = _guessed(needs, found, error)
    guessed = ", ".join(cycles)
    unknown = sum(cycles.values()) / found.cycles if found.cycles else 0.0
    if unknown > _MOST_UNKNOWN:
        raise _Guess(
            f"{unknown:.0%} of its time would be in {guessed}, of which no time on the {board.chip.core} is "
            "known"
        )
    within = _band(needs, found, error, unknown)
    left_out = sorted({layer.operator for layer in layers if layer.seconds is None})
    assumed = (f"what {guessed} takes is assumed ({unknown:.0%} of the time)",) if guessed else ()
    return Time(
        seconds=found.seconds,
        band_percent=100 * (within.high - 1) if within else None,
        below_percent=100 * (1 - within.low) if within else None,
        held_out=error.held_out,
        why_none=None,
        left_out=tuple(f"{operator} on the {board.chip.core}" for operator in left_out),
        not_modelled=(*assumed, *error.not_modelled),
        methods=found.methods,
        layers=tuple(_shared(layers, sum(layer.seconds or 0 for layer in layers))),
    )


def _error(model: Model, board: Profile, compiled: Compiled | None, needs: Sequence[Demand]) -> EstimateError:
    """Return how far off the board's estimates of such a model are; raises _Guess if nothing tells."""
    on_npu = ethosu.is_compiled(model)
    if on_npu and (why := _other_npu(model, board, compiled)):
        raise _Guess(why)
    error = board.estimate.npu_error if on_npu else board.estimate.error
    if error is None:
        what = "NPU" if on_npu else board.chip.core
        raise _Guess(f"no time is published for the {what} of {board.id}, so any would be a guess")
    unlike = unlike_known(model)
    if any(demand.macs for demand in needs if (demand.subgraph, demand.index) in unlike):
        kinds = " and ".join(sorted(set(unlike.values())))
        raise _Guess(f"the published times are of int8 kernels, and this model has {kinds}")
    return error


def _guessed(needs: Sequence[Demand], found: Estimate, error: EstimateError) -> dict[str, int]:
    """Return the cycles in kernels that no known time speaks of, by operator; {} if that is not recorded."""
    cycles: dict[str, int] = {}
    if error.range is None:
        return cycles
    for demand, operator in zip(needs, found.operators, strict=True):
        known = {demand.kernel, demand.label} & set(error.range.kernels)
        if operator.cycles and not known and demand.label != ETHOS_U:
            cycles[demand.label] = cycles.get(demand.label, 0) + operator.cycles
    return cycles


def _band(needs: Sequence[Demand], found: Estimate, error: EstimateError, unknown: float) -> Band | None:
    """Return the band of an estimate, wider if the model is unlike those whose times are known."""
    if error.percent is None:
        return None
    below = error.percent if error.below_percent is None else error.below_percent
    within = Band(max(0.0, 1 - below / 100), 1 + error.percent / 100)
    if error.range is None:
        return within
    weights = sum(demand.weight_bytes for demand in needs)
    sizes = ((found.cycles, error.range.cycles), (weights, error.range.weight_bytes))
    beyond = [max(size / most, least / size if size else 1.0) for size, (least, most) in sizes]
    return within.widened(max(beyond), unknown)


def _other_npu(model: Model, board: Profile, compiled: Compiled | None) -> str | None:
    """Return why the NPU part of `model` has no time on `board`, None if it has."""
    built_for = ethosu.accelerator(model)
    if board.vela is None:
        return f"compiled for an NPU, and {board.id} has none"
    if built_for != board.vela.accelerator:
        return f"compiled for {built_for}, and {board.id} has {board.vela.accelerator}"
    if built_for not in ACCELERATORS and (compiled is None or compiled.npu_operators > 1):
        return f"commands for {built_for} are costed by Vela alone; give the int8 model"
    return None


def _layers(needs: Sequence[Demand], found: Estimate, compiled: Compiled | None) -> list[Layer]:
    """Return the layers in order; an NPU operator as Vela's operations if Vela's account is known."""
    split = compiled if compiled is not None and compiled.npu_operators == 1 else None
    layers = []
    for demand, operator in zip(needs, found.operators, strict=True):
        seconds = operator.cycles / found.clock_hz
        if demand.label != ETHOS_U:
            layers.append(_cpu_layer(demand, None if operator.method == "not known" else seconds))
        elif split is not None:
            layers += _npu_layers(demand, split, seconds)
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


def _npu_layers(demand: Demand, compiled: Compiled, seconds: float) -> list[Layer]:
    """Return Vela's operations, with `seconds` shared among them as Vela shares its cycles.

    Vela names them by what they put out, and so does the source model: the bytes are those of the operator
    there, given once if Vela made several operations of it.
    """
    each = seconds / max(1, sum(o.cycles for o in compiled.layers if o.target == "NPU"))
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
                operation.cycles * each,
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
