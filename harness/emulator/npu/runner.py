"""Run a Vela file as the board does: NPU jobs and CPU operators in order, in one arena.

`Interpreter` is used like `harness.emulator.tflm.Interpreter`: load, set inputs, invoke, read outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from harness.emulator.npu import arena, cpu, program
from harness.emulator.npu.executor import DEFAULT_LIMITS, Executor, OperationLimits
from harness.emulator.npu.memory import Bytes, NpuMemory
from harness.emulator.npu.scratch import Scratch
from harness.emulator.npu.variables import Variables
from harness.emulator.tflm import Interpreter as CpuInterpreter
from harness.models.npu.accelerator import Accelerator, named
from harness.models.npu.ahead import decode_ahead
from harness.models.npu.faults import NpuFault
from harness.models.npu.jobs import Job
from harness.models.npu.operations import Decoded
from harness.models.tflite import Model, Tensor, parse

READ_ONLY_REGION = 0
# Room for TFLite-Micro's own records and its kernels' scratch buffers in the arena of a CPU segment, which is
# not the board's: the board's is judged by the whole file's plan.
_CPU_OVERHEAD = 32 << 20

Observer = Callable[[Job, Decoded, NpuMemory], None]


class Interpreter:
    """A Vela file loaded for one NPU, with its arena.

    Like on the board, inputs and outputs may share bytes of the arena with intermediate results: set the
    inputs before every invoke and read the outputs before the next one.
    """

    def __init__(
        self,
        model: Model | bytes,
        accelerator: Accelerator | None = None,
        arena_bytes: int | None = None,
        limits: OperationLimits = DEFAULT_LIMITS,
    ) -> None:
        """Load `model` for `accelerator` (None: the one it was compiled for).

        `arena_bytes` is how large the arena may be (None: as large as the file's plan), `limits` what one
        operation may ask for.

        Raises:
            NpuFault: a stream is for another NPU, malformed, or does not wait for what it uses; NotModelled
                if the model uses variables in a way that is not modelled.
            ArenaError: the file's plan does not fit the arena, or is damaged.
            ModelError: `model` is bytes that are no model.
            TflmError: TFLite-Micro refuses the operators left on the CPU.
        """
        self.model = parse(model, "model") if isinstance(model, bytes) else model
        self._graph = self.model.subgraphs[0]
        self.steps = program.load(self.model, accelerator)
        # A memory mode with a dedicated fast memory: the driver points the region there, not into the arena.
        self._fast: dict[int, Bytes] = {
            step.fast_scratch: np.zeros(self._graph.tensors[step.fast_scratch].bytes, np.uint8)
            for step in self.steps
            if isinstance(step, Job) and step.fast_scratch is not None
        }
        self.plan = arena.plan(self.model, frozenset(self._fast))
        self.arena_bytes = self.plan.bytes if arena_bytes is None else arena_bytes
        if self.plan.bytes > self.arena_bytes:
            raise arena.ArenaError(
                f"the model's plan takes {self.plan.bytes} bytes of arena; {self.arena_bytes} are available"
            )
        self._arena: Bytes = np.empty(self.arena_bytes, np.uint8)
        self._initialise()
        npu_steps = [step for step in self.steps if isinstance(step, Job)]
        weights, scratch = decode_ahead(self.model, npu_steps, limits.weights), Scratch()
        self._npu: dict[int, Executor] = {}
        self._cpu: dict[int, CpuInterpreter] = {}
        self._variables = Variables(self.model) if npu_steps else None
        extractor: cpu.Extractor | None = None
        for number, step in enumerate(self.steps):
            if isinstance(step, Job):
                target = accelerator or named(step.configuration.accelerator)
                memory = self._memory(step, target)
                self._npu[number] = Executor(step.operations, memory, target, weights, scratch, limits)
            elif isinstance(step, cpu.CpuSegment):
                extractor = extractor or cpu.Extractor(self.model)
                self._cpu[number] = self._load_segment(extractor, step)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The model's inputs in order."""
        return tuple(self._graph.tensors[index] for index in self._graph.inputs)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The model's outputs in order."""
        return tuple(self._graph.tensors[index] for index in self._graph.outputs)

    def set_input(self, index: int, array: np.ndarray) -> None:
        """Copy `array`, of exactly the tensor's shape and type, into input `index`; raises ValueError."""
        tensor = self.inputs[index]
        if tuple(array.shape) != tensor.shape or array.dtype != np.dtype(tensor.type):
            raise ValueError(
                f"input {index} takes {tensor.type} of shape {tensor.shape}, "
                f"not {array.dtype} of {array.shape}"
            )
        self._bytes(tensor.index)[...] = np.frombuffer(array.tobytes(), np.uint8)

    def invoke(self, observe: Observer | None = None) -> None:
        """Run the model once; `observe` is called after each NPU operation.

        Raises NpuFault, placed at the operation that faults, and TflmError if a CPU operator fails.
        """
        for number, step in enumerate(self.steps):
            if isinstance(step, Job):
                watch = None if observe is None else partial(observe, step)
                self._npu[number].run(watch)
            elif isinstance(step, cpu.CpuSegment):
                self._run_cpu(step, self._cpu[number])
            else:
                assert self._variables is not None
                self._variables.run(step, self._bytes)

    def output(self, index: int) -> np.ndarray:
        """Return a copy of output `index` as the last invoke left it."""
        return self._array(self.outputs[index].index)

    def reset(self) -> None:
        """Set the arena and all variables back to what they are before the first invoke."""
        self._initialise()
        if self._variables is not None:
            self._variables.reset()
        for interpreter in self._cpu.values():
            interpreter.reset()

    def _initialise(self) -> None:
        """Clear the arena; variable tensors hold zeros in their scale, as TFLite-Micro resets them."""
        self._arena[...] = 0
        for index in self.plan.offsets:
            tensor = self._graph.tensors[index]
            if tensor.variable and tensor.type == "int8" and tensor.quantization is not None:
                self._bytes(index)[...] = tensor.quantization.zero_points[0] & 0xFF

    def tensor(self, index: int) -> np.ndarray:
        """Return a copy of what the arena (or the file) holds where tensor `index` lies."""
        return self._array(index)

    def _bytes(self, index: int) -> Bytes:
        """Return the bytes of a tensor: a view of the arena, or the file's data for a constant."""
        tensor = self._graph.tensors[index]
        constant = self.model.constant(tensor)
        if constant is not None:
            return np.frombuffer(constant, np.uint8)
        if index in self._fast:
            return self._fast[index]
        if index not in self.plan.offsets:
            raise NpuFault(f"tensor {index} '{tensor.name}' has no place in the arena")
        start = self.plan.offsets[index]
        return self._arena[start : start + tensor.bytes]

    def _array(self, index: int) -> np.ndarray:
        tensor = self._graph.tensors[index]
        return self._bytes(index).copy().view(tensor.type).reshape(tensor.shape)

    def _memory(self, step: Job, target: Accelerator) -> NpuMemory:
        regions = {number: self._bytes(tensor) for number, tensor in step.regions.items()}
        fixed = frozenset(
            number for number, tensor in step.regions.items() if self._graph.tensors[tensor].constant
        )
        return NpuMemory.for_accelerator(target, regions, fixed | {READ_ONLY_REGION})

    def _load_segment(self, extractor: cpu.Extractor, part: cpu.CpuSegment) -> CpuInterpreter:
        tensors = {index for op in part.operators for index in (*op.inputs, *op.outputs) if index >= 0}
        room = sum(self._graph.tensors[index].bytes for index in tensors)
        return CpuInterpreter(extractor.extract(part), 2 * room + _CPU_OVERHEAD)

    def _run_cpu(self, part: cpu.CpuSegment, interpreter: CpuInterpreter) -> None:
        for position, index in enumerate(part.inputs):
            interpreter.set_input(position, self._array(index))
        interpreter.invoke()
        for position, index in enumerate(part.outputs):
            result = np.ascontiguousarray(interpreter.output(position))
            self._bytes(index)[...] = np.frombuffer(result.tobytes(), np.uint8)
