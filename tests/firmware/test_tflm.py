"""The firmware with TFLite-Micro, where a user's library is given by TFLM_INCLUDE and TFLM_LIBRARY."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from harness.models import ethosu, reference, tflite
from harness.models.build import Builder, Scale, Subgraph
from harness.wire import messages as m
from harness.wire.bench_client import BenchSession
from harness.wire.patience import Patience
from harness.wire.session import DeviceRefused, RunInterrupted
from tests.firmware import selftest
from tests.firmware.builds import FIRMWARE, build, require
from tests.firmware.devices import PosixDevice, QemuDevice
from tests.firmware.raw import RawHost
from tests.firmware.test_conformance import aborts, in_an_invoke

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def with_tflm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    include, library = os.environ.get("TFLM_INCLUDE"), os.environ.get("TFLM_LIBRARY")
    if not include or not library:
        pytest.skip("needs a TFLite-Micro: TFLM_INCLUDE (directories, separated by ';') and TFLM_LIBRARY")
    return build(
        "host-tflm",
        tmp_path_factory,
        f"-DTFLM_INCLUDE={include}",
        f"-DTFLM_LIBRARY={library}",
        "-DBENCH_TESTS=ON",
    )


@pytest.fixture(scope="module")
def on_cortex_m55(tmp_path_factory: pytest.TempPathFactory) -> Path:
    include, library = os.environ.get("TFLM_INCLUDE"), os.environ.get("TFLM_LIBRARY_CORTEX_M55")
    if not include or not library:
        pytest.skip("needs a TFLite-Micro for the Cortex-M55: TFLM_INCLUDE and TFLM_LIBRARY_CORTEX_M55")
    require("arm-none-eabi-gcc", "qemu-system-arm")
    return build(
        "mps3_an547-tflm", tmp_path_factory, f"-DTFLM_INCLUDE={include}", f"-DTFLM_LIBRARY={library}"
    )


def int8_models(shared: Path) -> list[tflite.Model]:
    paths = [*sorted((shared / "models").glob("*.tflite")), shared / "cases/kws_saved_model_variables.tflite"]
    models = [tflite.read(path) for path in paths]
    return [model for model in models if not ethosu.is_compiled(model)]


def variables_of(model: tflite.Model) -> int:
    return sum(op.label == "VAR_HANDLE" for graph in model.subgraphs for op in graph.operators)


def given_and_expected(model: tflite.Model, invokes: int) -> tuple[list[bytes], list[bytes]]:
    """Return random inputs of a model, and what the desktop runtime makes of them after so many invokes."""
    graph = model.subgraphs[0]
    rng = random.Random(model.name)
    given = [rng.randbytes(graph.tensors[i].bytes) for i in graph.inputs]
    arrays = [
        np.frombuffer(data, graph.tensors[i].type).reshape(graph.tensors[i].shape)
        for data, i in zip(given, graph.inputs, strict=True)
    ]
    with reference.start(model.data, arrays, invokes=invokes) as ran:
        return given, [array.tobytes() for array in ran.result()]


def test_every_model_is_bit_exact_on_a_cortex_m55(on_cortex_m55: Path, shared: Path) -> None:
    for model in int8_models(shared):
        given, expected = given_and_expected(model, 1)
        with QemuDevice(on_cortex_m55, model) as device, device.session() as session:
            session.select(device.address)
            for index, data in enumerate(given):
                session.load(index, data)
            session.run(0, 1)
            assert [session.output(k) for k in range(len(expected))] == expected, model.name


def test_every_model_is_bit_exact_and_its_arena_what_tflite_micro_says(with_tflm: Path, shared: Path) -> None:
    for model in int8_models(shared):
        given, expected = given_and_expected(model, 4)
        with PosixDevice(with_tflm, model) as device, device.session() as session:
            assert "selftest" not in session.identify().capabilities
            info = session.select(device.address)
            for index, data in enumerate(given):
                session.load(index, data)
            run = session.run(1, 3, profile=True)
            assert [session.output(k) for k in range(len(info.outputs))] == expected, model.name
            layers, memory = session.layers(), session.memory()
            labels = [operator.label for operator in model.subgraphs[0].operators]
            said = subprocess.run(
                [with_tflm / "tests/arena_in_process", device.flash_file(), str(variables_of(model))],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        assert layers is not None
        assert [label for label, _ in layers] == labels
        assert sum(ticks for _, ticks in layers) == pytest.approx(run.samples[-1], rel=0.05)
        assert memory is not None
        assert memory.arena_used == int(said)
        assert memory.arena_used == (memory.arena_head or 0) + (memory.arena_tail or 0)


def looping() -> bytes:
    """Return a model of three operators, the second of which goes on while a count is below 1000.

    Its input is the count, and what it is raised by with each round.
    """
    builder = Builder(description="looping")
    main, test, body = (builder.subgraph(name) for name in ("main", "test", "body"))

    def two(graph: Subgraph, names: str) -> list[int]:
        return [graph.tensor(name, (1,), "int32") for name in names.split()]

    main.inputs = two(main, "count step")
    main.outputs = [main.tensor("result", (1,), "int32")]
    begun, (looped, left) = main.tensor("begun", (1,), "int32"), two(main, "looped left")
    zero = main.constant("zero", np.zeros(1, np.int32))
    main.operator("ADD", [main.inputs[0], zero], [begun], fused_activation="NONE")
    main.operator(
        "WHILE", [begun, main.inputs[1]], [looped, left], cond_subgraph_index=1, body_subgraph_index=2
    )
    main.operator("ADD", [looped, left], main.outputs, fused_activation="NONE")

    test.inputs = two(test, "count step")
    test.outputs = [test.tensor("below", (1,), "bool")]
    test.operator("LESS", [test.inputs[0], test.constant("most", np.full(1, 1000, np.int32))], test.outputs)

    body.inputs, body.outputs = two(body, "count step"), two(body, "raised kept")
    none = body.constant("none", np.zeros(1, np.int32))
    body.operator("ADD", body.inputs, [body.outputs[0]], fused_activation="NONE")
    body.operator("ADD", [body.inputs[1], none], [body.outputs[1]], fused_activation="NONE")
    return builder.finish()


def numbers(*values: int) -> list[bytes]:
    return [struct.pack("<i", value) for value in values]


def test_an_endless_loop_of_a_model_is_told_of_and_ended_by_abort(with_tflm: Path) -> None:
    with PosixDevice(with_tflm, tflite.parse(looping(), "looping")) as device:
        host = RawHost(device.port())
        boot = host.greet().boot
        session = BenchSession(host.port, Patience(invoke_s=1.0))
        session.select(device.address)
        for index, data in enumerate(numbers(0, 0)):
            session.load(index, data)
        with pytest.raises(RunInterrupted, match="an invoke has not ended after 1 s"):
            session.run(0, 1)
        for index, data in enumerate(numbers(3, 7)):
            session.load(index, data)
        assert session.run(1, 1, profile=True).complete
        assert session.output(0) == numbers(1004 + 7)[0]
        assert [label for label, _ in session.layers() or ()] == ["ADD", "WHILE", "ADD"]
        for index, data in enumerate(numbers(0, 0)):
            session.load(index, data)
        assert host.greet(session=3).boot == boot
        host.ask(m.StartRun(1, 0, 0, 1, 0), m.Running)
        told = [in_an_invoke(host)]
        while told[-1].operators == 0:
            told.append(host.ask(m.GetRun(), m.RunStatus))
        told.append(host.ask(m.GetRun(), m.RunStatus))
        assert (told[-1].operator, told[-1].operators) == (1, 3)
        assert told[-1].busy > told[0].busy
        aborts(host)


def test_the_firmware_names_its_operators_and_refuses_others_by_name(with_tflm: Path, shared: Path) -> None:
    model = tflite.read(shared / "models/person_detect_vela.tflite")
    with PosixDevice(with_tflm, model) as device, device.session() as session:
        operators = session.identify().operators
        assert operators
        assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "SOFTMAX"} <= set(operators)
        with pytest.raises(DeviceRefused, match="no kernel for ethos-u"):
            session.select(device.address)


class DamagedDevice(PosixDevice):
    """A device with a file in flash that no reader of models takes."""

    def __init__(self, build: Path, cells: bytes) -> None:
        self._cells = cells
        super().__init__(build, tflite.parse(selftest.two_inputs(), "any"))

    def flash_file(self) -> Path:
        path = super().flash_file()
        path.write_bytes(self._cells)
        return path


def broken(damage: str) -> bytes:
    """Return a model file that has its parts in order, but speaks of things that are not in it."""
    builder = Builder(description=damage)
    main = builder.subgraph("main")
    scale = Scale(0.5, 0)
    x, y = main.input("x", (1, 4), "int8", scale), main.output("y", (1, 4), "int8", scale)
    constant = main.constant("weights", np.zeros((1, 4), np.int8), scale)
    given, made, shape = x, y, (1, 4)
    match damage:
        case "an operator's input":
            given = 1_000_000
        case "an operator's output":
            made = -1
        case "an input of the graph":
            main.inputs[0] = 99
        case "an output of the graph":
            main.outputs[0] = -1
        case "a negative dimension":
            shape = (1, -4)
        case "more elements than memory":
            shape = (1 << 16, 1 << 16)
        case "a constant as input":
            main.inputs[0] = constant
    extra = main.tensor("extra", shape, "int8", scale)
    main.operator("RELU", [given], [made])
    main.operator("RELU", [extra if damage == "a negative dimension" else given], [extra])
    return builder.finish()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("nothing", ""),
        ("an operator's input", "refers to what is not in it"),
        ("an operator's output", "refers to what is not in it"),
        ("an input of the graph", "refers to what is not in it"),
        ("an output of the graph", "refers to what is not in it"),
        ("a negative dimension", "refers to what is not in it"),
        ("more elements than memory", "refers to what is not in it"),
        ("a constant as input", "an input that is a constant"),
    ],
)
def test_a_model_that_speaks_of_what_it_has_not_is_refused(with_tflm: Path, damage: str, reason: str) -> None:
    with DamagedDevice(with_tflm, broken(damage)) as device, device.session() as session:
        if not reason:
            session.select(device.address)
            session.run(0, 1)
            return
        with pytest.raises(DeviceRefused, match=reason):
            session.select(device.address)


def test_a_model_that_is_cut_short_is_refused_or_taken_but_not_read_beyond(with_tflm: Path) -> None:
    """Cut at every place where a table or number may begin; what follows is erased flash."""
    block = 4096
    whole = broken("nothing")
    cells = b"".join(whole[:end].ljust(block, b"\xff") for end in range(8, len(whole), 4))
    refused = set()
    with DamagedDevice(with_tflm, cells) as device:
        host = RawHost(device.port())
        host.greet()
        for at in range(0, len(cells), block):
            host.number += 1
            host.say(m.Select(device.address + at), host.number)
            _, answer = host.hear(m.Message)  # type: ignore[type-abstract]
            if isinstance(answer, m.Refusal):
                refused.add(m.ErrorCode(answer.code))
    assert m.ErrorCode.MODEL_INVALID in refused


def test_clang_tidy_finds_nothing_in_the_engine(with_tflm: Path) -> None:
    require("clang-tidy")
    done = subprocess.run(
        ["clang-tidy", "--quiet", "-p", with_tflm, FIRMWARE / "engine_tflm/engine_tflm.cc"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
