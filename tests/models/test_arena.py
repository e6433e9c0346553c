"""The arena of the 32-bit target, held against figures of a real 32-bit TFLite-Micro.

`arena_32bit.csv` is what arena_used_bytes() gave for the corpus in TFLite-Micro of August 2026 built for
32-bit Arm Linux (reference kernels), with head and tail as the allocator counts them; `arena_esp32s3.csv`
the same with esp-tflite-micro's kernels of August 2026 and ESP-NN's buffer sizes for the ESP32-S3.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path

import pytest

from harness.models import bundled, operator_memory, ops, tflite
from harness.models.arena import Arena, arena
from harness.models.build import Builder
from harness.models.esp_nn import ESP32S3
from harness.models.operator_memory import REFERENCE, Kernels
from tests.models import corpus
from tests.models.wheel import Asked, Wheel

Figures = tuple[int, int, int]


@cache
def _figures(file: str) -> dict[str, Figures]:
    with Path(__file__).with_name(file).open(newline="") as rows:
        return {r["model"]: (int(r["used"]), int(r["head"]), int(r["tail"])) for r in csv.DictReader(rows)}


def _of(data: bytes, name: str = "made") -> Arena:
    return arena(tflite.parse(data, name))


def _differing(seed: int, kernels: Kernels, file: str) -> dict[str, tuple[Figures, Figures]]:
    found = {}
    figures = _figures(file)
    for name, data in (*corpus.one_operator(seed), *corpus.networks(seed, 30)):
        if name in figures:
            use = arena(tflite.parse(data, name), kernels)
            ours = (use.used_bytes, use.head_bytes, use.tail_bytes)
            assert use.exact, name
            if ours != figures[name]:
                found[name] = (ours, figures[name])
    return found


def test_every_operator_and_network_uses_the_arena_that_a_32_bit_target_reports() -> None:
    assert len(_figures("arena_32bit.csv")) == 584
    assert _differing(0, REFERENCE, "arena_32bit.csv") == {}


def test_with_esp_nn_convolutions_and_networks_use_what_an_esp32s3_reports() -> None:
    assert len(_figures("arena_esp32s3.csv")) > 80
    assert _differing(0, ESP32S3, "arena_esp32s3.csv") == {}


@pytest.mark.soak
def test_other_shapes_use_the_arena_that_a_32_bit_target_reports() -> None:
    assert _differing(1, REFERENCE, "arena_32bit.csv") == {}
    assert _differing(1, ESP32S3, "arena_esp32s3.csv") == {}


def test_every_operator_of_the_resolver_is_accounted_for_and_in_the_corpus() -> None:
    resolver = ops.BUILTIN | ops.CUSTOM | {ops.ETHOS_U}
    assert resolver == operator_memory.ACCOUNTED
    assert resolver == corpus.operators()


@pytest.mark.parametrize(
    ("name", "used", "head", "esp_nn"),
    [
        ("person_mbv2_035_96_int8", 163612, 153728, 336012),
        ("cifar10_mbv2_035_32_int8", 12764, 9280, 26812),
        ("mnist_mbv2_035_32_int8", 12764, 9280, 26812),
        ("swift_yolo_192_int8", 343228, 301120, 458716),
    ],
)
def test_bundled_models_take_the_arena_of_their_shapes(name: str, used: int, head: int, esp_nn: int) -> None:
    model = tflite.parse(bundled.build(name), name)
    use = arena(model)
    assert (use.used_bytes, use.head_bytes, use.minimum_bytes) == (used, head, used + 4)
    assert arena(model, ESP32S3).used_bytes == esp_nn


@pytest.mark.interop
@pytest.mark.parametrize(
    ("file", "used", "head", "minimum", "esp_nn"),
    [
        # The first four are also what an ESP32 reports (facts/tflm-memory.md).
        ("person_detect", 82300, 55296, 82304, 122572),
        ("kws_ref_model", 22780, 16000, 22784, 35500),
        ("pretrainedResnet_quant", 54364, 49152, 54368, 110140),
        ("ad01_int8", 2380, 768, 2816, 2380),
        ("vww_96_int8", 100668, 73728, 100672, 122508),
        ("pfld_meter_int8", 446060, 416000, 446064, 446236),
        ("mobilenetv2_cifar10_int8", 12764, 9280, 12768, 26812),
        ("person_detect_vela", 74940, 74544, 74944, 74940),
    ],
)
def test_real_models_use_what_a_device_reports(
    shared: Path, file: str, used: int, head: int, minimum: int, esp_nn: int
) -> None:
    model = tflite.read(shared / "models" / f"{file}.tflite")
    assert arena(model, ESP32S3).used_bytes == esp_nn
    use = arena(model)
    assert (use.used_bytes, use.head_bytes, use.minimum_bytes) == (used, head, minimum)
    assert use.used_bytes == use.head_bytes + use.tail_bytes
    assert sum(use.breakdown.values()) == use.tail_bytes
    assert use.exact


@pytest.mark.interop
def test_the_tail_splits_up_as_the_recording_allocator_splits_it(shared: Path) -> None:
    use = arena(tflite.read(shared / "models" / "person_detect.tflite"))
    assert use.breakdown["tensor records"] == 1068
    assert use.breakdown["operator records"] == 992


def test_the_head_is_what_the_wheel_plans() -> None:
    # ADD_N keeps pointers in its scratch buffer, so there the head depends on their width.
    models = {name: data for name, data in corpus.networks(7, 60) if "ADD_N" not in name}
    with Wheel() as wheel:
        asked = [Asked(data, invokes=0, arena=1 << 22, allocations=True) for data in models.values()]
        heads = [re.search(r"Arena allocation head (\d+) bytes", wheel.ask(each).said) for each in asked]
    ours = [_of(data, name).head_bytes for name, data in models.items()]
    assert [int(head[1]) if head else None for head in heads] == ours


def test_an_unknown_operator_is_named_and_bounded() -> None:
    out = Builder()
    main = out.subgraph("main")
    x, y = main.input("x", (1, 16), "int8"), main.output("y", (1, 16), "int8")
    main.custom("MyOperator", [x], [y])
    use = _of(out.finish())
    assert not use.exact
    assert [u.label for u in use.unaccounted] == ["MyOperator"]
    assert use.bound_bytes == use.used_bytes + use.unaccounted[0].bound_bytes > use.used_bytes


def test_an_operator_with_too_few_inputs_is_not_accounted_for_rather_than_a_crash() -> None:
    out = Builder()
    main = out.subgraph("main")
    x, y = main.input("x", (1, 4, 4, 1), "int8"), main.output("y", (1, 4, 4, 1), "int8")
    main.operator("CONV_2D", [x], [y])
    assert not _of(out.finish()).exact
