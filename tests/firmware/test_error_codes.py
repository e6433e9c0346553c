"""Every error code and every transfer status of the protocol, from the C firmware on every build of it."""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path

import pytest

from harness.models import tflite
from harness.models.build import Builder
from harness.wire import messages as m
from tests.firmware import selftest
from tests.firmware.builds import require
from tests.firmware.devices import CoreDevice, Device, PosixDevice, QemuDevice
from tests.firmware.raw import RawHost
from tests.firmware.test_conformance import LONG, filled

pytestmark = pytest.mark.interop

BLOCK = 4096


def custom() -> bytes:
    builder = Builder(description="custom")
    main = builder.subgraph("main")
    x, y = main.input("x", (1, 4), "int8"), main.output("y", (1, 4), "int8")
    main.custom("ethos-u", [x], [y])
    return builder.finish()


FLASH = [
    selftest.two_inputs(),
    b"\x08\0\0\0TFL3" + bytes(8),
    custom(),
    selftest.model(((1, 1024, 1024, 16), "int8")),
    selftest.model(*[((1, 4), "int8")] * 8),
]
"""Files in flash, each with a block of its own: the sound one, and four that are refused."""


@pytest.fixture(params=["core", "posix", "qemu"])
def holding_all(request: pytest.FixtureRequest, two_inputs: tflite.Model) -> Device:
    assert all(len(file) <= BLOCK for file in FLASH)
    held = dataclasses.replace(two_inputs, data=b"".join(file.ljust(BLOCK, b"\xff") for file in FLASH))
    if request.param == "qemu":
        require("qemu-system-arm")
        return QemuDevice(request.getfixturevalue("cortex_m55"), held)
    checked: Path = request.getfixturevalue("checked")
    return CoreDevice(checked, held) if request.param == "core" else PosixDevice(checked, held)


def test_every_error_code_is_reached(holding_all: Device) -> None:
    with holding_all as device:
        host = RawHost(device.port())
        seen = set()
        host.say(m.Identify(), 1)
        seen.add(host.hear(m.Refusal)[1].code)
        host.greet()
        seen.add(host.refused(m.StartRun(1, 0, 0, 1, 0)))
        seen |= {host.refused(m.Select(device.address + BLOCK * place)) for place in range(1, len(FLASH))}
        host.ask(m.Select(device.address), m.Selected)
        seen.add(host.refused(m.GetTensor(0, 99)))
        seen.add(host.refused(m.GetOutput(0, 0, 0, 1)))
        seen.add(host.refused(m.GetOperators(0)))
        host.say(m.Identify(), host.number + 2)
        seen.add(host.hear(m.Refusal)[1].code)
        for body in (m.HEADER.pack(0xBE, 0x1F, host.number + 1, host.session), None):
            host.number += 1
            host.say_body(body or m.HEADER.pack(0xBE, m.Identify.TYPE, host.number, host.session) + b"!")
            seen.add(host.hear(m.Refusal)[1].code)
        host.ask(m.StartRun(1, 0, LONG, 1, 0), m.Running)
        seen.add(host.refused(m.Select(device.address)))
        host.ask(m.Abort(), m.Aborted)
        host.hear(m.Samples)
        filled(host, selftest.asking_to("f"))
        host.ask(m.StartRun(2, 0, 0, 1, 0), m.Running)
        assert host.hear(m.Samples)[1].state == m.RunState.FAILED
        seen.add(host.ask(m.GetRun(), m.RunStatus).error)
        assert seen == set(m.ErrorCode)


def test_every_transfer_status_is_reached(holding_all: Device) -> None:
    data = bytes(range(32))
    crc = zlib.crc32(data)
    with holding_all as device:
        host = RawHost(device.port())
        host.greet()
        host.ask(m.Select(device.address), m.Selected)
        number = 0

        def told(message: m.Message) -> int:
            nonlocal number
            number += 1
            host.say(message, number)
            return host.hear(m.Ack)[1].status

        seen = [
            told(m.Probe()),
            told(m.Open(1, m.REPLACE, 9, 0, 0, 32, 32, crc)),
            told(m.Open(2, m.REPLACE, 0, 0, 0, 0, 32, crc)),
            told(m.Open(3, m.REPLACE, 0, 0, 0, 32, 32, crc)),
            told(m.Data(3, 0, 0, data)),
            told(m.Open(4, 0, 0, 0, 0, 32, 32, crc ^ 1)),
            told(m.Data(4, 0, 0, data)),
        ]
        host.ask(m.StartRun(1, 0, LONG, 1, 0), m.Running)
        seen.append(told(m.Open(5, m.REPLACE, 0, 0, 0, 32, 32, crc)))
        assert set(seen) == set(m.TransferStatus)
