"""Why a model would not run on a board, each reason with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness.boards import Profile
from harness.boards.profile import Region
from harness.check.firmware import Firmware
from harness.check.memory import ram
from harness.models import ethosu, kernel_types, ops
from harness.models.graph import Model
from harness.models.npu.accelerator import ACCELERATORS
from harness.models.npu.faults import NotModelled, NpuFault
from harness.models.npu.jobs import jobs
from harness.models.ops import ETHOS_U

Kind = Literal[
    "operator",
    "unregistered operator",
    "type",
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


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that speaks against the model: what is the matter, and what to do."""

    kind: Kind
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


def reasons(
    model: Model,
    board: Profile,
    firmware: Firmware,
    *,
    address: int | None = None,
    will_compile: bool = False,
    after_vela: bool = False,
) -> list[Reason]:
    """Return everything that speaks against `model` on `board` with `firmware`; nothing: it will run.

    `address` is where in flash it is to be written, None for the board's usual place. With `will_compile`
    an int8 model for a board with an NPU is judged as what Vela takes rather than as what is flashed. With
    `after_vela` Vela has had its turn: a model that is not compiled is one it found nothing of for the NPU.

    Raises ModelError where an NPU part of the model is damaged.
    """
    compiled = ethosu.is_compiled(model)
    before_vela = will_compile and board.model_format == "vela" and not compiled
    found = [*_npu(model, board, may_be_int8=will_compile or after_vela or ethosu.is_left_to_cpu(model))]
    found += _operators(model, board, firmware, before_vela=before_vela)
    found += _types(model, firmware)
    if not before_vela:
        found += _arena(model, board, firmware)
        found += _place(model, board, address)
    found += _input(model, firmware)
    return found


def _npu(model: Model, board: Profile, *, may_be_int8: bool) -> Iterator[Reason]:
    built_for = ethosu.accelerator(model)
    if built_for is None:
        if board.model_format == "vela" and not may_be_int8:
            yield Reason(
                "not compiled",
                f"{board.id} runs models on its NPU, and this one is not compiled for it",
                f"run `harness compile {model.name} --board {board.id}` and use the file that it writes "
                "(`harness bench` does so itself; --compile judges the result)",
            )
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


def _operators(model: Model, board: Profile, firmware: Firmware, *, before_vela: bool) -> Iterator[Reason]:
    npu = board.vela is not None
    own = {ETHOS_U, *(firmware.operators or ())}
    lacking = [u for u in ops.unsupported(model, npu=npu) if u.operator not in own]
    if lacking:
        yield Reason(
            "operator",
            f"TFLite-Micro has no kernel for {ops.describe(lacking)}",
            "convert the model without it, or write a kernel and a firmware that registers it",
        )
    if firmware.operators is None or before_vela:
        return
    missing = {u.operator for u in lacking} | set(firmware.operators)
    unregistered = sorted({o.label for g in model.subgraphs for o in g.operators} - missing)
    if not npu and ETHOS_U in unregistered:
        unregistered.remove(ETHOS_U)
    if unregistered:
        left = " that Vela left on the CPU" if ethosu.is_compiled(model) else ""
        yield Reason(
            "unregistered operator",
            f"the firmware '{firmware.name}' does not register {', '.join(unregistered)}{left}, so the model "
            'cannot be set up (users see "Invoke failed")',
            "change the model so that it does without, or flash a firmware that registers "
            f"{'it' if len(unregistered) == 1 else 'them'}",
        )


def _types(model: Model, firmware: Firmware) -> Iterator[Reason]:
    for bad in kernel_types.bad_types(model):
        what = f"operator {bad.index} ({bad.operator}) of subgraph {bad.subgraph} works on {bad.found}"
        if bad.hybrid:
            yield Reason(
                "type",
                f"{what}: TFLite-Micro has no hybrid kernels",
                "quantize the activations too (full-integer quantization with a representative dataset)",
            )
        else:
            yield Reason(
                "type",
                f"{what}, which its kernel does not take ({', '.join(bad.wanted)})",
                "quantize the model to int8",
            )
        break  # one cause gives many: the first stands for all
    if firmware.types is not None:
        used = {
            graph.tensors[i].type for graph in model.subgraphs for o in graph.operators for i in o.outputs
        }
        beyond = sorted(t for t in used & {"float32", "float16", "int16"} if t not in firmware.types)
        if beyond:
            yield Reason(
                "type",
                f"it computes in {' and '.join(beyond)}, and the firmware '{firmware.name}' has kernels for "
                f"{', '.join(firmware.types)} alone",
                "quantize the model to int8",
            )
    for open_end in kernel_types.dynamic(model):
        yield Reason(
            "dynamic shape",
            f"output '{open_end.tensor}' of operator {open_end.index} ({open_end.operator}) has no fixed "
            "size, and TFLite-Micro plans memory once",
            "convert the model with fixed shapes",
        )
        break


def _arena(model: Model, board: Profile, firmware: Firmware) -> Iterator[Reason]:
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


def _input(model: Model, firmware: Firmware) -> Iterator[Reason]:
    """The vendors' firmware fills one input from the camera, and nothing else."""
    if not firmware.camera:
        return
    main = model.subgraphs[0]
    inputs = [main.tensors[i] for i in main.inputs]
    remedy = (
        "give it one input of 1 x height x width x 1 or 3 in int8 or uint8, or bench it with --protocol bench"
    )
    if len(inputs) != 1:
        yield Reason(
            "input", f"it has {len(inputs)} inputs; the firmware '{firmware.name}' fills one", remedy
        )
        return
    tensor = inputs[0]
    shape = "x".join(map(str, tensor.shape)) or "scalar"
    picture = len(tensor.shape) == 4 and tensor.shape[0] == 1
    if not picture or not {tensor.shape[3], tensor.shape[1]} & set(_CAMERA_CHANNELS):
        yield Reason("input", f"its input of {shape} is no picture that the camera could fill", remedy)
    elif tensor.type not in _CAMERA_TYPES:
        yield Reason("input", f"its input is {tensor.type}, and the camera gives 8-bit values", remedy)
