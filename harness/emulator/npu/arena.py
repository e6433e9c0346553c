"""Where each tensor of a Vela file lies in the arena.

Metadata `OfflineMemoryAllocation` holds 32-bit words: a version, the number of subgraphs, the number of
tensors, then one arena offset a tensor, -1 if TFLite-Micro is to plan it (its
`micro_allocation_info.cc`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.errors import BoardError
from harness.models.tflite import Model, Subgraph

METADATA = "OfflineMemoryAllocation"
ALIGNMENT = 16


class ArenaError(BoardError):
    """The file's plan does not fit the arena, or is damaged."""


@dataclass(frozen=True)
class ArenaPlan:
    """Arena offset of each tensor that is neither constant nor absent, and the bytes all of them take."""

    offsets: Mapping[int, int]
    bytes: int


def _offline(model: Model, subgraph: Subgraph) -> list[int]:
    """Return the offline offset of each tensor of the first subgraph, all -1 if there is no plan."""
    count = len(subgraph.tensors)
    data = model.metadata.get(METADATA)
    if data is None:
        return [-1] * count
    words = np.frombuffer(data[: len(data) & ~3], "<i4")
    if words.size < 3 + count or words[2] < count:
        raise ArenaError(
            f"{model.name}: the offline plan holds fewer offsets than there are tensors ({count})"
        )
    return [int(offset) for offset in words[3 : 3 + count]]


def plan(model: Model, elsewhere: frozenset[int] = frozenset()) -> ArenaPlan:
    """Lay out the tensors of the first subgraph: the file's own offsets first, the rest after them.

    Tensors in `elsewhere` lie in another memory and take no part. Raises ArenaError if the offline plan
    is damaged.
    """
    subgraph = model.subgraphs[0]
    used = {index for op in subgraph.operators for index in (*op.inputs, *op.outputs) if index >= 0}
    used |= {*subgraph.inputs, *subgraph.outputs}
    offsets: dict[int, int] = {}
    unplanned: list[int] = []
    end = 0
    for tensor, offset in zip(subgraph.tensors, _offline(model, subgraph), strict=True):
        if tensor.constant or tensor.index not in used or tensor.index in elsewhere:
            continue
        if offset < 0:
            unplanned.append(tensor.index)
            continue
        offsets[tensor.index] = offset
        end = max(end, offset + tensor.bytes)
    for index in unplanned:
        offsets[index] = end = -(-end // ALIGNMENT) * ALIGNMENT
        end += subgraph.tensors[index].bytes
    return ArenaPlan(offsets, end)
