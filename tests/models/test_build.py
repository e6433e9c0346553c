"""What the builder writes is what the reader and both runtimes understand."""

from __future__ import annotations

import numpy as np
import pytest

from harness.models import reference, tflite
from harness.models.build import Builder, Scale


def convolution() -> bytes:
    graph = Builder(description="a convolution")
    graph.metadata["note"] = b"hello"
    main = graph.subgraph("main")
    x = main.input("x", (1, 4, 4, 2), "int8", Scale(0.5, 3))
    w = main.constant("w", np.ones((3, 1, 1, 2), np.int8), Scale((0.25, 0.5, 1.0), (0, 0, 0), axis=0))
    b = main.constant("b", np.array([0, 4, 8], np.int32), Scale((0.125, 0.25, 0.5), (0, 0, 0)))
    y = main.output("y", (1, 2, 2, 3), "int8", Scale(1.0, 0))
    main.operator("CONV_2D", [x, w, b], [y], padding="SAME", stride_h=2, stride_w=2, fused_activation="RELU")
    return graph.finish()


def counter() -> bytes:
    """A model with state: its output is the sum of its inputs since the start."""
    graph = Builder()
    main = graph.subgraph("main")
    x = main.input("x", (1, 2), "float32")
    y = main.output("y", (1, 2), "float32")
    handle = main.tensor("handle", (), "resource")
    before = main.tensor("before", (1, 2), "float32")
    start = graph.subgraph("start")
    zero = start.constant("zero", np.zeros((1, 2), np.float32))
    first = start.tensor("handle", (), "resource")
    main.operator("CALL_ONCE", [], [], init_subgraph_index=1)
    main.operator("VAR_HANDLE", [], [handle], container="", shared_name="sum")
    main.operator("READ_VARIABLE", [handle], [before])
    main.operator("ADD", [before, x], [y], fused_activation="NONE")
    main.operator("ASSIGN_VARIABLE", [handle, y], [])
    start.operator("VAR_HANDLE", [], [first], container="", shared_name="sum")
    start.operator("ASSIGN_VARIABLE", [first, zero], [])
    return graph.finish()


def test_the_reader_finds_what_was_built() -> None:
    model = tflite.parse(convolution(), "built")
    main = model.subgraphs[0]
    (operator,) = main.operators
    assert (model.description, model.metadata["note"]) == ("a convolution", b"hello")
    assert operator.code == "CONV_2D"
    assert {k: operator.options[k] for k in ("padding", "stride_h", "stride_w", "fused_activation")} == {
        "padding": "SAME",
        "stride_h": 2,
        "stride_w": 2,
        "fused_activation": "RELU",
    }
    assert main.tensors[1].quantization == tflite.Quantization((0.25, 0.5, 1.0), (0, 0, 0), 0)
    assert bytes(model.constant(main.tensors[2]) or b"") == np.array([0, 4, 8], "<i4").tobytes()


def test_constant_data_lies_where_kernels_may_read_it_in_place() -> None:
    model = tflite.parse(convolution(), "built")
    assert all(start % 16 == 0 for start, length in model.buffers if length)


def test_a_built_convolution_computes_what_its_numbers_say() -> None:
    x = np.full((1, 4, 4, 2), 9, np.int8)  # real 3.0
    (y,) = reference.run(convolution(), [x])
    assert y[0, 0, 0].tolist() == [2, 4, 10]  # 1.5, 3 + 1, 6 + 4; halves round up


def test_a_model_with_state_counts_its_invokes_from_a_fresh_start() -> None:
    x = np.array([[1.0, 0.5]], np.float32)
    assert reference.run(counter(), [x])[0].tolist() == [[1.0, 0.5]]
    assert reference.run(counter(), [x], invokes=5)[0].tolist() == [[5.0, 2.5]]


@pytest.mark.interop
def test_the_device_runtime_agrees_on_a_model_with_state() -> None:
    micro = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    interpreter = micro.Interpreter.from_bytes(counter(), arena_size=20_000)
    x = np.array([[1.0, 0.5]], np.float32)
    for _ in range(5):
        interpreter.set_input(x, 0)
        interpreter.invoke()
    assert interpreter.get_output(0).tolist() == reference.run(counter(), [x], invokes=5)[0].tolist()


@pytest.mark.parametrize(
    ("code", "options"), [("CONV_2D", {"strides": 1}), ("CONV_2D", {"padding": "MAYBE"}), ("DEQUANTISE", {})]
)
def test_what_the_schema_does_not_know_is_refused(code: str, options: dict[str, int | str]) -> None:
    graph = Builder()
    main = graph.subgraph("main")
    x = main.input("x", (1,), "int8")
    main.operator(code, [x], [x], **options)
    with pytest.raises(ValueError, match="the schema"):
        graph.finish()
