"""A Vela file as a sequence of steps: NPU jobs, and segments of operators for the CPU."""

from __future__ import annotations

from dataclasses import dataclass

from harness.emulator.npu import cpu, driver, hazards, stream
from harness.emulator.npu.accelerator import Accelerator
from harness.emulator.npu.executor import Decoded, decoded
from harness.emulator.npu.faults import NpuFault
from harness.emulator.npu.state import operations
from harness.emulator.npu.stream import Command
from harness.models.tflite import Model, Operator

CUSTOM_CODE = "ethos-u"
# Inputs of the custom operator: command stream, read-only data, scratch, fast scratch, then its own.
_FIXED_INPUTS = 4


@dataclass(frozen=True)
class NpuStep:
    """One `ethos-u` operator: its commands, the operations they make, and its place in the model."""

    operator: Operator
    configuration: driver.Configuration
    commands: tuple[Command, ...]
    operations: tuple[Decoded, ...]

    @property
    def regions(self) -> dict[int, int]:
        """Region number -> tensor: the driver takes every input after the first, then the outputs."""
        tensors = (*self.operator.inputs[1:], *self.operator.outputs)
        return {number: tensor for number, tensor in enumerate(tensors[:8]) if tensor >= 0}

    @property
    def fast_scratch(self) -> int | None:
        """The tensor that stands for a fast memory of its own, None where the arena is all there is."""
        scratch, fast = self.operator.inputs[2:4]
        return fast if fast != scratch else None


Step = NpuStep | cpu.Segment


def is_npu(operator: Operator) -> bool:
    """True for an operator that the NPU runs."""
    return operator.custom_code == CUSTOM_CODE


def npu_step(model: Model, operator: Operator) -> NpuStep:
    """Decode one `ethos-u` operator; raises NpuFault where its stream is not one an NPU could run."""
    tensors = model.subgraphs[0].tensors
    if len(operator.inputs) < _FIXED_INPUTS or any(index < 0 for index in operator.inputs[:_FIXED_INPUTS]):
        raise NpuFault(f"operator {operator.index} '{CUSTOM_CODE}' lacks its stream, data or scratch inputs")
    payload = model.constant(tensors[operator.inputs[0]])
    if payload is None:
        raise NpuFault(f"operator {operator.index} '{CUSTOM_CODE}' has no constant command stream")
    job = driver.parse(payload)
    commands = stream.decode(job.words.tolist())
    return NpuStep(operator, job.configuration, tuple(commands), tuple(decoded(operations(commands))))


def load(model: Model, accelerator: Accelerator | None = None) -> list[Step]:
    """Split the first subgraph into steps, checking every stream against `accelerator` (its own if None).

    Raises NpuFault where a stream is not for that NPU, cannot be decoded, or does not wait for what it
    uses.
    """
    steps: list[Step] = []
    waiting: list[Operator] = []
    for operator in model.subgraphs[0].operators:
        if not is_npu(operator):
            waiting.append(operator)
            continue
        if waiting:
            steps.append(cpu.segment(model, tuple(waiting)))
            waiting = []
        step = npu_step(model, operator)
        target = accelerator or driver.accelerator(step.configuration)
        driver.check(step.configuration, target)
        hazards.check(step.operations, target)
        steps.append(step)
    if waiting:
        steps.append(cpu.segment(model, tuple(waiting)))
    return steps
