"""MLPerf Tiny's reference device, after mlcommons/tiny at 1afd2c9; it shares no line with the harness.

After benchmark/api/internally_implemented.cpp, and th_load_tensor and th_results of the four in
benchmark/reference_submissions.

Bytes are taken as its interrupt takes them: whatever comes before a `%` is the command, be it no text.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from math import copysign

COMMAND_BYTES = 80
MAX_DB_INPUT = {"kws01": 490, "ad01": 5120}
"""MAX_DB_INPUT_SIZE, where a submission has another one than the API's."""
API_DB_INPUT = 96 * 96 * 3


class ReferenceDevice:
    """A device whose model maps the input tensor to its output; `tensor` is the last one it ran on."""

    def __init__(
        self,
        benchmark: str,
        size: int,
        model: Callable[[bytes], list[int]],
        *,
        name: str = "unspecified",
        device: str = "dut",
        quantisation: tuple[float, int] = (1.0, -128),
        made: tuple[float, int] | None = None,
    ) -> None:
        """`size`: elements of the input; `made`: quantisation of the output, None: that of the input."""
        self._benchmark, self._size, self._model = benchmark, size, model
        self._name, self._device = name, device
        self._scale, self._zero = quantisation
        self._made = made or quantisation
        self._command = bytearray()
        self._most = MAX_DB_INPUT.get(benchmark, API_DB_INPUT)
        self._buffer = bytearray(2 * API_DB_INPUT)  # the device writes on behind the end of its own
        self._expected = self._filled = 0
        self._now = 1000
        self._floats: tuple[float, ...] = ()
        self.tensor = bytes(size)
        self.commands: list[bytes] = []

    def hear(self, data: bytes) -> bytes:
        """Return what the device says to these bytes."""
        said = b""
        for byte in data:
            if byte == ord("%"):
                said += self._carry_out(bytes(self._command)).encode()
                self._command.clear()
            elif len(self._command) < COMMAND_BYTES:
                self._command.append(byte)
        return said

    def _carry_out(self, command: bytes) -> str:
        self.commands.append(command)
        words = command.split(b"\0")[0].decode("latin-1").split()
        return self._answer(words) + "m-ready\r\n"

    def _answer(self, words: list[str]) -> str:
        match words:
            case ["name", *_]:
                return f"m-name-{self._device}-[{self._name}]\r\n"
            case ["timestamp", *_]:
                return self._lap()
            case ["profile", *_]:
                return f"m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\nm-model-[{self._benchmark}]\r\n"
            case ["db", "load", count]:
                self._expected, self._filled = int(count), 0
                if self._expected > self._most:
                    return f"Supplied buffer size {count} exceeds maximum of {self._most}\n"
                return f"m-[Expecting {count} bytes]\r\n"
            case ["db", digits]:
                for byte in bytes.fromhex(digits):
                    self._buffer[self._filled] = byte
                    self._filled += 1
                    if self._filled == self._expected:
                        return "m-load-done\r\n"
                return ""
            case ["infer", n, warmup]:
                return self._infer(int(n), int(warmup))
        return f"e-[Unknown command: {words[0] if words else '(null)'}]\r\n"

    def _lap(self) -> str:
        self._now += 10
        return f"m-lap-us-{self._now}\r\n"

    def _infer(self, n: int, warmup: int) -> str:
        said = self._load_tensor()
        said += f"m-warmup-start-{warmup}\r\nm-warmup-done\r\nm-infer-start-{n}\r\n" + self._lap()
        self._now += 500 * n
        return said + self._lap() + "m-infer-done\r\n" + self._results()

    def _load_tensor(self) -> str:
        width = 4 if self._benchmark == "ad01" else 1
        elements = min(self._filled, self._size * width) // width
        if elements != self._size:
            return f"Input db has {elements} elemented, expected {self._size}\n"
        data = bytes(self._buffer[: self._size * width])
        if self._benchmark == "ad01":
            self._floats = struct.unpack(f"<{self._size}f", data)
            units = [int(value / self._scale + copysign(0.5, value)) + self._zero for value in self._floats]
            self.tensor = struct.pack(f"{self._size}b", *(max(-128, min(127, unit)) for unit in units))
        elif self._benchmark in ("vww01", "ic01"):
            self.tensor = struct.pack(f"{self._size}b", *(byte - 128 for byte in data))
        else:
            self.tensor = data
        return ""

    def _results(self) -> str:
        scale, zero = self._made
        made = [(unit - zero) * scale for unit in self._model(self.tensor)]
        if self._benchmark == "ad01":
            error = sum((a - b) ** 2 for a, b in zip(made, self._floats, strict=True)) / self._size
            return f"m-results-[{error:.3f}]\r\n"
        # keyword_spotting cuts off what is behind the third decimal; person_detection ends with a comma.
        cut = self._benchmark == "kws01"
        printed = [f"{int(value * 1000) / 1000 if cut else value:.3f}" for value in made]
        after = "," if self._benchmark == "vww01" else ""
        return "m-results-[" + ",".join(printed) + after + "]\r\n"


@contextlib.contextmanager
def on_a_terminal(device: ReferenceDevice, speed: int = termios.B115200) -> Iterator[str]:
    """Serve the device on a pseudo-terminal; at any other speed than its own it reads and sends noise."""
    master, slave = os.openpty()
    tty.setraw(slave)
    stop, over = os.pipe()

    def serve() -> None:
        while True:
            ready, _, _ = select.select([master, stop], [], [])
            if stop in ready:
                return
            data = os.read(master, 4096)
            if termios.tcgetattr(slave)[4] == speed:
                os.write(master, device.hear(data))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        os.write(over, b"x")
        thread.join()
        for end in (master, slave, stop, over):
            os.close(end)
