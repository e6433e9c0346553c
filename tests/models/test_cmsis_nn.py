"""Buffers of CMSIS-NN on a Cortex-M55, held against CMSIS-NN's own functions that size them.

`cmsis_nn_m55.csv` is what arm_convolve_wrapper_s8_get_buffer_size_mve and its like of CMSIS-NN of July 2026
returned for random shapes, built for this computer; c, d and t are plain, depthwise and transposed
convolutions, `scratch` the buffers in order, without those of no bytes but for a transposed one's.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from harness.models import tflite
from harness.models.arena import arena
from harness.models.build import Builder, Scale
from harness.models.cmsis_nn import CORTEX_M55
from harness.models.operator_memory import Node, Requests, Variables, init, prepare


def rows() -> list[dict[str, str]]:
    with Path(__file__).with_name("cmsis_nn_m55.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def asked_by(model: tflite.Model) -> Requests:
    """Return what the first operator of a model asks for when it is prepared."""
    graph = model.subgraphs[0]
    node = Node(model, graph, graph.operators[0], Variables(), Requests())
    prepare(node, CORTEX_M55)
    return node.asked


def convolution(row: dict[str, str]) -> tflite.Model:
    def of(name: str) -> int:
        return int(row[name])

    graph = Builder()
    main = graph.subgraph("main")
    channels, filters, kind = of("channels"), of("filters"), row["kind"]
    x = main.input("x", (1, of("height"), of("width"), channels), "int8", Scale(0.5))
    y = main.output("y", (1, of("out_height"), of("out_width"), filters), "int8", Scale(0.5))
    high, wide = of("filter_height"), of("filter_width")
    options: dict[str, int | str] = {"padding": row["padding"]}
    options |= {name: of(name) for name in ("stride_h", "stride_w")}
    scale = Scale((0.5,) * filters, (0,) * filters, 3 if kind == "d" else 0)
    if kind == "t":
        shape = main.constant("shape", np.array([1, of("out_height"), of("out_width"), filters], np.int32))
        w = main.constant("w", np.zeros((filters, high, wide, channels), np.int8), scale)
        main.operator("TRANSPOSE_CONV", [shape, w, x], [y], **options | {"padding": "SAME"})
    else:
        options |= {f"{name}_factor": of(name) for name in ("dilation_h", "dilation_w")}
        if kind == "d":
            options["depth_multiplier"] = filters // channels
        depth = channels // of("groups")
        of_filter = (1, high, wide, filters) if kind == "d" else (filters, high, wide, depth)
        w = main.constant("w", np.zeros(of_filter, np.int8), scale)
        main.operator("DEPTHWISE_CONV_2D" if kind == "d" else "CONV_2D", [x, w, -1], [y], **options)
    return tflite.parse(graph.finish(), "convolution")


def test_convolutions_ask_for_the_buffers_that_cmsis_nn_sizes() -> None:
    found = rows()
    assert len(found) > 400
    assert {row["kind"] for row in found} == {"c", "d", "t"}
    for row in found:
        assert asked_by(convolution(row)).scratch == [int(size) for size in row["scratch"].split()], row


def fully_connected(
    *, constant: bool, dimensions: int = 2, depth: int = 8, per_channel: bool = False
) -> Requests:
    graph = Builder()
    main = graph.subgraph("main")
    shape = (1,) * (dimensions - 1)
    x = main.input("x", (*shape, depth), "int8", Scale(0.5))
    scale = Scale((0.5,) * 4, (0,) * 4) if per_channel else Scale(0.5)
    if constant:
        w = main.constant("w", np.zeros((4, depth), np.int8), scale)
    else:
        w = main.input("w", (4, depth), "int8", scale)
    y = main.output("y", (*shape, 4), "int8", Scale(0.5))
    main.operator("FULLY_CONNECTED", [x, w, -1], [y])
    return asked_by(tflite.parse(graph.finish(), "layer"))


def test_a_fully_connected_layer_keeps_the_sums_of_its_weights() -> None:
    assert fully_connected(constant=True) == Requests(persistent=[16])


def test_sums_of_weights_that_change_are_made_in_a_buffer() -> None:
    assert fully_connected(constant=False) == Requests(scratch=[16])


def test_a_layer_of_many_rows_is_done_as_a_convolution_with_one_scale_for_all_channels() -> None:
    assert fully_connected(constant=True, dimensions=3) == Requests(scratch=[32])
    assert fully_connected(constant=True, dimensions=3, depth=6) == Requests(persistent=[16])
    assert fully_connected(constant=True, dimensions=3, per_channel=True) == Requests(persistent=[16, 16])


def test_poolings_ask_for_nothing_but_have_a_word_more_in_their_structure() -> None:
    graph = Builder()
    main = graph.subgraph("main")
    x = main.input("x", (1, 4, 4, 8), "int8", Scale(0.5))
    y = main.output("y", (1, 1, 1, 8), "int8", Scale(0.5))
    window = {"stride_h": 4, "stride_w": 4, "filter_height": 4, "filter_width": 4}
    main.operator("AVERAGE_POOL_2D", [x], [y], padding="VALID", **window)
    model = tflite.parse(graph.finish(), "pool")
    assert asked_by(model) == Requests()
    operator = model.subgraphs[0].operators[0]
    node = Node(model, model.subgraphs[0], operator, Variables(), Requests())
    init(node, CORTEX_M55)
    assert node.asked.persistent == [36]


def test_what_is_not_accounted_for_is_said() -> None:
    graph = Builder()
    main = graph.subgraph("main")
    x = main.input("x", (1, 4, 4, 8), "int16", Scale(0.5))
    w = main.constant("w", np.zeros((4, 3, 3, 8), np.int8), Scale((0.5,) * 4, (0,) * 4))
    y = main.output("y", (1, 4, 4, 4), "int16", Scale(0.5))
    main.operator("CONV_2D", [x, w, -1], [y], padding="SAME", stride_h=1, stride_w=1)
    model = tflite.parse(graph.finish(), "int16")
    assert arena(model).exact
    found = arena(model, CORTEX_M55)
    assert [u.label for u in found.unaccounted] == ["CONV_2D"]


@pytest.mark.interop
@pytest.mark.parametrize(
    ("file", "used"),
    [
        ("person_detect", 82364),
        ("kws_ref_model", 27356),
        ("pretrainedResnet_quant", 55052),
        ("ad01_int8", 9372),
        ("vww_96_int8", 100780),
        ("mobilenetv2_cifar10_int8", 12876),
    ],
)
def test_real_models_take_more_with_cmsis_nn(shared: Path, file: str, used: int) -> None:
    model = tflite.read(shared / "models" / f"{file}.tflite")
    found = arena(model, CORTEX_M55)
    assert (found.used_bytes, found.exact) == (used, True)
    assert found.used_bytes > arena(model).used_bytes
