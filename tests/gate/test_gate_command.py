"""`harness gate` and `harness compare` from outside: exit codes, files, and lines for people."""

from __future__ import annotations

import json
from pathlib import Path

import junitparser
import pytest

from harness.results import baseline
from tests.gate.test_compare import runs
from tests.gate.test_pairing import run as estimated
from tests.results.making import file_of, put, record
from tests.results.running import harness


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with results of two models and their baseline."""
    for made in [*runs(seed=1), *runs(seed=2, model="kws", slower=0.1)]:
        put(made, tmp_path / "results")
    baseline.renew(tmp_path / "results" / "baseline", [*runs(seed=3), *runs(seed=4, model="kws")])
    return tmp_path


def test_a_regression_exits_1_and_is_named(place: Path) -> None:
    done = harness("gate", cwd=place)
    assert done.returncode == 1
    assert "kws int8 on xiao_esp32s3: regression: +" in done.stdout
    assert "2 compared: 1 fail, 1 pass" in done.stdout


def test_what_is_well_exits_0(place: Path) -> None:
    assert harness("gate", "--model", "person", cwd=place).returncode == 0
    assert harness("gate", "--max-slowdown", "20%", cwd=place).returncode == 0


def test_too_little_data_exits_3(place: Path) -> None:
    for path in list((place / "results").glob("2*")):
        (path / "record.json").unlink()
    put(runs(1)[0], place / "results")
    done = harness("gate", "--model", "person", "--max-slowdown", "0.5%", cwd=place)
    assert done.returncode == 3
    assert "would be enough" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--baseline", "nowhere"], "no such baseline"),
        (["--baseline", "git:nowhere"], "git:nowhere"),
        (["--max-slowdown", "3"], "is that 3% or 300%"),
        (["--max-slowdown", "a lot"], "give a percentage"),
        (["--max-ram", "-5"], "give bytes or a percentage"),
        (["--allow", "anything"], "anything"),
        (["--confidence", "20%"], "between 50% and 100%"),
        (["nowhere/at/all"], "no such file or directory"),
        (["--board", "we3"], "--board we3: no run of it, neither in the baseline nor now"),
        (["--update", "--baseline", "git:HEAD"], "only a directory can be renewed"),
    ],
)
def test_use_errors_exit_2_with_a_clear_line(place: Path, words: list[str], message: str) -> None:
    done = harness("gate", *words, cwd=place)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_baseline_is_refused(place: Path) -> None:
    """Else the model whose record was lost would pass."""
    file = next((place / "results" / "baseline").iterdir())
    file.write_bytes(file.read_bytes()[:-9])
    done = harness("gate", cwd=place)
    assert done.returncode == 2
    assert file.name in done.stderr


def test_a_damaged_run_is_set_aside_with_a_warning(place: Path) -> None:
    (place / "results" / "bad.json").write_text("{}")
    done = harness("gate", "--model", "person", cwd=place)
    assert done.returncode == 0
    assert "set aside results/bad.json" in done.stderr


def test_json_says_everything(place: Path) -> None:
    done = harness("gate", "--json", cwd=place)
    said = json.loads(done.stdout)
    assert said["outcome"] == "fail"
    assert said["exit_code"] == done.returncode == 1
    kws = next(c for c in said["comparisons"] if c["model"] == "kws")
    assert kws["time"]["low"] < kws["time"]["ratio"] < kws["time"]["high"]
    assert kws["candidate"]["origin"] == "measured"


def test_junit_is_read_by_another_projects_reader(place: Path) -> None:
    put(record(model="new\x00 <&> modél", day=1, origin="measured"), place / "results")
    put(runs(1, arena=None)[0].model_copy(update={"id": "z"}), place / "results")
    harness("gate", "--junit", "out.xml", cwd=place)
    suites = junitparser.JUnitXml.fromfile(str(place / "out.xml"))
    [suite] = list(suites)
    assert suite.name == "xiao_esp32s3"
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (7, 1, 0, 1)
    failed = [case for case in suite if any(isinstance(r, junitparser.Failure) for r in case.result)]
    assert [(case.classname, case.name) for case in failed] == [("xiao_esp32s3.kws.int8", "time")]
    assert "regression" in failed[0].result[0].message


def test_github_gets_a_summary_and_escaped_annotations(place: Path) -> None:
    done = harness("gate", "--github", cwd=place, env={"GITHUB_STEP_SUMMARY": str(place / "summary.md")})
    commands = [line for line in done.stdout.splitlines() if line.startswith("::")]
    assert len(commands) == 1
    assert commands[0].startswith("::error title=time%3A kws int8 on xiao_esp32s3::regression: +")
    assert " %25 " in commands[0]
    summary = (place / "summary.md").read_text()
    assert "❌ regression" in summary
    assert "| xiao_esp32s3 | person | int8 |" in summary


def test_update_shows_what_changes_and_asks_before_it_writes(place: Path) -> None:
    before = sorted(p.read_bytes() for p in (place / "results" / "baseline").iterdir())
    refused = harness("gate", "--update", cwd=place)
    assert refused.returncode != 0
    assert "kws" in refused.stdout
    assert sorted(p.read_bytes() for p in (place / "results" / "baseline").iterdir()) == before
    assert harness("gate", "--update", "--yes", cwd=place).returncode == 0
    assert harness("gate", cwd=place).returncode == 0


def test_update_makes_a_first_baseline_and_keeps_a_computed_run_once(tmp_path: Path) -> None:
    for day in range(3):
        put(record([500] * 3, origin="estimated", day=day), tmp_path / "results")
    assert harness("gate", "--update", "--yes", cwd=tmp_path).returncode == 0
    assert len(list((tmp_path / "results" / "baseline").iterdir())) == 1
    assert harness("gate", cwd=tmp_path).returncode == 0


def test_compare_tells_how_two_sides_differ_and_judges_nothing(place: Path) -> None:
    done = harness("compare", "results/baseline", "results", "--json", cwd=place)
    assert done.returncode == 0
    said = {item["model"]: item for item in json.loads(done.stdout)}
    assert said["kws"]["b_is"] == "slower"
    assert said["person"]["b_is"] == "not shown to differ"
    assert "outcome" not in said["kws"]


def test_compare_takes_two_different_models(place: Path) -> None:
    done = harness("compare", "model=person", "model=kws", "--format", "md", cwd=place)
    assert done.returncode == 0
    assert "| slower |" in done.stdout
    missing = harness("compare", "model=person", "model=nothing", cwd=place)
    assert missing.returncode == 2
    assert "no run found" in missing.stderr


def test_a_board_or_model_of_which_there_is_no_run_is_never_passed_over(place: Path) -> None:
    done = harness("gate", "--model", "person", "--model", "persn", cwd=place)
    assert done.returncode == 2
    assert "--model persn: no run of it" in done.stderr
    assert "did you mean 'person'?" in done.stderr
    assert done.stdout == ""


def test_a_board_is_named_by_its_alias_too(place: Path) -> None:
    assert harness("gate", "--board", "esp32s3", "--model", "person", cwd=place).returncode == 0


def test_an_update_that_nobody_answers_says_what_to_do(place: Path) -> None:
    done = harness("gate", "--update", cwd=place)
    assert done.returncode == 2
    assert done.stderr.endswith("nobody is there to answer; --yes renews the baseline without asking\n")


def test_a_declined_update_leaves_the_baseline_and_says_so(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(p.read_bytes() for p in (place / "results" / "baseline").iterdir())
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda prompt: "n")
    done = harness("gate", "--update", cwd=place)
    assert done.returncode == 2
    assert "results/baseline is left as it was" in done.stderr
    assert sorted(p.read_bytes() for p in (place / "results" / "baseline").iterdir()) == before


def test_a_damaged_baseline_is_named_and_never_renewed_around(place: Path) -> None:
    bad = place / "results" / "baseline" / "bad.json"
    bad.write_text("{")
    for words in ([], ["--update", "--yes"]):
        done = harness("gate", *words, cwd=place)
        assert done.returncode == 2
        assert "bad.json" in done.stderr
        assert "restore this file of the baseline, or delete it" in done.stderr
    bad.unlink()
    assert harness("gate", "--update", "--yes", cwd=place).returncode == 0


def test_a_summary_that_cannot_be_written_is_no_regression(place: Path) -> None:
    summary = {"GITHUB_STEP_SUMMARY": str(place / "no" / "where.md")}
    done = harness("gate", "--model", "person", "--github", cwd=place, env=summary)
    assert done.returncode == 2
    assert "where.md: cannot be written" in done.stderr


def test_compare_speaks_of_a_and_b(place: Path) -> None:
    put(runs(1, model="only_here")[0], place / "results")
    done = harness("compare", "results/baseline", "results", cwd=place)
    assert "only_here int8 on xiao_esp32s3: new: A has no run of it" in done.stdout
    assert "baseline" not in done.stdout
    assert "B has no run of it, A has" in harness("compare", "results", "results/baseline", cwd=place).stdout


def test_the_arena_has_its_origin_in_the_table_and_in_json(tmp_path: Path) -> None:
    put(record(origin="estimated", ram={"origin": "emulated"}), tmp_path / "results")
    assert "117.2 KiB emulated" in harness("gate", "--update", "--yes", cwd=tmp_path).stdout
    [item] = json.loads(harness("gate", "--json", cwd=tmp_path).stdout)["comparisons"]
    assert item["candidate"]["ram_origin"] == "emulated"


def test_a_model_trained_anew_under_its_old_name_is_judged_and_named(tmp_path: Path) -> None:
    baseline.renew(tmp_path / "results" / "baseline", [estimated(20.7, "old")])
    for made in (estimated(20.7, "old", day=1), estimated(337.6, "new", day=2)):
        put(made, tmp_path / "results")
    done = harness("gate", "--junit", "x.xml", "--github", cwd=tmp_path, env={"GITHUB_STEP_SUMMARY": "s.md"})
    assert done.returncode == 1
    old, new = (file_of(content)["sha256"][:8] for content in ("old", "new"))
    cause = f"the model file changed (SHA-256 {old} → {new})"
    for said in (done.stdout, (tmp_path / "x.xml").read_text(), (tmp_path / "s.md").read_text()):
        assert cause in said
    assert "20.70 ms (1)" in done.stdout
    assert "337.6 ms (1)" in done.stdout
    # With --update the new file takes the old one's place.
    assert harness("gate", "--update", "--yes", cwd=tmp_path).returncode == 0
    assert harness("gate", cwd=tmp_path).returncode == 0
    assert [r.model.sha256[:8] for r in baseline.load(tmp_path / "results" / "baseline")[0]] == [new]


def test_two_models_of_one_name_keep_a_case_and_a_baseline_each(tmp_path: Path) -> None:
    for made in (estimated(20.7, "a", "a/m.tflite"), estimated(7.4, "b", "b/m.tflite")):
        put(made, tmp_path / "results")
    assert harness("gate", "--update", "--yes", cwd=tmp_path).returncode == 0
    assert len(list((tmp_path / "results" / "baseline").iterdir())) == 2
    put(estimated(9.9, "b", "b/m.tflite", day=1, firmware={"version": "2"}), tmp_path / "results")
    done = harness("gate", "--junit", "x.xml", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        f"m ({file_of('b')['sha256'][:8]}, virtual 2) int8 on xiao_esp32s3: regression: +33.8 %"
        in done.stdout
    )
    [suite] = list(junitparser.JUnitXml.fromfile(str(tmp_path / "x.xml")))
    cases = [(case.classname, case.name) for case in suite]
    assert len(cases) == len(set(cases)) == 6
    # One of them is renewed alone: the other's baseline stays.
    assert harness("gate", "model_file=b/*", "--update", "--yes", cwd=tmp_path).returncode == 0
    assert {r.model.file for r in baseline.load(tmp_path / "results" / "baseline")[0]} == {
        "a/m.tflite",
        "b/m.tflite",
    }
    assert harness("gate", cwd=tmp_path).returncode == 0


def test_a_model_asked_for_by_its_new_name_is_held_against_its_old_one(tmp_path: Path) -> None:
    baseline.renew(tmp_path / "results" / "baseline", [estimated(10, "x", "before.tflite")])
    put(estimated(12, "x", "after.tflite", firmware={"version": "2"}), tmp_path / "results")
    for name in ("before", "after"):
        done = harness("gate", "--model", name, cwd=tmp_path)
        assert done.returncode == 1, done.stdout
        assert "the model was called before then; it is the same file" in done.stdout


def test_runs_that_are_not_usable_never_become_a_baseline(tmp_path: Path) -> None:
    baseline.renew(tmp_path / "results" / "baseline", [estimated(10, "x")])
    wrong = {"verification": {"verdict": "differs", "max_ulp": 9}}
    put(estimated(5, "x", day=1, **wrong).model_copy(update={"id": "wrong"}), tmp_path / "results")
    done = harness("gate", cwd=tmp_path)
    assert done.returncode == 1
    assert "outputs of run wrong of the candidate differ from the reference" in done.stdout
    update = harness("gate", "--update", "--yes", cwd=tmp_path)
    assert update.returncode == 2
    assert "there is no usable run to make a baseline of" in update.stderr
    assert len(baseline.load(tmp_path / "results" / "baseline")[0]) == 1
    put(estimated(5, "x", day=2, complete=False), tmp_path / "results")
    assert harness("gate", "complete=false", cwd=tmp_path).returncode == 3


def test_a_single_run_is_judged_by_how_earlier_runs_in_the_store_differ(tmp_path: Path) -> None:
    put(runs(1)[0].model_copy(update={"id": "now"}), tmp_path / "results")
    baseline.renew(tmp_path / "results" / "baseline", runs(1))
    assert harness("gate", "now", cwd=tmp_path).returncode == 3
    for made in runs(9, seed=7):
        put(made, tmp_path / "results")
    done = harness("gate", "now", "--max-slowdown", "5%", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    [item] = json.loads(harness("gate", "now", "--json", cwd=tmp_path).stdout)["comparisons"]
    assert item["time"]["basis"] == "earlier runs"


def test_the_help_says_what_is_compared_with_what(tmp_path: Path) -> None:
    said = " ".join(harness("gate", "--help", cwd=tmp_path).stdout.split())
    for words in ("A model is its file's SHA-256", "named as the cause", "are never compared"):
        assert words in said
