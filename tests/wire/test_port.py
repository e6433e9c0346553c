import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.errors import BoardError
from harness.wire.port import PortDenied, PortError, PortInUse, PortLost, PortMissing, open_port

posix = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a POSIX thing")


@pytest.fixture
def peer():  # type: ignore[no-untyped-def]
    """A listening socket and the URL of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, f"socket://127.0.0.1:{server.getsockname()[1]}"


def test_a_port_that_is_not_there_is_named() -> None:
    with pytest.raises(PortMissing, match="no port /dev/ttyNOSUCH0: plug the board in") as caught:
        open_port("/dev/ttyNOSUCH0")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_socket_where_nobody_listens_is_named(peer) -> None:  # type: ignore[no-untyped-def]
    server, url = peer
    server.close()
    with pytest.raises(PortMissing, match=r"nothing listens at socket://127\.0\.0\.1"):
        open_port(url)


@pytest.mark.parametrize("url", ["nosuch://x", "socket://nowhere", "socket://127.0.0.1:notaport", ""])
def test_a_url_that_cannot_be_read_is_one_clear_line(url: str) -> None:
    with pytest.raises(PortError) as caught:
        open_port(url)
    assert "\n" not in str(caught.value)


@posix
def test_a_port_that_another_program_holds_is_told() -> None:
    master, slave = os.openpty()
    try:
        with (
            open_port(os.ttyname(slave)),
            pytest.raises(PortInUse, match=r"in use by \w+.* \(process \d+\); close it"),
        ):
            open_port(os.ttyname(slave))
    finally:
        os.close(master)
        os.close(slave)


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may open every port")
def test_a_port_that_the_user_may_not_open_is_told(tmp_path: Path) -> None:
    place = tmp_path / "tty"
    place.touch(mode=0)
    with pytest.raises(PortDenied, match="no permission to open"):
        open_port(str(place))


@posix
def test_bytes_go_both_ways_over_a_pseudo_terminal() -> None:
    import tty

    master, slave = os.openpty()
    tty.setraw(slave)
    try:
        with open_port(os.ttyname(slave)) as port:
            port.write(bytes(range(256)))
            assert os.read(master, 4096) == bytes(range(256))
            os.write(master, b"\x00\r\n\x11\x13\xff")
            assert port.read(4096, 1.0) == b"\x00\r\n\x11\x13\xff"
            assert port.read(4096, 0.0) == b""
            os.write(master, b"stale")
            port.reset_buffers()
            assert port.read(4096, 0.0) == b""
    finally:
        os.close(master)
        os.close(slave)


def test_reading_returns_with_the_first_bytes_and_waits_no_longer_than_asked(peer) -> None:  # type: ignore[no-untyped-def]
    server, url = peer
    with open_port(url) as port:
        far, _ = server.accept()
        with far:
            started = time.monotonic()
            assert port.read(100, 0.05) == b""
            assert time.monotonic() - started >= 0.05
            threading.Timer(0.05, far.sendall, [b"abc"]).start()
            assert port.read(100, 30.0) == b"abc"


def test_a_port_that_goes_away_is_told_and_can_be_opened_again(peer) -> None:  # type: ignore[no-untyped-def]
    server, url = peer
    with open_port(url) as port:
        far, _ = server.accept()
        far.close()
        with pytest.raises(PortLost, match=r"went away.*unplugged"):
            port.read(100, 30.0)
        with pytest.raises(PortLost):
            port.write(b"x")
        port.reopen()
        far, _ = server.accept()
        with far:
            port.write(b"back")
            assert far.recv(10) == b"back"


def test_a_line_that_takes_nothing_is_told_in_time(peer, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    server, url = peer
    monkeypatch.setattr("harness.wire.port.SerialPort.WRITE_TIMEOUT_S", 0.2)
    with open_port(url) as port:
        far, _ = server.accept()
        with far, pytest.raises(BoardError, match=r"took no bytes for 0.2 s"):
            port.write(bytes(1 << 28))
