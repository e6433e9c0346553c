"""Builds and devices that the tests of the firmware share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.models import tflite
from tests.firmware import selftest
from tests.firmware.builds import build, require
from tests.firmware.devices import (
    CoreDevice,
    Device,
    EmulatedDevice,
    PosixDevice,
    PythonDevice,
    QemuDevice,
)


@pytest.fixture(scope="session")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The host build with sanitizers and coverage, and the simulated device."""
    if "BENCH_CHECKED_BUILD" in os.environ:  # what test_coverage.py looks at afterwards
        return Path(os.environ["BENCH_CHECKED_BUILD"])
    require("gcc")
    return build("host-checked", tmp_path_factory)


@pytest.fixture(scope="session")
def cortex_m55(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build for QEMU's mps3-an547."""
    require("arm-none-eabi-gcc")
    return build("mps3_an547", tmp_path_factory)


@pytest.fixture(scope="session")
def two_inputs(tmp_path_factory: pytest.TempPathFactory) -> tflite.Model:
    """A model file with an image and five numbers as inputs, and one output of 32 bytes."""
    path = tmp_path_factory.mktemp("models") / "two_inputs.tflite"
    path.write_bytes(selftest.two_inputs())
    return tflite.read(path)


@pytest.fixture(scope="session")
def emulated() -> Iterator[EmulatedDevice]:
    """One virtual board for all tests of it: it takes its time to start."""
    with EmulatedDevice() as device:
        yield device


@pytest.fixture(scope="session")
def in_qemu(cortex_m55: Path, two_inputs: tflite.Model) -> Iterator[QemuDevice]:
    """One Cortex-M55 in QEMU for all tests of it."""
    require("qemu-system-arm")
    with QemuDevice(cortex_m55, two_inputs) as device:
        yield device


@pytest.fixture(params=["python", "core", "emulate", "posix", "qemu"])
def device(request: pytest.FixtureRequest, two_inputs: tflite.Model) -> Iterator[Device]:
    """Every implementation of the device's side, freshly started or reset.

    python: the virtual board's firmware, core: the C core, both in virtual time on a virtual line;
    emulate, posix, qemu: processes behind ports of the operating system.
    """
    if request.param in ("emulate", "qemu"):
        shared: EmulatedDevice | QemuDevice = request.getfixturevalue(
            "emulated" if request.param == "emulate" else "in_qemu"
        )
        shared.restart()
        yield shared
        shared.close_ports()
        return
    made: Device
    if request.param == "python":
        made = PythonDevice(two_inputs)
    elif request.param == "core":
        made = CoreDevice(request.getfixturevalue("checked"), two_inputs)
    else:
        made = PosixDevice(request.getfixturevalue("checked"), two_inputs)
    with made:
        yield made
