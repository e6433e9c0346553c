"""What runs the models of a virtual board: for real, from its flash, and timed by an estimate.

TFLite-Micro runs what the core runs, the functional model of the NPU what Vela put there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.boards import Profile
from harness.emulator.engine import EngineError, Invoked, Loaded
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.model_flash import ModelFlash
from harness.emulator.npu import runner as npu
from harness.emulator.npu.arena import ArenaError
from harness.emulator.tflm import Interpreter, TflmError
from harness.errors import HarnessError
from harness.models import ethosu, ops, tflite
from harness.models.arena import arena
from harness.models.estimate import Estimate, estimate
from harness.models.kernel_library import library
from harness.models.npu.faults import NpuFault
from harness.models.operator_memory import REFERENCE
from harness.models.tflite import Model, Tensor
from harness.wire.messages import MAX_RANK, TENSOR_TYPE_CODES, ErrorCode
from harness.wire.session import RamUse, TensorInfo

# Room for this computer's 64-bit records beyond the chip's; only the chip's arena is a limit.
_HOST_SLACK_BYTES = 2 << 20
_LONGEST_REASON = 200


@dataclass
class _Selected:
    """The selected model, and what runs it."""

    model: Model
    interpreter: Interpreter | npu.Interpreter
    profile: Profile

    @cached_property
    def estimate(self) -> Estimate | None:
        """How long the board takes for an invoke; None if it is not known."""
        npu = self.profile.vela
        settings = npu.settings() if npu else None
        try:
            return estimate(
                self.model,
                self.profile.coefficients(),
                clock_hz=self.profile.clock_hz,
                vela_settings=settings,
            )
        except HarnessError:
            return None


class TflmRuntime:
    """Runs models from the flash of a board; implements `harness.emulator.engine.Runtime`."""

    def __init__(self, profile: Profile, flash: BoardFlash) -> None:
        self._profile = profile
        self._flash = flash
        self._selected: _Selected | None = None

    def load(self, address: int) -> Loaded:
        """As in Runtime; refuses what the board's firmware would refuse."""
        self._selected = None
        end = ModelFlash(self._profile, self._flash).end_of(address)
        data = self._flash.read_by_core(address, end - address)
        try:
            model = tflite.parse(data, f"model at {address:#x}")
        except tflite.ModelError as error:
            raise EngineError(ErrorCode.MODEL_INVALID, str(error)[:_LONGEST_REASON]) from None
        lacking = ops.unsupported(model, npu=self._profile.vela is not None)
        if lacking:
            raise EngineError(ErrorCode.UNSUPPORTED_OPERATOR, f"no kernel for {ops.describe(lacking)}")
        graph = model.subgraphs[0]
        loaded = Loaded(
            tuple(_spec(graph.tensors[i]) for i in graph.inputs),
            tuple(_spec(graph.tensors[i]) for i in graph.outputs),
            self._memory(model),
        )
        self._selected = _Selected(model, self._interpreter(model), self._profile)
        return loaded

    def _memory(self, model: Model) -> RamUse:
        # The arena of the board's 32-bit chip and its kernels: this host's own holds 64-bit pointers.
        chip = self._profile.chip
        use = arena(model, library(chip.kernels, chip.core) or REFERENCE)
        size = self._profile.arena.size_bytes
        if use.used_bytes > size:
            text = f"the model needs {use.used_bytes} bytes of arena, the firmware has {size}"
            raise EngineError(ErrorCode.ARENA_TOO_SMALL, text, use.used_bytes)
        return RamUse(use.used_bytes, use.head_bytes, use.tail_bytes, size)

    def _interpreter(self, model: Model) -> Interpreter | npu.Interpreter:
        try:
            if ethosu.is_compiled(model):
                return npu.Interpreter(model)
            return Interpreter(model.data, self._profile.arena.size_bytes + _HOST_SLACK_BYTES)
        except TflmError as error:
            code = ErrorCode.ARENA_TOO_SMALL if "allocate" in str(error) else ErrorCode.MODEL_INVALID
            raise EngineError(code, str(error)[:_LONGEST_REASON]) from None
        except (NpuFault, ArenaError) as error:
            raise EngineError(ErrorCode.MODEL_INVALID, str(error)[:_LONGEST_REASON]) from None

    def invoke(self, inputs: Sequence[bytes], profile: bool) -> Invoked:
        """As in Runtime; the ticks are those that the board is estimated to take, 0 if not known."""
        selected = self._selected
        if selected is None:
            raise EngineError(ErrorCode.NO_MODEL, "no model is selected")
        self._refuse_other_npu(selected.model)
        graph = selected.model.subgraphs[0]
        # Before every invoke: the planner lets later activations overwrite the inputs.
        for place, (index, data) in enumerate(zip(graph.inputs, inputs, strict=True)):
            tensor = graph.tensors[index]
            array = np.frombuffer(data, tensor.type).reshape(tensor.shape)
            selected.interpreter.set_input(place, array)
        try:
            selected.interpreter.invoke()
        except (TflmError, NpuFault) as error:
            raise EngineError(ErrorCode.INVOKE_FAILED, str(error)) from None
        outputs = tuple(selected.interpreter.output(k).tobytes() for k in range(len(graph.outputs)))
        found = selected.estimate
        layers = tuple((op.label, op.cycles) for op in found.operators) if found and profile else ()
        return Invoked(found.cycles if found else 0, outputs, layers)

    def _refuse_other_npu(self, model: Model) -> None:
        """Raise what Arm's driver prints when it is given a command stream for another NPU.

        It gives the logarithms (ethos-u-core-driver, handle_optimizer_config).
        """
        built_for = ethosu.accelerator(model)
        npu = self._profile.vela.accelerator if self._profile.vela else None
        if built_for and npu and built_for != npu:
            there, wanted = (int(name.rsplit("-", 1)[1]).bit_length() - 1 for name in (npu, built_for))
            text = f"NPU config mismatch: npu.macs_per_cc={there} optimizer.macs_per_cc={wanted}"
            raise EngineError(ErrorCode.INVOKE_FAILED, f"{text} (compiled for {built_for}, this is {npu})")


def _spec(tensor: Tensor) -> TensorInfo:
    if tensor.type not in TENSOR_TYPE_CODES or len(tensor.shape) > MAX_RANK:
        text = f"tensor '{tensor.name}' of {len(tensor.shape)} dimensions of {tensor.type}"
        raise EngineError(ErrorCode.MODEL_INVALID, f"the protocol has no {text}"[:_LONGEST_REASON])
    quantization = tensor.quantization
    return TensorInfo(
        name=tensor.name,
        type=tensor.type,
        shape=tensor.shape,
        bytes=tensor.bytes,
        scale=quantization.scales[0] if quantization else 0.0,
        zero_point=quantization.zero_points[0] if quantization else 0,
    )
