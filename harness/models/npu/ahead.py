"""Weights of a Vela file, decoded before an inference asks for them and kept for the next one.

What is kept is found by the weight streams themselves (a digest of each, and how it is laid out), not by
the file: a board that runs the model from its flash does not know where the file ends.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.models import cache
from harness.models.npu.accelerator import ACCELERATORS
from harness.models.npu.faults import NpuFault
from harness.models.npu.jobs import Job, jobs
from harness.models.npu.operations import BlockOperation, Dma, Range
from harness.models.npu.weights import MOST_WEIGHTS, WeightCache, WeightsKey, decode_volume, key_of, volume_of
from harness.models.tflite import Model

_FORMAT = 1  # of what is kept; raised when decoding comes to mean something else
_KIND = "npu-weights"
_FILE = "weights.npy"
# Fewer weights than this are decoded sooner than a file is opened and proven whole.
_WORTH_KEEPING = 1 << 16
_MOST_BYTES_KEPT = 256 << 20


def decode_ahead(
    model: Model, found: Iterable[Job] | None = None, most_weights: int = MOST_WEIGHTS
) -> WeightCache:
    """Decode the weights of `model` into the user's cache, or read them from there.

    `found` are its jobs, if they are decoded already. Left out are weights that do not come from the
    file as they are, more than `most_weights` in one operation, and streams that are damaged: the
    operation that uses those will say so. A second call for the same weights decodes nothing.

    Raises NpuFault and ModelError as `jobs` does.
    """
    streams: dict[WeightsKey, bytes] = {}
    for job in jobs(model) if found is None else found:
        accelerator = ACCELERATORS.get(job.configuration.accelerator)
        if accelerator is None:
            continue
        for op, stream in _streams(model, job):
            volume = volume_of(op)
            if volume.size <= most_weights:
                streams[key_of(stream, volume, accelerator)] = stream
    total = sum(key.volume.size for key in streams)
    kept = total >= _WORTH_KEEPING
    facts = {"format": _FORMAT, "streams": [asdict(key) for key in streams]}
    weights = _load(facts, list(streams)) if kept else None
    if weights is None:
        weights = {}
        for key, stream in streams.items():
            try:
                weights[key] = decode_volume(stream, key.volume, ACCELERATORS[key.accelerator])
            except NpuFault:
                kept = False
        if kept:
            _store(facts, weights.values())
    held = WeightCache(max(2 * total, 64 << 20))
    for key, values in weights.items():
        held.add(key, values)
    return held


def _streams(model: Model, job: Job) -> Iterator[tuple[BlockOperation, bytes]]:
    """Yield the convolutions of a job with the weight streams that they will find in memory."""
    graph = model.subgraphs[job.subgraph]
    constants = {
        region: data
        for region, tensor in job.regions.items()
        if (data := model.constant(graph.tensors[tensor])) is not None
    }
    copies: list[Dma] = []
    for op in job.operations:
        if isinstance(op, Dma):
            if not op.destination_internal:
                copies.append(op)
        elif op.weights is not None:
            place = op.weights if op.weights.region in constants else _copied_from(op.weights, copies)
            data = constants.get(place.region) if place is not None else None
            if place is not None and data is not None and place.start + place.length <= len(data):
                yield op, bytes(data[place.start : place.start + place.length])


def _copied_from(part: Range, copies: list[Dma]) -> Range | None:
    """Return where the bytes of `part` were copied from last; None if no one copy brought them."""
    for copy in reversed(copies):
        to = copy.destination
        if to.region != part.region or part.start + part.length <= to.start:
            continue
        offset = part.start - to.start
        if offset >= to.length:
            continue
        if copy.source_internal or offset < 0 or offset + part.length > to.length:
            return None
        return Range(copy.source.region, copy.source.start + offset, part.length)
    return None


def _load(facts: dict[str, Any], keys: list[WeightsKey]) -> dict[WeightsKey, NDArray[np.int16]] | None:
    entry = cache.load(cache.key(facts), _KIND)
    if entry is None or entry.facts != facts:
        return None
    try:
        flat = np.load(io.BytesIO(entry.files[_FILE]), allow_pickle=False)
    except (KeyError, ValueError, EOFError):
        return None
    ends = np.cumsum([key.volume.size for key in keys])
    if flat.dtype != np.int16 or flat.shape != (ends[-1],):
        return None
    flat.setflags(write=False)
    parts = np.split(flat, ends[:-1])
    return {key: part.reshape(key.volume.shape) for key, part in zip(keys, parts, strict=True)}


def _store(facts: dict[str, Any], weights: Iterable[NDArray[np.int16]]) -> None:
    file = io.BytesIO()
    np.save(file, np.concatenate([values.ravel() for values in weights]), allow_pickle=False)
    entry = cache.Entry({_FILE: file.getvalue()}, facts)
    cache.store(cache.key(facts), entry, kind=_KIND, most_bytes=_MOST_BYTES_KEPT)
