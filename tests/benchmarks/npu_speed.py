"""The emulated NPU beside numpy's int32 product: `python -m tests.benchmarks.npu_speed [FILE...]`.

Each Vela file (none: a generated detector with the shapes of YOLOv8n at 192x192) is invoked in turn with the
int32 products of its convolutions, im2col matrices of the same sizes multiplied by `np.matmul`. Printed
are the time of an invoke after the first one, that of the products, their ratio, what loading and the first
invoke take with and without kept weights, and the time by kind of operation.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from harness import boards
from harness.emulator.npu.runner import Interpreter
from harness.models import tensors, tflite, vela
from harness.models.build import Builder, Scale, Subgraph
from harness.models.npu.jobs import Job, jobs
from harness.models.npu.operations import BlockOperation
from tests.benchmarks.start_and_overhead import in_turn, seconds

ROUNDS = 7


def products(model: tflite.Model) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of int32 matrices, positions by taps and taps by channels, one for each convolution.

    A depthwise convolution is a stack of them, one for each channel.
    """
    found = []
    for job in jobs(model):
        for op in job.operations:
            if isinstance(op, BlockOperation) and op.weights is not None:
                positions, taps = op.ofm.height * op.ofm.width, op.kernel.height * op.kernel.width
                if op.operation.kind == "CONV":
                    shapes = (positions, taps * op.ifm.depth), (taps * op.ifm.depth, op.ofm.depth)
                else:
                    shapes = (op.ofm.depth, positions, taps), (op.ofm.depth, taps, 1)
                found.append((np.ones(shapes[0], np.int32), np.ones(shapes[1], np.int32)))
    return found


def measure(model: tflite.Model) -> None:
    """Print the figures of one file."""
    inputs = tensors.load([], model)

    def infer(observe=None) -> None:
        for index, array in enumerate(inputs):
            interpreter.set_input(index, array)
        interpreter.invoke(observe)

    with tempfile.TemporaryDirectory() as directory:
        os.environ["HARNESS_CACHE_DIR"] = directory
        for kept in ("no", "with"):
            start = time.perf_counter()
            interpreter = Interpreter(model)
            loaded = time.perf_counter() - start
            first = seconds(infer)
            print(
                f"  {kept} kept weights: loading {loaded * 1e3:.0f} ms, the first invoke {first * 1e3:.0f} ms"
            )
    pairs = products(model)
    macs = sum(left.size * right.shape[-1] for left, right in pairs)

    def multiply() -> None:
        for left, right in pairs:
            np.matmul(left, right)

    invokes, int32 = in_turn(ROUNDS, infer, multiply)
    invoke, product = statistics.median(invokes), statistics.median(int32)
    print(
        f"  an invoke {invoke * 1e3:.1f} ms, numpy's int32 products {product * 1e3:.1f} ms "
        f"({len(pairs)} of them, {macs / 1e6:.0f} M MACs): ratio {invoke / product:.2f}"
    )
    kinds = _by_kind(infer)
    for name, spent in kinds.most_common():
        print(f"    {name:20} {spent * 1e3:8.2f} ms  {spent / kinds.total():5.1%}")


def _by_kind(infer) -> Counter[str]:
    """Return the seconds of an invoke by kind of operation; those on the CPU count to the next on the NPU."""
    spent: Counter[str] = Counter()
    last = time.perf_counter()

    def observe(step: Job, op, memory) -> None:
        nonlocal last
        now = time.perf_counter()
        spent[op.operation.name] += now - last
        last = now

    infer(observe)
    return spent


class Detector:
    """A detector with the layers of YOLOv8n, with random weights; its input is (1, size, size, 3)."""

    def __init__(self, size: int) -> None:
        self._rng = np.random.default_rng(8)
        self._builder = Builder()
        self._graph: Subgraph = self._builder.subgraph("main")
        self._scale = Scale(0.05, -10)
        x = self._graph.input("image", (1, size, size, 3), "int8", self._scale)
        x = self._c2f(self._conv(self._conv(x, 16, 3, 2), 32, 3, 2), 32, 1, add=True)
        low = self._c2f(self._conv(x, 64, 3, 2), 64, 2, add=True)
        middle = self._c2f(self._conv(low, 128, 3, 2), 128, 2, add=True)
        high = self._pyramid(self._c2f(self._conv(middle, 256, 3, 2), 256, 1, add=True), 256)
        up = self._c2f(self._joined([self._upsampled(high), middle]), 128, 1)
        first = self._c2f(self._joined([self._upsampled(up), low]), 64, 1)
        second = self._c2f(self._joined([self._conv(first, 64, 3, 2), up]), 128, 1)
        third = self._c2f(self._joined([self._conv(second, 128, 3, 2), high]), 256, 1)
        for scale in (first, second, third):
            for channels in (64, 80):
                inner = self._conv(self._conv(scale, channels, 3), channels, 3)
                self._graph.outputs.append(self._conv(inner, channels, 1, activation=False))

    def finish(self) -> bytes:
        """Return the model's bytes."""
        return self._builder.finish()

    def _shape(self, tensor: int) -> tuple[int, ...]:
        return self._graph.tensors[tensor].shape

    def _new(self, shape: tuple[int, ...], scale: Scale | None = None) -> int:
        return self._graph.tensor(f"t{len(self._graph.tensors)}", shape, "int8", scale or self._scale)

    def _conv(self, x: int, channels: int, kernel: int, stride: int = 1, activation: bool = True) -> int:
        _, height, width, depth = self._shape(x)
        values = self._rng.integers(-60, 61, (channels, kernel, kernel, depth)).astype(np.int8)
        name = f"w{len(self._graph.tensors)}"
        spread = 0.02 / (kernel * depth**0.5)
        w = self._graph.constant(name, values, Scale([spread] * channels, [0] * channels, 0))
        b = self._graph.constant(f"{name}/b", self._rng.integers(-900, 900, channels).astype(np.int32))
        out = self._new((1, height // stride, width // stride, channels))
        options = {"padding": "SAME", "stride_h": stride, "stride_w": stride}
        self._graph.operator("CONV_2D", [x, w, b], [out], version=3, **options)
        if not activation:
            return out
        gate = self._new(self._shape(out), Scale(1 / 256, -128))
        self._graph.operator("LOGISTIC", [out], [gate], version=2)
        gated = self._new(self._shape(out))
        self._graph.operator("MUL", [out, gate], [gated], version=2, fused_activation="NONE")
        return gated

    def _joined(self, parts: list[int]) -> int:
        shapes = [self._shape(part) for part in parts]
        out = self._new((*shapes[0][:3], sum(shape[3] for shape in shapes)))
        self._graph.operator("CONCATENATION", parts, [out], version=2, axis=3, fused_activation="NONE")
        return out

    def _c2f(self, x: int, channels: int, count: int, add: bool = False) -> int:
        inner = self._conv(x, channels, 1)
        half = (*self._shape(inner)[:3], channels // 2)
        parts = [self._new(half), self._new(half)]
        axis = self._graph.constant(f"axis{inner}", np.array(3, np.int32))
        self._graph.operator("SPLIT", [axis, inner], parts, version=2, num_splits=2)
        for _ in range(count):
            out = self._conv(self._conv(parts[-1], channels // 2, 3), channels // 2, 3)
            if add:
                total = self._new(half)
                self._graph.operator("ADD", [parts[-1], out], [total], version=2, fused_activation="NONE")
                out = total
            parts.append(out)
        return self._conv(self._joined(parts), channels, 1)

    def _pyramid(self, x: int, channels: int) -> int:
        parts = [self._conv(x, channels // 2, 1)]
        for _ in range(3):
            out = self._new(self._shape(parts[-1]))
            options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "filter_height": 5, "filter_width": 5}
            self._graph.operator("MAX_POOL_2D", [parts[-1]], [out], version=2, **options)
            parts.append(out)
        return self._conv(self._joined(parts), channels, 1)

    def _upsampled(self, x: int) -> int:
        _, height, width, depth = self._shape(x)
        size = self._graph.constant(f"size{x}", np.array([2 * height, 2 * width], np.int32))
        out = self._new((1, 2 * height, 2 * width, depth))
        self._graph.operator("RESIZE_NEAREST_NEIGHBOR", [x, size], [out], version=3)
        return out


def main(paths: list[str]) -> None:
    models = [(path, tflite.read(Path(path))) for path in paths]
    if not models:
        board = boards.load("grove_vision_ai_we2").vela
        assert board is not None
        source = Detector(192).finish()
        made = vela.compile(source, "detector", accelerator=board.accelerator, settings=board.settings())
        models = [
            ("a generated detector of YOLOv8n's shapes at 192x192", tflite.parse(made.data, "detector"))
        ]
    for name, model in models:
        print(name)
        measure(model)


if __name__ == "__main__":
    main(sys.argv[1:])
