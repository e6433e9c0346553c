"""The board's side of a line: what a host finds when it opens the port."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import serial

from harness.emulator.listening import listen
from harness.emulator.transport import Endpoint
from harness.errors import HarnessError


def _echo(endpoint: Endpoint, total: int) -> threading.Thread:
    def run() -> None:
        seen = 0
        while seen < total:
            data = endpoint.read(65536, 5.0)
            if not data:
                return
            seen += len(data)
            endpoint.write(data)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.fixture(params=["pty", "socket://127.0.0.1:0", "socket://[::1]:0", "rfc2217://127.0.0.1:0"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    made = listen(request.param)
    yield made
    made.close()


def test_bytes_of_every_value_come_back_unchanged(endpoint: Endpoint) -> None:
    sent = os.urandom(150_000) + bytes(range(256))
    echo = _echo(endpoint, len(sent))
    with serial.serial_for_url(endpoint.url, timeout=5) as port:
        writer = threading.Thread(target=port.write, args=(sent,))
        writer.start()
        assert port.read(len(sent)) == sent
        writer.join()
    echo.join()


def test_a_second_host_is_served_after_the_first_has_gone(endpoint: Endpoint) -> None:
    for word in (b"first", b"second"):
        echo = _echo(endpoint, len(word))
        with serial.serial_for_url(endpoint.url, timeout=5) as port:
            port.write(word)
            assert port.read(len(word)) == word
        echo.join()


def test_what_is_written_while_nobody_listens_is_lost_and_holds_nobody_up(endpoint: Endpoint) -> None:
    endpoint.write(b"x" * 1_000_000)  # more than a pty or a socket would take without a reader
    assert endpoint.read(10, 0.01) == b""


def test_a_read_gives_up_after_the_time_it_was_told(endpoint: Endpoint) -> None:
    started = time.monotonic()
    assert endpoint.read(1, 0.2) == b""
    assert time.monotonic() - started > 0.15


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("tcp://127.0.0.1:1", "write pty, rfc2217://HOST:PORT or socket"),
        ("socket://127.0.0.1", "write socket://HOST:PORT"),
        ("socket://127.0.0.1:notaport", "write socket://HOST:PORT"),
        ("socket://192.0.2.1:0", "cannot listen on socket://192.0.2.1:0"),
    ],
)
def test_a_place_that_cannot_be_listened_on_is_named(where: str, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        listen(where)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HarnessError, match=f"127.0.0.1:{port}"):
            listen(f"socket://127.0.0.1:{port}")
