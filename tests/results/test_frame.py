"""Frames are tidy: a row a run, an invoke or an operator, with units, categories and integers."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import HarnessError
from harness.results import frame, load, store
from harness.results.row import run_row
from tests.results.making import put, record

LAYERS = [
    {"index": 0, "operator": "CONV_2D", "ticks": 300, "origin": "estimated"},
    {"index": 1, "operator": "SOFTMAX", "ticks": 100, "origin": "estimated"},
]


def test_runs_have_a_row_a_run_with_statistics_in_microseconds(tmp_path: Path) -> None:
    store.write(record([240, 480, 720], tick_hz=240_000, arena=None), tmp_path)
    runs = load(tmp_path)
    assert list(runs.columns) == list(frame.RUN_TYPES) == list(run_row(record()))
    assert runs.loc[0, ["invoke_min_us", "invoke_median_us", "invoke_max_us"]].tolist() == [1000, 2000, 3000]
    assert runs.loc[0, "invoke_std_us"] == 1000
    assert runs["arena_used_bytes"].isna().all()
    assert str(runs["arena_used_bytes"].dtype) == "Int64"
    assert isinstance(runs["board"].dtype, pd.CategoricalDtype)


def test_samples_have_a_row_an_invoke(tmp_path: Path) -> None:
    for name, ticks in (("a", [1, 2, 3]), ("b", []), ("c", [9])):
        store.write(record(ticks, id=name, tick_hz=1000), tmp_path)
    samples = load(tmp_path, table="samples")
    assert samples["run"].tolist() == ["a", "a", "a", "c"]
    assert samples["sample"].tolist() == [0, 1, 2, 0]
    assert samples["invoke_us"].tolist() == [1000, 2000, 3000, 9000]


def test_layers_have_a_row_an_operator_with_its_share() -> None:
    layers = frame.layers([record(), record(layers=LAYERS)])
    assert layers["operator"].tolist() == ["CONV_2D", "SOFTMAX"]
    assert layers["share_percent"].tolist() == [75, 25]
    assert set(layers["origin"]) == {"estimated"}


def test_frames_of_no_runs_have_the_same_columns_and_types() -> None:
    for made in (frame.runs, frame.samples, frame.layers):
        filled = made([record(layers=LAYERS)])
        assert list(made([]).columns) == list(filled.columns)
    assert {k: str(v) for k, v in frame.runs([]).dtypes.items()} == {
        k: str(v) for k, v in frame.runs([record()]).dtypes.items()
    }


def test_a_run_without_samples_has_no_statistics() -> None:
    runs = frame.runs([record([], complete=False)])
    assert runs.loc[0, "samples"] == 0
    assert runs["invoke_median_us"].isna().all()


def test_a_damaged_record_is_warned_about_and_listed(tmp_path: Path) -> None:
    store.write(record(), tmp_path)
    (tmp_path / "bad.json").write_text("{")
    with pytest.warns(UserWarning, match=r"set aside .*bad\.json"):
        runs = load(tmp_path)
    assert len(runs) == 1
    assert [path for path, _ in runs.attrs["damaged"]] == [str(tmp_path / "bad.json")]


def test_a_path_that_does_not_exist_is_one_clear_line() -> None:
    with pytest.raises(HarnessError, match="no such file or directory"):
        load("no/where")


def test_the_name_load_costs_no_pandas_until_it_is_called() -> None:
    code = "import sys, harness; import harness.results; assert not {'pandas', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.soak
def test_ten_thousand_runs_load_in_seconds_and_bounded_memory(tmp_path: Path) -> None:
    for number in range(10_000):
        put(record(range(number, number + 100), layers=LAYERS), tmp_path)
    print()
    for table in ("runs", "samples", "layers"):
        start = time.perf_counter()
        loaded = load(tmp_path, table=table)
        took = time.perf_counter() - start
        tracemalloc.start()
        load(tmp_path, table=table)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"{table}: {len(loaded)} rows in {took:.1f} s, peak {peak / 2**20:.0f} MiB")
        # 1,000,000 samples of 40 bytes, several times over while the frame is put together.
        assert peak < 300 * 2**20


def test_the_spread_of_equal_samples_is_nothing_at_all() -> None:
    made = frame.runs([record([75_971_535] * 10, tick_hz=400_000_000), record([17] * 5, tick_hz=3)])
    assert made["invoke_std_us"].tolist() == [0.0, 0.0]
    assert (made["invoke_mean_us"] == made["invoke_median_us"]).all()


def test_statistics_are_those_of_a_small_example_by_hand() -> None:
    made = frame.runs([record([10, 20, 30, 40, 100], tick_hz=1_000_000)]).iloc[0]
    # (10 + 20 + 30 + 40 + 100) / 5; squares of the deviations 900 + 400 + 100 + 0 + 3600 over 4.
    assert made["invoke_mean_us"] == 40
    assert made["invoke_std_us"] == pytest.approx(1250**0.5)
    assert made[["invoke_p25_us", "invoke_median_us", "invoke_p75_us"]].tolist() == [20, 30, 40]
    assert made["invoke_p95_us"] == pytest.approx(40 + 0.8 * 60)
