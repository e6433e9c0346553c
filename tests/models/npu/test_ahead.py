"""Weights decoded ahead: all that an inference needs, once a model, and never from a file that is damaged."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from harness.emulator.npu.runner import Interpreter
from harness.models import bundled, tflite
from harness.models.build import Builder, Scale
from harness.models.npu import ahead, weights
from harness.models.npu.ahead import decode_ahead
from tests.emulator.npu import corpus, velafiles


@pytest.fixture(autouse=True)
def cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path))
    return tmp_path / "npu-weights" / "entries"


@cache
def _compiled(seed: int = 1) -> tflite.Model:
    """A convolution with enough weights to be worth keeping."""
    builder = Builder()
    graph = builder.subgraph("main")
    values = np.random.default_rng(seed).integers(-99, 100, (64, 5, 5, 48)).astype(np.int8)
    x = graph.input("x", (1, 6, 6, 48), "int8", Scale(0.05, 3))
    w = graph.constant("w", values, Scale(0.01, 0))
    b = graph.constant("b", np.zeros(64, np.int32))
    y = graph.output("y", (1, 6, 6, 64), "int8", Scale(0.5, 0))
    graph.operator("CONV_2D", [x, w, b], [y], version=3, padding="SAME", stride_h=1, stride_w=1)
    return tflite.parse(velafiles.compile_one(builder.finish()), "model")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the streams that have been decoded since."""
    sizes: list[int] = []

    def counted(data: bytes, expected: int) -> np.ndarray:
        sizes.append(expected)
        return decode(data, expected)

    decode = weights.decode_stream
    monkeypatch.setattr(weights, "decode_stream", counted)
    return sizes


def _invoke(interpreter: Interpreter) -> bytes:
    for index, tensor in enumerate(interpreter.inputs):
        values = np.random.default_rng(index).integers(-100, 100, tensor.shape)
        interpreter.set_input(index, values.astype(tensor.type))
    interpreter.invoke()
    return interpreter.output(0).tobytes()


def test_an_inference_decodes_nothing(decoded: list[int]) -> None:
    residual = next(s for s in range(200) if corpus.FAMILIES[s % len(corpus.FAMILIES)] is corpus.residual)
    sources = {"residual": corpus.case(residual).model, "mnist": bundled.build("mnist_mbv2_035_32_int8")}
    for name, result in velafiles.compile_all(sources, velafiles.Settings()).items():
        assert result.data is not None
        interpreter = Interpreter(result.data)
        assert decoded, name
        decoded.clear()
        _invoke(interpreter)
        assert not decoded, name


def test_a_second_load_decodes_nothing_and_computes_the_same(decoded: list[int]) -> None:
    first = _invoke(Interpreter(_compiled()))
    assert decoded
    decoded.clear()
    assert _invoke(Interpreter(_compiled())) == first
    assert not decoded


def test_a_model_read_from_flash_finds_what_was_decoded_from_its_file(decoded: list[int]) -> None:
    decode_ahead(_compiled())
    decoded.clear()
    in_flash = tflite.parse(_compiled().data + b"\xff" * 4096, "model in flash")
    Interpreter(in_flash)
    assert not decoded


def _flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def _foreign(file: Path) -> None:
    with file.open("wb") as out:
        np.save(out, np.zeros(5, np.float32))


@pytest.mark.parametrize("damage", [_flipped, _foreign, Path.unlink, lambda file: file.write_bytes(b"")])
def test_what_was_damaged_is_decoded_and_written_again(
    cache_directory: Path, decoded: list[int], damage: Callable[[Path], None]
) -> None:
    first = _invoke(Interpreter(_compiled()))
    (entry,) = cache_directory.iterdir()
    for file in [path.name for path in entry.iterdir()]:
        damage(entry / file)
        decoded.clear()
        assert _invoke(Interpreter(_compiled())) == first
        assert decoded, file
    decoded.clear()
    Interpreter(_compiled())
    assert not decoded


def test_what_was_used_longest_ago_goes_first(
    cache_directory: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_ahead(_compiled(1))
    one = sum(file.stat().st_size for entry in cache_directory.iterdir() for file in entry.iterdir())
    monkeypatch.setattr(ahead, "_MOST_BYTES_KEPT", int(2.5 * one))
    for seed in (2, 1, 3):
        time.sleep(0.01)  # file systems tell times apart that differ by this much
        decode_ahead(_compiled(seed))
    decoded.clear()
    decode_ahead(_compiled(1))
    decode_ahead(_compiled(3))
    assert not decoded
    decode_ahead(_compiled(2))
    assert decoded


def test_where_nothing_can_be_written_the_weights_are_decoded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[int]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "file"))
    decode_ahead(_compiled())
    assert decoded


def test_few_weights_are_not_kept(cache_directory: Path) -> None:
    decode_ahead(tflite.parse(velafiles.compile_one(corpus.case(0).model), "small"))
    assert not cache_directory.exists()
