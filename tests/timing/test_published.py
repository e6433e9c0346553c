"""Time estimates against published figures: the promised errors, and that profiles keep what figures give."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness import boards
from harness.boards import published
from harness.boards.published import Chip, Figure
from harness.models import bundled, tflite, vela
from harness.models.estimate import demands, estimate
from harness.timing.overlay import rounded
from harness.timing.parts import work_of
from harness.timing.published import compare, table

CHIPS = {chip.chip: chip for chip in published.chips()}


def test_held_out_figures_of_the_esp32s3_are_estimated_within_15_percent_in_the_median() -> None:
    found = compare(CHIPS["esp32s3"])
    held_out = [f for f in found.figures if f.how == "held out"]
    assert len(held_out) >= 6
    assert found.median_error_percent is not None
    assert found.median_error_percent <= 15
    assert {f.published_ms for f in held_out} >= {47, 54}


def test_the_method_carries_to_another_chip() -> None:
    found = compare(CHIPS["esp32"])
    assert sum(f.how == "held out" for f in found.figures) == 3
    assert found.median_error_percent is not None
    assert found.median_error_percent <= 15


def test_a_figure_that_nothing_else_speaks_of_is_not_called_held_out() -> None:
    how = {f.what: f.how for f in compare(CHIPS["esp32s3"]).figures}
    assert how["elementwise add, 1615 elements"] == "fitted"
    assert how["convolution 1x1 64->64, 10x10"] == "held out"


def test_a_figure_is_held_out_of_its_own_estimate() -> None:
    chip = CHIPS["esp32s3"]
    name = "convolution 1x1 64->64, 10x10"

    def estimated(of: Chip) -> float:
        return next(f.estimated_ms for f in compare(of).figures if f.what == name)

    wrong = tuple(f.model_copy(update={"value": f.value * 3}) if f.what == name else f for f in chip.figure)
    assert estimated(chip.model_copy(update={"figure": wrong})) == pytest.approx(estimated(chip))


@pytest.mark.parametrize("board", ["xiao_esp32s3", "grove_vision_ai", "sensecap_a1101"])
def test_profiles_have_the_coefficients_and_the_error_that_the_figures_give(board: str) -> None:
    profile, chip = boards.load(board), published.for_board(board)
    assert chip is not None
    found = compare(chip)
    error = profile.estimate.error
    assert error is not None
    assert error.percent == pytest.approx(found.band_percent, rel=0.01)
    scaled = table(chip, None).scaled(found.factors)
    for key in ("cycles_per_mac", "cycles_per_element"):
        kept = profile.estimate.mapping()[key]
        assert kept == {name: rounded(scaled[key][name]) for name in kept if name in scaled[key]} | {
            "default": kept["default"]
        }


def test_the_error_of_the_npu_is_that_of_the_figures() -> None:
    error = boards.load("we2").estimate.npu_error
    assert error is not None
    assert error.percent == pytest.approx(compare(CHIPS["we2"]).band_percent, rel=0.01)


def _counted(figure: Figure, data: bytes) -> dict[str, tuple[int, int, int, int, int]]:
    suffix = "_reference" if any(w.kernel.endswith("_reference") for w in figure.work) else ""
    found: dict[str, tuple[int, int, int, int, int]] = {}
    for demand in demands(tflite.parse(data, figure.what)):
        work = work_of(demand)
        old = found.get(work.kernel + suffix, (0, 0, 0, 0, 0))
        new = (1, work.macs, work.elements, work.weight_bytes, work.arena_bytes)
        found[work.kernel + suffix] = tuple(a + b for a, b in zip(old, new, strict=True))  # type: ignore[assignment]
    return found


def _given(figure: Figure) -> dict[str, tuple[int, int, int, int, int]]:
    return {w.kernel: (w.count, w.macs, w.elements, w.weight_bytes, w.arena_bytes) for w in figure.work}


@pytest.mark.interop
def test_the_work_of_a_figure_is_that_of_its_model(shared: Path) -> None:
    for chip in CHIPS.values():
        for figure in chip.figure:
            if figure.model:
                data = (shared / "models" / figure.model).read_bytes()
                assert hashlib.sha256(data).hexdigest() == figure.sha256
                assert _given(figure) == _counted(figure, data)


def test_the_work_of_a_stand_in_is_that_of_the_bundled_model() -> None:
    for chip in CHIPS.values():
        for figure in chip.figure:
            if figure.stand_in and figure.work:
                assert _given(figure) == _counted(figure, bundled.build(figure.stand_in))


@pytest.mark.interop
def test_every_figure_with_a_model_or_a_kernel_shape_is_there(shared: Path) -> None:
    import csv

    with (shared / "facts" / "published.csv").open(newline="", encoding="utf-8") as file:
        rows = [
            r
            for r in csv.DictReader(file)
            if r["metric"] in ("invoke_time", "kernel_ticks")
            and (r["model_file"] or r["metric"] == "kernel_ticks")
        ]
    ours = sorted(f.value for chip in CHIPS.values() for f in chip.figure if not f.stand_in)
    assert ours == sorted(float(r["value"]) for r in rows)


def test_the_npu_estimate_is_velas_for_the_whole_and_the_layers_add_up_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path))
    from harness.check.forecast import forecast

    board = boards.load("we2")
    assert board.vela is not None
    data = bundled.build("mnist_mbv2_035_32_int8")
    fate = forecast(tflite.parse(data, "mnist"), board)
    made = vela.compile(data, "mnist", accelerator="ethos-u55-64", settings=board.vela.settings())
    assert fate.time.seconds == pytest.approx(made.seconds, rel=1e-9)
    assert sum(layer.seconds or 0 for layer in fate.time.layers) == pytest.approx(made.seconds, rel=1e-9)
    whole = estimate(
        fate.deployed,
        board.coefficients(),
        clock_hz=board.clock_hz,
        vela_settings=board.vela.settings(),
        compiled=made,
    )
    assert whole.cycles == made.cycles
