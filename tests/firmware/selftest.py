"""The selftest engine, written apart from firmware/engine_selftest: what it computes, and a model for it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from harness.emulator.engine import EngineError, Invoked, Loaded, ModelEntry
from harness.models import tflite
from harness.models.build import Builder, Scale
from harness.wire.messages import ErrorCode
from harness.wire.session import RamUse, TensorInfo
from tests.simulation import SimulatedClock

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
    """The engine for the virtual board's firmware, so that it can be held against the C core.

    Its line is served while it works, as a chip with a core for it does: any invoke can be broken off.
    """

    ADDRESS = 0x400000
    alive = True

    def __init__(self, held: tflite.Model, clock: SimulatedClock) -> None:
        self._model = held
        self._clock = clock
        graph = held.subgraphs[0]
        self._inputs = tuple(_spec(graph.tensors[i]) for i in graph.inputs)
        self._outputs = tuple(_spec(graph.tensors[i]) for i in graph.outputs)
        self._outcome: Loaded | Invoked | None = None
        self._done_at = 0.0

    def models(self) -> Sequence[ModelEntry]:
        return [ModelEntry(self.ADDRESS, self._model.description)]

    def read(self, address: int, length: int) -> bytes:
        data = self._model.data
        if not self.ADDRESS <= address < address + length <= self.ADDRESS + len(data):
            raise EngineError(ErrorCode.BAD_ARGUMENT, "not all within the flash for models", address)
        return data[address - self.ADDRESS :][:length]

    def ticks(self) -> int:
        return int(self._clock.now() * TICK_HZ)

    def begin_load(self, address: int) -> None:
        if address != self.ADDRESS:
            raise EngineError(ErrorCode.NO_MODEL, "no model at that address", address)
        used = sum(-(-spec.bytes // 16) * 16 for spec in (*self._inputs, *self._outputs))
        memory = RamUse(arena_used=used, arena_head=used, arena_tail=0, arena_size=ARENA_BYTES)
        self._take(0, Loaded(self._inputs, self._outputs, memory))

    def begin_invoke(self, inputs: Sequence[bytes], profile: bool) -> None:
        asked, ticks, operators = b"", 0, 1
        if inputs[0].startswith(MARK):
            asked, ticks, operators = struct.unpack_from("<cIH", inputs[0], len(MARK))
        if asked == b"f":
            raise EngineError(ErrorCode.INVOKE_FAILED, "the input asked the selftest engine to fail", 1)
        ticks = LEAST_TICKS + ticks * max(operators, 1)
        results = tuple(expected_output(spec.bytes, k, *inputs) for k, spec in enumerate(self._outputs))
        self._take(ticks, Invoked(ticks, results, (("selftest", ticks),) if profile else ()))

    def _take(self, ticks: int, outcome: Loaded | Invoked) -> None:
        self._outcome = outcome
        self._done_at = self._clock.now() + ticks / TICK_HZ
        self._clock.wake_at(self._done_at)

    def poll(self) -> Loaded | Invoked | None:
        if self._clock.now() < self._done_at - 0.5 / TICK_HZ:
            return None
        outcome, self._outcome = self._outcome, None
        return outcome

    def cancel(self) -> None:
        self._outcome = None


TICK_HZ = 1_000_000
LEAST_TICKS = 200
ARENA_BYTES = 1 << 20


def _spec(tensor: tflite.Tensor) -> TensorInfo:
    quantization = tensor.quantization
    return TensorInfo(
        tensor.name,
        tensor.type,
        tensor.shape,
        tensor.bytes,
        quantization.scales[0] if quantization else 0.0,
        quantization.zero_points[0] if quantization else 0,
    )
