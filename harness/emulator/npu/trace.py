"""What a run did, operation by operation, and where it first differed from a reference."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.emulator.npu import feature_maps, layers
from harness.emulator.npu.memory import NpuMemory
from harness.emulator.npu.runner import Interpreter
from harness.models.npu.jobs import Job
from harness.models.npu.operations import BlockOperation, Decoded, Dma
from harness.models.npu.weights import volume_of
from harness.models.tflite import Model


@dataclass(frozen=True)
class TraceEntry:
    """One executed operation; `step` is the `ethos-u` operator it belongs to.

    `digest` is the start of the SHA-256 of its output elements in NHWC order, `weights` how many weights
    it decoded, `layer` the source model's layer it computes (None if no source is known).
    """

    step: int
    index: int
    name: str
    ifm: tuple[int, int, int] | None
    ofm: tuple[int, int, int] | None
    type: str
    block: tuple[int, int, int] | None
    weights: int
    bytes: int
    digest: str
    layer: str | None = None


@dataclass(frozen=True)
class Departure:
    """The first operation that differs from the reference, as far as outputs can tell.

    `layer` is the layer whose output is missing or wrong, `elements` of `of` differ by up to `largest`
    (None if no output of that size exists to compare with).
    """

    entry: TraceEntry
    layer: str
    elements: int | None
    of: int | None
    largest: int | None


@dataclass
class Trace:
    """Entries of one invoke; give its `observe` to `Interpreter.invoke`."""

    entries: list[TraceEntry] = field(default_factory=list)
    matcher: layers.Matcher | None = None
    matched: list[layers.Layer | None] = field(default_factory=list)
    unlike: dict[int, layers.Difference] = field(default_factory=dict)

    def observe(self, step: Job, op: Decoded, memory: NpuMemory) -> None:
        """Record an operation that has just been executed."""
        if isinstance(op, Dma):
            self._add(step, op, None, op.source.length)
            return
        values = feature_maps.read(memory, op.ofm)
        self._add(step, op, values, values.nbytes)

    def _add(self, step: Job, op: Decoded, values: NDArray[Any] | None, size: int) -> None:
        block = op if isinstance(op, BlockOperation) else None
        layer = None
        if values is not None and self.matcher is not None:
            layer = self.matcher.match(values)
            nearest = None if layer else self.matcher.resembles(values)
            if nearest is not None:
                self.unlike[len(self.entries)] = nearest
        self.matched.append(layer)
        data = np.ascontiguousarray(values).tobytes() if values is not None else b""
        self.entries.append(
            TraceEntry(
                step=step.operator.index,
                index=op.operation.index,
                name=op.operation.name,
                ifm=block.ifm.shape if block else None,
                ofm=block.ofm.shape if block else None,
                type=f"{block.ifm.type}->{block.ofm.type}" if block else "",
                block=(block.block.height, block.block.width, block.block.depth) if block else None,
                weights=volume_of(block).size if block and block.weights is not None else 0,
                bytes=size,
                digest=hashlib.sha256(data).hexdigest()[:12] if data else "",
            )
        )

    def named(self) -> list[TraceEntry]:
        """Return the entries with the layer each belongs to."""
        return [
            replace(entry, layer=layer.title if layer else None)
            for entry, layer in zip(self.entries, layers.spread(self.matched), strict=True)
        ]


def run(
    interpreter: Interpreter, inputs: Sequence[NDArray[Any]], source: Model | None = None
) -> tuple[Trace, list[NDArray[Any]], list[layers.Layer]]:
    """Invoke once on `inputs` and return the trace, the outputs, and the source's layers (none without it).

    Raises NpuFault if an operation faults, ReferenceError if the source cannot be run.
    """
    reference = layers.run(source, _in_order(interpreter.model, source, inputs)) if source else []
    trace = Trace(matcher=layers.Matcher(reference) if source else None)
    for index, array in enumerate(inputs):
        interpreter.set_input(index, array)
    interpreter.invoke(trace.observe)
    return trace, [interpreter.output(index) for index in range(len(interpreter.outputs))], reference


def _in_order(compiled: Model, source: Model, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Put the compiled model's inputs into the source's order, by name if the names agree."""
    graphs = [model.subgraphs[0] for model in (compiled, source)]
    names = [[graph.tensors[index].name for index in graph.inputs] for graph in graphs]
    if sorted(names[0]) != sorted(names[1]):
        return list(inputs)
    return [inputs[names[0].index(name)] for name in names[1]]


def departure(
    trace: Trace, reference: Sequence[layers.Layer], outputs: Sequence[NDArray[Any]]
) -> Departure | None:
    """Find the first operation that differs from the reference; None if every output is right.

    Intermediate outputs that the compiler rearranged match no layer and prove nothing, so an operation is
    only blamed once nothing after it matches any more: the first one then whose output resembles a layer's
    without being equal, or else the first one at all.
    """
    found = [layer.values for layer in reference]
    right = all(
        any(value.dtype == out.dtype and np.array_equal(value.ravel(), out.ravel()) for value in found)
        for out in outputs
    )
    if right or not trace.entries:
        return None
    last = max((i for i, layer in enumerate(trace.matched) if layer), default=-1)
    after = [i for i in range(last + 1, len(trace.entries)) if trace.entries[i].ofm is not None]
    if not after:
        after = [len(trace.entries) - 1]
    blamed = next((i for i in after if i in trace.unlike), after[0])
    difference = trace.unlike.get(blamed)
    if difference is not None:
        return Departure(
            trace.entries[blamed],
            difference.layer.title,
            difference.elements,
            difference.of,
            difference.largest,
        )
    seen = {layer.index for layer in trace.matched if layer}
    missing = next((layer for layer in reference if layer.index > max(seen, default=-1)), reference[-1])
    return Departure(trace.entries[blamed], missing.title, None, None, None)
