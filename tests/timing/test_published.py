"""Time estimates against published figures: the promised errors, and that profiles keep what figures give."""

from __future__ import annotations

import csv
import hashlib
import math
from pathlib import Path

import pytest

from harness import boards
from harness.boards import published
from harness.boards.published import Chip, Figure, Work
from harness.models import bundled, tflite, vela
from harness.models.estimate import demands, estimate
from harness.timing.parts import work_of
from harness.timing.published import compare, tables

CHIPS = {chip.chip: chip for chip in published.chips()}
NPU = "we2"


@pytest.mark.parametrize(
    ("chip", "median", "worst", "count", "kinds"),
    # (the factor that the median has to keep, as promised; how far off the worst is; held-out times)
    [
        ("esp32s3", 1.15, 1.2, 10, 4),
        ("we2", 1.3, 1.6, 5, 2),
        ("we1", 1.3, 1.3, 2, 2),
        ("esp32", 1.15, 1.3, 4, 4),
    ],
)
def test_whole_models_are_estimated_without_their_architecture(
    chip: str, median: float, worst: float, count: int, kinds: int
) -> None:
    found = compare(CHIPS[chip])
    assert len(found.held_out) == count
    assert len({figure.architecture for figure in found.held_out}) == kinds
    assert found.median_factor is not None
    assert found.median_factor <= median
    assert found.worst_factor is not None
    assert found.worst_factor <= worst
    assert found.coverage >= 0.9


def test_only_whole_models_are_judged_by() -> None:
    for figure in compare(CHIPS["esp32s3"]).figures:
        assert (figure.how == "held out") <= (figure.architecture is not None)
        assert figure.how != "held out" or "convolution" not in figure.what


@pytest.mark.parametrize("kind", ["Swift-YOLO", "PFLD", "MobileNetV2 Rep", "MobileNetV1"])
def test_no_figure_of_an_architecture_helps_its_own_estimates(kind: str) -> None:
    chip = CHIPS["esp32s3"]
    wrong = tuple(
        f.model_copy(update={"value": f.value * 3}) if f.architecture == kind else f for f in chip.figure
    )

    def estimated(of: Chip) -> list[float | None]:
        return [f.estimated_ms for f in compare(of).held_out if f.architecture == kind]

    assert estimated(chip.model_copy(update={"figure": wrong})) == pytest.approx(estimated(chip))


def test_an_outlier_is_shown_with_its_reason_and_fitted_to_by_nothing() -> None:
    chip = CHIPS[NPU]
    outliers = [figure for figure in chip.figure if figure.outlier]
    assert [(f.what, f.value) for f in outliers] == [("MobileNetV2 0.35 Rep person, 32x32x3", 1)]
    without = chip.model_copy(update={"figure": tuple(f for f in chip.figure if not f.outlier)})
    assert compare(without).factors == compare(chip).factors


@pytest.mark.parametrize("board", [b for chip in CHIPS.values() for b in chip.boards])
def test_a_profile_has_the_tables_that_the_figures_give(board: str) -> None:
    profile, chip = boards.load(board), published.for_board(board)
    assert chip is not None
    text = profile.path.read_text(encoding="utf-8")
    assert tables(chip).rstrip() in text


@pytest.mark.parametrize("board", [b for chip in CHIPS.values() for b in chip.boards])
def test_the_error_of_a_profile_is_that_of_the_held_out_figures(board: str) -> None:
    profile, chip = boards.load(board), published.for_board(board)
    assert chip is not None
    found = compare(chip)
    error = profile.estimate.npu_error if chip.chip == NPU else profile.estimate.error
    assert error is not None
    assert found.band is not None
    assert error.percent == pytest.approx(100 * (found.band.high - 1), rel=0.001)
    assert error.below_percent == pytest.approx(100 * (1 - found.band.low), rel=0.001)
    assert error.held_out == len(found.held_out)


def _counted(figure: Figure, data: bytes, chip: Chip) -> list[Work]:
    reference = any(w.kernel.endswith("_reference") for w in figure.work)
    suffix = "_reference" if reference else ""
    vector = 0 if reference else chip.prior.vector_bytes or 0
    found: dict[str, Work] = {}
    for demand in demands(tflite.parse(data, figure.what)):
        work = work_of(demand, chip.prior.cache_bytes or 0, vector)
        name = work.kernel + suffix
        old = found.get(name, Work(kernel=name)).model_dump()
        sums = {key: old[key] + value for key, value in work.model_dump().items() if key != "kernel"}
        found[name] = Work(**sums | {"kernel": name, "count": sums["count"] - (name not in found)})
    return list(found.values())


@pytest.mark.interop
def test_the_work_of_a_figure_is_that_of_its_model(shared: Path) -> None:
    counted = 0
    for chip in CHIPS.values():
        for figure in chip.figure:
            if figure.model:
                data = (shared / "models" / figure.model).read_bytes()
                assert hashlib.sha256(data).hexdigest() == figure.sha256
                if chip.chip != NPU:
                    assert list(figure.work) == _counted(figure, data, chip), figure.what
                    counted += 1
    assert counted >= 10


def test_the_work_of_a_stand_in_is_that_of_the_bundled_model() -> None:
    counted = 0
    for chip in CHIPS.values():
        for figure in chip.figure:
            if figure.stand_in and chip.chip != NPU:
                assert list(figure.work) == _counted(figure, bundled.build(figure.stand_in), chip), (
                    figure.what
                )
                counted += 1
    assert counted == 6


def test_every_figure_says_where_and_with_what_it_was_measured() -> None:
    for chip in CHIPS.values():
        for figure in chip.figure:
            assert figure.library
            assert figure.firmware
            if figure.architecture:
                assert None not in (figure.weights, figure.arena, figure.resolution)
                assert bool(figure.sha256) or bool(figure.stand_in) or bool(figure.not_counted)


@pytest.mark.interop
def test_every_published_time_is_there(shared: Path) -> None:
    ours = {(chip.chip, figure.value) for chip in CHIPS.values() for figure in chip.figure}
    same = {"xiao_esp32s3": "esp32s3", "grove_vision_ai_we2": "we2", "grove_vision_ai": "we1"}
    missing = []
    for name in ("published.csv", "zoo-figures.csv"):
        with (shared / "facts" / name).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["metric"] in ("invoke_time", "kernel_ticks"):
                    key = (same.get(row["board"], row["board"]), float(row["value"]))
                    if key not in ours:
                        missing.append(row)
    assert missing == []


def test_velas_own_estimate_is_too_short_by_what_the_figures_say() -> None:
    """Flash at 8 bytes a cycle of the port, CPU operators of Vela 3 and cache maintenance are not in it."""
    chip = CHIPS[NPU]
    person = next(f for f in chip.figure if f.stand_in == "person_mbv2_035_96_int8")
    npu_ms = sum(w.npu_cycles for w in person.work) * 1e3 / chip.clock_hz
    assert npu_ms == pytest.approx(13.7, abs=0.1)
    assert math.isclose(npu_ms, person.value, rel_tol=0.1)


def test_the_invoke_on_the_npu_is_its_commands_and_its_jobs_and_the_layers_add_up_to_it() -> None:
    from harness.check.forecast import forecast

    board = boards.load("we2")
    assert board.vela is not None
    assert board.estimate.npu is not None
    data = bundled.build("mnist_mbv2_035_32_int8")
    fate = forecast(tflite.parse(data, "mnist"), board)
    made = vela.compile(data, "mnist", accelerator="ethos-u55-64", settings=board.vela.settings())
    assert fate.time.seconds is not None
    assert fate.time.seconds > board.estimate.npu.cycles_per_job / board.clock_hz
    assert fate.time.seconds > 1.5 * made.seconds
    assert sum(layer.seconds or 0 for layer in fate.time.layers) == pytest.approx(fate.time.seconds, rel=1e-9)
    whole = estimate(
        fate.deployed, board.coefficients(), clock_hz=board.clock_hz, vela_settings=board.vela.settings()
    )
    assert whole.seconds == fate.time.seconds
