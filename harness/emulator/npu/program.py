"""A Vela file as a sequence of steps: NPU jobs, and segments of operators for the CPU."""

from __future__ import annotations

from harness.emulator.npu import block_dependency, cpu, driver, hazards
from harness.models.npu.accelerator import Accelerator, named
from harness.models.npu.faults import NotModelled
from harness.models.npu.jobs import Job, jobs
from harness.models.ops import ETHOS_U
from harness.models.tflite import Model, Operator

Step = Job | cpu.Segment


def load(model: Model, accelerator: Accelerator | None = None) -> list[Step]:
    """Split the first subgraph into steps, checking every stream against `accelerator` (its own if None).

    Raises NpuFault where a stream is not for that NPU, cannot be decoded, or does not wait for what it
    uses.
    """
    first: dict[int, Job] = {}
    for job in jobs(model):
        if job.subgraph:
            raise NotModelled(f"an NPU operator in subgraph {job.subgraph}, which control flow calls")
        first[job.operator.index] = job
    steps: list[Step] = []
    waiting: list[Operator] = []
    for operator in model.subgraphs[0].operators:
        if operator.custom_code != ETHOS_U:
            waiting.append(operator)
            continue
        if waiting:
            steps.append(cpu.segment(model, tuple(waiting)))
            waiting = []
        job = first[operator.index]
        target = accelerator or named(job.configuration.accelerator)
        driver.check(job.configuration, target)
        hazards.check(job.operations, target)
        block_dependency.check(job.operations)
        steps.append(job)
    if waiting:
        steps.append(cpu.segment(model, tuple(waiting)))
    return steps
