"""`harness check`, `inspect --board` and `calibrate` as a person calls them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from harness import boards
from harness.cli import cli
from harness.models import bundled, tflite
from harness.models.build import Builder, Scale
from harness.models.estimate import demands, estimate
from harness.results import store
from harness.results.record import Record
from tests.results.making import record

PERSON = "person_mbv2_035_96_int8"


@pytest.fixture(scope="module", autouse=True)
def cache_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_yes_is_exit_code_0_and_no_is_1_with_what_to_do() -> None:
    yes = run("check", PERSON, "--board", "xiao_esp32s3")
    assert (yes.exit_code, yes.stdout[:4]) == (0, "yes:")
    no = run("check", PERSON, "--board", "we2")
    assert (no.exit_code, no.stdout[:3]) == (1, "no:")
    assert "-> run `harness compile" in no.stdout


def test_compiling_first_judges_what_vela_makes() -> None:
    found = json.loads(run("check", PERSON, "--board", "we2", "--compile", "--json").stdout)
    assert found["runs"]
    assert found["compiled"]
    assert found["arena"]["npu_scratch_bytes"] > 100_000


def left_over(path: Path) -> Path:
    """A model of which Vela leaves an operator on the CPU that the vendor's firmware does not register."""
    out = Builder()
    main = out.subgraph("main")
    x = main.input("x", (1, 8, 8, 3), "int8", Scale(0.5))
    w = main.constant("w", np.ones((3, 1, 1, 3), np.int8), Scale((0.5,) * 3, (0,) * 3))
    b = main.constant("b", np.zeros(3, np.int32), Scale((0.25,) * 3, (0,) * 3))
    middle = main.tensor("middle", (1, 8, 8, 3), "int8", Scale(0.5))
    y = main.output("y", (1, 8, 8, 3), "int8", Scale(0.5))
    options = {"stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
    main.operator("CONV_2D", [x, w, b], [middle], version=3, padding="SAME", **options)
    axis = main.constant("axis", np.array([1], np.int32))
    main.operator("CUMSUM", [middle, axis], [y])
    path.write_bytes(out.finish())
    return path


class TestWhatUsersRunInto:
    """The complaints of the vendors' issue trackers, each reproduced and explained."""

    def test_invoke_failed_for_an_operator_that_vela_left_on_the_cpu(self, tmp_path: Path) -> None:
        path = left_over(tmp_path / "left.tflite")
        found = json.loads(
            run("check", path, "--board", "we2", "--compile", "--firmware", "sscma", "--json").stdout
        )
        assert [r["kind"] for r in found["reasons"]] == ["unregistered operator"]
        assert "CUMSUM that Vela left on the CPU" in found["reasons"][0]["what"]
        assert "Invoke failed" in found["reasons"][0]["what"]
        assert any("Vela left 1 operator" in note for note in found["notes"])

    @pytest.mark.interop
    def test_invoke_failed_for_a_model_for_another_accelerator(self, shared: Path) -> None:
        done = run("check", shared / "models" / "person_detect_vela.tflite", "--board", "we2")
        assert done.exit_code == 1
        assert "compiled by Vela for ethos-u55-256" in done.stdout

    def test_invoke_failed_for_an_arena_larger_than_the_firmwares(self, tmp_path: Path) -> None:
        out = Builder()
        main = out.subgraph("main")
        x = main.input("x", (1, 1280, 1280, 3), "int8", Scale(0.5))
        y = main.output("y", (1, 1280, 1280, 3), "int8", Scale(0.5))
        main.operator("ADD", [x, x], [y])
        (tmp_path / "large.tflite").write_bytes(out.finish())
        done = run("check", tmp_path / "large.tflite", "--board", "we2", "--compile")
        assert done.exit_code == 1
        assert "tensor arena" in done.stdout
        assert "-> take smaller inputs" in done.stdout

    def test_the_boot_loaders_window_and_the_drive_that_goes_are_said_beforehand(self) -> None:
        we2 = run("check", PERSON, "--board", "we2", "--compile").stdout
        assert "listens for 100 ms after a reset" in we2
        we1 = run("check", PERSON, "--board", "grove_vision_ai").stdout
        assert "GROVEAI disappears by itself" in we1


def test_inspect_carries_the_arena_and_the_time_of_a_board() -> None:
    found = json.loads(run("inspect", PERSON, "--board", "xiao_esp32s3", "--json").stdout)
    assert found["arena"]["used_bytes"] == 204668
    assert found["arena"]["used_bytes"] == found["arena"]["head_bytes"] + found["arena"]["tail_bytes"]
    assert found["arena"]["with_kernels"]["used_bytes"] == 224412
    assert found["time"]["origin"] == "estimated"
    layers = found["time"]["layers"]
    assert sum(layer["seconds"] for layer in layers) == pytest.approx(found["time"]["seconds"])
    assert sum(layer["share"] for layer in layers) == pytest.approx(1)
    assert {m["memory"] for m in found["memory"]} >= {"sram", "psram"}


def test_inspect_shows_the_time_with_its_error_and_the_layers() -> None:
    shown = run("inspect", PERSON, "--board", "xiao_esp32s3", "--layers").stdout
    assert "ms ±6 % (estimated)" in shown
    assert "not modelled" in shown
    assert shown.count("DEPTHWISE_CONV_2D") > 15


def test_a_core_without_a_published_time_gets_none() -> None:
    board = boards.load("we2")
    from harness.check.forecast import time

    model = tflite.parse(bundled.build(PERSON), PERSON)
    found = time(model, board, None)
    assert found.seconds is None
    assert "guess" in (found.why_none or "")
    assert all(layer.seconds is None for layer in found.layers)


def test_calibrate_shows_every_published_figure_beside_its_estimate() -> None:
    found = json.loads(run("calibrate", "--json").stdout)
    assert {chip["chip"] for chip in found} == {"esp32", "esp32s3", "we1", "we2"}
    shown = run("calibrate", "--board", "xiao_esp32s3").stdout
    assert "held out" in shown
    assert "median error" in shown


def measured(directory: Path, factor: float) -> None:
    """Write records of a board that takes `factor` times what the profile of the XIAO estimates."""
    board = boards.load("xiao_esp32s3")
    for name in bundled.names():
        model = tflite.parse(bundled.build(name), name)
        expected = estimate(model, board.coefficients(), clock_hz=board.clock_hz)
        ticks = round(expected.cycles * factor)
        layers = [
            {
                "index": d.index,
                "operator": d.label,
                "ticks": round(o.cycles * factor),
                "origin": "measured",
            }
            for d, o in zip(demands(model), expected.operators, strict=True)
        ]
        made = record([ticks, ticks, ticks], origin="measured", tick_hz=board.clock_hz, layers=layers)
        of_model = {"name": name, "file": name, "sha256": model.sha256}
        values = made.model_dump(mode="json")
        store.write(Record.model_validate({**values, "model": {**values["model"], **of_model}}), directory)


def test_calibrate_fits_to_measured_records_and_writes_a_profile(tmp_path: Path) -> None:
    measured(tmp_path / "results", 1.5)
    out = tmp_path / "mine.toml"
    done = run("calibrate", "--board", "xiao_esp32s3", "--from", tmp_path / "results", "--out", out, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["records"] == 3
    assert found["median_before_percent"] == pytest.approx(100 * (1 - 1 / 1.5), abs=1)
    assert found["median_after_percent"] < 2
    before, after = boards.load("xiao_esp32s3"), boards.load(out)
    assert after.id == before.id
    assert after.sha256 != before.sha256
    model = tflite.parse(bundled.build(PERSON), PERSON)
    times = [estimate(model, b.coefficients(), clock_hz=b.clock_hz).cycles for b in (before, after)]
    assert times[1] == pytest.approx(1.5 * times[0], rel=0.03)
    again = run("inspect", PERSON, "--board", out)
    assert again.exit_code == 0
    assert "harness calibrate: 3 measured records" in out.read_text()


def test_emulated_records_are_no_measurements(tmp_path: Path) -> None:
    store.write(record([1, 2, 3]), tmp_path)
    done = run("calibrate", "--board", "xiao_esp32s3", "--from", tmp_path)
    assert done.exit_code != 0
    assert "no measured record" in str(done.exception)


def test_an_overlay_of_a_board_that_does_not_ship_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "o.toml"
    path.write_text('# mine\nextends = "xiao"\n')
    with pytest.raises(boards.ProfileError, match=r"o\.toml:2: extends: 'xiao' is no board"):
        boards.load(path)
