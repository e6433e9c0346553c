"""Ports behind the real ser2net, which labgrid's exporter starts, too: on a port that has no DTR and RTS."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

import harness
from harness.emulator.process import BoardProcess
from harness.runner.api import flash_board
from harness.wire.port import PortError, TelnetPort, open_port
from tests.wire.ser2net import ser2net, terminal

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("ser2net") is None, reason="needs ser2net"),
]
RFC2217 = "telnet(rfc2217,mode=server),tcp"
MODEL = "cifar10_mbv2_035_32_int8"
EVERY_BYTE = bytes(range(256)) * 4


def received(port: object, count: int) -> bytes:
    got = b""
    patience = time.monotonic() + 30.0
    while len(got) < count and time.monotonic() < patience:
        got += port.read(65536, 1.0)  # type: ignore[attr-defined]
    return got


def test_every_byte_passes_over_rfc2217_and_over_a_plain_socket(tmp_path: Path) -> None:
    for scheme, accepter in (("rfc2217", RFC2217), ("socket", "tcp")):
        with (
            terminal() as device,
            ser2net(tmp_path, accepter, device) as place,
            open_port(f"{scheme}://{place}") as port,
        ):
            port.write(EVERY_BYTE)
            assert received(port, len(EVERY_BYTE)) == EVERY_BYTE


@pytest.mark.parametrize("accepter", [RFC2217, "telnet,tcp"])
def test_a_telnet_port_that_is_taken_for_a_plain_socket_is_told(tmp_path: Path, accepter: str) -> None:
    with terminal() as device, ser2net(tmp_path, accepter, device) as place:
        port = open_port(f"socket://{place}")
        with pytest.raises(TelnetPort) as caught:
            received(port, 1)
        assert str(caught.value) == (
            f"socket://{place} is a Telnet port, which changes bytes (0xFF is sent twice): use "
            f"rfc2217://{place}, or have its server pass bytes as they are (ser2net: an accepter `tcp` "
            "without `telnet`)"
        )


def test_a_plain_socket_that_is_taken_for_rfc2217_is_told(tmp_path: Path) -> None:
    with (
        terminal(echo=False) as device,
        ser2net(tmp_path, "tcp", device) as place,
        pytest.raises(PortError, match=f"does not answer as an RFC 2217 server: .*use socket://{place} if"),
    ):
        open_port(f"rfc2217://{place}")


def test_a_telnet_port_is_told_to_who_flashes_over_it_as_a_socket(tmp_path: Path) -> None:
    with (
        terminal(echo=False) as device,
        ser2net(tmp_path, "telnet,tcp", device) as place,
        pytest.raises(TelnetPort, match=f"use rfc2217://{place}, or have"),
    ):
        flash_board("xiao_esp32s3", f"socket://{place}", models=[MODEL])


@pytest.mark.parametrize("board", ["xiao_esp32s3", "grove_vision_ai_we2"])
def test_a_board_behind_ser2net_is_flashed_and_benched(tmp_path: Path, board: str) -> None:
    """With its firmware, for without DTR and RTS nobody can have a board enter its boot loader otherwise."""
    flash = ["--flash", str(tmp_path / "flash"), "--firmware", "bench"]
    with (
        BoardProcess(board, flash, listen="pty") as process,
        ser2net(tmp_path, RFC2217, process.url) as place,
    ):
        port = f"rfc2217://{place}"
        result = harness.bench([MODEL], [board], port=port, invokes=2, out=tmp_path / "results")
    assert not result.failures
    assert len(result.records) == 1
    [flashed] = result.flashed
    assert "bench firmware" in [kept.what for kept in flashed.there], "it answered"
    assert [outcome.file.split()[0] for outcome in flashed.written] == [MODEL]
