"""Where an inference on the emulated NPU spends its time: `python tests/benchmarks/npu_speed.py FILE...`.

For each Vela file: time and peak memory of an inference, time by kind of operation, the share of the matrix
product, and time against multiply-accumulates.
"""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter

import numpy as np

from harness.emulator.npu import accumulate, executor
from harness.emulator.npu.executor import Executor
from harness.emulator.npu.runner import Interpreter
from harness.models import tensors, tflite
from harness.models.npu import cycles

INVOKES = 10


def measure(path: str) -> dict[str, float]:
    """Return milliseconds an inference by kind of operation, with `total`, `product` and `first`."""
    times: Counter[str] = Counter()
    product, execute, copy = accumulate.product, Executor._execute, executor._copy

    def timed(name, function):
        def run(*arguments):
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                times[name(*arguments)] += time.perf_counter() - start

        return run

    model = tflite.read(path)
    start = time.perf_counter()
    interpreter = Interpreter(model)
    inputs = tensors.load([], model)

    def infer() -> None:
        for index, array in enumerate(inputs):
            interpreter.set_input(index, array)
        interpreter.invoke()

    infer()
    first = time.perf_counter() - start
    accumulate.product = timed(lambda *_: "product", product)
    Executor._execute = timed(lambda _, op, __: op.operation.name, execute)
    executor._copy = timed(lambda *_: "DMA", copy)
    try:
        start = time.perf_counter()
        for _ in range(INVOKES):
            infer()
        total = time.perf_counter() - start
    finally:
        accumulate.product, Executor._execute, executor._copy = product, execute, copy
    figures = {name: seconds * 1e3 / INVOKES for name, seconds in times.items()}
    steps = [step for step in interpreter.steps if hasattr(step, "operations")]
    macs = sum(cycles._macs(op) for step in steps for op in step.operations if hasattr(op, "ofm"))
    return {**figures, "total": total * 1e3 / INVOKES, "first": first * 1e3, "macs": macs}


def main(paths: list[str]) -> None:
    rows = []
    for path in paths:
        figures = measure(path)
        macs = figures.pop("macs")
        total, product, first = (figures.pop(name) for name in ("total", "product", "first"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{path}\n  an inference {total:.1f} ms (the first, with loading, {first:.1f} ms), "
            f"peak {peak:.0f} MiB"
        )
        print(f"  matrix product {product:.2f} ms, {product / total:.0%} of it; {macs:,} MACs")
        for name, milliseconds in sorted(figures.items(), key=lambda item: -item[1]):
            print(f"  {name:26} {milliseconds:8.2f} ms  {milliseconds / total:5.1%}")
        rows.append((macs, total))
    if len(rows) > 2:
        slope, base = np.polyfit(*np.array(rows).T, 1)
        print(f"{base:.1f} ms + {slope * 1e6:.2f} ms for each million MACs ({len(rows)} files)")


if __name__ == "__main__":
    main(sys.argv[1:])
