"""Real models on every board: what the board computes is what the desktop runtime computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import harness
from harness import boards
from harness.models import reference, tflite
from harness.runner.plan import why_not

MODELS = (
    "person_detect",
    "vww_96_int8",
    "kws_ref_model",
    "pretrainedResnet_quant",
    "ad01_int8",
    "pfld_meter_int8",
)
BOARDS = ("xiao_esp32s3", "grove_vision_ai", "sensecap_a1101", "grove_vision_ai_we2")


def check(board: str, path: Path, spec: str, out: Path) -> None:
    """Bench one model once on an emulated board and hold its outputs against the desktop runtime's."""
    assert why_not(tflite.read(path), boards.load(board)) is None
    result = harness.bench([str(path)], [board], port="emulated", invokes=2, warmup=0, inputs=[spec], out=out)
    assert not result.failures, result.failures
    verification = result.records[0].verification
    allowed = 1
    if path.stem == "ad01_int8" and reference.runtime()[0] == "ai-edge-litert":
        allowed = (
            2  # its FULLY_CONNECTED rounds otherwise than TFLite-Micro's, and this model has ten in a row
        )
    assert verification.max_ulp is not None, verification
    assert verification.max_ulp <= allowed, (path.name, spec, verification)


def picture(directory: Path) -> str:
    """Write a seeded picture and return its path."""
    pixels = np.random.default_rng(3).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(directory / "picture.png")
    return str(directory / "picture.png")


@pytest.mark.interop
@pytest.mark.parametrize(("board", "name"), list(zip(BOARDS, MODELS[1:], strict=False)))
def test_outputs_agree_with_the_desktop_runtime(shared: Path, tmp_path: Path, board: str, name: str) -> None:
    path = shared / "models" / f"{name}.tflite"
    check(board, path, "random:11", tmp_path / "out")


@pytest.mark.interop
@pytest.mark.soak
@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", MODELS)
def test_outputs_agree_for_every_model_on_every_board(
    shared: Path, tmp_path: Path, board: str, name: str
) -> None:
    path = shared / "models" / f"{name}.tflite"
    graph = tflite.read(path).subgraphs[0]
    check(board, path, "random:12", tmp_path / "out")
    if len(graph.tensors[graph.inputs[0]].shape) == 4:
        check(board, path, picture(tmp_path), tmp_path / "out")


@pytest.mark.interop
def test_a_picture_reaches_the_board_as_it_reaches_the_desktop_runtime(shared: Path, tmp_path: Path) -> None:
    check("we2", shared / "models" / "person_detect.tflite", picture(tmp_path), tmp_path / "out")


@pytest.mark.interop
def test_a_vela_file_that_came_without_its_source_runs_but_is_held_against_nothing(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.models import vela

    npu = boards.load("grove_vision_ai_we2").vela
    assert npu is not None
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "elsewhere"))
    made = vela.compile(
        (shared / "models" / "kws_ref_model.tflite").read_bytes(),
        "kws",
        accelerator=npu.accelerator,
        settings=npu.settings(),
    )
    (tmp_path / "alone.tflite").write_bytes(made.data)
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "empty"))
    result = harness.bench(
        [str(tmp_path / "alone.tflite")], ["we2"], port="emulated", invokes=3, out=tmp_path / "out"
    )
    record = result.records[0]
    assert len(record.invoke.ticks) == 3
    assert record.invoke.ticks[0] > 0
    assert record.invoke.origin == "estimated"
    assert record.ram.arena_used_bytes
    assert record.outputs.sha256
    assert record.verification.verdict == "not_available"
    assert "not known" in (record.verification.reason or "")


def verdict(board: str, path: Path, protocol: str, out: Path) -> str:
    """Bench a model and return what was found of its outputs; "nothing" if it has neither time nor judge."""
    result = harness.bench(
        path, board, port="emulated", protocol=protocol, invokes=2, warmup=0, inputs="random:4", out=out
    )
    [record] = result.records
    assert tflite.read(path).sha256 in (record.model.sha256, record.model.source_sha256)
    nothing = [failure for failure in result.failures if "nothing came of the run" in failure.message]
    assert nothing == result.failures, (board, path.name, protocol, result.failures)
    if nothing:
        assert record.verification.verdict == "not_available"
    return "nothing" if nothing else record.verification.verdict


@pytest.mark.interop
@pytest.mark.soak
@pytest.mark.parametrize("protocol", ["bench", "mlperf-tiny", "sscma"])
@pytest.mark.parametrize("board", BOARDS)
def test_every_file_that_check_says_yes_to_is_benched_right(
    shared: Path, tmp_path: Path, board: str, protocol: str
) -> None:
    profile = boards.load(board)
    files = sorted([*(shared / "models").glob("*.tflite"), *(shared / "cases").glob("*.tflite")])
    found = {
        path.name: verdict(board, path, protocol, tmp_path)
        for path in files
        if why_not(tflite.read(path), profile, protocol) is None
    }
    print(f"\n{board}, {protocol}: {found}")
    assert len(found) >= {"bench": 10, "mlperf-tiny": 9, "sscma": 2}[protocol]
    # The desktop runtime lacks the operators of one file (Signal); stock firmware returns no outputs.
    judged = {name: what for name, what in found.items() if name != "audio_preprocessor_int8.tflite"}
    right = {
        "bench": {"exact", "within_tolerance"},
        "mlperf-tiny": {"within_tolerance", "not_available"},
        "sscma": {"not_available"},
    }
    assert set(judged.values()) <= right[protocol], found
