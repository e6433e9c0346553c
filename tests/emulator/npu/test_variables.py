"""Models with variables (wake words): Vela cuts them into parts, and the state goes on across all of them."""

from __future__ import annotations

import numpy as np
import pytest

from harness.emulator.npu import cpu, variables
from harness.emulator.npu.runner import Interpreter
from harness.emulator.tflm import Interpreter as Micro
from harness.models import tflite
from harness.models.build import Builder, Subgraph
from harness.models.npu.faults import NotModelled
from harness.models.npu.jobs import Job
from tests.emulator.npu import velafiles
from tests.emulator.npu.streaming import CHANNELS, FRAME, KEPT, Change, X, handle_of, stream
from tests.emulator.npu.velafiles import Desktop


@pytest.mark.parametrize("on_cpu", [False, True], ids=["one NPU part", "two NPU parts"])
def test_state_goes_on_across_parts_and_invokes_until_a_reset(on_cpu: bool) -> None:
    source = stream(on_cpu)
    interpreter = Interpreter(velafiles.compile_one(source))
    kinds = {type(step) for step in interpreter.steps}
    assert kinds == {Job, variables.StateOperators} | ({cpu.CpuSegment} if on_cpu else set())
    desktop, micro = Desktop(source), Micro(source, 1 << 20)
    rng = np.random.default_rng(4)
    frames = [desktop.random_inputs(rng)["x"] for _ in range(6)]
    outputs = []
    for frame in frames:
        interpreter.set_input(0, frame)
        micro.set_input(0, frame)
        interpreter.invoke()
        micro.invoke()
        outputs.append(interpreter.output(0))
        assert np.array_equal(outputs[-1], next(iter(desktop.run({"x": frame}).values())))
        assert np.array_equal(outputs[-1], micro.output(0))
    interpreter.set_input(0, frames[0])
    interpreter.invoke()
    assert not np.array_equal(interpreter.output(0), outputs[0])
    interpreter.reset()
    interpreter.set_input(0, frames[0])
    interpreter.invoke()
    assert np.array_equal(interpreter.output(0), outputs[0])


def test_the_order_of_the_file_holds_as_on_the_board() -> None:
    """Vela puts CALL_ONCE behind the reads: what it assigns is first seen by the second invoke."""
    source = stream(initial=90)
    compiled = tflite.parse(velafiles.compile_one(source), "stream")
    codes = [op.code for op in compiled.subgraphs[0].operators]
    assert codes.index("READ_VARIABLE") < codes.index("CALL_ONCE")
    silent, initialised = Interpreter(compiled), Interpreter(velafiles.compile_one(stream()))
    for interpreter in (silent, initialised):
        interpreter.set_input(0, np.zeros((1, FRAME, 1, CHANNELS), np.int8))
        interpreter.invoke()
    assert np.array_equal(silent.output(0), initialised.output(0))


def _never_assigned(builder: Builder, main: Subgraph) -> None:
    kept = main.output("lost", (1, 4), "int8", X)
    main.operator("READ_VARIABLE", [handle_of(main, "nobody")], [kept])


def _another_size(builder: Builder, main: Subgraph) -> None:
    kept = main.output("small", (1, 4), "int8", X)
    main.operator("READ_VARIABLE", [handle_of(main, "state0")], [kept])


def _filled(builder: Builder, main: Subgraph) -> None:
    setup = builder.subgraphs[1]
    shape = setup.constant("shape", np.array([1, KEPT, 1, CHANNELS], np.int32))
    value = setup.constant("value", np.array(3, np.int8), X)
    filled = setup.tensor("filled", (1, KEPT, 1, CHANNELS), "int8", X)
    setup.operator("FILL", [shape, value], [filled], version=3)
    setup.operator("ASSIGN_VARIABLE", [0, filled], [])


def _handle_from_outside(builder: Builder, main: Subgraph) -> None:
    kept = main.output("borrowed", (1, 4), "int8", X)
    main.operator("READ_VARIABLE", [main.tensor("no handle", (), "resource")], [kept])


def _lacking_an_input(builder: Builder, main: Subgraph) -> None:
    main.operator("ASSIGN_VARIABLE", [handle_of(main, "state0")], [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _never_assigned,
            r"operator \d+ \(READ_VARIABLE\) reads the variable 'nobody', which nothing assigns",
        ),
        (_another_size, r"\(READ_VARIABLE\) takes the variable 'state0' as 4 bytes; it has 24"),
        (_filled, r"\(CALL_ONCE\) calls a subgraph with FILL; beside an NPU only those are run"),
        (_handle_from_outside, r"has a handle that no VAR_HANDLE of its subgraph gives it"),
        (_lacking_an_input, r"\(ASSIGN_VARIABLE\) has 1 inputs and 0 outputs; it takes 2 and 0"),
    ],
)
def test_another_use_of_variables_is_refused_in_one_line(change: Change, message: str) -> None:
    compiled = velafiles.compile_one(stream(change=change))
    with pytest.raises(NotModelled, match=message) as error:
        Interpreter(compiled)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("not modelled: ")


def test_variables_in_a_branch_are_refused_beside_an_npu() -> None:
    """Vela compiles no such model whole, so the check is given the operators themselves."""
    builder = Builder()
    main, branch = builder.subgraph("main"), builder.subgraph("branch")
    kept = branch.output("kept", (1, 4), "int8", X)
    branch.operator("READ_VARIABLE", [handle_of(branch, "state")], [kept])
    condition = main.input("condition", (1,), "bool")
    chosen = main.output("chosen", (1, 4), "int8", X)
    main.operator("IF", [condition], [chosen], then_subgraph_index=1, else_subgraph_index=1)
    model = tflite.parse(builder.finish(), "model")
    with pytest.raises(NotModelled, match=r"operator 0 \(IF\) calls subgraph 1, which uses variables"):
        cpu.check_calls(model, model.subgraphs[0].operators)


def test_a_handle_between_parts_of_the_cpu_is_refused() -> None:
    builder = Builder()
    main = builder.subgraph("main")
    handle = main.input("handle", (), "resource")
    kept = main.output("kept", (1, 4), "int8", X)
    main.operator("READ_VARIABLE", [handle], [kept])
    model = tflite.parse(builder.finish(), "model")
    with pytest.raises(NotModelled, match="tensor 0 'handle' is a resource, which cannot be handed"):
        cpu.segment(model, model.subgraphs[0].operators)
