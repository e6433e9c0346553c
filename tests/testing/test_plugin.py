"""The pytest plugin from a user's side: assertions that read well, and failures that show the comparison."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas  # noqa: F401  (each run inside pytester drops what it imports: a second pandas is not the first)
import pytest

import harness
from harness.errors import HarnessError
from harness.results import baseline
from harness.results.record import Record
from harness.runner import Result
from harness.testing import Benched
from tests.gate.test_compare import runs
from tests.results.making import file_of

ROOT = Path(__file__).resolve().parents[2]
pytest_plugins = ["pytester"]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A user's project; its board is simulated: run-to-run spread 1 %, slower by $SLOWER."""
    seeds = itertools.count(50)

    def bench(models: list[str], boards: list[str], *, out: Path, **options: Any) -> Result:
        print("BENCH", models, boards, sorted(options.items()))
        slower = float(os.environ.get("SLOWER", "0"))
        return Result(
            records=runs(1, seed=next(seeds), slower=slower, model=Path(models[0]).stem, board=boards[0])
        )

    monkeypatch.setattr(harness, "bench", bench)
    baseline.renew(Path(pytester.path, "results", "baseline"), runs(seed=1))
    return pytester


def run(project: pytest.Pytester, *words: str) -> pytest.RunResult:
    return project.runpytest_inprocess(*words)


def test_assertions_read_well_and_pass(project: pytest.Pytester) -> None:
    project.makepyfile("""
        def test_person(bench, baseline):
            run = bench("person", runs=5)
            assert run.invoke_ms.median < 60
            assert run.invoke_ms.n == 500
            assert run.arena_bytes <= 120_000
            assert run.verified
            assert run.no_slower_than(baseline, by=0.03)
            assert run.no_bigger_than(baseline)
            assert run.same_outputs_as("results/baseline")
            assert run.frame()["samples"].tolist() == [100] * 5
    """)
    run(project, "--board", "xiao_esp32s3").assert_outcomes(passed=1)


def test_a_limit_that_is_broken_shows_the_figure_and_where_it_is_from(project: pytest.Pytester) -> None:
    project.makepyfile("""
        def test_person(bench):
            assert bench("person").invoke_ms.median < 40
    """)
    result = run(project, "--board", "xiao_esp32s3")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E*assert * < 40*", "*ms, n=100, measured>.median*", "*person on xiao_esp32s3: *"]
    )


def test_a_regression_fails_and_shows_the_comparison(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOWER", "0.1")
    project.makepyfile("""
        def test_person(bench, baseline):
            assert bench("person", runs=5).no_slower_than(baseline, by=0.03)

        def test_that_is_well(bench):
            assert bench("person", runs=5).no_slower_than(bench("person", runs=5))
    """)
    result = run(project, "--board", "xiao_esp32s3")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        ["E*ms then*ms now: regression: +*", "E*<baseline */results/baseline: 5 runs>*", "*- harness -*"]
    )
    shown = [line for line in result.outlines if line.startswith("person int8 on xiao_esp32s3: ")]
    assert len(shown) == 1
    assert "5 against 5 runs" in shown[0]


def test_too_little_data_does_not_pass_for_no_slower(project: pytest.Pytester) -> None:
    project.makepyfile("""
        def test_person(bench):
            assert bench("person").no_slower_than(bench("person", runs=1, invokes=5))
    """)
    result = run(project, "--board", "xiao_esp32s3")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*not enough data: *"])


def test_options_and_arguments_reach_the_bench_and_the_same_call_runs_once(project: pytest.Pytester) -> None:
    project.makepyfile("""
        def test_one(bench):
            bench("person", invokes=7)

        def test_two(bench):
            bench("person", invokes=7)
            bench("kws", board="grove_vision_ai")
    """)
    result = run(project, "-s", "--board", "xiao_esp32s3", "--port", "emulated")
    said = [line[line.index("BENCH") :].rstrip(".") for line in result.outlines if "BENCH" in line]
    assert said == [
        "BENCH ['person'] ['xiao_esp32s3'] [('invokes', 7), ('port', 'emulated')]",
        "BENCH ['kws'] ['grove_vision_ai'] [('port', 'emulated')]",
    ]


def test_without_a_board_or_a_baseline_it_says_what_to_give(project: pytest.Pytester) -> None:
    project.makepyfile("""
        def test_board(bench):
            bench("person")

        def test_baseline(baseline):
            pass

        def test_unknown_pair(bench, request):
            from harness.results import baseline
            known = baseline.load(request.config.rootpath / "kept")[0]
            assert bench("kws", board="xiao_esp32s3").no_slower_than(known)
    """)
    Path(project.path, "results", "baseline").rename(Path(project.path, "kept"))
    result = run(project, "-rs")
    result.assert_outcomes(failed=2, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*which board? Give --board ID*",
            "*the baseline has no run of this model*",
            "*no baseline: give --baseline*",
        ]
    )


def test_another_plugins_option_of_the_same_name_is_shared(project: pytest.Pytester) -> None:
    project.makepyfile(
        other='def pytest_addoption(parser):\n    parser.addoption("--port", default="theirs")\n'
    )
    project.makepyfile("""
        def test_port(bench):
            bench("person", board="xiao_esp32s3")
    """)
    project.syspathinsert()
    result = project.runpytest_inprocess("-p", "other", "-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*('port', 'theirs')*"])


def test_the_plugin_costs_a_test_run_that_does_not_use_it_nothing_heavy() -> None:
    code = (
        "import sys, harness.pytest_plugin\n"
        "heavy = {'numpy', 'pandas', 'pydantic', 'scipy', 'matplotlib', 'click', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_it_benches_a_real_model_on_an_emulated_board(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a process of its own: pytester forgets modules that came meanwhile, and this one loads only once.
    if importlib.util.find_spec("tflite_micro") is None:
        pytest.skip("needs the tflite-micro wheel")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
    pytester.makepyfile("""
        def test_cifar(bench):
            run = bench("cifar10_mbv2_035_32_int8", board="xiao_esp32s3", invokes=2, port="emulated")
            assert run.verified
            assert run.invoke_ms.origin == "estimated"
            assert run.no_slower_than(run)
            assert run.no_bigger_than(run)
    """)
    # Many a project takes warnings for errors.
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)


def test_what_allows_a_comparison_is_said_as_python_takes_it(project: pytest.Pytester) -> None:
    baseline.renew(Path(project.path, "other"), runs(seed=3, board={"clock_hz": 80_000_000}))
    project.makepyfile("""
        def test_person(bench):
            run = bench("person", runs=5)
            assert run.no_slower_than("other", allow=["clock"])
            assert run.no_slower_than("other")
    """)
    result = run(project, "--board", "xiao_esp32s3")
    said = result.stdout.str()
    assert '(allow=["clock"] compares them)' in said
    assert "--allow" not in said


def test_what_is_no_allowance_is_said(project: pytest.Pytester) -> None:
    project.makepyfile("""
        def test_person(bench, baseline):
            bench("person").no_slower_than(baseline, allow=["clok"])
    """)
    run(project, "--board", "xiao_esp32s3").stdout.fnmatch_lines(
        ["*nothing called 'clok' to allow; did you mean 'clock'?*"]
    )


def test_a_model_file_that_a_test_writes_anew_is_benched_anew(project: pytest.Pytester) -> None:
    project.makepyfile("""
        def test_person(bench, tmp_path):
            model = tmp_path / "m.tflite"
            model.write_bytes(b"one")
            first = bench(model)
            assert bench(model) is first
            model.write_bytes(b"two")
            assert bench(model) is not first
    """)
    run(project, "--board", "xiao_esp32s3").assert_outcomes(passed=1)


def made(*records: Record) -> Benched:
    return Benched(tuple(records))


def test_runs_whose_outputs_are_wrong_have_no_time_and_say_so() -> None:
    wrong = {"verification": {"verdict": "differs", "max_ulp": 9}}
    only = made(*runs(1, **wrong))
    assert not only.verified
    with pytest.raises(
        HarnessError, match="no figure to use: its outputs differ from the reference by 9 ULP"
    ):
        _ = only.invoke_ms
    assert "its outputs differ" in repr(only)
    some = made(*runs(5, seed=1), *runs(1, seed=2, slower=5, **wrong))
    assert some.invoke_ms.n == 500
    assert not some.verified
    for check in (only.no_slower_than(runs(5)), only.no_bigger_than(runs(5)), only.same_outputs_as(runs(5))):
        assert not check
    assert some.no_slower_than(runs(5, seed=3))
    assert not some.same_outputs_as(runs(5, seed=3))


def test_runs_of_two_kinds_have_no_common_time() -> None:
    both = made(*runs(1), *runs(1, model=file_of("another")))
    with pytest.raises(HarnessError, match="its runs differ: the model file changed"):
        _ = both.invoke_ms


def test_what_was_not_compared_does_not_hold() -> None:
    without = {"outputs": {"sha256": None}, "arena": None}
    one, other = made(*runs(5, seed=1, **without)), runs(5, seed=2, **without)
    assert one.no_slower_than(other)
    assert "nothing to compare" in one.no_bigger_than(other).text
    assert "outputs not compared: the baseline has none" in one.same_outputs_as(other).text
    assert not one.no_bigger_than(other)
    assert not one.same_outputs_as(other)
