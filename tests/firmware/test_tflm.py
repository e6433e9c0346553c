"""The firmware with TFLite-Micro, where a user's library is given by TFLM_INCLUDE and TFLM_LIBRARY."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest

from harness.models import ethosu, reference, tflite
from harness.models.build import Builder, Scale
from harness.wire.session import DeviceRefused
from tests.firmware import selftest
from tests.firmware.builds import FIRMWARE, build, require
from tests.firmware.devices import PosixDevice, QemuDevice

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
    models = [tflite.read(path) for path in sorted((shared / "models").glob("*.tflite"))]
    return [model for model in models if not ethosu.is_compiled(model)]


def given_and_expected(model: tflite.Model) -> tuple[list[bytes], list[bytes]]:
    """Return random inputs of a model, and what the desktop runtime makes of them."""
    graph = model.subgraphs[0]
    rng = random.Random(model.name)
    given = [rng.randbytes(graph.tensors[i].bytes) for i in graph.inputs]
    arrays = [
        np.frombuffer(data, graph.tensors[i].type).reshape(graph.tensors[i].shape)
        for data, i in zip(given, graph.inputs, strict=True)
    ]
    with reference.start(model.data, arrays) as ran:
        return given, [array.tobytes() for array in ran.result()]


def test_every_model_is_bit_exact_on_a_cortex_m55(on_cortex_m55: Path, shared: Path) -> None:
    for model in int8_models(shared):
        given, expected = given_and_expected(model)
        with QemuDevice(on_cortex_m55, model) as device, device.session() as session:
            session.select(device.address)
            for index, data in enumerate(given):
                session.load(index, data)
            session.run(0, 1)
            assert [session.output(k) for k in range(len(expected))] == expected, model.name


def test_every_model_is_bit_exact_and_its_arena_what_tflite_micro_says(with_tflm: Path, shared: Path) -> None:
    for model in int8_models(shared):
        given, expected = given_and_expected(model)
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
                [with_tflm / "tests/arena_in_process", device.flash_file()],
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


def test_clang_tidy_finds_nothing_in_the_engine(with_tflm: Path) -> None:
    require("clang-tidy")
    done = subprocess.run(
        ["clang-tidy", "--quiet", "-p", with_tflm, FIRMWARE / "engine_tflm/engine_tflm.cc"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
