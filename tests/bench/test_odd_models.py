"""Models with several inputs, subgraphs or state, and what becomes of those that some board cannot run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import harness
from harness import boards
from harness.check import firmware
from harness.check.verdict import judge
from harness.errors import HarnessError
from harness.models import tflite
from harness.models.build import Builder, Scale
from harness.runner import Result


def bench(directory: Path, model: Builder, names: tuple[str, ...] = (), **settings: object) -> Result:
    path = directory / "odd.tflite"
    path.write_bytes(model.finish())
    return harness.bench(path, names, port="emulated", out=directory / "out", **settings)  # type: ignore[arg-type]


def verdicts(result: Result) -> dict[str, str]:
    assert not result.failures
    return {record.board.id: record.verification.verdict for record in result.records}


def branches() -> Builder:
    """Return a model of three subgraphs: IF cond THEN x + 3 ELSE x * 3."""
    out = Builder("branches")
    main, *sides = (out.subgraph(name) for name in ("main", "then", "else"))
    condition, x = main.input("condition", (1,), "bool"), main.input("x", (1, 4), "float32")
    y = main.output("y", (1, 4), "float32")
    main.operator("IF", [condition, x], [y], then_subgraph_index=1, else_subgraph_index=2)
    for side, code in zip(sides, ("ADD", "MUL"), strict=True):
        x = side.input("x", (1, 4), "float32")
        three = side.constant("three", np.full((1, 4), 3, np.float32))
        side.operator(code, [x, three], [side.output("y", (1, 4), "float32")])
    return out


def counter() -> Builder:
    """Return a model with a resource variable, set to 0 by CALL_ONCE, to which every invoke adds x."""
    out = Builder("counter")
    main, setup = out.subgraph("main"), out.subgraph("setup")
    x = main.input("x", (1, 2), "float32")
    main.operator("CALL_ONCE", [], [], init_subgraph_index=1)
    handle = main.tensor("handle", (), "resource")
    main.operator("VAR_HANDLE", [], [handle], container="box", shared_name="sum")
    before, after = main.tensor("before", (1, 2), "float32"), main.output("after", (1, 2), "float32")
    main.operator("READ_VARIABLE", [handle], [before])
    main.operator("ADD", [x, before], [after])
    main.operator("ASSIGN_VARIABLE", [handle, after], [])
    zero = setup.constant("zero", np.zeros((1, 2), np.float32))
    handle = setup.tensor("handle", (), "resource")
    setup.operator("VAR_HANDLE", [], [handle], container="box", shared_name="sum")
    setup.operator("ASSIGN_VARIABLE", [handle, zero], [])
    return out


def two_ends() -> Builder:
    """Return an int8 model of two inputs and two outputs."""
    out = Builder("two ends")
    main = out.subgraph("main")
    a = main.input("a", (1, 4, 4, 2), "int8", Scale(0.5, -3))
    b = main.input("b", (1, 4, 4, 2), "int8", Scale(0.25, 4))
    main.operator("ADD", [a, b], [main.output("sum", (1, 4, 4, 2), "int8", Scale(0.7, 1))])
    main.operator("MUL", [a, b], [main.output("product", (1, 4, 4, 2), "int8", Scale(3.0, 1))], version=2)
    return out


def wide() -> Builder:
    """Return an int16 model with int8 weights."""
    out = Builder("wide")
    main = out.subgraph("main")
    x = main.input("x", (1, 16), "int16", Scale(0.001))
    random = np.random.default_rng(5)
    weights = main.constant("w", random.integers(-127, 128, (8, 16), np.int8), Scale(0.01))
    bias = main.constant("b", random.integers(-999, 999, 8).astype(np.int64), Scale(1e-5))
    main.operator("FULLY_CONNECTED", [x, weights, bias], [main.output("y", (1, 8), "int16", Scale(0.001))])
    return out


def look_up() -> Builder:
    """Return a model that looks up rows of a table by its input."""
    out = Builder("look up")
    main = out.subgraph("main")
    table = main.constant("table", np.arange(15, dtype=np.int8).reshape(5, 3), Scale(0.5))
    row = main.input("row", (2,), "int32")
    main.operator("GATHER", [table, row], [main.output("y", (2, 3), "int8", Scale(0.5))], axis=0)
    return out


def blocks() -> Builder:
    """Return a model of whose block sizes and crops neither follows from the other."""
    out = Builder("blocks")
    main = out.subgraph("main")
    x, size = main.input("x", (4, 2, 2, 1), "float32"), main.input("size", (2,), "int32")
    crops, y = main.input("crops", (2, 2), "int32"), main.output("y", (1, 4, 4, 1), "float32")
    main.operator("BATCH_TO_SPACE_ND", [x, size, crops], [y])
    return out


def test_several_inputs_come_by_name_from_one_file_and_outputs_are_compared_by_a_rule_that_is_said(
    tmp_path: Path,
) -> None:
    a, b = (np.full((1, 4, 4, 2), value, np.int8) for value in (1, 7))
    np.savez(tmp_path / "inputs.npz", b=b, a=a)
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    one = bench(tmp_path, two_ends(), ("we2",), inputs=str(tmp_path / "inputs.npz"), invokes=1)
    two = bench(tmp_path, two_ends(), ("we2",), inputs=[tmp_path / "a.npy", tmp_path / "b.npy"], invokes=1)
    assert verdicts(one) == verdicts(two) == {"grove_vision_ai_we2": "exact"}
    assert one.records[0].verification.rule == "int8: at most 1 step"
    assert one.records[0].inputs.sha256 == two.records[0].inputs.sha256
    assert one.records[0].outputs.sha256 == two.records[0].outputs.sha256
    assert len(one.records[0].outputs.sha256 or ()) == 2


def test_int16_activations_agree_with_the_desktop_runtime(tmp_path: Path) -> None:
    result = bench(tmp_path, wide(), ("grove_vision_ai", "we2"), invokes=1)
    assert set(verdicts(result).values()) == {"exact"}
    assert [record.model.precision for record in result.records] == ["int16x8", "int16x8 (Vela)"]


def test_state_is_what_the_same_number_of_invokes_makes_of_it_on_every_board(tmp_path: Path) -> None:
    """Vela, which has nothing to do here, would move the variable's initialisation behind its use."""
    result = bench(tmp_path, counter(), ("xiao_esp32s3", "we2"), invokes=3, warmup=2)
    assert verdicts(result) == {"xiao_esp32s3": "exact", "grove_vision_ai_we2": "exact"}


def test_a_board_for_which_vela_refuses_the_model_is_left_out_where_none_was_named(tmp_path: Path) -> None:
    result = bench(tmp_path, branches(), invokes=1)
    assert verdicts(result) == {"xiao_esp32s3": "exact", "grove_vision_ai": "exact"}
    (skip,) = result.skipped
    assert (skip.board, "Vela refuses" in skip.reason) == ("grove_vision_ai_we2", True)
    with pytest.raises(HarnessError, match="Vela refuses"):
        bench(tmp_path, branches(), ("we2",))


def test_a_file_of_a_folder_that_cannot_be_benched_is_left_out_and_the_others_are_benched(
    tmp_path: Path,
) -> None:
    """A file that is no model, one that Vela refuses, and a model."""
    models = tmp_path / "models"
    models.mkdir()
    (models / "a_page.tflite").write_bytes(b"<!DOCTYPE html><html>")
    (models / "branches.tflite").write_bytes(branches().finish())
    (models / "counter.tflite").write_bytes(counter().finish())
    result = harness.bench([models], ["we2"], port="emulated", invokes=1, out=tmp_path / "out")
    assert [record.model.name for record in result.records] == ["counter"]
    assert not result.failures
    page, refused = result.skipped
    assert (page.model, page.board) == (str(models / "a_page.tflite"), None)
    assert page.reason.startswith("this is a web page")
    assert (refused.model, "Vela refuses" in refused.reason) == (str(models / "branches.tflite"), True)
    (models / "counter.tflite").unlink()
    nothing = harness.bench([models], ["we2"], port="emulated", out=tmp_path / "nothing")
    assert (nothing.records, len(nothing.skipped)) == ([], 2)
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(HarnessError, match="Vela refuses"):
        harness.bench([models, models / "branches.tflite"], ["we2"], port="emulated", out=tmp_path / "out")


def test_an_operator_that_fails_on_the_board_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "beyond.npy", np.array([0, 7], np.int32))
    result = bench(tmp_path, look_up(), ("xiao_esp32s3",), invokes=1, inputs=tmp_path / "beyond.npy")
    assert not result.records
    assert "GATHER" in result.failures[0].message


def unlike_anything() -> Builder:
    """Return a model of an operator that no desktop runtime has, and that no time is published for."""
    out = Builder("unlike anything")
    main = out.subgraph("main")
    x = main.input("x", (8,), "int16")
    scaled, bits = main.output("scaled", (8,), "int16"), main.output("bits", (), "int32")
    main.custom("SignalFftAutoScale", [x], [scaled, bits])
    return out


def test_a_run_without_a_time_and_without_a_comparison_is_kept_and_is_no_success(tmp_path: Path) -> None:
    result = bench(tmp_path, unlike_anything(), ("we2",), invokes=2)
    (record,) = result.records
    assert (record.invoke.ticks, record.verification.verdict) == ([], "not_available")
    (failure,) = result.failures
    assert "nothing came of the run" in failure.message
    assert "SignalFftAutoScale" in failure.message


def test_an_index_is_given_a_row_that_there_is(tmp_path: Path) -> None:
    assert set(verdicts(bench(tmp_path, look_up(), ("xiao_esp32s3",), invokes=1)).values()) == {"exact"}


def test_a_random_input_that_makes_no_sense_is_asked_for_before_anything_is_flashed(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"operator 0 \(BATCH_TO_SPACE_ND\) reads it as its input 1"):
        bench(tmp_path, blocks(), ("xiao_esp32s3",), invokes=1)
    assert not list((tmp_path / "out").rglob("record.json"))
    for name, values in {
        "x": np.arange(16, dtype=np.float32).reshape(4, 2, 2, 1),
        "size": np.array([2, 2], np.int32),
        "crops": np.zeros((2, 2), np.int32),
    }.items():
        np.save(tmp_path / f"{name}.npy", values)
    given = [str(tmp_path / f"{name}.npy") for name in ("x", "size", "crops")]
    result = bench(tmp_path, blocks(), ("xiao_esp32s3",), invokes=1, inputs=given)
    assert verdicts(result) == {"xiao_esp32s3": "exact"}


ODD = {
    "transpose_conv4": "exact",
    "audio_preprocessor_int8": "not_available",  # the desktop runtime has no SignalWindow
    "lstm2": "exact",
    "kws_saved_model_variables": "exact",
}


@pytest.mark.interop
@pytest.mark.parametrize(
    ("name", "board"),
    [
        ("transpose_conv4", "xiao_esp32s3"),
        ("audio_preprocessor_int8", "grove_vision_ai"),
        ("lstm2", "we2"),
        ("kws_saved_model_variables", "we2"),
    ],
)
def test_what_check_says_yes_to_is_benched_with_the_arena_that_it_says(
    shared: Path, tmp_path: Path, name: str, board: str
) -> None:
    benched_with_the_arena_that_check_says(shared, tmp_path, name, board)


@pytest.mark.interop
@pytest.mark.soak
@pytest.mark.parametrize("board", ["xiao_esp32s3", "grove_vision_ai", "we2"])
@pytest.mark.parametrize("name", ODD)
def test_every_board_takes_the_arena_that_check_says(
    shared: Path, tmp_path: Path, name: str, board: str
) -> None:
    benched_with_the_arena_that_check_says(shared, tmp_path, name, board)


def benched_with_the_arena_that_check_says(shared: Path, tmp_path: Path, name: str, board: str) -> None:
    profile = boards.load(board)
    path = shared / "cases" / f"{name}.tflite"
    judged = judge(tflite.read(path), profile, firmware.choose(profile))
    assert judged.runs, judged.why_not
    result = harness.bench(path, board, port="emulated", out=tmp_path / "out", invokes=3, warmup=2)
    (record,) = result.records
    assert record.verification.verdict == ODD[name], record.verification.reason
    assert record.ram.arena_used_bytes == judged.ram.needed.used_bytes
