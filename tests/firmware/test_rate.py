"""How much of the line's speed is left for tensors."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from harness.models import tflite
from harness.wire.bench_client import BenchSession
from harness.wire.port import Port, SerialPort
from tests.firmware import selftest
from tests.firmware.builds import build
from tests.firmware.devices import CoreDevice, PosixDevice, PythonDevice, SimulatedDevice
from tests.firmware.relay import Relay

pytestmark = pytest.mark.interop

BAUD = 921600
LEAST_SHARE = 0.97
IMAGE_BYTES = 96 * 96 * 3


@pytest.fixture(scope="module")
def image_model() -> tflite.Model:
    return tflite.parse(selftest.model(((1, 96, 96, 3), "int8")), "image")


def share_of_line(port: Port, address: int, count: int) -> float:
    """Load tensors one behind the other; return which part of the line's bytes were theirs."""
    session = BenchSession(port)
    session.select(address)
    images = [random.Random(i).randbytes(IMAGE_BYTES) for i in range(count)]
    began = port.now()
    session.load_all([(0, image) for image in images])
    return count * IMAGE_BYTES / ((port.now() - began) * BAUD / 10)


@pytest.mark.parametrize("kind", ["python", "core"])
def test_tensors_get_97_percent_of_a_line_in_virtual_time(
    kind: str, checked: Path, image_model: tflite.Model
) -> None:
    device: SimulatedDevice
    device = PythonDevice(image_model) if kind == "python" else CoreDevice(checked, image_model)
    with device:
        share = share_of_line(device.port(baud=BAUD), device.address, 8)
    assert share >= LEAST_SHARE, f"{share:.2%} of {BAUD} baud"


def test_tensors_arrive_exact_through_a_line_in_real_time(checked: Path, image_model: tflite.Model) -> None:
    image = random.Random(0).randbytes(IMAGE_BYTES)
    with (
        PosixDevice(checked, image_model) as device,
        Relay(device.url, baud=BAUD, latency_s=0.005, faults="flip=1/10000,seed=3") as relay,
        BenchSession(SerialPort(relay.url)) as session,
    ):
        session.select(device.address)
        session.load(0, image)
        session.run(0, 1)
        assert [session.output(0)] == device.expected(image)


@pytest.mark.soak
def test_tensors_get_97_percent_of_a_line_in_real_time(
    tmp_path_factory: pytest.TempPathFactory, image_model: tflite.Model, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        PosixDevice(build("host", tmp_path_factory), image_model) as device,
        Relay(device.url, baud=BAUD, latency_s=0.005) as relay,
    ):
        port = SerialPort(relay.url)
        try:
            share = share_of_line(port, device.address, 40)
        finally:
            port.close()
    with capsys.disabled():
        print(f"\nposix build behind a line of {BAUD} baud: {share:.2%} of it for tensors")
    assert share >= LEAST_SHARE
