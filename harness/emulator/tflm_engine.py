"""The engine of a virtual board: models in its flash, run for real, timed by an estimate.

TFLite-Micro runs what the core runs, the functional model of the NPU what Vela put there.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from harness.boards import Profile
from harness.boards.profile import Region
from harness.emulator.engine import EngineError, MemoryUse, ModelEntry, TensorSpec
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.npu import runner as npu
from harness.emulator.npu.arena import ArenaError
from harness.emulator.tflm import Interpreter, TflmError
from harness.models import ethosu, ops, tflite, vela
from harness.models.arena import arena
from harness.models.estimate import Estimate, estimate
from harness.models.kernel_library import library
from harness.models.npu.faults import NpuFault
from harness.models.operator_memory import REFERENCE
from harness.models.tflite import Model, Tensor
from harness.wire.messages import ErrorCode

# What this computer's 64-bit records may take beyond those of the chip; only the chip's arena is a limit.
_HOST_SLACK_BYTES = 2 << 20


@dataclass
class _Selected:
    """The model that runs, what runs it, and what it takes."""

    model: Model
    inputs: list[bytearray]
    estimate: Estimate
    interpreter: Interpreter | npu.Interpreter
    memory: MemoryUse


class TflmEngine:
    """Finds models in flash and runs one of them; implements `harness.emulator.engine.Engine`."""

    def __init__(self, profile: Profile, flash: BoardFlash, regions: Collection[str] | None = None) -> None:
        """Look for models in the flash regions called `regions`; None = all that may hold one."""
        self._profile = profile
        self._regions = regions
        self._flash = flash
        self._found: dict[int, Model] | None = None
        self._selected: _Selected | None = None
        self._layers: Sequence[tuple[str, int]] = ()

    def models(self) -> Sequence[ModelEntry]:
        """Return the models in the regions that may hold one, each at the start of a block."""
        return [
            ModelEntry(
                address,
                model.extent,
                bytes.fromhex(_sha256(model.data[: model.extent])),
                model.description[:64],
            )
            for address, model in self.found().items()
        ]

    def found(self) -> dict[int, Model]:
        """Return the models in flash by address, in order."""
        if self._found is None:
            self._found = {}
            for region in self._profile.flash.regions:
                if "model" in region.holds and (self._regions is None or region.name in self._regions):
                    self._found.update(self._scan_region(region))
        return self._found

    def _scan_region(self, region: Region) -> dict[int, Model]:
        cells = self._flash.read_by_core(region.offset, region.size_bytes)
        found: dict[int, Model] = {}
        at = 0
        while at < len(cells):
            if cells[at + 4 : at + 8] == b"TFL3":
                try:
                    model = tflite.parse(cells[at:], f"model at {region.offset + at:#x}")
                except tflite.ModelError:
                    pass
                else:
                    found[region.offset + at] = model
                    at += model.extent // self._profile.flash.block_bytes * self._profile.flash.block_bytes
            at += self._profile.flash.block_bytes
        return found

    def select(self, address: int) -> None:
        """Load the model at `address` into TFLite-Micro; raises EngineError as the firmware would."""
        self._selected = None
        self._layers = ()
        model = self.found().get(address)
        if model is None:
            raise EngineError(ErrorCode.NO_MODEL, f"no model at {address:#x}")
        lacking = ops.unsupported(model, npu=self._profile.vela is not None)
        if lacking:
            raise EngineError(ErrorCode.UNSUPPORTED_OPERATOR, f"no kernel for {ops.describe(lacking)}")
        memory = self._memory(model)
        used, size = memory.arena_used or 0, self._profile.arena.size_bytes
        if used > size:
            raise EngineError(
                ErrorCode.ARENA_TOO_SMALL,
                f"the model needs {used} bytes of arena, the firmware has {size}",
                used,
            )
        graph = model.subgraphs[0]
        self._selected = _Selected(
            model,
            [bytearray(graph.tensors[i].bytes) for i in graph.inputs],
            self._estimate(model),
            self._interpreter(model),
            memory,
        )

    def _estimate(self, model: Model) -> Estimate:
        vela_of_board = self._profile.vela
        return estimate(
            model,
            self._profile.coefficients(),
            clock_hz=self._profile.clock_hz,
            vela_settings=vela_of_board.settings() if vela_of_board else None,
            compiled=_compilation_of(model) if ethosu.is_compiled(model) else None,
        )

    def _interpreter(self, model: Model) -> Interpreter | npu.Interpreter:
        try:
            if ethosu.is_compiled(model):
                return npu.Interpreter(model)
            return Interpreter(model.data, self._profile.arena.size_bytes + _HOST_SLACK_BYTES)
        except TflmError as error:
            code = ErrorCode.ARENA_TOO_SMALL if "allocate" in str(error) else ErrorCode.MODEL_INVALID
            raise EngineError(code, str(error)[:200]) from None
        except (NpuFault, ArenaError) as error:
            raise EngineError(ErrorCode.MODEL_INVALID, str(error)[:200]) from None

    def _memory(self, model: Model) -> MemoryUse:
        # The arena of the board's 32-bit chip and its kernels: this host's own holds 64-bit pointers.
        chip = self._profile.chip
        use = arena(model, library(chip.kernels, chip.core) or REFERENCE)
        return MemoryUse(
            arena_used=use.used_bytes,
            arena_head=use.head_bytes,
            arena_tail=use.tail_bytes,
            arena_size=self._profile.arena.size_bytes,
        )

    def inputs(self) -> Sequence[TensorSpec]:
        """Return the inputs of the selected model."""
        return self._ends("inputs")

    def outputs(self) -> Sequence[TensorSpec]:
        """Return the outputs of the selected model."""
        return self._ends("outputs")

    def _ends(self, end: str) -> list[TensorSpec]:
        if self._selected is None:
            return []
        graph = self._selected.model.subgraphs[0]
        return [_spec(graph.tensors[i]) for i in getattr(graph, end)]

    def write_input(self, index: int, offset: int, data: bytes) -> None:
        """Set bytes of an input; they hold for every invoke until written again."""
        assert self._selected is not None
        self._selected.inputs[index][offset : offset + len(data)] = data

    def invoke(self, profile: bool = False) -> int:
        """Run the model once and return the ticks that the board is estimated to take."""
        selected = self._require()
        board = self._profile.vela
        built_for = ethosu.accelerator(selected.model)
        if built_for and board is not None and built_for != board.accelerator:
            raise EngineError(
                ErrorCode.INVOKE_FAILED, f"command stream is for {built_for}, this NPU is {board.accelerator}"
            )
        graph = selected.model.subgraphs[0]
        # Copied before every invoke: the planner lets later activations overwrite the inputs.
        for place, (index, data) in enumerate(zip(graph.inputs, selected.inputs, strict=True)):
            tensor = graph.tensors[index]
            array = np.frombuffer(data, tensor.type).reshape(tensor.shape)
            selected.interpreter.set_input(place, array)
        try:
            selected.interpreter.invoke()
        except (TflmError, NpuFault) as error:
            raise EngineError(ErrorCode.INVOKE_FAILED, str(error)) from None
        operators = selected.estimate.operators if profile else ()
        self._layers = [(operator.label, operator.cycles) for operator in operators]
        return selected.estimate.cycles

    def read_output(self, index: int) -> bytes:
        """Return an output of the last invoke."""
        return self._require().interpreter.output(index).tobytes()

    def memory(self) -> MemoryUse:
        """Return RAM figures for the selected model."""
        return (
            self._selected.memory if self._selected else MemoryUse(arena_size=self._profile.arena.size_bytes)
        )

    def layers(self) -> Sequence[tuple[str, int]]:
        """Return (operator, ticks) of the last profiled invoke."""
        return self._layers

    def ticks(self) -> int:
        """Return the free-running counter of the board's clock, which is this computer's here."""
        return time.monotonic_ns() * self._profile.clock_hz // 1_000_000_000

    def _require(self) -> _Selected:
        if self._selected is None:
            raise EngineError(ErrorCode.NO_MODEL, "no model is selected")
        return self._selected


def _spec(tensor: Tensor) -> TensorSpec:
    quantization = tensor.quantization
    return TensorSpec(
        name=tensor.name,
        type=tensor.type,
        shape=tensor.shape,
        bytes=tensor.bytes,
        scale=quantization.scales[0] if quantization else 0.0,
        zero_point=quantization.zero_points[0] if quantization else 0,
    )


def _compilation_of(model: Model) -> vela.Compiled | None:
    """Return how the Vela file in flash was made, where this computer made it."""
    # Flash does not tell the file's size: Vela pads it by up to 15 zero bytes behind what the model reaches.
    for padding in range(16):
        made = vela.source_of(_sha256(model.data[: model.extent] + bytes(padding)))
        if made is not None:
            return made
    return None


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()
