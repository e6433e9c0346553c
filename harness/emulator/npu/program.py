"""A Vela file as a sequence of steps: NPU jobs, segments of operators for the CPU, and its variables."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from harness.emulator.npu import block_dependency, cpu, driver, hazards, variables
from harness.models.npu.accelerator import Accelerator, named
from harness.models.npu.faults import NotModelled
from harness.models.npu.jobs import Job, jobs
from harness.models.ops import ETHOS_U
from harness.models.tflite import Model, Operator

Step = Job | cpu.CpuSegment | variables.StateOperators


def load(model: Model, accelerator: Accelerator | None = None) -> list[Step]:
    """Split the first subgraph into steps, checking every stream against `accelerator` (its own if None).

    Raises NpuFault if a stream is not for that NPU, cannot be decoded, or does not wait for what it
    uses; NotModelled if operators on the CPU cannot be split as the NPU's jobs have it.
    """
    first: dict[int, Job] = {}
    for job in jobs(model):
        if job.subgraph:
            raise NotModelled(f"an NPU operator in subgraph {job.subgraph}, which control flow calls")
        target = accelerator or named(job.configuration.accelerator)
        driver.check(job.configuration, target)
        hazards.check(job.operations, target)
        block_dependency.check(job.operations)
        first[job.operator.index] = job
    operators = model.subgraphs[0].operators
    if not first:
        return [cpu.segment(model, operators)] if operators else []
    return list(_steps(model, operators, first))


def _steps(model: Model, operators: tuple[Operator, ...], found: dict[int, Job]) -> Iterator[Step]:
    for _, group in groupby(
        operators, lambda op: (op.custom_code == ETHOS_U, op.code in variables.OPERATORS)
    ):
        run = tuple(group)
        if run[0].custom_code == ETHOS_U:
            yield from (found[op.index] for op in run)
        elif run[0].code in variables.OPERATORS:
            yield variables.StateOperators(run)
        else:
            cpu.check_calls(model, run)
            yield cpu.segment(model, run)
