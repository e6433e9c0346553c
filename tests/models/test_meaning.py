"""Random inputs that are indices, axes and shapes, and what the desktop runtime makes of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from harness.models import reference, tensors, tflite
from harness.models.build import Builder, Scale, Subgraph
from harness.models.tensors import InputError
from tests.models import corpus

# Operators of the corpus that are told something by an input, and which inputs these are.
TOLD = {
    "ARG_MAX": (1,),
    "BATCH_TO_SPACE_ND": (1, 2),
    "BROADCAST_TO": (1,),
    "CUMSUM": (1,),
    "DYNAMIC_UPDATE_SLICE": (2,),
    "EXPAND_DIMS": (1,),
    "FILL": (0,),
    "GATHER": (1,),
    "GATHER_ND": (1,),
    "MEAN": (1,),
    "MIRROR_PAD": (1,),
    "PAD": (1,),
    "PADV2": (1,),
    "REDUCE_MAX": (1,),
    "RESHAPE": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "REVERSE_V2": (1,),
    "SLICE": (1, 2),
    "SPACE_TO_BATCH_ND": (1, 2),
    "SPLIT": (0,),
    "SPLIT_V": (1, 2),
    "SUM": (1,),
    "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0,),
}


def told(code: str, place: int, seed: int) -> tflite.Model:
    """Return the corpus's model of an operator with what it is told turned into an input."""
    types, build = corpus._CASES[code]
    case = corpus._Case(random.Random(f"meaning {code} {seed}"))
    build(case, types[-1])
    graph = case.builder.subgraphs[0]
    (operator,) = graph.operators
    graph.operators[0] = replace(operator, version=2 if code == "BROADCAST_TO" else 1)
    index = operator.inputs[place]
    graph.tensors[index] = replace(graph.tensors[index], buffer=0)
    graph.inputs.append(index)
    return tflite.parse(case.bytes(), code)


SOAKED = [pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 10)]


@pytest.mark.parametrize("seed", [0, *SOAKED])
@pytest.mark.parametrize(("code", "place"), [(code, place) for code, at in TOLD.items() for place in at])
def test_a_random_value_leads_to_the_shapes_that_the_file_states(code: str, place: int, seed: int) -> None:
    model = told(code, place, seed)
    main = model.subgraphs[0]
    outputs = reference.run(model.data, tensors.load([f"random:{seed}"], model))
    assert [o.shape for o in outputs] == [main.tensors[i].shape for i in main.outputs]


def test_rows_that_are_looked_up_are_rows_that_there_are() -> None:
    model = built(
        lambda main: main.operator(
            "EMBEDDING_LOOKUP",
            [main.input("rows", (500,), "int32"), main.constant("table", np.zeros((7, 2), np.float32))],
            [main.output("y", (500, 2), "float32")],
        )
    )
    (rows,) = tensors.load(["random:3"], model)
    assert set(rows.tolist()) == set(range(7))


def built(build: Callable[[Subgraph], object]) -> tflite.Model:
    out = Builder()
    build(out.subgraph("main"))
    return tflite.parse(out.finish(), "built")


def test_an_index_is_known_behind_what_passes_it_on() -> None:
    """As float, reshaped, packed with another one, and put behind a third."""

    def build(main: Subgraph) -> None:
        a, b = main.input("a", (1,), "float32"), main.input("b", (), "int32")
        whole, scalar = main.tensor("whole", (1,), "int32"), main.tensor("scalar", (), "int32")
        main.operator("CAST", [a], [whole])
        main.operator("RESHAPE", [whole], [scalar], new_shape=())
        pair, more = main.tensor("pair", (2,), "int32"), main.tensor("more", (4,), "int32")
        main.operator("PACK", [scalar, b], [pair], axis=0, values_count=2)
        main.operator("CONCATENATION", [pair, main.input("c", (2,), "int32")], [more], axis=0)
        table = main.constant("table", np.zeros((3, 2), np.float32))
        main.operator("GATHER", [table, more], [main.output("y", (4, 2), "float32")], axis=0)

    model = built(build)
    found = [
        np.concatenate([x.ravel() for x in tensors.load([f"random:{seed}"], model)]) for seed in range(30)
    ]
    assert {float(v) for values in found for v in values} == {0, 1, 2}


def test_an_index_into_two_tables_is_in_bounds_of_both() -> None:
    def build(main: Subgraph) -> None:
        row = main.input("row", (40,), "int32")
        for rows in (9, 4):
            table = main.constant(f"table{rows}", np.zeros((rows, 1), np.float32))
            main.operator("GATHER", [table, row], [main.output(f"y{rows}", (40, 1), "float32")], axis=0)

    assert tensors.load([], built(build))[0].max() == 3


def test_a_divisor_and_what_is_under_a_root_are_above_zero() -> None:
    def build(main: Subgraph) -> None:
        for type in ("int32", "float32"):
            ends = [main.input(f"{n}{type}", (1, 50), type) for n in "ab"]
            main.operator("DIV", ends, [main.output(f"c{type}", (1, 50), type)])
        x = main.input("x", (1, 50), "int8", Scale(0.5, 3))
        main.operator("RSQRT", [x], [main.output("y", (1, 50), "int8", Scale(0.5))])

    found = tensors.load([], built(build))
    assert found[1].min() >= 1
    assert found[3].min() >= 0.1
    assert found[4].min() > 3


def loop(compare: str, limit: int) -> tflite.Model:
    """Return a model that counts one up while the count compares with `limit`."""
    out = Builder()
    main, test, body = (out.subgraph(name) for name in ("main", "test", "body"))
    count = main.input("count", (1,), "int32")
    main.operator(
        "WHILE", [count], [main.output("y", (1,), "int32")], cond_subgraph_index=1, body_subgraph_index=2
    )
    most = test.constant("most", np.array([limit], np.int32))
    test.operator(compare, [test.input("count", (1,), "int32"), most], [test.output("go", (1,), "bool")])
    one = body.constant("one", np.array([1], np.int32))
    body.operator("ADD", [body.input("count", (1,), "int32"), one], [body.output("next", (1,), "int32")])
    return tflite.parse(out.finish(), "loop")


def test_a_loop_is_begun_some_steps_before_its_end() -> None:
    starts = {int(tensors.load([f"random:{seed}"], loop("LESS", 1_000_000))[0][0]) for seed in range(20)}
    assert min(starts) >= 1_000_000 - 9
    assert len(starts) > 3


def test_what_a_branch_does_with_an_input_counts() -> None:
    out = Builder()
    main, yes, no = (out.subgraph(name) for name in ("main", "yes", "no"))
    inputs = [main.input("condition", (1,), "bool"), main.input("row", (1,), "int32")]
    y = main.output("y", (1, 2), "float32")
    main.operator("IF", inputs, [y], then_subgraph_index=1, else_subgraph_index=2)
    for side, rows in ((yes, 3), (no, 2)):
        table = side.constant("table", np.zeros((rows, 2), np.float32))
        given, made = side.input("row", (1,), "int32"), side.output("y", (1, 2), "float32")
        side.operator("GATHER", [table, given], [made], axis=0)
    model = tflite.parse(out.finish(), "branches")
    assert {int(tensors.load([f"random:{seed}"], model)[1][0]) for seed in range(20)} == {0, 1}


def test_where_no_value_follows_one_is_asked_for() -> None:
    with pytest.raises(InputError) as caught:
        tensors.load([], told("STRIDED_SLICE", 1, 0))
    assert "operator 0 (STRIDED_SLICE) reads it as its input 1" in str(caught.value)
    assert "give it with --input FILE.npy" in str(caught.value)


@pytest.mark.interop
def test_the_shape_that_transpose_conv4_takes_is_that_of_its_output(shared) -> None:  # type: ignore[no-untyped-def]
    model = tflite.read(shared / "cases" / "transpose_conv4.tflite")
    main = model.subgraphs[0]
    (output,) = reference.run(model.data, tensors.load([], model))
    assert output.shape == main.tensors[main.outputs[0]].shape


def test_numbers_without_a_meaning_are_small_enough_to_be_multiplied() -> None:
    def build(main: Subgraph) -> None:
        ends = [main.input(n, (1, 500), "int32") for n in "ab"]
        main.operator("MUL", ends, [main.output("c", (1, 500), "int32")])

    found = tensors.load([], built(build))
    assert -1000 <= min(x.min() for x in found) < -900
    assert 900 < max(x.max() for x in found) <= 1000


def test_a_seed_gives_the_same_bytes_on_every_machine() -> None:
    def build(main: Subgraph) -> None:
        for type in ("int8", "uint8", "int16", "int32", "int64", "bool", "float32"):
            x = main.input(type, (2, 5), type, Scale(0.5) if type in ("int8", "uint8", "int16") else None)
            main.operator("RESHAPE", [x], [main.output(f"of {type}", (10,), type)], new_shape=(10,))
        table = main.constant("table", np.zeros((9, 1), np.float32))
        row = main.input("row", (3,), "int32")
        main.operator("GATHER", [table, row], [main.output("y", (3, 1), "float32")], axis=0)

    digest = hashlib.sha256(b"".join(x.tobytes() for x in tensors.load(["random:5"], built(build))))
    assert digest.hexdigest() == "563b742b2770b3afcf58ef8a1b43ac06caede95e9249a0b83ddcba5c44cc3cc0"


def test_a_tensor_that_is_read_in_more_ways_than_anyone_could_follow_does_not_hang() -> None:
    def build(main: Subgraph) -> None:
        x = main.input("x", (1,), "int32")
        for step in range(30):
            y = main.tensor(f"y{step}", (1,), "int32")
            for _ in range(10):
                main.operator("RESHAPE", [x], [y], new_shape=(1,))
            x = y
        main.operator("ABS", [x], [main.output("z", (1,), "int32")])

    assert tensors.load([], built(build))[0].shape == (1,)
