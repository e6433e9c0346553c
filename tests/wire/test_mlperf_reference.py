"""The client with MLPerf Tiny's reference device at the other end, over a pseudo-terminal."""

from __future__ import annotations

import contextlib
import random
import termios
from collections.abc import Iterator

import pytest

from harness.errors import BoardError, HarnessError
from harness.wire.patience import Patience
from harness.wire.port import SerialPort
from harness.wire.protocol import connect
from harness.wire.session import NoAnswer, Session, TensorInfo
from tests.wire.mlperf_reference_device import ReferenceDevice, on_a_terminal

SIZES = {"vww01": 27648, "ic01": 3072, "kws01": 490, "ad01": 640}
PATIENCE = Patience(first_sign_s=1.5)
AD01 = TensorInfo("input", "int8", (1, 640), 640, 0.390625, 89)


def first_two(tensor: bytes) -> list[int]:
    return [byte - 256 if byte > 127 else byte for byte in tensor[:2]]


def whole(tensor: bytes) -> list[int]:
    return [byte - 256 if byte > 127 else byte for byte in tensor]


@contextlib.contextmanager
def session_with(device: ReferenceDevice) -> Iterator[Session]:
    with on_a_terminal(device) as url, connect("mlperf-tiny", SerialPort(url, 115200), PATIENCE) as session:
        yield session


@pytest.mark.parametrize("name", SIZES)
def test_the_device_runs_on_the_tensor_that_was_loaded(name: str) -> None:
    size = SIZES[name]
    model, quantisation = (
        (whole, (AD01.scale, AD01.zero_point)) if name == "ad01" else (first_two, (1.0, -128))
    )
    device = ReferenceDevice(name, size, model, quantisation=quantisation)
    tensor = random.Random(name).randbytes(size)
    with session_with(device) as session:
        identity = session.identify()
        assert (identity.board, identity.firmware_name) == ("unspecified", "MLPerf Tiny")
        assert [model.name for model in session.models()] == [name]
        session.told([AD01])
        session.load(0, tensor)
        assert session.run(1, 10).complete
        assert device.tensor == tensor
        if name == "ad01":
            assert session.printed() is None
            assert (
                "one value, the reconstruction error (0.0): its output cannot be compared"
                in session.withheld()
            )
        else:
            assert session.printed() == [value + 128.0 for value in first_two(tensor)]


def test_nothing_but_text_is_sent_to_it() -> None:
    device = ReferenceDevice("kws01", 490, first_two)
    with session_with(device) as session:
        session.identify()
        session.load(0, bytes(490))
    assert all(command.isascii() and b"\0" not in command for command in device.commands)
    assert not session.incidents


def test_a_name_with_a_dash_is_understood() -> None:
    device = ReferenceDevice("kws01", 490, first_two, name="nucleo-l4r5zi", device="my-dut")
    with session_with(device) as session:
        assert session.identify().board == "nucleo-l4r5zi"


def test_an_input_of_another_models_length_is_not_sent() -> None:
    device = ReferenceDevice("kws01", 490, first_two)
    with (
        session_with(device) as session,
        pytest.raises(
            HarnessError, match="has a model for kws01, whose input has 490 bytes, and this one has 27648"
        ),
    ):
        session.load(0, bytes(27648))
    assert not any(command.startswith(b"db") for command in device.commands)


def test_what_the_device_says_of_its_buffer_is_passed_on() -> None:
    # Neither is one of MLPerf Tiny's four, so that nothing is known of their inputs.
    with (
        session_with(ReferenceDevice("mine", 40000, first_two)) as session,
        pytest.raises(BoardError, match="refused 'db': Supplied buffer size 40000 exceeds maximum of 27648"),
    ):
        session.load(0, bytes(40000))
    with session_with(ReferenceDevice("mine", 500, first_two)) as session:
        session.load(0, bytes(490))
        with pytest.raises(
            BoardError, match="Input db has 490 elemented, expected 500; it did not run on what"
        ):
            session.run(0, 1)


def test_a_run_without_an_input_is_one_and_what_the_device_says_of_it_is_kept() -> None:
    with session_with(ReferenceDevice("kws01", 490, first_two)) as session:
        assert session.run(0, 1).complete
        [said] = session.incidents
        assert "Input db has 0 elemented, expected 490" in said.text


def test_the_devices_own_speed_is_tried_if_nothing_answers_at_the_profiles() -> None:
    device = ReferenceDevice("kws01", 490, first_two)
    with (
        on_a_terminal(device) as url,
        connect("mlperf-tiny", SerialPort(url, 921600), PATIENCE) as session,
    ):
        session.load(0, bytes(490))
        assert session.run(0, 1).complete
        [said] = session.incidents
        assert said.text == f"{url} answers at 115200 Bd, not at 921600 Bd"
    with (
        on_a_terminal(device, termios.B9600) as url,
        pytest.raises(NoAnswer, match=r"it sent nothing.*; tried at 921600 and at 115200 Bd"),
    ):
        connect("mlperf-tiny", SerialPort(url, 921600), PATIENCE)
