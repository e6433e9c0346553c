"""What the harness itself costs: start-up, the main job, and emulated against in-process invokes.

Run from the checkout: python -m tests.benchmarks.start_and_overhead [MODEL.tflite]

Rivals are timed in turn, one after the other in the same loop, and compared by the ratio of their medians,
so that a noisy machine does both the same wrong.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from harness.emulator.process import BoardProcess
from harness.emulator.tflm import Interpreter
from harness.models.resolve import resolve
from harness.runner.plan import DEFAULT_MODEL, Settings
from harness.wire.port import open_port
from harness.wire.protocol import connect


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turn(
    rounds: int, first: Callable[[], object], second: Callable[[], object]
) -> tuple[list[float], list[float]]:
    """Time two rivals alternately, after one round that is not counted."""
    first()
    second()
    pairs = [(seconds(first), seconds(second)) for _ in range(rounds)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def show(name: str, times: list[float]) -> float:
    """Print median and quartiles, and return the median."""
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    quartiles = f"quartiles {low * 1e3:.1f} to {high * 1e3:.1f}, n={len(times)}"
    print(f"  {name:<44} {median * 1e3:9.1f} ms   ({quartiles})")
    return median


def start_up() -> None:
    """`harness --help` against `esptool version`, both as installed commands."""
    scripts = Path(sysconfig.get_path("scripts"))

    def command(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run(arguments, check=True, capture_output=True)

    ours, theirs = in_turn(
        21, command(str(scripts / "harness"), "--help"), command(str(scripts / "esptool"), "version")
    )
    print("start-up")
    ratio = show("harness --help", ours) / show("esptool version", theirs)
    print(f"  ratio {ratio:.2f}\n")


def main_job() -> None:
    """`harness bench` with no arguments, start to end."""
    print("main job: harness bench --port emulated (3 boards, 10 invokes each)")
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "harness", "bench", "--port", "emulated", "--output", directory]
        show(
            "", [seconds(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(3)]
        )
    print()


def emulated_invokes(model_name: str) -> None:
    """100 invokes over the port of an emulated board against 100 of TFLite-Micro in this process."""
    model = resolve(model_name)
    graph = model.subgraphs[0]
    settings = Settings(invokes=100, warmup=0)
    tensors = [graph.tensors[index] for index in graph.inputs]
    arrays = [np.zeros(tensor.shape, tensor.type) for tensor in tensors]
    interpreter = Interpreter(model.data, 4 << 20)

    def in_process() -> None:
        for _ in range(settings.invokes):
            for place, array in enumerate(arrays):
                interpreter.set_input(place, array)
            interpreter.invoke()

    with (
        BoardProcess("xiao_esp32s3", ["--model", model_name]) as board,
        connect("bench", open_port(board.url)) as session,
    ):
        session.select(session.models()[0].address)

        def emulated() -> None:
            for place, array in enumerate(arrays):
                session.load(place, array.tobytes())
            session.run(settings.warmup, settings.invokes)

        ours, theirs = in_turn(9, emulated, in_process)
    print(f"100 invokes of {model.name.rsplit('/', 1)[-1]}")
    ratio = show("emulated board, over its port", ours) / show("TFLite-Micro in process", theirs)
    print(f"  ratio {ratio:.2f}")


if __name__ == "__main__":
    start_up()
    main_job()
    emulated_invokes(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_MODEL)
