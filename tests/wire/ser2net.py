"""ser2net, as labs run it, between a socket and a device, and a pseudo-terminal as the device."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def ser2net(directory: Path, accepter: str, device: str, baud: int = 921600) -> Iterator[str]:
    """Serve a device at the HOST:PORT that is yielded; `accepter` is gensio's, up to the address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    config = directory / "ser2net.yaml"
    host, number = place.split(":")
    config.write_text(
        f"connection: &board\n  accepter: {accepter},{host},{number}\n"
        f"  connector: serialdev,{device},{baud}n81,local\n"
    )
    server = subprocess.Popen(
        ["ser2net", "-n", "-d", "-u", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            assert server.poll() is None, "ser2net has ended"
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection((host, int(number))):
                break
            time.sleep(0.05)
        yield place
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def terminal(echo: bool = True) -> Iterator[str]:
    """Yield the name of a pseudo-terminal at which everything comes back, or nothing."""
    import tty

    master, slave = os.openpty()
    tty.setraw(slave)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            if select.select([master], [], [], 0.1)[0]:
                data = os.read(master, 4096)
                os.write(master, data if echo else b"")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join()
        os.close(master)
        os.close(slave)
