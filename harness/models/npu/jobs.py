"""The jobs that a Vela file has for the NPU: one for each `ethos-u` operator, decoded."""

from __future__ import annotations

from dataclasses import dataclass

from harness.models import ethosu
from harness.models.graph import Model, Operator
from harness.models.npu import state, stream
from harness.models.npu.operations import Decoded
from harness.models.npu.stream import Command


@dataclass(frozen=True)
class Job:
    """One `ethos-u` operator: its commands, the operations they make, and its place in the model."""

    subgraph: int
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
        """The tensor that stands for a fast memory of its own, None if the arena is all there is."""
        scratch, fast = self.operator.inputs[2:4]
        return fast if fast != scratch else None


def jobs(model: Model) -> list[Job]:
    """Decode every `ethos-u` operator, subgraph by subgraph.

    Raises NpuFault if a stream is not one that an NPU could run, ModelError if an operator's driver
    payload is damaged.
    """
    found = []
    for payload in ethosu.payloads(model):
        graph = model.subgraphs[payload.subgraph]
        operator = graph.operators[payload.index]
        commands = tuple(stream.decode(ethosu.command_stream(model, graph, operator).tolist()))
        operations = tuple(state.decoded(state.operations(commands)))
        found.append(Job(graph.index, operator, payload.configuration, commands, operations))
    return found
