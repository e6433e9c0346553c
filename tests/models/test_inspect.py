"""The summary of a model, and `harness inspect` as a person or a program meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli import terminal
from harness.cli.inspect import command
from harness.models import tflite
from harness.models.build import Builder, Scale
from harness.models.inspect import ModelTensor, precision, summarize
from tests.models.bases import compiled, everything


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", "inspect", *arguments], capture_output=True, text=True
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "everything.tflite"
    path.write_bytes(everything())
    return path


def test_the_summary_counts_operators_and_names_what_is_lacking() -> None:
    summary = summarize(tflite.parse(everything(), "m"))
    assert {o.operator: o.count for o in summary.operators} == {
        "CONV_2D": 1,
        "SVDF": 1,
        "ASSIGN_VARIABLE": 2,
        "VAR_HANDLE": 2,
        "CALL_ONCE": 1,
        "RESHAPE": 1,
        "Odd": 1,
    }
    assert [o.operator for o in summary.operators][:2] == ["CONV_2D", "SVDF"], "the costliest come first"
    assert [(o.operator, o.index) for o in summary.unsupported] == [("Odd", 6)]
    assert summary.macs == 4 * 4 * 4 * 27 + 2 * 64 + 2 * 8
    assert [(g.name, g.operators) for g in summary.subgraphs] == [("main", 7), ("setup", 2)]
    assert [(p.name, p.shape, p.type) for p in summary.inputs] == [
        ("x", (1, 8, 8, 3), "int8"),
        ("flag", (1,), "bool"),
    ]


def test_state_is_variables_and_named_resources() -> None:
    summary = summarize(tflite.parse(everything(), "m"))
    assert [(p.name, p.shape, p.bytes) for p in summary.state] == [
        ("memory", (1, 16), 16),
        ("count", (1, 2), 2),
    ]


def test_a_resource_that_nothing_is_put_into_is_still_state() -> None:
    out = Builder()
    main = out.subgraph("main")
    handle, y = main.tensor("handle", (), "resource"), main.output("y", (1, 2), "int8")
    main.operator("VAR_HANDLE", [], [handle], shared_name="lonely")
    main.operator("READ_VARIABLE", [handle], [y])
    assert summarize(tflite.parse(out.finish(), "m")).state == (
        ModelTensor("lonely", (), "resource", 0, None),
    )


def _layer(data: str, weights: str | None) -> bytes:
    out = Builder()
    main = out.subgraph("main")
    x, y = main.input("x", (1, 4), data, Scale(0.1)), main.output("y", (1, 4), data, Scale(0.1))
    if weights is None:
        main.operator("ADD", [x, x], [y])
    else:
        w = main.constant("w", np.zeros((4, 4), weights), Scale(0.1))
        main.operator("FULLY_CONNECTED", [x, w, -1], [y])
    return out.finish()


@pytest.mark.parametrize(
    ("data", "weights", "label"),
    [
        ("int8", "int8", "int8"),
        ("uint8", "uint8", "uint8"),
        ("int16", "int8", "int16x8"),
        ("float32", "float32", "float32"),
        ("float32", "int8", "float32x8"),
        ("int8", None, "int8"),
        ("int16", None, "int16"),
        ("float32", None, "float32"),
        ("bool", None, "bool"),
    ],
)
def test_precision_is_activations_by_weights(data: str, weights: str | None, label: str) -> None:
    assert precision(tflite.parse(_layer(data, weights), "m")) == label


def test_precision_of_several_kinds_is_mixed() -> None:
    out = Builder()
    main = out.subgraph("main")
    for data in ("int8", "float32"):
        x, y = main.input("x", (1, 4), data), main.output("y", (1, 4), data)
        main.operator("FULLY_CONNECTED", [x, main.constant("w", np.zeros((4, 4), data)), -1], [y])
    assert precision(tflite.parse(out.finish(), "m")) == "mixed"


def test_float_around_an_int8_network_leaves_it_int8() -> None:
    out = Builder()
    main = out.subgraph("main")
    x, y = main.input("x", (1, 4), "float32"), main.output("y", (1, 4), "float32")
    q, r = (main.tensor(n, (1, 4), "int8", Scale(0.1)) for n in "qr")
    main.operator("QUANTIZE", [x], [q])
    main.operator("FULLY_CONNECTED", [q, main.constant("w", np.zeros((4, 4), np.int8), Scale(0.1)), -1], [r])
    main.operator("DEQUANTIZE", [r], [y])
    assert precision(tflite.parse(out.finish(), "m")) == "int8"


def test_a_compiled_model_says_for_what_and_hides_counts_it_cannot_know() -> None:
    summary = summarize(tflite.parse(compiled(), "m"))
    assert summary.precision == "int8 (Vela)"
    assert summary.npu is not None
    assert summary.npu.accelerator == "ethos-u55-64"
    assert summary.npu.planned_arena_bytes == 64
    assert summary.macs is None
    assert summary.parameters is None
    assert summary.unsupported == ()


def test_a_model_without_operators_or_tensors_has_a_summary() -> None:
    out = Builder()
    out.subgraph("main")
    summary = summarize(tflite.parse(out.finish(), "m"))
    assert (summary.precision, summary.macs, summary.inputs) == ("none", 0, ())


def test_the_command_prints_plain_text_into_a_pipe(file: Path) -> None:
    done = _run(str(file), "--layers")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert not any("\x1b" in line or "─" in line or line != line.rstrip() for line in lines)
    fields = dict(line.split(None, 1) for line in lines[:8])
    assert fields["Precision"] == "int8"
    assert fields["SHA-256"] == tflite.read(file).sha256
    assert ["Odd", "1", "not", "in", "TFLite-Micro"] in [line.split() for line in lines]
    assert ["x", "1x8x8x3", "int8", "0.5", "-1", "192"] in [line.split() for line in lines]
    assert ["0:1", "CONV_2D", "1x4x4x4", "int8", "1,728", "124"] in [line.split() for line in lines]
    assert ["1", "setup", "2", "2", "0", "0"] in [line.split() for line in lines]


def test_json_has_the_summary_with_every_operator(file: Path) -> None:
    done = _run(str(file), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["precision"] == "int8"
    assert found["inputs"][0]["quantization"] == {"scales": [0.5], "zero_points": [-1], "axis": 0}
    assert [layer["operator"] for layer in found["layers"]][1] == "CONV_2D"
    assert found["unsupported"] == [{"operator": "Odd", "subgraph": 0, "index": 6, "count": 1}]


def test_a_bundled_model_is_found_by_its_name() -> None:
    done = _run("person_mbv2_035_96_int8", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["inputs"][0]["shape"] == [1, 96, 96, 3]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"not a model at all", "not a TFLite model"),
        (everything()[:700], "damaged TFLite model"),
        (None, "no such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "bad.tflite"
    if content is not None:
        path.write_bytes(content)
    done = _run(str(path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert str(path) in done.stderr
    assert says in done.stderr


def test_names_that_steer_a_terminal_are_escaped(tmp_path: Path) -> None:
    out = Builder("\x1b[2J[red]gone[/red]")
    main = out.subgraph("main")
    main.operator("RELU", [main.input("\x1b]0;x\x07", (1,), "int8")], [main.output("y\n", (1,), "int8")])
    path = tmp_path / "m.tflite"
    path.write_bytes(out.finish())
    done = _run(str(path))
    assert "\x1b" not in done.stdout
    assert "\\x1b[2J[red]gone[/red]" in done.stdout
    assert "\\x1b]0;x\\x07" in done.stdout
    assert "y\\n" in done.stdout


def test_characters_that_the_output_cannot_encode_are_escaped(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "m.tflite"
    out = Builder("模型")
    main = out.subgraph("main")
    main.operator("RELU", [main.input("x", (1,), "int8")], [main.output("y", (1,), "int8")])
    path.write_bytes(out.finish())
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = _run(str(path))
    assert done.returncode == 0, done.stderr
    assert "\\u6a21\\u578b" in done.stdout


def test_inspecting_loads_neither_pandas_nor_vela_nor_a_runtime(file: Path) -> None:
    code = (
        "import sys; from harness.cli.inspect import command; "
        "command.main([sys.argv[1]], standalone_mode=False); "
        "print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "harness.models.inspect" in loaded
    for heavy in ("pandas", "pydantic", "ethosu.vela.vela", "ethosu.regor", "tflite_runtime", "tflite_micro"):
        assert heavy not in loaded


def test_a_terminal_gets_lines_and_folded_names(file: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    result = CliRunner().invoke(command, [str(file)])
    assert result.exit_code == 0
    assert "─" in result.stdout


def test_a_table_cell_shows_numbers_with_separators_and_none_as_empty(capsys: Any) -> None:
    terminal.table(terminal.console(), ("Name", ">Count", ">More"), [("a", 1234567, None), ("b", 0, True)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert lines == [["Name", "Count", "More"], ["a", "1,234,567"], ["b", "0", "True"]]


@pytest.mark.interop
def test_every_real_model_has_a_summary_in_both_forms(shared: Path) -> None:
    labels = {}
    for path in sorted((shared / "models").glob("*.tflite")):
        summary = summarize(tflite.read(path))
        labels[path.stem] = summary.precision
        assert summary.unsupported == ()
        assert json.loads(json.dumps(summary.to_dict(), allow_nan=False))["sha1"] == summary.sha1
        assert CliRunner().invoke(command, [str(path), "--layers"]).exit_code == 0
    assert labels.pop("person_detect_vela") == "int8 (Vela)"
    assert set(labels.values()) == {"int8"}
