"""Models that the tests of this room build: one with a bit of everything, and files edited field by field."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
import pytest

from harness.models.build import Builder, Scale

ETHOS_U55_64 = 0x1006  # configuration word: 2^6 MACs a cycle, 16 KiB SHRAM


def driver_payload(commands: list[int], configuration: int = ETHOS_U55_64) -> np.ndarray:
    """Return what an `ethos-u` operator takes as its first input, padded as Vela pads it."""
    words = [0x31504F43, 0x00100001, configuration, 0x10060000]
    words += [5] * (4 - (len(words) + 1) % 4)
    words += [2 | len(commands) >> 16 << 8 | (len(commands) & 0xFFFF) << 16, *commands]
    return np.frombuffer(struct.pack(f"<{len(words)}I", *words), np.uint8)


def compiled(commands: list[int] | None = None, configuration: int = ETHOS_U55_64) -> bytes:
    """Return a model as Vela writes them, with one `ethos-u` operator and an offline plan."""
    out = Builder("compiled")
    main = out.subgraph("main")
    payload = main.constant("commands", driver_payload(commands or [0x0130, 0x0000], configuration))
    read_only = main.constant("read_only", np.zeros(48, np.uint8))
    scratch = main.tensor("scratch", (64,), "uint8")
    x = main.input("x", (1, 4), "int8", Scale(0.5, -1))
    y = main.output("y", (1, 2), "int8", Scale(0.25, 3))
    main.custom("ethos-u", [payload, read_only, scratch, scratch, x], [y], b"\x01\x04\x01")
    out.metadata["OfflineMemoryAllocation"] = struct.pack("<8i", 0, 1, 5, -1, -1, 0, 16, 32)
    return out.finish()


def everything() -> bytes:
    """Return a small model with weights, per-channel scales, state, a custom operator and two subgraphs."""
    random = np.random.default_rng(7)
    out = Builder("a bit of everything")
    main, setup = out.subgraph("main"), out.subgraph("setup")
    x = main.input("x", (1, 8, 8, 3), "int8", Scale(0.5, -1))
    flag = main.input("flag", (1,), "bool")
    conv = main.tensor("conv", (1, 4, 4, 4), "int8", Scale(0.25, 0))
    weights = random.integers(-127, 128, (4, 3, 3, 3), np.int8)
    kernel = main.constant("kernel", weights, Scale((0.1, 0.2, 0.3, 0.4), (0,) * 4, axis=0))
    bias = main.constant("bias", np.arange(4, dtype=np.int32), Scale((0.05, 0.1, 0.15, 0.2), (0,) * 4))
    main.operator("CALL_ONCE", [], [], init_subgraph_index=1)
    main.operator(
        "CONV_2D",
        [x, kernel, bias],
        [conv],
        version=3,
        padding="SAME",
        stride_h=2,
        stride_w=2,
        fused_activation="RELU6",
    )
    shape = main.constant("shape", np.array([1, 64], np.int32))
    flat = main.tensor("flat", (1, 64), "int8", Scale(0.25, 0))
    main.operator("RESHAPE", [conv, shape], [flat], new_shape=(1, 64))
    memory = main.tensor("memory", (1, 16), "int8", Scale(0.25, 0), variable=True)
    features = main.constant("features", random.integers(-127, 128, (2, 64), np.int8), Scale(0.1))
    times = main.constant("times", random.integers(-999, 999, (2, 8), np.int16), Scale(0.01))
    y = main.output("y", (1, 2), "int8", Scale(0.5, 0))
    main.operator("SVDF", [flat, features, times, -1, memory], [y], rank=1, fused_activation="RELU")
    handle = main.tensor("handle", (), "resource")
    main.operator("VAR_HANDLE", [], [handle], container="box", shared_name="count")
    main.operator("ASSIGN_VARIABLE", [handle, y], [])
    odd = main.output("odd", (1, 2), "float32")
    main.custom("Odd", [y, flag], [odd], b"options")
    value = setup.constant("value", np.zeros((1, 2), np.int8), Scale(0.5, 0))
    handle = setup.tensor("handle", (), "resource")
    setup.operator("VAR_HANDLE", [], [handle], container="box", shared_name="count")
    setup.operator("ASSIGN_VARIABLE", [handle, value], [])
    out.metadata["note"] = b"hello"
    return out.finish()


def edited(data: bytes, change: Callable[[Any], None]) -> bytes:
    """Return `data` after `change` has had its way with the tree of objects that it unfolds to."""
    schema = pytest.importorskip(
        "tflite_micro.tensorflow.lite.micro.python.schema_py_generated",
        reason="needs the object classes of the tflite-micro wheel",
    )
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    change(tree)
    out = flatbuffers.Builder(len(data))
    out.Finish(tree.Pack(out), file_identifier=b"TFL3")
    return bytes(out.Output())
