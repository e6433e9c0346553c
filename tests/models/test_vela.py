"""Compiling with the real Vela, and the cache behind it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.models import bundled, cache, tflite, vela
from harness.models.build import Builder, Scale
from harness.models.vela import VelaError

SETTINGS = {
    "System_Config.board": {
        "core_clock": "400e6",
        "axi0_port": "Sram",
        "axi1_port": "OffChipFlash",
        "Sram_clock_scale": "1.0",
        "Sram_burst_length": "32",
        "Sram_read_latency": "16",
        "Sram_write_latency": "16",
        "OffChipFlash_clock_scale": "0.015625",
        "OffChipFlash_burst_length": "32",
        "OffChipFlash_read_latency": "64",
        "OffChipFlash_write_latency": "64",
    },
    "Memory_Mode.board": {"const_mem_area": "Axi1", "arena_mem_area": "Axi0", "cache_mem_area": "Axi0"},
}
MNIST = "mnist_mbv2_035_32_int8"


@pytest.fixture(autouse=True)
def cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def compiled(data: bytes, name: str = "model", accelerator: str = "ethos-u55-64") -> vela.Compiled:
    return vela.compile(data, name, accelerator=accelerator, settings=SETTINGS)


def entry_of(directory: Path) -> Path:
    (entry,) = (directory / "vela" / "entries").iterdir()
    return entry


@pytest.mark.parametrize("name", bundled.names())
def test_bundled_models_go_onto_the_npu_as_a_whole(name: str) -> None:
    found = compiled(bundled.build(name), name)
    assert (found.npu_operators, found.cpu_operators, found.cpu_reasons) == (1, (), ())
    (operator,) = tflite.parse(found.data, name).subgraphs[0].operators
    assert operator.custom_code == "ethos-u"


def test_velas_account_is_kept() -> None:
    found = compiled(bundled.build(MNIST))
    assert (
        found.cycles == found.summary["cycles_total"] == sum(layer.cycles for layer in found.layers) > 100_000
    )
    assert found.seconds == pytest.approx(found.summary["inference_time"])
    assert found.sram_bytes == pytest.approx(float(found.summary["sram_memory_used"]) * 1024)
    assert found.flash_bytes < len(found.data)
    assert found.summary["accelerator_configuration"] == "Ethos_U55_64"
    assert found.settings["OffChipFlash_read_latency"] == "64"
    assert {layer.target for layer in found.layers} == {"NPU"}
    assert sum(layer.macs for layer in found.layers) == found.summary["nn_macs"]


def test_operators_that_stay_on_the_cpu_are_named_with_velas_reason() -> None:
    graph = Builder()
    main = graph.subgraph("main")
    x = main.input("x", (1, 8, 8, 4), "int8", Scale(0.1))
    middle = main.tensor("middle", (1, 8, 8, 4), "int8", Scale(0.1))
    y = main.output("y", (1, 8, 8, 4), "float32")
    main.operator("RELU", [x], [middle])
    main.operator("DEQUANTIZE", [middle], [y])
    found = compiled(graph.finish())
    assert found.npu_operators == 1
    assert found.cpu_operators == ("DEQUANTIZE",)
    assert found.cpu_reasons
    assert all(reason.startswith("DEQUANTIZE: ") for reason in found.cpu_reasons)


def test_a_model_of_floats_stays_on_the_cpu_and_keeps_its_finite_figures() -> None:
    graph = Builder()
    main = graph.subgraph("main")
    x = main.input("x", (1, 8), "float32")
    w = main.constant("w", np.ones((4, 8), np.float32))
    y = main.output("y", (1, 4), "float32")
    main.operator("FULLY_CONNECTED", [x, w, -1], [y])
    found = compiled(graph.finish())
    assert (found.npu_operators, found.cpu_operators, found.cycles) == (0, ("FULLY_CONNECTED",), 0)
    json.dumps(found.summary, allow_nan=False)


def test_a_compiled_model_is_not_compiled_again() -> None:
    once = compiled(bundled.build(MNIST))
    with pytest.raises(VelaError, match="twice: already compiled by Vela"):
        compiled(once.data, "twice")


def test_what_vela_says_against_a_request_is_told_in_one_line() -> None:
    with pytest.raises(
        VelaError, match=r"model: Vela refuses the model: .*invalid choice: 'ethos-u55-63'"
    ) as error:
        compiled(bundled.build(MNIST), accelerator="ethos-u55-63")
    assert "\n" not in str(error.value)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_crash_of_vela_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text("#!/bin/sh\nkill -SEGV $$\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    with pytest.raises(VelaError, match=r"model: Vela crashed on the model \(signal 11\)"):
        compiled(bundled.build(MNIST))


def test_a_model_is_compiled_that_velas_own_listing_of_cpu_operators_stumbles_over() -> None:
    graph = Builder()
    main = graph.subgraph("main")
    x = main.input("x", (1, 4, 4, 10), "int8", Scale(0.1))
    axis = main.constant("axis", np.array(3, np.int32))
    y = main.output("y", (1, 4, 4), "int32")
    main.operator("ARG_MAX", [x, axis], [y], version=2, output_type=2)
    found = compiled(graph.finish())
    assert found.npu_operators == 1
    assert found.cycles > 0


@pytest.mark.skipif(sys.platform == "win32", reason="a shell")
def test_an_error_in_velas_own_python_is_no_refusal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    interpreter = tmp_path / "python"
    code = "def listing():\n    {}['0']\nlisting()"
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    with pytest.raises(
        VelaError, match=r"model: Vela crashed on the model in listing of its <string>: KeyError: '0'"
    ):
        compiled(bundled.build(MNIST))


def test_the_cache_answers_the_same_request_without_vela(monkeypatch: pytest.MonkeyPatch) -> None:
    first = compiled(bundled.build(MNIST))
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert compiled(bundled.build(MNIST)) == first
    with pytest.raises(FileNotFoundError):
        compiled(bundled.build(MNIST), accelerator="ethos-u55-128")


def test_a_compiled_model_leads_back_to_its_source() -> None:
    found = compiled(bundled.build(MNIST))
    again = vela.source_of(found.sha256)
    assert again is not None
    assert again.source == bundled.build(MNIST)
    assert again.summary == found.summary
    assert vela.source_of("0" * 64) is None
    assert vela.source_of("../" + found.sha256) is None
    assert vela.source_of(found.source_sha256) is None


def test_a_damaged_entry_is_ignored_and_made_anew(cache_directory: Path, tmp_path: Path) -> None:
    first = compiled(bundled.build(MNIST))
    sound = tmp_path / "sound"
    shutil.copytree(cache_directory, sound)
    for file in [path.name for path in entry_of(cache_directory).iterdir()]:
        for damage in (flip, cut, Path.unlink):
            shutil.rmtree(cache_directory)
            shutil.copytree(sound, cache_directory)
            damage(entry_of(cache_directory) / file)
            assert vela.source_of(first.sha256) is None, (file, damage)
    assert compiled(bundled.build(MNIST)) == first
    assert vela.source_of(first.sha256) == first


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_cache_that_cannot_be_written_only_costs_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert compiled(bundled.build(MNIST)).npu_operators == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_nothing_half_written_is_left_in_the_cache(cache_directory: Path) -> None:
    compiled(bundled.build(MNIST))
    compiled(bundled.build(MNIST))
    names = [p.name for p in cache_directory.rglob("*")]
    assert len([n for n in names if n.endswith("json")]) == 1
    assert not [n for n in names if n.startswith(".")]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions")
def test_an_atomic_write_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x")
    cache.write_atomically(tmp_path / "atomic", b"x")
    assert os.stat(tmp_path / "atomic").st_mode == os.stat(tmp_path / "plain").st_mode
    with pytest.raises(FileNotFoundError):
        cache.write_atomically(tmp_path / "none" / "x", b"x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["atomic", "plain"]


@pytest.mark.interop
def test_a_real_compiled_model_is_refused(shared: Path) -> None:
    with pytest.raises(VelaError, match="already compiled"):
        compiled((shared / "models" / "person_detect_vela.tflite").read_bytes())
