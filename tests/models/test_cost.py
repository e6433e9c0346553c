"""Costs against sums done by hand, and against what Vela counts layer by layer."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.models import bundled, cost, tflite
from harness.models.build import Builder, Scale, Subgraph
from tests.models.bases import compiled, everything


def _macs(build: Any) -> int | None:
    out = Builder()
    build(out.subgraph("main"))
    (only,) = cost.costs(tflite.parse(out.finish(), "m"))
    return only.macs


def _weights(graph: Subgraph, *shape: int) -> int:
    return graph.constant("w", np.zeros(shape, np.int8), Scale(0.1))


def test_a_convolution_sums_over_window_and_channels_for_each_output() -> None:
    def build(g: Subgraph) -> None:
        x, y = g.input("x", (1, 8, 8, 3), "int8"), g.output("y", (1, 4, 4, 5), "int8")
        g.operator("CONV_2D", [x, _weights(g, 5, 3, 2, 3), -1], [y], stride_h=2, stride_w=2, padding="SAME")

    assert _macs(build) == (4 * 4 * 5) * (3 * 2 * 3)


def test_a_grouped_convolution_sums_over_the_channels_of_a_group() -> None:
    def build(g: Subgraph) -> None:
        x, y = g.input("x", (1, 4, 4, 8), "int8"), g.output("y", (1, 4, 4, 6), "int8")
        g.operator("CONV_2D", [x, _weights(g, 6, 1, 1, 4), -1], [y])

    assert _macs(build) == (4 * 4 * 6) * 4


def test_a_depthwise_convolution_sums_over_the_window() -> None:
    def build(g: Subgraph) -> None:
        x, y = g.input("x", (1, 6, 6, 2), "int8"), g.output("y", (1, 4, 4, 8), "int8")
        g.operator("DEPTHWISE_CONV_2D", [x, _weights(g, 1, 3, 3, 8), -1], [y], depth_multiplier=4)

    assert _macs(build) == (4 * 4 * 8) * (3 * 3)


def test_a_transposed_convolution_spreads_each_input() -> None:
    def build(g: Subgraph) -> None:
        x, y = g.input("x", (1, 4, 4, 3), "int8"), g.output("y", (1, 8, 8, 5), "int8")
        shape = g.constant("shape", np.array([1, 8, 8, 5], np.int32))
        g.operator("TRANSPOSE_CONV", [shape, _weights(g, 5, 2, 2, 3), x], [y], stride_h=2, stride_w=2)

    assert _macs(build) == (4 * 4 * 3) * (2 * 2 * 5)


def test_a_fully_connected_layer_counts_rows_that_it_keeps_apart() -> None:
    def build(g: Subgraph) -> None:
        x, y = g.input("x", (2, 7, 16), "int8"), g.output("y", (2, 7, 4), "int8")
        g.operator("FULLY_CONNECTED", [x, _weights(g, 4, 16), -1], [y], keep_num_dims=True)

    assert _macs(build) == (2 * 7 * 4) * 16


@pytest.mark.parametrize(("x_shape", "adj_x"), [((2, 3, 5), False), ((2, 5, 3), True)])
def test_a_batched_product_sums_over_the_inner_dimension(x_shape: tuple[int, ...], adj_x: bool) -> None:
    def build(g: Subgraph) -> None:
        x, y = g.input("x", x_shape, "int8"), g.input("y", (2, 5, 4), "int8")
        g.operator("BATCH_MATMUL", [x, y], [g.output("z", (2, 3, 4), "int8")], adj_x=adj_x)

    assert _macs(build) == (2 * 3 * 4) * 5


@pytest.mark.parametrize("coupled", [False, True])
def test_an_lstm_uses_every_gate_weight_once_a_step(coupled: bool) -> None:
    steps, batch, inputs, cells = 6, 2, 5, 7

    def build(g: Subgraph) -> None:
        x = g.input("x", (batch, steps, inputs), "int8")
        of_input = [_weights(g, cells, inputs) for _ in range(4)]
        of_output = [_weights(g, cells, cells) for _ in range(4)]
        if coupled:  # the input gate is one minus the forget gate
            of_input[0] = of_output[0] = -1
        biases = [g.constant("b", np.zeros(cells, np.int32), Scale(0.1)) for _ in range(4)]
        state = [g.tensor("s", (batch, cells), t, variable=True) for t in ("int8", "int16")]
        y = g.output("y", (batch, steps, cells), "int8")
        operands = [x, *of_input, *of_output, -1, -1, -1, *biases, -1, -1, *state, -1, -1, -1, -1]
        g.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", operands, [y])

    gates = 3 if coupled else 4
    assert _macs(build) == batch * steps * gates * (cells * inputs + cells * cells)


def test_an_svdf_counts_features_and_time() -> None:
    def build(g: Subgraph) -> None:
        x, y = g.input("x", (3, 10), "int8"), g.output("y", (3, 4), "int8")
        times = g.constant("t", np.zeros((4, 6), np.int16), Scale(0.1))
        state = g.tensor("s", (3, 24), "int16", variable=True)
        g.operator("SVDF", [x, _weights(g, 4, 10), times, -1, state], [y], rank=1)

    assert _macs(build) == 3 * (4 * 10 + 4 * 6)


def test_operators_without_weights_count_nothing_and_an_npu_part_is_unknown() -> None:
    def build(g: Subgraph) -> None:
        x, y = g.input("x", (1, 8), "int8"), g.output("y", (1, 8), "int8")
        g.operator("ADD", [x, x], [y])

    assert _macs(build) == 0
    assert [c.macs for c in cost.costs(tflite.parse(compiled(), "m"))] == [None]


def test_shapes_that_no_formula_fits_leave_the_count_unknown() -> None:
    def build(g: Subgraph) -> None:
        x, y = g.input("x", (1, 8), "int8"), g.output("y", (1, 8), "int8")
        g.operator("CONV_2D", [x, x], [y])

    def build_alone(g: Subgraph) -> None:
        g.operator("CONV_2D", [g.input("x", (1, 8), "int8")], [g.output("y", (1, 8), "int8")])

    assert _macs(build) is None
    assert _macs(build_alone) is None


def test_bytes_are_split_into_weights_inputs_and_outputs() -> None:
    model = tflite.parse(everything(), "m")
    conv = cost.costs(model)[1]
    assert (conv.label, conv.weight_bytes, conv.input_bytes, conv.output_bytes) == (
        "CONV_2D",
        4 * 27 + 4 * 4,
        192,
        64,
    )


def test_parameters_are_weights_and_biases_but_not_shapes() -> None:
    assert cost.parameters(tflite.parse(everything(), "m")) == 4 * 27 + 4 + 2 * 64 + 2 * 8 + 2


def _vela_counts(model: Path, into: Path) -> dict[str, int]:
    """Return MACs by output tensor of what were convolutions and fully connected layers to Vela."""
    done = subprocess.run(
        [sys.executable, "-m", "ethosu.vela", str(model), "--verbose-performance", "--output-dir", str(into)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    counts: dict[str, int] = {}
    (table,) = into.glob("*_per-layer.csv")
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            row = {(key or "").strip(): (value or "").strip() for key, value in row.items() if key}
            if row["Original Operator"] in ("Conv2D", "DepthwiseConv2D", "FullyConnected"):
                counts[row["Name"]] = counts.get(row["Name"], 0) + int(float(row["MAC Count"]))
    return counts


@pytest.mark.interop
@pytest.mark.parametrize(
    "name",
    [
        "person_detect",
        "vww_96_int8",
        "kws_ref_model",
        "pretrainedResnet_quant",
        "ad01_int8",
        "pfld_meter_int8",
    ],
)
def test_every_layer_counts_what_vela_counts(shared: Path, tmp_path: Path, name: str) -> None:
    file = shared / "models" / f"{name}.tflite"
    model = tflite.read(file)
    main = model.subgraphs[0]
    ours = {
        main.tensors[main.operators[c.index].outputs[0]].name: c.macs for c in cost.costs(model) if c.macs
    }
    assert ours == _vela_counts(file, tmp_path)


def test_the_bundled_person_model_has_the_parameters_of_its_tensors() -> None:
    name = next(n for n in bundled.names() if n.startswith("person"))
    model = tflite.parse(bundled.build(name), name)
    main = model.subgraphs[0]
    weights = {i for o in main.operators if o.code in cost.WEIGHTED for i in o.inputs[1:]}
    assert cost.parameters(model) == sum(main.tensors[i].elements for i in weights)
