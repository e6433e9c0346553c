"""`harness compile` as a person runs it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli.compile import command
from harness.errors import HarnessError
from harness.models import bundled, tflite
from harness.models.build import Builder, Scale

MNIST = "mnist_mbv2_035_32_int8"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def test_a_bundled_model_is_compiled_and_velas_summary_kept(place: Path) -> None:
    result = run(MNIST, "--board", "grove_vision_ai_we2")
    assert result.exit_code == 0
    assert sorted(p.name for p in place.iterdir()) == [
        f"{MNIST}_vela.tflite",
        f"{MNIST}_vela_per-layer.csv",
        f"{MNIST}_vela_summary.csv",
    ]
    assert "0.341 ms estimated by Vela (136,345 cycles at 400 MHz; CPU" in result.output
    assert "1.84 ms, -32/+87 % (estimated for grove_vision_ai_we2" in result.output
    assert "CPU operators   none" in result.output
    assert "cycles_total" in (place / f"{MNIST}_vela_summary.csv").read_text()


def test_a_file_is_compiled_to_where_it_is_asked_for(place: Path) -> None:
    (place / "m.tflite").write_bytes(bundled.build(MNIST))
    (place / "out").mkdir()
    result = run("m.tflite", "--board", "we2", "-o", "out/x.tflite", "--json")
    facts = json.loads(result.output)
    files = [Path("out/x.tflite"), Path("out/x_summary.csv"), Path("out/x_per-layer.csv")]
    assert [Path(file) for file in facts["files"]] == files
    assert facts["estimate"]["origin"] == "estimated"
    assert facts["estimate"]["seconds"] == pytest.approx(facts["estimate"]["cycles"] / 400e6)
    assert tflite.read(place / "out/x.tflite").sha256 == facts["sha256"]


def test_a_model_without_anything_for_the_npu_gets_no_npu_figures(place: Path) -> None:
    out = Builder()
    main = out.subgraph("main")
    x = main.input("x", (1, 4), "int8", Scale(0.5))
    main.custom("Odd\x1b[31m", [x], [main.output("y", (1, 4), "int8", Scale(0.5))], b"")
    (place / "odd.tflite").write_bytes(out.finish())
    shown = run("odd.tflite", "--board", "we2").output
    assert "nothing of this model runs on it; the board's CPU runs all of it" in shown
    assert "NPU time" not in shown
    assert "\x1b" not in shown


def test_a_temporary_directory_without_room_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    result = run(MNIST, "--board", "we2")
    assert f"{tempfile.gettempdir()}: Vela cannot work there: No space left on device" in str(
        result.exception
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((MNIST, "--board", "xiao_esp32s3"), "xiao_esp32s3 has no NPU to compile for"),
        ((MNIST, "--board", "we3"), "we2"),
        (("mnist_mbv2_035_32", "--board", "we2"), f"did you mean '{MNIST}'"),
        (
            (MNIST, "--board", "we2", "-o", "nowhere/x.tflite"),
            "nowhere/x.tflite: cannot be written: No such file",
        ),
        (("m.tflite", "--board", "we2", "-o", "m.tflite"), "this is the model itself"),
        (("m.tflite", "--board", "we2", "-o", "."), "is a directory; give the path of a file with -o"),
        (("m.tflite", "--board", "we2", "-o", ".."), "is a directory; give the path of a file with -o"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_written(
    place: Path, arguments: tuple[str, ...], message: str
) -> None:
    (place / "m.tflite").write_bytes(bundled.build(MNIST))
    result = run(*arguments)
    assert isinstance(result.exception, HarnessError)
    assert message in str(result.exception).replace("\\", "/")
    assert [p.name for p in place.iterdir()] == ["m.tflite"]


def test_a_compiled_model_is_refused_by_the_command_line_with_status_2(place: Path) -> None:
    run(MNIST, "--board", "we2")
    again = subprocess.run(
        [sys.executable, "-m", "harness", "compile", f"{MNIST}_vela.tflite", "--board", "we2"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert again.returncode == 2
    assert again.stderr.startswith(f"harness: error: {MNIST}_vela.tflite: already compiled by Vela")
    assert again.stderr.count("\n") == 1
