"""The selftest engine, written apart from firmware/engine_selftest: what it computes, and a model for it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence

from harness.emulator.engine import EngineError, MemoryUse, ModelEntry, TensorSpec
from harness.models import tflite
from harness.models.build import Builder, Scale
from harness.wire.messages import ErrorCode

MARK = b"selftest"
BYTE = Scale(0.00390625, -128)


def model(
    *inputs: tuple[Sequence[int], str], output: int = 32, kind: str = "int8", scale: Scale | None = BYTE
) -> bytes:
    """Return a model file with these inputs, each (shape, type), and an output of `output` elements.

    No interpreter could run it: its one operator would have to make of its inputs what it cannot.
    """
    builder = Builder(description=f"{len(inputs)} inputs")
    main = builder.subgraph("main")
    tensors = [
        main.input(f"input {i}", shape, type, BYTE if type == "int8" else None)
        for i, (shape, type) in enumerate(inputs)
    ]
    scores = main.output("scores", (1, output), kind, scale)
    main.operator("CONCATENATION", tensors, [scores], axis=1, fused_activation="NONE")
    return builder.finish()


def two_inputs() -> bytes:
    """Return a model file with inputs of 3072 and 20 bytes and an output of 32 bytes."""
    return model(((1, 32, 32, 3), "int8"), ((1, 5), "float32"))


def expected_output(size: int, index: int, *inputs: bytes) -> bytes:
    """Return output `index`, of `size` bytes, as the selftest engine makes it of its inputs."""
    crc = 0
    for data in inputs:
        crc = zlib.crc32(data, crc)
    x, out = (crc + index) & 0xFFFFFFFF, bytearray()
    for _ in range(size):
        x = (1664525 * x + 1013904223) & 0xFFFFFFFF
        out.append(x >> 24)
    return bytes(out)


def asking_to(letter: str, ticks: int = 0, operators: int = 1) -> bytes:
    """Return the begin of an input 0 that asks for an invoke of so many operators, each doing this.

    f = fail, h = hang, n = nothing, w = wait so many ticks, s = wait and not be broken off (stubborn).
    """
    return MARK + letter.encode() + struct.pack("<IH", ticks, operators)


class SelftestEngine:
    """The engine for the virtual board's firmware, so that it can be held against the C core."""

    ADDRESS = 0x400000

    def __init__(self, held: tflite.Model, now: Callable[[], float], spend: Callable[[float], None]) -> None:
        self._model = held
        self._now = now
        self._spend = spend
        self._selected = False
        graph = held.subgraphs[0]
        self._inputs = [_spec(graph.tensors[i]) for i in graph.inputs]
        self._outputs = [_spec(graph.tensors[i]) for i in graph.outputs]
        self._data = [bytearray(spec.bytes) for spec in self._inputs]
        self._results = [bytes(spec.bytes) for spec in self._outputs]
        self._layers: list[tuple[str, int]] = []

    def models(self) -> Sequence[ModelEntry]:
        held = self._model
        return [ModelEntry(self.ADDRESS, held.extent, bytes.fromhex(held.sha256), held.description)]

    def select(self, address: int) -> None:
        if address != self.ADDRESS:
            raise EngineError(ErrorCode.NO_MODEL, "no model at that address", address)
        self._selected = True
        self._data = [bytearray(spec.bytes) for spec in self._inputs]

    def inputs(self) -> Sequence[TensorSpec]:
        return self._inputs if self._selected else ()

    def outputs(self) -> Sequence[TensorSpec]:
        return self._outputs if self._selected else ()

    def write_input(self, index: int, offset: int, data: bytes) -> None:
        self._data[index][offset : offset + len(data)] = data

    def invoke(self, profile: bool = False) -> int:
        asked, ticks = b"", LEAST_TICKS
        if self._data[0].startswith(MARK):
            asked, ticks = struct.unpack_from("<cI", self._data[0], len(MARK))
            ticks += LEAST_TICKS
        if asked == b"f":
            raise EngineError(ErrorCode.INVOKE_FAILED, "the input asked the selftest engine to fail", 1)
        self._spend(ticks / TICK_HZ)
        self._results = [
            expected_output(spec.bytes, k, *map(bytes, self._data)) for k, spec in enumerate(self._outputs)
        ]
        self._layers = [("selftest", ticks)] if profile else []
        return ticks

    def read_output(self, index: int) -> bytes:
        return self._results[index]

    def memory(self) -> MemoryUse:
        used = sum(-(-spec.bytes // 16) * 16 for spec in (*self._inputs, *self._outputs))
        return MemoryUse(arena_used=used, arena_head=used, arena_tail=0, arena_size=ARENA_BYTES)

    def layers(self) -> Sequence[tuple[str, int]]:
        return self._layers

    def ticks(self) -> int:
        return int(self._now() * TICK_HZ)


TICK_HZ = 1_000_000
LEAST_TICKS = 200
ARENA_BYTES = 1 << 20


def _spec(tensor: tflite.Tensor) -> TensorSpec:
    quantization = tensor.quantization
    return TensorSpec(
        tensor.name,
        tensor.type,
        tensor.shape,
        tensor.bytes,
        quantization.scales[0] if quantization else 0.0,
        quantization.zero_points[0] if quantization else 0,
    )
