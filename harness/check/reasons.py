"""Why a model would not run on a board, each reason with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness.boards import Profile
from harness.boards.profile import Region
from harness.check.firmware import FirmwareLimits
from harness.check.memory import ram
from harness.errors import printable
from harness.models import ethosu, kernels, ops
from harness.models.graph import Model
from harness.models.npu.accelerator import ACCELERATORS
from harness.models.npu.faults import NotModelled, NpuFault
from harness.models.npu.jobs import jobs
from harness.models.ops import ETHOS_U

Kind = Literal[
    "operator",
    "unregistered operator",
    "type",
    "scale",
    "constant input",
    "shape",
    "dynamic shape",
    "arena",
    "arena not known",
    "model size",
    "model address",
    "no NPU",
    "other NPU",
    "command stream",
    "not compiled",
    "input",
]

# What the command stream of an Ethos-U55 has to be for its driver to take it: version, architecture.
_COMMAND_STREAM_VERSION = 0
_ARCHITECTURE = "1.0."
_CAMERA_TYPES = ("int8", "uint8")
_CAMERA_CHANNELS = (1, 3)

# What TFLite-Micro's kernels refuse: kind of reason, and what to do.
_REFUSED: dict[kernels.Kind, tuple[Kind, str]] = {
    "type": ("type", "quantize the model to int8, or build it without this operator"),
    "hybrid": (
        "type",
        "quantize the activations too (full-integer quantization with a representative dataset)",
    ),
    "scale": ("scale", "convert the model again: the converter sets this scale"),
    "constant": ("constant input", "convert the model with this value fixed: TFLite-Micro plans by it"),
    "dimensions": ("shape", "build this part of the model with fewer dimensions"),
    "inputs": ("shape", "build this part of the model in steps of fewer inputs"),
    "dynamic": ("dynamic shape", "convert the model with fixed shapes: TFLite-Micro plans memory once"),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that speaks against the model: what is the matter, and what to do.

    `subgraph` and `operator` say where it begins, if it is about operators.
    """

    kind: Kind
    what: str
    remedy: str
    subgraph: int | None = None
    operator: int | None = None

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


def reasons(
    model: Model, board: Profile, firmware: FirmwareLimits, *, address: int | None = None
) -> list[Reason]:
    """Return everything that speaks against the file `model` on `board` with `firmware`; empty if it runs.

    `address` is where in flash it is to be written, None for the board's usual place. What is about operators
    comes in the model's order. Raises ModelError if an NPU part of the model is damaged.
    """
    of_operators = [*_operators(model, board, firmware), *_refused(model, board, firmware)]
    of_operators.sort(key=lambda reason: (reason.subgraph or 0, reason.operator or 0))
    return [
        *_npu(model, board),
        *of_operators,
        *_arena(model, board, firmware),
        *_place(model, board, address),
        *_input(model, firmware),
    ]


def _npu(model: Model, board: Profile) -> Iterator[Reason]:
    built_for = ethosu.accelerator(model)
    if built_for is None:
        return
    if board.vela is None:
        yield Reason(
            "no NPU",
            f"compiled by Vela for {built_for}, and {board.id} has no NPU",
            "give the int8 model that it was compiled from",
        )
        return
    wanted = board.vela.accelerator
    if built_for != wanted:
        yield Reason(
            "other NPU",
            f"compiled by Vela for {built_for}, but {board.id} has {wanted}; its driver refuses the invoke",
            f"compile the int8 model again with `harness compile MODEL --board {board.id}`",
        )
        return
    for payload in ethosu.payloads(model):
        made = payload.configuration
        right = made.command_stream_version == _COMMAND_STREAM_VERSION
        if not right or not made.architecture.startswith(_ARCHITECTURE):
            yield Reason(
                "command stream",
                f"its commands are version {made.command_stream_version} for architecture "
                f"{made.architecture}; the NPU of {board.id} takes version {_COMMAND_STREAM_VERSION} for "
                f"{_ARCHITECTURE}x",
                f"compile the int8 model again with `harness compile MODEL --board {board.id}`",
            )
            return
    try:
        if wanted in ACCELERATORS:
            jobs(model)
    except NotModelled:
        pass  # of the emulated NPU, not of the board's
    except NpuFault as fault:
        yield Reason(
            "command stream",
            f"its command stream is damaged: {fault.where}{fault.reason}",
            f"compile the int8 model again with `harness compile MODEL --board {board.id}`",
        )


def _operators(model: Model, board: Profile, firmware: FirmwareLimits) -> Iterator[Reason]:
    """What TFLite-Micro has no kernel for, and what this firmware does not register."""
    own = {ETHOS_U, *(firmware.operators or ())}
    lacking = [u for u in ops.unsupported(model, npu=board.vela is not None) if u.operator not in own]
    if lacking:
        yield Reason(
            "operator",
            f"TFLite-Micro has no kernel for {ops.describe(lacking)}",
            "convert the model without it, or write a kernel and a firmware that registers it",
            lacking[0].subgraph,
            lacking[0].index,
        )
    if firmware.operators is None:
        return
    # That there is no NPU is said once, of the file.
    named = {u.operator for u in lacking} | set(firmware.operators) | (set() if board.vela else {ETHOS_U})
    unregistered: dict[str, tuple[int, int]] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator.label not in named:
                unregistered.setdefault(operator.label, (graph.index, operator.index))
    if unregistered:
        left = " that Vela left on the CPU" if ethosu.is_compiled(model) else ""
        (first, (subgraph, index)), *others = unregistered.items()
        names = ", ".join([f"{first} (operator {index} of subgraph {subgraph})", *(n for n, _ in others)])
        yield Reason(
            "unregistered operator",
            f"the firmware '{firmware.name}' does not register {printable(names)}{left}, so the model cannot "
            'be set up (users see "Invoke failed")',
            "change the model so that it does without, or flash a firmware that registers "
            f"{'it' if len(unregistered) == 1 else 'them'}",
            subgraph,
            index,
        )


def _refused(model: Model, board: Profile, firmware: FirmwareLimits) -> Iterator[Reason]:
    """What the kernels do not take: one cause gives many, so the first of each kind stands for all."""
    npu = board.vela is not None
    graphs = model.subgraphs
    seen: set[Kind] = set()
    for refusal in kernels.refusals(model):
        kind, remedy = _REFUSED[refusal.kind]
        operator = graphs[refusal.subgraph].operators[refusal.index]
        if kind in seen or not ops.is_supported(operator, npu):
            continue
        seen.add(kind)
        where = f"operator {refusal.index} ({printable(refusal.operator)}) of subgraph {refusal.subgraph}"
        yield Reason(kind, f"{where} {refusal.why}", remedy, refusal.subgraph, refusal.index)
    if firmware.types is None or "type" in seen:
        return
    for graph in graphs:
        for operator in graph.operators:
            types = {graph.tensors[i].type for i in operator.outputs} & {"float32", "float16", "int16"}
            if beyond := sorted(types - set(firmware.types)):
                yield Reason(
                    "type",
                    f"operator {operator.index} ({printable(operator.label)}) of subgraph {graph.index} "
                    f"computes in {beyond[0]}, and the firmware '{firmware.name}' has kernels for "
                    f"{', '.join(firmware.types)} alone",
                    "quantize the model to int8",
                    graph.index,
                    operator.index,
                )
                return


def _arena(model: Model, board: Profile, firmware: FirmwareLimits) -> Iterator[Reason]:
    needed, room = ram(model, board).needed, firmware.arena(board)
    memory = board.memory(board.arena.memory)
    if needed.minimum_bytes > memory.size_bytes:
        yield Reason(
            "arena",
            f"it needs {needed.minimum_bytes} bytes of tensor arena, more than the {memory.size_bytes} bytes "
            f"of {memory.name} on {board.id}",
            "take smaller inputs or a narrower model",
        )
    elif needed.minimum_bytes > room:
        yield Reason(
            "arena",
            f"it needs {needed.minimum_bytes} bytes of tensor arena, and the firmware '{firmware.name}' has "
            f"{room} bytes (requested {needed.minimum_bytes}, available {room}, "
            f"missing {needed.minimum_bytes - room})",
            "take smaller inputs or a narrower model, or a firmware with a larger arena",
        )
    elif not needed.exact and needed.bound_bytes > room:
        unknown = ", ".join(sorted({u.label for u in needed.unaccounted}))
        yield Reason(
            "arena not known",
            f"what {unknown} takes of the arena is not known: {needed.used_bytes} to {needed.bound_bytes} "
            f"bytes in all, and the firmware '{firmware.name}' has {room}",
            "measure it on the board",
        )


def _place(model: Model, board: Profile, address: int | None) -> Iterator[Reason]:
    size = len(model.data)
    if address is None:
        room = board.flash.model_region
        if size > room.size_bytes:
            yield Reason(
                "model size",
                f"its {size} bytes do not fit the {room.size_bytes} bytes that {board.id} has for a model "
                f"('{room.name}' at {room.offset:#x})",
                "make the model smaller",
            )
        return
    region = next((r for r in board.flash.regions if r.offset <= address < r.end), None)
    places = ", ".join(f"{r.offset:#x} to {r.end - 1:#x}" for r in _for_models(board))
    if region is None or "model" not in region.holds:
        there = f"in region '{region.name}'" if region else "in no region"
        what = f"{address:#x} is {there} of {board.id}'s flash, where no model belongs"
        yield Reason("model address", what, f"use {places}")
    elif address % board.flash.block_bytes:
        yield Reason(
            "model address",
            f"{address:#x} is not on a block of {board.flash.block_bytes} bytes",
            f"use {address - address % board.flash.block_bytes:#x}",
        )
    elif address + size > _end_of_models(board, region):
        yield Reason(
            "model address",
            f"its {size} bytes at {address:#x} reach past the end of '{region.name}' at {region.end:#x}",
            f"use a lower address ({places})",
        )


def _for_models(board: Profile) -> list[Region]:
    return [r for r in board.flash.regions if "model" in r.holds]


def _end_of_models(board: Profile, region: Region) -> int:
    """Return where the room for models from `region` on ends; regions that follow each other are one room."""
    end = region.end
    for following in sorted(_for_models(board), key=lambda r: r.offset):
        if following.offset == end:
            end = following.end
    return end


def _input(model: Model, firmware: FirmwareLimits) -> Iterator[Reason]:
    """What a firmware cannot be given: more inputs than it takes, and to one with a camera anything else."""
    main = model.subgraphs[0]
    inputs = [main.tensors[i] for i in main.inputs]
    remedy = "bench it with --protocol bench"
    if firmware.camera:
        remedy = f"give it one input of 1 x height x width x 1 or 3 in int8 or uint8, or {remedy}"
    limit = 1 if firmware.camera else firmware.inputs
    if limit is not None and len(inputs) > limit:
        takes = f"the firmware '{firmware.name}' takes {limit}"
        yield Reason("input", f"it has {len(inputs)} inputs; {takes}", remedy)
        return
    if not firmware.camera:
        return
    if not inputs:
        yield Reason("input", f"it has no input for the firmware '{firmware.name}' to fill", remedy)
        return
    tensor = inputs[0]
    shape = "x".join(map(str, tensor.shape)) or "scalar"
    picture = len(tensor.shape) == 4 and tensor.shape[0] == 1
    if not picture or not {tensor.shape[3], tensor.shape[1]} & set(_CAMERA_CHANNELS):
        yield Reason("input", f"its input of {shape} is no picture that the camera could fill", remedy)
    elif tensor.type not in _CAMERA_TYPES:
        yield Reason("input", f"its input is {tensor.type}, and the camera gives 8-bit values", remedy)
