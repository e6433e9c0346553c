"""A device that names another board than the one asked for is refused, whatever it speaks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import harness
from harness import boards
from harness.emulator.engine import DeviceInfo, Engine
from harness.emulator.firmware import Firmware
from harness.emulator.process import BoardProcess
from harness.emulator.sscma_firmware import FirstGeneration
from harness.emulator.sscma_firmware_2 import SecondGeneration
from harness.emulator.stock_firmware import SscmaFirmware
from harness.runner.greet import Greeted, greet
from harness.runner.reach import Reach
from harness.wire.patience import Patience
from tests.wire.serving import toy_board
from tests.wire.toy import INFO, ToyEngine

SMALL = "cifar10_mbv2_035_32_int8"


def named(name: str, firmware: Callable[..., Firmware]) -> Callable[[int], Firmware]:
    """Return the boot of a firmware whose board has this name."""
    info: DeviceInfo = replace(INFO, board=name)
    engine: Engine = ToyEngine(time.monotonic)
    return lambda boots: firmware(info, engine, boot=boots)


class ReferenceDevice(Firmware):
    """Answers `name` and `profile` as mlcommons/tiny's internally_implemented.cpp does."""

    busy = False
    buffered = 0

    def receive(self, data: bytes) -> None:
        answers = {
            b"name": b"m-name-dut-[unspecified]",
            b"profile": b"m-profile-[ULPMark for tinyML Firmware V0.0.1]",
            b"timestamp": b"m-lap-us-1000",
        }
        for command in re.findall(rb"(\w+)%", data):
            self._out += answers.get(command, b"e-[Unknown command]") + b"\r\nm-ready\r\n"

    def step(self) -> None:
        pass


@pytest.mark.parametrize("protocol", ["bench", "mlperf-tiny", "sscma"])
def test_another_board_than_the_one_asked_for_is_refused_with_both_names(
    tmp_path: Path, protocol: str
) -> None:
    with BoardProcess("sensecap_a1101", ["--firmware", protocol, "--model", SMALL]) as board:
        result = harness.bench(
            SMALL, "xiao_esp32s3", port=board.url, protocol=protocol, invokes=1, out=tmp_path
        )
    assert not result.records
    [failure] = result.failures
    assert failure.message == (
        f"the board at {board.url} calls itself 'sensecap_a1101', and xiao_esp32s3 was asked for: "
        "bench it with --board sensecap_a1101, or name another port with --port"
    )


@pytest.mark.parametrize("generation", [FirstGeneration, SecondGeneration])
def test_the_name_that_the_stock_firmware_gives_a_board_is_known(
    tmp_path: Path, generation: type[SscmaFirmware]
) -> None:
    # MA_BOARD_NAME of the Grove Vision AI V2, which 1.0.x and 2.0.0 both answer to AT+NAME?
    with toy_board(boot=named("Grove Vision AI V2", generation)) as board:
        result = harness.bench(
            SMALL, "xiao_esp32s3", port=board.url, protocol="sscma", invokes=1, out=tmp_path
        )
    [failure] = result.failures
    assert "calls itself 'Grove Vision AI V2', and xiao_esp32s3 was asked for" in failure.message
    assert "--board grove_vision_ai_we2" in failure.message


def test_a_name_that_nobody_knows_is_refused_and_a_profile_can_have_it(tmp_path: Path) -> None:
    # PORT_DEVICE_NAME of another board of the same vendor.
    with toy_board(boot=named("SenseCAP Watcher", FirstGeneration)) as board:
        result = harness.bench(
            SMALL, "grove_vision_ai_we2", port=board.url, protocol="sscma", invokes=1, out=tmp_path
        )
    [failure] = result.failures
    assert "calls itself 'SenseCAP Watcher', and grove_vision_ai_we2 was asked for" in failure.message
    assert "give a profile of your own that name (calls_itself)" in failure.message


def test_a_word_of_an_mlperf_device_that_is_no_board_is_let_pass() -> None:
    # TH_VENDOR_NAME_STRING of MLPerf Tiny's reference submissions, which name a vendor and no board.
    with toy_board(boot=lambda boots: ReferenceDevice()) as board:
        reached = Reach(boards.load("xiao_esp32s3"), board.url, board.url)
        greeted = greet(reached, "mlperf-tiny", Patience())
        assert isinstance(greeted, Greeted), greeted
        with greeted.session:
            assert greeted.identity.board == "unspecified"


@pytest.mark.parametrize(
    ("board", "name"),
    [
        ("xiao_esp32s3", "Seeed Studio XIAO (ESP32-S3)"),
        ("xiao_esp32s3", "XIAO ESP32S3 Sense"),
        ("grove_vision_ai_we2", "Grove Vision AI V2"),
        ("grove_vision_ai", "Grove Vision AI (WE1)"),
        ("sensecap_a1101", "Grove Vision AI (WE1)"),
        ("grove_vision_ai_we2", "we2"),
        ("xiao_esp32c3", "xiao_esp32c3"),
    ],
)
def test_a_profile_knows_its_board_by_the_vendor_s_names(board: str, name: str) -> None:
    assert boards.load(board).is_called(name)
    assert not boards.load("raspberry_pi_pico").is_called(name)
