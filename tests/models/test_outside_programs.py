"""Damaged models given to the outside programs: whatever those do, the caller gets one line or a result."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from harness import boards
from harness.errors import HarnessError
from harness.models import bundled, reference, tensors, tflite, vela
from harness.models.build import Builder, Scale


def small() -> bytes:
    graph = Builder()
    main = graph.subgraph("main")
    x = main.input("x", (1, 8, 8, 4), "int8", Scale(0.5, 3))
    w = main.constant("w", np.ones((8, 3, 3, 4), np.int8), Scale((0.25,) * 8, (0,) * 8))
    b = main.constant("b", np.arange(8, dtype=np.int32), Scale((0.125,) * 8, (0,) * 8))
    middle = main.tensor("middle", (1, 4, 4, 8), "int8", Scale(4.0))
    y = main.output("y", (1, 8), "int8", Scale(4.0))
    axes = main.constant("axes", np.array([1, 2], np.int32))
    main.operator("CONV_2D", [x, w, b], [middle], padding="SAME", stride_h=2, stride_w=2)
    main.operator("MEAN", [middle, axes], [y], keep_dims=False)
    return graph.finish()


def damaged(model: bytes, seed: int) -> bytes:
    """Change a few bytes, mostly by little: that survives the reader more often than noise does."""
    chance = random.Random(seed)
    bad = bytearray(model)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(bad))
        bad[at] = chance.choice((bad[at] ^ 1 << chance.randrange(8), chance.randrange(256), 0, 255))
    return bytes(bad)


def survives(model: bytes, seed: int) -> None:
    try:
        parsed = tflite.parse(damaged(model, seed), "damaged")
    except HarnessError:
        return  # the reader's own tests are elsewhere
    if sum(t.elements for t in parsed.subgraphs[0].tensors) > 10**7:
        return  # gigabytes of test input are not what this is about
    complaints = []
    try:
        reference.run(parsed.data, tensors.load([], parsed), timeout_s=20)
    except HarnessError as error:
        complaints.append(str(error))
    npu = boards.load("grove_vision_ai_we2").vela
    assert npu is not None
    try:
        vela.compile(parsed.data, "damaged", accelerator=npu.accelerator, settings=npu.settings())
    except HarnessError as error:
        complaints.append(str(error))
    assert not any("\n" in complaint for complaint in complaints)


@pytest.fixture(autouse=True)
def cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_model_gives_a_result_or_one_line(seed: int) -> None:
    survives(small(), seed)


@pytest.mark.soak
@pytest.mark.parametrize("start", range(0, 400, 50))
def test_many_damaged_models_give_a_result_or_one_line(start: int) -> None:
    for seed in range(start, start + 50):
        survives(small(), seed)


@pytest.mark.soak
def test_damaged_bundled_models_give_a_result_or_one_line() -> None:
    for seed in range(100):
        survives(bundled.build("mnist_mbv2_035_32_int8"), seed)
