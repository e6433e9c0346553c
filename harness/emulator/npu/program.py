"""A Vela file as a sequence of steps: NPU jobs, and segments of operators for the CPU."""

from __future__ import annotations

from dataclasses import dataclass

from harness.emulator.npu import block_dependency, cpu, driver, hazards, stream
from harness.emulator.npu.accelerator import Accelerator
from harness.emulator.npu.executor import Decoded, decoded
from harness.emulator.npu.faults import NotModelled
from harness.emulator.npu.state import operations
from harness.emulator.npu.stream import Command
from harness.models import ethosu
from harness.models.ops import ETHOS_U
from harness.models.tflite import Model, Operator


@dataclass(frozen=True)
class NpuStep:
    """One `ethos-u` operator: its commands, the operations they make, and its place in the model."""

    operator: Operator
    configuration: ethosu.Configuration
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


def npu_steps(model: Model) -> list[NpuStep]:
    """Decode every `ethos-u` operator of the first subgraph.

    Raises NpuFault where a stream is not one that an NPU could run, ModelError where an operator's driver
    payload is damaged.
    """
    graph = model.subgraphs[0]
    steps: list[NpuStep] = []
    for payload in ethosu.payloads(model):
        if payload.subgraph != graph.index:
            raise NotModelled(f"an NPU operator in subgraph {payload.subgraph}, which control flow calls")
        operator = graph.operators[payload.index]
        words = ethosu.command_stream(model, graph, operator)
        commands = tuple(stream.decode(words.tolist()))
        steps.append(NpuStep(operator, payload.configuration, commands, tuple(decoded(operations(commands)))))
    return steps


def load(model: Model, accelerator: Accelerator | None = None) -> list[Step]:
    """Split the first subgraph into steps, checking every stream against `accelerator` (its own if None).

    Raises NpuFault where a stream is not for that NPU, cannot be decoded, or does not wait for what it
    uses.
    """
    jobs = {step.operator.index: step for step in npu_steps(model)}
    steps: list[Step] = []
    waiting: list[Operator] = []
    for operator in model.subgraphs[0].operators:
        if operator.custom_code != ETHOS_U:
            waiting.append(operator)
            continue
        if waiting:
            steps.append(cpu.segment(model, tuple(waiting)))
            waiting = []
        step = jobs[operator.index]
        target = accelerator or driver.accelerator(step.configuration)
        driver.check(step.configuration, target)
        hazards.check(step.operations, target)
        block_dependency.check(step.operations)
        steps.append(step)
    if waiting:
        steps.append(cpu.segment(model, tuple(waiting)))
    return steps
