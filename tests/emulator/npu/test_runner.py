"""A Vela file as the board runs it: NPU jobs and CPU operators in one arena."""

from __future__ import annotations

import numpy as np
import pytest

from harness.emulator.npu import cpu
from harness.emulator.npu.arena import ArenaError
from harness.emulator.npu.runner import Interpreter
from harness.emulator.tflm import Interpreter as Micro
from harness.models.build import Builder, Scale
from harness.models.npu.accelerator import U55_64
from harness.models.npu.jobs import Job
from tests.emulator.npu import corpus, velafiles
from tests.emulator.npu.velafiles import Desktop


def _seed(family: str) -> int:
    """The first seed of a family after the first round, so that it is not what other tests take."""
    return next(s for s in range(44, 200) if corpus.FAMILIES[s % len(corpus.FAMILIES)].__name__ == family)


def _two_islands() -> bytes:
    """Two ADDs on the NPU with a CPU operator between them; the second ADD takes both inputs again."""
    builder = Builder()
    graph = builder.subgraph("main")
    shape = (1, 6, 5, 8)
    x = graph.input("x", shape, "int8", Scale(0.05, 3))
    x2 = graph.input("x2", shape, "int8", Scale(0.07, -9))
    m = graph.tensor("m", shape, "int8", Scale(0.11, 0))
    cpu_out = graph.tensor("n", shape, "int8", Scale(1 / 128, 0))
    y = graph.output("y", shape, "int8", Scale(0.06, 5))
    graph.operator("ADD", [x, x2], [m], version=2, fused_activation="NONE")
    graph.operator("L2_NORMALIZATION", [m], [cpu_out], version=2, fused_activation="NONE")
    graph.operator("ADD", [cpu_out, x2], [y], version=2, fused_activation="NONE")
    graph.outputs.append(cpu_out)
    return builder.finish()


def test_cpu_operators_run_between_npu_subgraphs_in_the_same_arena() -> None:
    source = _two_islands()
    interpreter = Interpreter(velafiles.compile_one(source), U55_64)
    kinds = [type(step) for step in interpreter.steps]
    assert kinds == [Job, cpu.CpuSegment, Job]
    desktop = Desktop(source)
    rng = np.random.default_rng(1)
    for _ in range(3):
        inputs = desktop.random_inputs(rng)
        for index, tensor in enumerate(interpreter.inputs):
            interpreter.set_input(index, inputs[tensor.name])
        interpreter.invoke()
        for index, (name, values) in enumerate(desktop.run(inputs).items()):
            assert [t.name for t in interpreter.outputs][index] == name
            assert np.array_equal(interpreter.output(index), values), name


def test_an_arena_smaller_than_the_files_plan_is_refused() -> None:
    compiled = velafiles.compile_one(_two_islands())
    needed = Interpreter(compiled).plan.bytes
    Interpreter(compiled, arena_bytes=needed)
    with pytest.raises(ArenaError, match=f"takes {needed} bytes of arena; {needed - 1} are available"):
        Interpreter(compiled, arena_bytes=needed - 1)


def test_inputs_of_another_shape_or_type_are_refused() -> None:
    interpreter = Interpreter(velafiles.compile_one(_two_islands()))
    with pytest.raises(ValueError, match=r"input 0 takes int8 of shape \(1, 6, 5, 8\), not uint8"):
        interpreter.set_input(0, np.zeros((1, 6, 5, 8), np.uint8))


def test_the_state_of_an_lstm_lasts_until_a_reset() -> None:
    case = corpus.case(_seed("unidirectional_sequence_lstm"))
    interpreter = Interpreter(velafiles.compile_one(case.model))
    micro = Micro(case.model, 1 << 20)
    tensor = interpreter.inputs[0]
    array = velafiles.random_array(np.random.default_rng(2), tensor.shape, np.dtype(tensor.type))

    def step() -> np.ndarray:
        interpreter.set_input(0, array)
        interpreter.invoke()
        micro.set_input(0, array)
        micro.invoke()
        assert np.array_equal(interpreter.output(0), micro.output(0))
        return interpreter.output(0)

    first = step()
    assert not np.array_equal(step(), first)
    interpreter.reset()
    micro.reset()
    assert np.array_equal(step(), first)


def test_a_model_that_was_never_compiled_runs_on_the_cpu_alone() -> None:
    source = _two_islands()
    interpreter = Interpreter(source)
    assert [type(step) for step in interpreter.steps] == [cpu.CpuSegment]
    inputs = Desktop(source).random_inputs(np.random.default_rng(3))
    for index, tensor in enumerate(interpreter.inputs):
        interpreter.set_input(index, inputs[tensor.name])
    interpreter.invoke()
    wanted = Desktop(source).run(inputs)
    assert all(
        np.array_equal(interpreter.output(i), wanted[t.name]) for i, t in enumerate(interpreter.outputs)
    )
