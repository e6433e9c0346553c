"""Hold the emulated NPU against reference kernels on a compiled model.

Two runtimes have reference kernels, and they do not always agree with each other: the desktop's sums int8
wrongly and computes int16 fully connected and transposed convolutions with other multipliers than Vela,
TFLite-Micro refuses some broadcasts. An output is right where it is what either of them computes.
"""

from __future__ import annotations

import numpy as np

from harness.emulator.npu.runner import Interpreter
from harness.emulator.tflm import Interpreter as Micro
from harness.emulator.tflm import TflmError
from harness.models import tflite
from harness.models.npu.faults import NpuFault
from harness.models.npu.jobs import Job
from tests.emulator.npu import velafiles
from tests.emulator.npu.corpus import Case

RUNS = 3
_ARENA = 1 << 21


class _Micro:
    """TFLite-Micro with inputs and outputs by tensor name; None of them once it has refused something."""

    def __init__(self, model: bytes) -> None:
        graph = tflite.parse(model, "source").subgraphs[0]
        self._names = [[graph.tensors[i].name for i in ports] for ports in (graph.inputs, graph.outputs)]
        try:
            self._interpreter: Micro | None = Micro(model, _ARENA)
        except TflmError:
            self._interpreter = None

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self._interpreter is None:
            return {}
        try:
            for index, name in enumerate(self._names[0]):
                self._interpreter.set_input(index, inputs[name])
            self._interpreter.invoke()
        except TflmError:
            self._interpreter = None
            return {}
        return {name: self._interpreter.output(index) for index, name in enumerate(self._names[1])}


def _same(values: np.ndarray, wanted: np.ndarray | None) -> bool:
    return (
        wanted is not None and values.size == wanted.size and np.array_equal(values.ravel(), wanted.ravel())
    )


def verdict(case: Case, compiled: bytes, runs: int = RUNS) -> str:
    """Return "exact", "cpu" where Vela left all of it on the CPU, "no reference", or what is wrong."""
    try:
        desktop: velafiles.Desktop | None = velafiles.Desktop(case.model)
    except (RuntimeError, ValueError):
        return "no reference"
    micro = _Micro(case.model)
    try:
        interpreter = Interpreter(tflite.parse(compiled, case.name))
        if not any(isinstance(step, Job) for step in interpreter.steps):
            return "cpu"
        rng = np.random.default_rng(case.seed)
        for _ in range(runs):
            inputs = desktop.random_inputs(rng)
            for index, tensor in enumerate(interpreter.inputs):
                interpreter.set_input(index, inputs[tensor.name].reshape(tensor.shape))
            interpreter.invoke()
            expected, second = desktop.run(inputs), micro.run(inputs)
            for index, tensor in enumerate(interpreter.outputs):
                values = interpreter.output(index)
                if not (_same(values, expected[tensor.name]) or _same(values, second.get(tensor.name))):
                    gap = np.abs(values.ravel().astype(int) - expected[tensor.name].ravel().astype(int))
                    return f"{np.count_nonzero(gap)} of {gap.size} elements differ, by up to {gap.max()}"
    except NpuFault as fault:
        return str(fault)
    return "exact"
