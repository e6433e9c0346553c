"""What a Vela-compiled model says about the NPU it was built for, read from its driver actions.

An `ethos-u` operator's first input is a constant that starts with the fourcc "COP1"; 32-bit little-endian
words follow, each an action (bits 0-7) with a parameter (bits 16-31): 1 the configuration, with two more
words; 2 the register command stream, whose length in words is the parameter and in bits 16-23 the reserved
byte; 5 nothing. Its second input is read-only data, its third the scratch memory, its fourth the fast one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.models.graph import Model, Operator, Subgraph
from harness.models.ops import ETHOS_U
from harness.models.tflite import ModelError

if TYPE_CHECKING:
    import numpy as np

_CONFIG, _COMMANDS, _NOP = 1, 2, 5
# The configuration and the padding before the commands take 7 words at most.
_PREAMBLE_WORDS = 16
_PRODUCTS = {0: "ethos-u55", 1: "ethos-u65", 2: "ethos-u85"}


@dataclass(frozen=True)
class Configuration:
    """The configuration action: for which NPU and of which make the commands are.

    `accelerator` is named as Vela's --accelerator-config; `release` and `patch` version the action's format.
    """

    accelerator: str
    macs_per_cycle: int
    command_stream_version: int
    shram_bytes: int
    architecture: str
    release: int
    patch: int


@dataclass(frozen=True)
class Payload:
    """One `ethos-u` operator: its configuration and the sizes in bytes of what it works with."""

    subgraph: int
    index: int
    configuration: Configuration
    command_bytes: int
    read_only_bytes: int
    scratch_bytes: int
    fast_scratch_bytes: int


def is_compiled(model: Model) -> bool:
    """Whether any part of `model` runs on an Ethos-U."""
    return any(o.custom_code == ETHOS_U for graph in model.subgraphs for o in graph.operators)


def is_left_to_cpu(model: Model) -> bool:
    """Whether `model` is what Vela writes when it finds nothing for the NPU: its description says so."""
    words = model.description.split()
    return words[:1] == ["Vela"] and words[-1:] == ["Optimised"] and not is_compiled(model)


def payloads(model: Model) -> list[Payload]:
    """Return what each `ethos-u` operator of `model` holds, in order.

    Raises ModelError if one of them is damaged or has parts that no known driver takes.
    """
    return [
        _payload(model, graph, operator)
        for graph in model.subgraphs
        for operator in graph.operators
        if operator.custom_code == ETHOS_U
    ]


def accelerator(model: Model) -> str | None:
    """Return the NPU that `model` was compiled for ("ethos-u55-64"), None if it was not.

    Raises ModelError if an `ethos-u` operator is damaged, or they name different NPUs.
    """
    names = {p.configuration.accelerator for p in payloads(model)}
    if len(names) > 1:
        raise ModelError(
            f"{model.name}: its parts are compiled for different NPUs ({', '.join(sorted(names))}); "
            "compile the whole model again"
        )
    return names.pop() if names else None


def command_stream(model: Model, graph: Subgraph, operator: Operator) -> np.ndarray:
    """Return the register command stream of an `ethos-u` operator: uint32 words over the file's bytes.

    Raises ModelError if the operator is damaged.
    """
    import numpy as np

    _, start, length = _driver_actions(model, graph, operator)
    words = np.frombuffer(_command_bytes(model, graph, operator), dtype="<u4", count=start + length)
    return words[start:]


def arena_bytes(model: Model) -> int | None:
    """Return how far into the arena the offline plan of `model` reaches, None if it has no plan.

    The plan is the metadata "OfflineMemoryAllocation", int32 little endian: version, subgraph, count, then
    for each tensor its offset, or -1 for one that TFLite-Micro places itself (and that is not counted here).
    TFLite-Micro documents the second word as a subgraph's index, Vela writes their number; neither reads it.

    Raises ModelError if the plan does not fit the tensors.
    """
    plan = model.metadata.get("OfflineMemoryAllocation")
    if plan is None:
        return None
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    if len(plan) != 12 + 4 * len(tensors) or struct.unpack_from("<i", plan, 8)[0] != len(tensors):
        raise ModelError(
            f"{model.name}: its offline memory plan is not for its {len(tensors)} tensors; compile it again"
        )
    offsets = struct.unpack_from(f"<{len(tensors)}i", plan, 12)
    return max((o + t.bytes for o, t in zip(offsets, tensors, strict=True) if o >= 0), default=0)


def _damaged(model: Model, operator: Operator, what: str) -> ModelError:
    return ModelError(
        f"{model.name}: operator {operator.index} (ethos-u): {what}; compile the model again with Vela"
    )


def _command_bytes(model: Model, graph: Subgraph, operator: Operator) -> memoryview:
    if len(operator.inputs) < 4 or min(operator.inputs[:4]) < 0:
        raise _damaged(model, operator, "it lacks one of its first four inputs")
    data = model.constant(graph.tensors[operator.inputs[0]])
    if data is None or data[:4] != b"COP1":
        raise _damaged(model, operator, "its driver payload does not start with 'COP1'")
    return data


def _driver_actions(model: Model, graph: Subgraph, operator: Operator) -> tuple[Configuration, int, int]:
    """Return the configuration, and start and length of the register commands, in words."""
    data = _command_bytes(model, graph, operator)
    total = len(data) // 4
    preamble = struct.unpack_from(f"<{min(total, _PREAMBLE_WORDS)}I", data)
    configuration = None
    at = 1
    while at < len(preamble):
        action, high, parameter = preamble[at] & 0xFF, preamble[at] >> 8 & 0xFF, preamble[at] >> 16
        if action == _CONFIG and at + 2 < len(preamble):
            configuration = _configuration(parameter, preamble[at + 1], preamble[at + 2])
            at += 3
        elif action == _NOP:
            at += 1
        elif action == _COMMANDS and configuration:
            length = high << 16 | parameter
            if at + 1 + length > total:
                raise _damaged(model, operator, f"it has {total - at - 1} of {length} words of commands")
            return configuration, at + 1, length
        else:
            raise _damaged(model, operator, f"word {at} of its driver payload is no known action")
    raise _damaged(model, operator, "its driver payload has no commands")


def _configuration(parameter: int, npu: int, architecture: int) -> Configuration:
    product = npu >> 28
    macs_per_cycle = 1 << (npu & 0xF)
    return Configuration(
        accelerator=f"{_PRODUCTS.get(product, f'ethos-u (product {product})')}-{macs_per_cycle}",
        macs_per_cycle=macs_per_cycle,
        command_stream_version=npu >> 4 & 0xF,
        shram_bytes=(npu >> 8 & 0xFF) * 1024,
        architecture=f"{architecture >> 28}.{architecture >> 20 & 0xFF}.{architecture >> 16 & 0xF}",
        release=parameter & 0xF,
        patch=parameter >> 4,
    )


def _payload(model: Model, graph: Subgraph, operator: Operator) -> Payload:
    configuration, _, length = _driver_actions(model, graph, operator)
    _, read_only, scratch, fast = (graph.tensors[i] for i in operator.inputs[:4])
    return Payload(
        subgraph=graph.index,
        index=operator.index,
        configuration=configuration,
        command_bytes=length * 4,
        read_only_bytes=read_only.bytes,
        scratch_bytes=scratch.bytes,
        # With one arena for both, the fast scratch is the scratch itself.
        fast_scratch_bytes=0 if fast.index == scratch.index else fast.bytes,
    )
