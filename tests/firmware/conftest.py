"""Builds and devices that the tests of the firmware share."""

from __future__ import annotations

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
    require("gcc")
    return build("host-checked", tmp_path_factory.mktemp("host-checked"))


@pytest.fixture(scope="session")
def cortex_m55(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build for QEMU's mps3-an547."""
    require("arm-none-eabi-gcc")
    return build("mps3_an547", tmp_path_factory.mktemp("mps3_an547"))


@pytest.fixture(scope="session")
def two_inputs(tmp_path_factory: pytest.TempPathFactory) -> tflite.Model:
    """A model file with an image and five numbers as inputs, and one output of 32 bytes."""
    path = tmp_path_factory.mktemp("models") / "two_inputs.tflite"
    path.write_bytes(selftest.two_inputs())
    return tflite.read(path)


DEVICES = ["python", "core", "emulate", "posix", "qemu"]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest, two_inputs: tflite.Model) -> Iterator[Device]:
    """Every implementation of the device's side, freshly started.

    python: the virtual board's firmware, core: the C core, both in virtual time on a virtual line;
    emulate, posix, qemu: processes behind ports of the operating system.
    """
    kind = request.param
    made: Device
    if kind == "python":
        made = PythonDevice(two_inputs)
    elif kind == "core":
        made = CoreDevice(request.getfixturevalue("checked"), two_inputs)
    elif kind == "emulate":
        made = EmulatedDevice()
    elif kind == "posix":
        made = PosixDevice(request.getfixturevalue("checked"), two_inputs)
    else:
        require("qemu-system-arm")
        made = QemuDevice(request.getfixturevalue("cortex_m55"), two_inputs)
    with made:
        yield made
