"""Figures that the C core makes itself: numbers in text, the depth of a stack."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import pytest

from harness.models import tflite
from harness.models.build import Scale
from harness.wire import messages as m
from tests.firmware import selftest
from tests.firmware.devices import CoreDevice, PosixDevice
from tests.firmware.raw import RawHost
from tests.firmware.test_conformance import filled, text

pytestmark = pytest.mark.interop

LARGEST_EXACT = 2.0**63
"""Above, the core shows what 64 bits hold."""

TYPES = {"float32": "<f4", "int32": "<i4", "uint8": "u1", "int16": "<i2", "int8": "i1"}


def started(device: CoreDevice) -> RawHost:
    """Return a host that has heard the device's boot text."""
    host = RawHost(device.port(baud=None))
    assert text(host, b"") == b"m-init-done\r\nm-ready\r\n"
    return host


def shown(value: float) -> str:
    return f"{value:0.3f}"


@pytest.mark.parametrize(
    ("kind", "scale", "zero_point"),
    [
        ("float32", None, 0),
        ("int32", 1.5e-9, 7),
        ("int32", 1e-16, 0),
        ("int32", 3.0, -3),
        ("int32", None, 0),
        ("uint8", 0.0078125, 128),
        ("uint8", 0.0005, 3),
        ("int16", 3.0517578125e-05, 0),
        ("int8", 0.003921569, -128),
        ("int8", -0.25, 0),
    ],
)
def test_outputs_in_text_are_rounded_as_printf_rounds_them(
    checked: Path, kind: str, scale: float | None, zero_point: int
) -> None:
    quantization = Scale(scale, zero_point) if scale is not None else None
    cells = selftest.model(((1, 8), "int8"), output=400, kind=kind, scale=quantization)
    with CoreDevice(checked, tflite.parse(cells, kind)) as device:
        host = RawHost(device.port(baud=None))
        host.greet()
        host.ask(m.Select(device.address), m.Selected)
        for seed in range(5):
            given = bytes([seed]) * 8
            host.greet(session=100 + seed)
            filled(host, given)
            answer = text(host, b"infer 1 0%").decode()
            values = answer.split("m-results-[")[1].split("]")[0].split(",")
            numbers = np.frombuffer(device.expected(given)[0], TYPES[kind])
            factor = struct.unpack("<f", struct.pack("<f", scale or 1.0))[0]
            exact = [(float(n) - zero_point) * factor if scale else float(n) for n in numbers]
            assert len(values) == len(exact)
            for said, value in zip(values, exact, strict=True):
                if not math.isfinite(value) or abs(value) < LARGEST_EXACT:
                    assert said == shown(value)
                else:
                    assert said in (shown(value), f"{'-' if value < 0 else ''}18446744073709551615.000")


def test_an_output_of_a_type_without_a_text_form_shows_no_values(checked: Path) -> None:
    cells = selftest.model(((1, 8), "int8"), output=3, kind="bool", scale=None)
    with CoreDevice(checked, tflite.parse(cells, "bool")) as device:
        host = started(device)
        assert b"m-results-[]\r\n" in text(host, b"infer 1 0%")


def load(host: RawHost, data: bytes, size: int) -> bytes:
    """Ask for `size` bytes of input and send `data`, all that is too much in the last command."""
    text(host, b"db load %d%%" % size)
    for at in range(0, size - 16, 16):
        text(host, b"db " + data[at : at + 16].hex().encode() + b"%")
    return text(host, b"db " + data[size - 16 :].hex().encode() + b"%")


def test_the_first_model_in_flash_is_taken_where_none_was_selected(
    checked: Path, two_inputs: tflite.Model
) -> None:
    with CoreDevice(checked, two_inputs) as device:
        host = started(device)
        size = device.input_bytes[0]
        assert text(host, b"db load %d%%" % size) == b"m-[Expecting %d bytes]\r\nm-ready\r\n" % size
        host.greet()
        assert host.ask(m.GetTensor(0, 0), m.TensorDescription).size == size


def test_digits_beyond_the_input_are_dropped(checked: Path, two_inputs: tflite.Model) -> None:
    with CoreDevice(checked, two_inputs) as device:
        host = started(device)
        size = device.input_bytes[0]
        assert load(host, b"\x5a" * (size + 3), size) == b"m-load-done\r\nm-ready\r\n"
        assert text(host, b"db 010203%") == b"m-ready\r\n"
        printed = text(host, b"db print%").split(b"\r\n")
        assert printed == [b"m-buffer" + b"-5a" * 8] * (size // 8) + [b"m-ready", b""]


def test_text_commands_wait_for_a_run(checked: Path, two_inputs: tflite.Model) -> None:
    with CoreDevice(checked, two_inputs) as device:
        host = RawHost(device.port(baud=None))
        host.greet()
        host.ask(m.Select(device.address), m.Selected)
        host.ask(m.StartRun(1, 0, 1 << 20, 1, 0), m.Running)
        for command in (b"infer%", b"db load 4%", b"results%"):
            assert text(host, command) == b"e-[a run is under way]\r\nm-ready\r\n"
        assert text(host, b"name%") == b"m-name-dut-[simulated]\r\nm-ready\r\n"


def test_a_frame_ends_inferences_that_would_take_for_ever(checked: Path, two_inputs: tflite.Model) -> None:
    with PosixDevice(checked, two_inputs, "--watchdog", "5") as device:
        host = RawHost(device.port())
        text(host, b"name%")
        for command in (b"infer 4294967295 0%", b"infer 1 4294967295%"):
            host.port.write(command)
            host.port.pause(0.1)
            host.port.write(b"results%")  # no frame: not looked at
            host.hear_nothing()
            host.port.write(b"\0")
            assert text(host, b"").endswith(b"e-[interrupted]\r\nm-ready\r\n")
            host.port.write(command)
            host.port.pause(0.1)
            assert host.greet().version == m.VERSION


def test_what_is_said_in_text_keeps_the_watchdog_quiet(checked: Path, two_inputs: tflite.Model) -> None:
    """A megabyte in hex takes 35 s on a line of 921600 baud."""
    with CoreDevice(checked, two_inputs) as device:
        host = started(device)
        size = device.input_bytes[0]
        text(host, b"db load %d%%" % size)
        before = device.process.alive
        text(host, b"db print%")
        assert device.process.alive >= before + size


def test_a_failed_inference_is_an_error_in_text(checked: Path, two_inputs: tflite.Model) -> None:
    with CoreDevice(checked, two_inputs) as device:
        host = started(device)
        size = device.input_bytes[0]
        load(host, selftest.asking_to("f").ljust(size, b"\0"), size)
        for command in (b"infer 1 0%", b"infer 1 1%"):
            error = b"e-[the input asked the selftest engine to fail]\r\nm-ready\r\n"
            assert text(host, command).endswith(error)


def test_the_depth_of_a_stack_is_told(checked: Path, two_inputs: tflite.Model) -> None:
    with CoreDevice(checked, two_inputs) as device:
        host = RawHost(device.port(baud=None))
        host.greet()
        figures = host.ask(m.GetMemory(), m.MemoryFigures)
        assert figures.stack_high_water == 44 * 4
        assert (figures.arena_used, figures.arena_size) == (m.NOT_REPORTED, 1 << 20)
