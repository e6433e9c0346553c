"""A runner of MLPerf Tiny of our own, after mlcommons/tiny at 1afd2c9, benchmark/runner.

What it sends and how it reads the answers is what device_under_test.py, serial_device.py, script.py and
datasets.py there do; it shares no line with the harness.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BYTES_A_COMMAND = 31
WINDOW_BYTES, STRIDE_BYTES = 2560, 512
"""Of ad01: a file is sent in windows that overlap, as the last two columns of its y_labels.csv say."""
PERFORMANCE = {"ad01": (1500, 10), "ic01": (20, 5), "kws01": (70, 10), "vww01": (20, 5)}
"""Inferences and warm-ups of each of the five rounds, from tests_performance.yaml."""
ROUNDS = 5


@dataclass(frozen=True)
class Inferred:
    """What came of one `infer`: the file that was loaded, its class, the results, and microseconds."""

    file: str
    label: int
    results: list[float]
    elapsed_us: int


class Dut:
    """The device under test, behind a pair of functions for the line."""

    def __init__(
        self, send: Callable[[bytes], None], receive: Callable[[float], bytes], now: Callable[[], float]
    ) -> None:
        """`receive` waits for so many seconds at most, `now` is the time in seconds that this goes by."""
        self._send, self._receive, self._now = send, receive, now
        self._heard = ""

    def wake(self) -> None:
        """Skip what the device said when it started: the answer to the first question comes after it."""
        self._send(b"timestamp%")
        while not self._line(5.0, "timestamp").startswith("m-lap-us-"):
            pass
        assert self._line(5.0, "timestamp") == "m-ready"

    def command(self, text: str, line_s: float = 5.0) -> list[str]:
        """Send a command, and return the lines up to the one with m-ready in it."""
        self._send(text.encode() + b"%")
        lines: list[str] = []
        while not lines or "m-ready" not in lines[-1]:
            lines.append(self._line(line_s, text))
        return lines

    def _line(self, seconds: float, asked: str) -> str:
        until = self._now() + seconds
        while "\n" not in self._heard:
            if self._now() >= until:
                raise TimeoutError(f"no response to {asked}")
            self._heard += self._receive(until - self._now()).decode()
        line, _, self._heard = self._heard.partition("\n")
        return line.strip("\r\0")

    def named(self, what: str, command: str) -> str | None:
        """Return what the device calls its name, model or profile."""
        for line in self.command(command):
            if found := re.match(rf"^m-{what}-\[([^]]+)]$", line):
                return found[1]
        return None

    def load(self, data: bytes) -> None:
        """Send an input; the answers are not looked at."""
        self.command(f"db load {len(data)}")
        for at in range(0, len(data), BYTES_A_COMMAND):
            self.command(f"db {data[at : at + BYTES_A_COMMAND].hex()}")

    def infer(self, n: int, warmup: int) -> tuple[list[float], int]:
        """Return the results and the microseconds between the two timestamps."""
        answer = self.command(f"infer {n} {warmup}", line_s=30.0)
        results = [found[1] for line in answer if (found := re.match(r"^m-results-\[([^]]+)\]$", line))]
        laps = [int(found[1]) for line in answer if (found := re.match(r"^m-lap-us-([0-9]+)$", line))]
        assert len(results) == 1, answer
        assert len(laps) == 2, answer
        return [float(value) for value in results[0].split(",") if value.strip()], laps[1] - laps[0]


def run(dut: Dut, datasets: Path, mode: str) -> tuple[str, list[Inferred]]:
    """Run the benchmark that the device's model is for; `mode` is "a" or "p", as the runner calls them."""
    model = dut.named("model", "profile")
    assert model in PERFORMANCE, model
    rows = _rows(datasets / model)
    done = []
    if mode == "p":
        n, warmup = PERFORMANCE[model]
        for name, label, data in rows[:ROUNDS]:
            dut.load(_windows(model, data)[0])
            done.append(Inferred(name, label, *dut.infer(n, warmup)))
        return model, done
    for name, label, data in rows:
        for window in _windows(model, data):
            dut.load(window)
            done.append(Inferred(name, label, *dut.infer(1, 0)))
    return model, done


def _rows(directory: Path) -> list[tuple[str, int, bytes]]:
    with open(directory / "y_labels.csv", newline="") as file:
        return [(row[0], int(row[2]), (directory / row[0]).read_bytes()) for row in csv.reader(file)]


def _windows(model: str, data: bytes) -> list[bytes]:
    if model != "ad01":
        return [data]
    return [data[at : at + WINDOW_BYTES] for at in range(0, len(data) - WINDOW_BYTES + 1, STRIDE_BYTES)]
