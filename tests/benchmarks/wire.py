"""What the wire carries: rates and CPU time of the bench protocol, and of MLPerf Tiny's text beside it.

Run from the checkout: python -m tests.benchmarks.wire [SECONDS]

The board is a process of its own (a toy model, so that the line is what is timed) behind a virtual line at
921600 baud 8N1 with 5 ms of latency each way, or behind no line at all. A tensor is 96x96x3 bytes. CPU time
is that of this process, the host's side.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from harness.wire.port import open_port
from harness.wire.protocol import connect
from tests.wire.toy import ADDRESS, expected_output

BAUD = 921600
LINE = BAUD / 10
TENSOR = os.urandom(96 * 96 * 3)


@contextlib.contextmanager
def board(*options: str) -> Iterator[str]:
    """Run a toy board; yields the URL of its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.wire.serving", *options], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def stream(url: str, seconds: float) -> tuple[float, float]:
    """Stream tensors for so long; returns (payload bytes a second, share of one core that it took here)."""
    session = connect("bench", open_port(url))
    try:
        session.identify()
        session.select(ADDRESS)
        session.load(0, TENSOR)
        started, cpu = time.perf_counter(), time.process_time()
        until = started + seconds
        count = 0

        def tensors() -> Iterator[tuple[int, bytes]]:
            nonlocal count
            for number in itertools.count():
                if number and time.perf_counter() > until:
                    return
                count += 1
                yield 0, TENSOR

        session.load_all(tensors())  # type: ignore[attr-defined]
        elapsed, spent = time.perf_counter() - started, time.process_time() - cpu
        session.run(0, 1)
        assert session.output(0) == expected_output(TENSOR, bytes(20))
        return count * len(TENSOR) / elapsed, spent / elapsed
    finally:
        session.close()


def text(url: str) -> float:
    """Load one tensor over MLPerf Tiny's text; returns payload bytes a second."""
    session = connect("mlperf-tiny", open_port(url))
    try:
        started = time.perf_counter()
        session.load(0, TENSOR)
        return len(TENSOR) / (time.perf_counter() - started)
    finally:
        session.close()


def main() -> None:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with board("--baud", str(BAUD), "--latency", "0.005") as url:
        rate, cpu = stream(url, seconds)
        slow = text(url)
    print(f"{BAUD} baud 8N1 ({LINE / 1000:.2f} kB/s), 5 ms latency each way")
    print(f"  bench, 96x96x3 tensors    {rate / 1000:8.2f} kB/s   {rate / LINE:6.2%} of the line")
    print(f"  host CPU meanwhile        {cpu:8.2%} of one core")
    print(f"  MLPerf Tiny text          {slow / 1000:8.2f} kB/s   {slow / LINE:6.2%} of the line")
    print(f"  ratio                     {rate / slow:8.1f}")
    print("no pacing")
    places = ["socket://127.0.0.1:0"] + ([] if sys.platform == "win32" else ["pty"])
    for where in places:
        with board("--listen", where) as url:
            rate, cpu = stream(url, min(seconds, 3.0))
        print(f"  bench over {where.partition(':')[0]:<15}{rate / 1e6:8.1f} MB/s   {cpu:6.2%} of one core")


if __name__ == "__main__":
    main()
