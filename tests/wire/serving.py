"""A toy board behind a real port: in a thread for tests, or as a process of its own for benchmarks.

As a process: python -m tests.wire.serving [--listen pty|socket://HOST:PORT] [--baud N] [--latency SECONDS]
[--faults SPEC] prints the URL of its port first.
"""

from __future__ import annotations

import argparse
import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from harness.emulator.bench_firmware import BenchFirmware
from harness.emulator.engine import Line, LineClosed
from harness.emulator.faults import parse_faults
from harness.emulator.firmware import Firmware
from harness.emulator.line import VirtualLine
from harness.emulator.listening import listen
from harness.emulator.run import EndpointLine
from harness.emulator.transport import Endpoint
from tests.wire.toy import INFO, ToyEngine

Boot = Callable[[int], Firmware]


def boot_toy(boots: int) -> Firmware:
    """Return the bench firmware with a toy engine, as after the `boots`-th reset."""
    engine = ToyEngine(time.monotonic)
    return BenchFirmware(INFO, engine, boot=boots, text=True)


class Rebooted(Exception):
    """The board's reset button was pressed."""


class ToyBoard:
    """Serves a firmware over an endpoint until it is told to stop."""

    def __init__(self, where: str, line: VirtualLine | None, boot: Boot = boot_toy) -> None:
        self._line = line
        self._boot = boot
        self._endpoint: Endpoint = listen(where)
        self._stopping = self._resetting = False
        self.url = self._endpoint.url
        self.boots = 0

    def serve(self) -> None:
        """Boot, and boot again after each reset."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._endpoint.close)
            line: Line = EndpointLine(self._endpoint)
            if self._line is not None:
                line = stack.enter_context(self._line.attach(self._endpoint, self._reset))
            stack.enter_context(contextlib.suppress(LineClosed))
            while True:
                self.boots += 1
                with contextlib.suppress(Rebooted):
                    self._boot(self.boots).serve(_Switched(line, self))

    def stop(self) -> None:
        """Have `serve` come back."""
        self._stopping = True

    def switches(self) -> None:
        """Raise LineClosed when stopped, Rebooted when reset."""
        if self._stopping:
            raise LineClosed
        if self._resetting:
            self._resetting = False
            raise Rebooted

    def _reset(self) -> None:
        self._resetting = True


class _Switched:
    """A line that looks at the board's switches between two reads."""

    def __init__(self, line: Line, board: ToyBoard) -> None:
        self._line = line
        self._board = board

    def read(self, timeout: float | None) -> bytes:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._board.switches()
            left = 0.05 if deadline is None else min(0.05, max(0.0, deadline - time.monotonic()))
            data = self._line.read(left)
            if data or (deadline is not None and time.monotonic() >= deadline):
                return data

    def write(self, data: bytes) -> None:
        self._line.write(data)

    def wake(self) -> None:
        self._line.wake()


@contextlib.contextmanager
def toy_board(
    where: str = "socket://127.0.0.1:0", line: VirtualLine | None = None, boot: Boot = boot_toy
) -> Iterator[ToyBoard]:
    """Serve a toy board in a thread while the context lasts."""
    board = ToyBoard(where, line, boot)
    thread = threading.Thread(target=board.serve)
    thread.start()
    try:
        yield board
    finally:
        board.stop()
        thread.join()


def main() -> None:
    """Serve a toy board until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="socket://127.0.0.1:0")
    parser.add_argument("--baud", type=int)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--faults", default="")
    chosen = parser.parse_args()
    line = None
    if chosen.baud or chosen.latency or chosen.faults:
        line = VirtualLine(chosen.baud, chosen.latency, parse_faults(chosen.faults))
    board = ToyBoard(chosen.listen, line)
    print(board.url, flush=True)
    board.serve()


if __name__ == "__main__":
    main()
