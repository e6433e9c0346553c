"""`harness check`, `inspect --board` and `calibrate` as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from harness import boards
from harness.cli import cli
from harness.models import bundled, ethosu, tflite, vela
from harness.models.build import Builder, Scale
from harness.models.estimate import demands, estimate
from harness.models.npu.jobs import jobs
from harness.results import store
from harness.results.record import Record
from tests.bench.test_odd_models import counter
from tests.results.making import record

PERSON = "person_mbv2_035_96_int8"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_yes_is_exit_code_0_and_no_is_1_with_what_to_do() -> None:
    yes = run("check", PERSON, "--board", "xiao_esp32s3")
    assert (yes.exit_code, yes.stdout[:4]) == (0, "yes:")
    no = run("check", PERSON, "--board", "xiao_esp32s3", "--address", "0x10000")
    assert (no.exit_code, no.stdout[:3]) == (1, "no:")
    assert "-> use 0x400000 to" in no.stdout


def test_of_a_folder_each_file_is_judged_and_what_is_no_model_is_a_no(tmp_path: Path) -> None:
    (tmp_path / "b.tflite").write_bytes(bundled.build("cifar10_mbv2_035_32_int8"))
    good = run("check", tmp_path, "--board", "xiao_esp32s3")
    assert (good.exit_code, good.stdout[:4]) == (0, "yes:")
    (tmp_path / "a.tflite").write_bytes(b"")
    found = run("check", tmp_path, "--board", "xiao_esp32s3")
    no, yes = (line for line in found.stdout.splitlines() if not line.startswith(" "))
    assert found.exit_code == 1
    assert no.startswith(f"no: {tmp_path / 'a.tflite'} on xiao_esp32s3: the file is empty")
    assert yes.startswith(f"yes: {tmp_path / 'b.tflite'} on xiao_esp32s3")
    judged = json.loads(run("check", tmp_path, "--board", "xiao_esp32s3", "--json").stdout)
    assert [one["runs"] for one in judged] == [False, True]
    assert judged[0]["reasons"][0]["what"].startswith("the file is empty")
    alone = run("check", tmp_path / "a.tflite", "--board", "xiao_esp32s3")
    assert (alone.exit_code, alone.stdout) == (1, "")
    (tmp_path / "none").mkdir()
    assert "no .tflite file in this folder" in str(run("check", tmp_path / "none", "-b", "we2").exception)


def test_a_model_for_a_board_with_an_npu_is_judged_as_a_bench_compiles_it() -> None:
    found = json.loads(run("check", PERSON, "--board", "we2", "--json").stdout)
    assert found["runs"]
    assert found["compiled"]
    assert found["arena"]["npu_scratch_bytes"] > 100_000
    assert (found["vela"]["npu_operators"], found["vela"]["cpu_operators"]) == (1, [])
    said = run("check", PERSON, "--board", "we2").stdout
    assert said.startswith(f"yes: {PERSON} (compiled by Vela) on grove_vision_ai_we2")
    assert "note: a bench compiles it for ethos-u55-64 with Vela" in said
    assert "note: all of it runs on the NPU" in said


def test_what_vela_puts_on_the_npu_is_no_matter_of_tflite_micros_kernels(tmp_path: Path) -> None:
    """TFLite-Micro has no kernel for uint8, the NPU has."""
    out = Builder()
    main = out.subgraph("main")
    x = main.input("x", (1, 8, 8, 4), "uint8", Scale(0.5))
    y = main.output("y", (1, 4, 4, 4), "uint8", Scale(0.5))
    options = {"stride_h": 2, "stride_w": 2, "filter_height": 2, "filter_width": 2}
    main.operator("MAX_POOL_2D", [x], [y], padding="VALID", **options)
    (tmp_path / "m.tflite").write_bytes(out.finish())
    assert run("check", tmp_path / "m.tflite", "--board", "xiao_esp32s3").exit_code == 1
    assert run("check", tmp_path / "m.tflite", "--board", "we2").exit_code == 0


def test_the_arena_says_how_many_resource_variables_it_is_for(tmp_path: Path) -> None:
    (tmp_path / "counter.tflite").write_bytes(counter().finish())
    said = run("check", tmp_path / "counter.tflite", "--board", "xiao_esp32s3").stdout
    assert "it holds for a firmware that provides for 1 resource variable, as many as the model names" in said
    assert "resource variable" not in run("check", PERSON, "--board", "xiao_esp32s3").stdout


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
        found = json.loads(run("check", path, "--board", "we2", "--firmware", "sscma", "--json").stdout)
        assert [r["kind"] for r in found["reasons"]] == ["unregistered operator"]
        assert "CUMSUM (operator 1 of subgraph 0) that Vela left on the CPU" in found["reasons"][0]["what"]
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
        done = run("check", tmp_path / "large.tflite", "--board", "we2")
        assert done.exit_code == 1
        assert "tensor arena" in done.stdout
        assert "-> take smaller inputs" in done.stdout

    def test_the_boot_loaders_window_and_the_drive_that_goes_are_said_beforehand(self) -> None:
        we2 = run("check", PERSON, "--board", "we2").stdout
        assert "listens for 100 ms after a reset" in we2
        we1 = run("check", PERSON, "--board", "grove_vision_ai").stdout
        assert "GROVEAI disappears by itself" in we1


def test_inspect_carries_the_arena_and_the_time_of_a_board() -> None:
    found = json.loads(run("inspect", PERSON, "--board", "xiao_esp32s3", "--json").stdout)
    assert found["arena"]["kernels"] == "ESP-NN"
    assert found["arena"]["used_bytes"] == 336012
    assert found["arena"]["used_bytes"] == found["arena"]["head_bytes"] + found["arena"]["tail_bytes"]
    assert found["arena"]["reference"]["used_bytes"] == 163612
    assert found["time"]["origin"] == "estimated"
    layers = found["time"]["layers"]
    assert sum(layer["seconds"] for layer in layers) == pytest.approx(found["time"]["seconds"])
    assert sum(layer["share"] for layer in layers) == pytest.approx(1)
    assert {m["memory"] for m in found["memory"]} >= {"sram", "psram"}


def test_inspect_shows_the_time_with_its_error_and_the_layers() -> None:
    shown = run("inspect", PERSON, "--board", "xiao_esp32s3", "--layers").stdout
    assert "541 ms, -18/+35 % (estimated)" in shown
    assert "not modelled" in shown
    assert shown.count("CONV_2D") > 10


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
    assert "convolution 1x1 64->64" in shown


def test_one_command_prints_how_whole_models_are_estimated_without_their_architecture() -> None:
    shown = " ".join(run("calibrate", "--held-out").stdout.split())
    for chip in ("esp32", "esp32s3", "we1", "we2"):
        assert f"Chip {chip} " in shown
    assert "a factor of 1.09 in the median, 1.18 at worst" in shown
    assert "a factor of 1.06 in the median, 1.54 at worst" in shown
    assert shown.count("of the held-out times are inside") == 4
    assert "convolution" not in shown


def test_the_tables_of_a_profile_are_printed() -> None:
    shown = run("calibrate", "--board", "we2", "--tables").stdout
    assert shown.strip() in boards.load("we2").path.read_text(encoding="utf-8")


def measured(directory: Path, factor: float, board_id: str = "xiao_esp32s3") -> None:
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
        parts = {"model": {**values["model"], **of_model}, "board": {**values["board"], "id": board_id}}
        store.write(Record.model_validate({**values, **parts}), directory)


def test_calibrate_fits_to_measured_records_and_writes_a_profile(tmp_path: Path) -> None:
    measured(tmp_path / "results", 1.5)
    out = tmp_path / "mine.toml"
    done = run(
        "calibrate", "--board", "xiao_esp32s3", "--from", tmp_path / "results", "--output", out, "--json"
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["records"] == len(bundled.names())
    assert found["median_before_percent"] == pytest.approx(50, abs=1)
    assert found["median_after_percent"] < 2
    before, after = boards.load("xiao_esp32s3"), boards.load(out)
    assert after.id == before.id
    assert after.sha256 != before.sha256
    model = tflite.parse(bundled.build(PERSON), PERSON)
    times = [estimate(model, b.coefficients(), clock_hz=b.clock_hz).cycles for b in (before, after)]
    assert times[1] == pytest.approx(1.5 * times[0], rel=0.03)
    again = run("inspect", PERSON, "--board", out)
    assert again.exit_code == 0
    assert f"harness calibrate: {len(bundled.names())} measured records" in out.read_text()


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


def float_conv(path: Path, type: str = "float32") -> Path:
    """A convolution that no NPU takes, with its bias."""
    out = Builder()
    main = out.subgraph("main")
    x = main.input("x", (1, 8, 8, 3), type)
    w = main.constant("w", np.ones((4, 1, 1, 3), type))
    b = main.constant("b", np.zeros(4, type))
    options = {"stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
    y = main.output("y", (1, 8, 8, 4), type)
    main.operator("CONV_2D", [x, w, b], [y], version=3, padding="SAME", **options)
    path.write_bytes(out.finish())
    return path


class TestAModelOfWhichVelaPutsNothingOnTheNpu:
    def test_it_is_judged_as_it_runs_on_the_cpu(self, tmp_path: Path) -> None:
        path = float_conv(tmp_path / "float.tflite")
        found = json.loads(run("check", path, "--board", "we2", "--json").stdout)
        assert (found["runs"], found["compiled"]) == (True, False)
        assert "Vela finds nothing in it for the NPU: it runs on the Arm Cortex-M55 alone" in found["notes"]

    def test_the_file_that_vela_wrote_is_not_sent_to_vela_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        run("compile", float_conv(tmp_path / "float.tflite"), "--board", "we2")
        assert run("check", "float_vela.tflite", "--board", "we2").stdout.startswith("yes:")
        shown = run("check", "float_vela.tflite", "--board", "we2", "--firmware", "sscma").stdout
        assert "does not register CONV_2D" in shown
        assert "harness compile" not in shown

    def test_inspect_says_so(self, tmp_path: Path) -> None:
        path = float_conv(tmp_path / "float.tflite")
        assert "Vela finds nothing in it for the NPU" in run("inspect", path, "--board", "we2").stdout
        found = json.loads(run("inspect", path, "--board", "we2", "--json").stdout)
        assert found["deployed"]["compiled"] is False
        assert found["deployed"]["sha256"] == found["sha256"]


class TestATimeThatWouldBeAGuess:
    def test_of_float_kernels_where_int8_times_are_published(self, tmp_path: Path) -> None:
        found = run("inspect", float_conv(tmp_path / "float.tflite"), "--board", "xiao_esp32s3").stdout
        assert "not known: the published times are of int8 kernels, and this model has float32" in found

    def test_of_an_operator_that_is_nobodys(self, tmp_path: Path) -> None:
        out = Builder()
        main = out.subgraph("main")
        x = main.input("x", (1, 4), "int8", Scale(0.5))
        middle = main.tensor("middle", (1, 4), "int8", Scale(0.5))
        y = main.output("y", (1, 4), "int8", Scale(0.5))
        main.custom("Odd", [x], [middle], b"")
        (tmp_path / "odd.tflite").write_bytes(out.finish())
        assert "not known: no time is published for Odd on" in self.shown(tmp_path / "odd.tflite")
        main.operator("LOGISTIC", [middle], [y], version=2)
        (tmp_path / "odd.tflite").write_bytes(out.finish())
        assert "left out: Odd on the Xtensa LX7" in self.shown(tmp_path / "odd.tflite")

    def shown(self, path: Path) -> str:
        return run("inspect", path, "--board", "xiao_esp32s3").stdout

    def test_conversions_at_the_ends_of_an_int8_model_do_not_take_its_time_away(self, tmp_path: Path) -> None:
        out = Builder()
        main = out.subgraph("main")
        x = main.input("x", (1, 4), "int8", Scale(0.5))
        middle = main.tensor("middle", (1, 4), "int8", Scale(1 / 256, -128))
        main.operator("LOGISTIC", [x], [middle], version=2)
        main.operator("LOGISTIC", [middle], [middle], version=2)
        main.operator("DEQUANTIZE", [middle], [main.output("y", (1, 4), "float32")])
        (tmp_path / "ends.tflite").write_bytes(out.finish())
        assert "(estimated)" in self.shown(tmp_path / "ends.tflite")

    def test_of_a_kernel_that_no_time_is_known_of_and_that_is_most_of_it(self, tmp_path: Path) -> None:
        out = Builder()
        main = out.subgraph("main")
        x = main.input("x", (1, 400), "int8", Scale(0.5))
        main.operator("HARD_SWISH", [x], [main.output("y", (1, 400), "int8", Scale(0.5))])
        (tmp_path / "swish.tflite").write_bytes(out.finish())
        shown = self.shown(tmp_path / "swish.tflite")
        assert "not known: 100% of its time would be in HARD_SWISH, of which no time on" in shown

    def test_of_commands_that_are_not_costed(self, tmp_path: Path) -> None:
        board = boards.load("we2").vela
        assert board is not None
        data = bundled.build("mnist_mbv2_035_32_int8")
        made = vela.compile(data, "m", accelerator=board.accelerator, settings=board.settings())
        model = tflite.parse(made.data, "m")
        words = ethosu.command_stream(model, model.subgraphs[0], model.subgraphs[0].operators[0])
        stride = next(c for c in jobs(model)[0].commands if c.name == "KERNEL_STRIDE")
        changed = bytearray(made.data)
        changed[made.data.index(words.tobytes()) + 4 * stride.word + 2] |= 1 << 5  # 4x4 decomposition
        path = tmp_path / "decomposed.tflite"
        path.write_bytes(changed)
        shown = run("inspect", path, "--board", "we2")
        assert "its commands use what is not costed here: operation" in shown.stdout
        assert run("check", path, "--board", "we2").exit_code == 0

    @pytest.mark.interop
    def test_of_a_file_for_another_npu(self, shared: Path) -> None:
        shown = run("inspect", shared / "models" / "person_detect_vela.tflite", "--board", "we2").stdout
        assert "not known: compiled for ethos-u55-256, and grove_vision_ai_we2 has ethos-u55-64" in shown


def test_velas_account_of_a_file_counts_only_with_the_settings_of_the_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same commands take another time at another clock: Vela is asked, not its last word taken."""
    monkeypatch.chdir(tmp_path)
    text = boards.load("we2").path.read_text(encoding="utf-8")
    slow = tmp_path / "slow.toml"
    slow.write_text(text.replace('core_clock = "400 MHz"', 'core_clock = "100 MHz"'), encoding="utf-8")
    model = "mnist_mbv2_035_32_int8"

    def seconds(board: str | Path) -> float:
        found = json.loads(run("inspect", "m.tflite", "--board", board, "--json").stdout)
        return float(found["time"]["seconds"])

    run("compile", model, "--board", "we2", "-o", "m.tflite")
    before = seconds("we2")
    run("compile", model, "--board", slow, "-o", "slow.tflite")
    same = (tmp_path / "m.tflite").read_bytes() == (tmp_path / "slow.tflite").read_bytes()
    assert same, "the clock changes no command; otherwise this test shows nothing"
    assert seconds("we2") == before
    # What the core does for the NPU keeps its clock.
    assert 1.5 * before < seconds(slow) < 4 * before


def test_an_npu_that_is_no_ethos_u55_gets_velas_time(tmp_path: Path) -> None:
    text = boards.load("we2").path.read_text(encoding="utf-8")
    other = tmp_path / "u65.toml"
    other.write_text(text.replace("ethos-u55-64", "ethos-u65-256"), encoding="utf-8")
    found = json.loads(run("inspect", "mnist_mbv2_035_32_int8", "--board", other, "--json").stdout)
    assert found["time"]["methods"] == ["vela"]
    assert found["time"]["seconds"] > 0


def test_a_calibrated_profile_keeps_what_is_known_of_its_npu(tmp_path: Path) -> None:
    from harness.timing.overlay import estimate_tables

    board = boards.load("we2")
    assert board.estimate.npu_error is not None
    tables = estimate_tables(board.estimate.mapping(), "a test", npu_error=board.estimate.npu_error)
    (tmp_path / "mine.toml").write_text(f'extends = "{board.id}"\n\n{tables}', encoding="utf-8")
    assert boards.load(tmp_path / "mine.toml").estimate.npu_error == board.estimate.npu_error


def test_a_file_that_is_no_model_does_not_hide_the_models_beside_it(tmp_path: Path) -> None:
    from harness.timing.records import samples

    directory = tmp_path / "models"
    directory.mkdir()
    (directory / "a_broken.tflite").write_bytes(b"no model")
    path = float_conv(directory / "b.tflite")
    sha256 = tflite.read(path).sha256
    board = boards.load("xiao_esp32s3")
    values = record([5, 5, 5], origin="measured", tick_hz=board.clock_hz).model_dump(mode="json")
    of_model = {"name": "b", "file": "elsewhere.tflite", "sha256": sha256}
    made = Record.model_validate({**values, "model": {**values["model"], **of_model}})
    taken = samples([made, made], board, board.coefficients(), directory)
    assert (taken.records, taken.left_out) == (2, ())
    # A run whose outputs are wrong timed something else.
    wrong = made.model_copy(
        update={"verification": made.verification.model_copy(update={"verdict": "differs"})}
    )
    taken = samples([made, wrong], board, board.coefficients(), directory)
    assert taken.records == 1
    assert "its outputs differ from the reference" in taken.left_out[0]


def test_times_are_written_without_an_exponent() -> None:
    from harness.cli.forecast_view import rounded

    assert [rounded(v) for v in (2345.6, 54.23, 0.000467, 0)] == ["2,350", "54.2", "0.000467", "0"]


def test_a_note_does_not_name_the_firmware_twice(tmp_path: Path) -> None:
    shown = run("check", float_conv(tmp_path / "m.tflite"), "--board", "we2").stdout
    assert "the firmware 'sscma' would refuse it: that firmware does not register CONV_2D" in shown


def test_calibrating_a_profile_of_ones_own_keeps_what_it_says(tmp_path: Path) -> None:
    text = boards.load("xiao_esp32s3").path.read_text(encoding="utf-8")
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace('id = "xiao_esp32s3"', 'id = "mine"'), encoding="utf-8")
    measured(tmp_path / "results", 1.5, "mine")
    out = tmp_path / "out.toml"
    done = run("calibrate", "--board", mine, "--from", tmp_path / "results", "--output", out)
    assert done.exit_code == 0, done.output
    before, after = boards.load(mine), boards.load(out)
    assert (after.id, after.chip, after.flash) == ("mine", before.chip, before.flash)
    assert after.estimate.fixed_cycles >= 0
    assert after.estimate.cycles_per_mac != before.estimate.cycles_per_mac


def test_what_goes_with_measured_records_is_not_ignored_without_them(tmp_path: Path) -> None:
    for option in ("--models", "--output"):
        done = run("calibrate", "--board", "xiao_esp32s3", option, tmp_path / "x")
        assert done.exit_code == 2
        assert "--models and --output go with --from" in done.output
    measured(tmp_path / "results", 1.5)
    done = run(
        "calibrate", "--board", "xiao_esp32s3", "--from", tmp_path / "results", "--models", tmp_path / "x"
    )
    assert "no such directory" in str(done.exception)


def test_a_model_without_a_name_is_said_to_lack_one() -> None:
    assert "the model has an empty name" in str(run("inspect", "").exception)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    measured(tmp_path, 1.5)
    first = sorted(tmp_path.rglob("record.json"))[0]
    first.write_text("{}")
    done = run("calibrate", "--board", "xiao_esp32s3", "--from", tmp_path, "--output", tmp_path / "out.toml")
    assert done.exit_code == 0
    assert first.parent.name in done.stderr.replace("\n", "")
