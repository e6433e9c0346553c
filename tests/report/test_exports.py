"""What is exported is read by the tools that it is for."""

from __future__ import annotations

import io
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.errors import HarnessError
from harness.report import exports, summary
from harness.results import baseline, frame
from harness.results.group import group
from tests.gate.test_compare import runs
from tests.results.making import file_of, put, record
from tests.results.running import harness

LAYERS = [{"index": 0, "operator": "CONV_2D", "ticks": 900, "origin": "measured"}]


def _pyperf(*words: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pyperf", *words], cwd=cwd, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_csv_and_json_hold_the_same_rows_as_the_frame() -> None:
    made = frame.runs([record(arena=None), record(day=1)])
    rows = pd.read_csv(io.StringIO(exports.csv(made)))
    assert rows["invoke_median_us"].tolist() == made["invoke_median_us"].tolist()
    assert rows["arena_used_bytes"].isna().tolist() == [True, False]
    again = json.loads(exports.json_rows(made))
    assert [row["run"] for row in again] == made["run"].tolist()
    assert again[0]["arena_used_bytes"] is None
    assert again[0]["created"].startswith("2026-05-01T12:00:00")


@pytest.mark.parametrize("table", ["runs", "samples", "layers"])
def test_parquet_keeps_the_types(table: frame.Table, tmp_path: Path) -> None:
    made = frame.of([record(layers=LAYERS), record(layers=LAYERS, arena=None)], table)
    (tmp_path / "x.parquet").write_bytes(exports.parquet(made))
    again = pd.read_parquet(tmp_path / "x.parquet")
    assert exports.json_rows(again) == exports.json_rows(made)
    assert str(again["board"].dtype) == "category"
    assert [str(again[c].dtype) for c in made if "ticks" in c] == ["int64"] * (table != "runs")


@pytest.mark.interop
def test_pyperf_reads_the_export_and_finds_our_figures(tmp_path: Path) -> None:
    sides = {"before": runs(seed=1), "after": runs(seed=2, slower=0.2)}
    for name, records in sides.items():
        (tmp_path / f"{name}.json").write_text(exports.pyperf(records))
    stats = " ".join(_pyperf("stats", "before.json", cwd=tmp_path).split())
    assert "Number of run with values: 5" in stats
    assert "Total number of values: 500" in stats
    us = [tick for made in sides["before"] for tick in made.invoke.ticks]
    assert f"Median +- MAD: {statistics.median(us) / 1000:.1f} ms" in stats
    ratio = np.mean([made.invoke.ticks for made in sides["after"]]) / np.mean(us)
    compared = _pyperf("compare_to", "before.json", "after.json", cwd=tmp_path)
    assert f"{ratio:.2f}x slower" in compared


@pytest.mark.interop
def test_pyperf_gets_a_benchmark_for_each_board_model_and_origin(tmp_path: Path) -> None:
    several = [record(), record(model="kws"), record(origin="measured"), record([0, 5]), record([])]
    (tmp_path / "x.json").write_text(exports.pyperf(several))
    text = _pyperf("show", "x.json", cwd=tmp_path)
    for name in ("person/int8 (emulated)", "kws/int8 (emulated)", "person/int8 (measured)"):
        assert f"xiao_esp32s3/{name}" in text


def test_no_sample_at_all_is_one_clear_line() -> None:
    with pytest.raises(HarnessError, match="no sample to export"):
        exports.pyperf([record([])])


def test_github_action_benchmark_gets_names_units_and_numbers() -> None:
    """The shape that its customSmallerIsBetter parser asks for: name, unit, value, and text for the rest."""
    rows = json.loads(exports.github_action_benchmark([*runs(), record([], model="none", arena=None)]))
    assert [row["unit"] for row in rows] == ["ms", "bytes"]
    for row in rows:
        assert isinstance(row["value"], (int, float))
        assert all(isinstance(row[key], str) for key in ("name", "unit", "extra"))
        assert "measured" in row["name"]
    assert rows[0]["value"] == pytest.approx(50, rel=0.05)
    assert rows[0]["range"].startswith("± ")


def test_figures_of_two_origins_never_share_a_row() -> None:
    rows = summary.plain(group([record(), record(origin="measured")], by=("model",)))
    assert sorted(row["origin"] for row in rows) == ["emulated", "measured"]
    assert [row["runs"] for row in rows] == [1, 1]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], "xiao_esp32s3"),
        (["--format", "md"], "| board | model |"),
        (["--format", "md", "--table", "layers"], "| run | setup | board | model | model_sha256 |"),
        (["--format", "csv", "--table", "samples"], "protocol,origin,usable,sample,ticks,invoke_us"),
        (["--format", "csv"], "invoke_median_us"),
        (["--json"], '"invoke_median_us"'),
        (["--format", "pyperf"], '"benchmarks"'),
        (["--format", "github-action-benchmark"], '"unit"'),
        (["--group", "board", "--json"], '"board":"xiao_esp32s3"'),
    ],
)
def test_report_gives_each_format(words: list[str], found: str, tmp_path: Path) -> None:
    put(record(layers=LAYERS), tmp_path / "results")
    done = harness("report", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert found in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--group", "bord"], "no column 'bord' to group by; did you mean 'board'"),
        (["-o", "x.docx"], "name the format with --format"),
        (["--format", "parquet"], "name one with -o"),
        (["-o", "no/where/x.csv"], "cannot be written"),
        (
            ["model=none"],
            "no run found by model=none; `harness report --table runs --from results` lists all",
        ),
        (["--format", "html", "--table", "layers"], "--table has no meaning for html"),
        (["-o", "x.html", "--table", "runs"], "--table has no meaning for html"),
        (["--from", "elsewhere"], "no such file or directory"),
    ],
)
def test_report_names_what_is_wrong(words: list[str], message: str, tmp_path: Path) -> None:
    put(record(), tmp_path / "results")
    done = harness("report", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_report_writes_a_file_by_its_ending(tmp_path: Path) -> None:
    put(record(layers=LAYERS), tmp_path / "results")
    for ending in ("md", "csv", "json", "parquet", "html"):
        assert harness("report", "-o", f"x.{ending}", cwd=tmp_path).returncode == 0
        assert (tmp_path / f"x.{ending}").stat().st_size > 50


def test_json_writes_a_figure_with_the_digits_that_it_has() -> None:
    made = record([75_971_535], tick_hz=400_000_000)
    assert '"invoke_median_us":189928.8375,' in exports.json_rows(frame.runs([made]))


def test_the_terminal_table_gives_the_band_of_an_estimate(tmp_path: Path) -> None:
    put(
        record(origin="estimated", invoke={"origin": "estimated", "error_percent": 5.6}), tmp_path / "results"
    )
    done = harness("report", cwd=tmp_path)
    assert "estimated ±6 %" in done.stdout
    [row] = json.loads(harness("report", "--json", cwd=tmp_path).stdout)
    assert (row["origin"], row["error_percent"]) == ("estimated", 5.6)


def test_runs_that_must_not_be_used_are_listed_apart_in_every_format(tmp_path: Path) -> None:
    put(record([1000] * 3, id="good"), tmp_path / "results")
    put(record([9000] * 3, id="cut", complete=False), tmp_path / "results")
    put(
        record([5000] * 3, id="wrong", verification={"verdict": "differs", "max_ulp": 9}),
        tmp_path / "results",
    )
    for words in ([], ["--format", "md"]):
        said = harness("report", *words, cwd=tmp_path).stdout
        above, below = re.split("left out of the figures above:", said, flags=re.IGNORECASE)
        assert "1.000 ms" in above
        assert "9.000" not in said
        assert "cut" in below
        assert "it ended early, with 3 of 3 samples" in below
        assert "its outputs differ from the reference by 9 ULP" in below
    [row] = json.loads(harness("report", "--json", cwd=tmp_path).stdout)
    assert (row["runs"], row["left_out"], row["invoke_median_us"]) == (1, 2, 1000)
    rows = pd.read_csv(io.StringIO(harness("report", "--format", "csv", cwd=tmp_path).stdout))
    assert dict(zip(rows["run"], rows["usable"], strict=True)) == {"good": True, "cut": False, "wrong": False}
    suite = json.loads(harness("report", "--format", "pyperf", cwd=tmp_path).stdout)
    assert [len(one["runs"]) for one in suite["benchmarks"]] == [1]
    page = harness("report", "--format", "html", cwd=tmp_path).stdout
    assert "<h2>Left out</h2>" in page
    assert "9.000 ms" not in page


@pytest.mark.parametrize("form", ["table", "md"])
def test_if_no_run_is_usable_that_is_said(form: str, tmp_path: Path) -> None:
    put(record([9000] * 3, complete=False), tmp_path / "results")
    said = harness("report", "--format", form, cwd=tmp_path).stdout.lower()
    assert said.startswith("no run is usable")
    assert "it ended early, with 3 of 3 samples" in said


@pytest.mark.parametrize("form", ["pyperf", "github-action-benchmark"])
def test_two_files_of_one_name_have_a_name_each_for_other_tools(form: str, tmp_path: Path) -> None:
    for at in "ab":
        model = {"file": f"{at}/m.tflite", "name": "m", **file_of(at)}
        put(record([1000] * 3, model=model), tmp_path / "results")
    said = harness("report", "--format", form, cwd=tmp_path).stdout
    for at in "ab":
        assert f"xiao_esp32s3/m/int8 (emulated, {file_of(at)['sha256'][:8]})" in said


def test_a_chart_goes_on_with_the_file_that_took_anothers_place() -> None:
    made = [record([10] * 3, model={**file_of("old")}), record([20] * 3, model={**file_of("new")}, day=1)]
    rows = json.loads(exports.github_action_benchmark(made))
    assert (rows[0]["name"], rows[0]["value"]) == (
        "xiao_esp32s3/person/int8 (emulated): invoke time",
        0.02,
    )
    assert len(rows) == 2


def test_what_changed_since_the_baseline_is_said_beside_the_change(tmp_path: Path) -> None:
    baseline.renew(tmp_path / "results" / "baseline", [record([1000] * 3, model=file_of("old"))])
    for day, changes in enumerate(({"model": file_of("old")}, {"model": file_of("new")})):
        put(record([1000 + 500 * day] * 3, day=day, **changes), tmp_path / "results")
    said = harness("report", "--format", "md", cwd=tmp_path).stdout
    assert "| +0.0 % |" in said
    assert "| +50.0 % (other file) |" in said
    assert "the model file changed (SHA-256" in said
