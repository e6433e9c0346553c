"""Baselines come from files, directories and git revisions, and are renewed in place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.results import baseline
from tests.results.making import file_of, record


def _git(directory: Path, *words: str) -> None:
    setting = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *setting, *words], cwd=directory, check=True, capture_output=True)


def test_renewing_replaces_what_it_is_told_to_and_keeps_the_rest(tmp_path: Path) -> None:
    old = [record(id="x1"), record(id="x2")]
    baseline.renew(tmp_path, [*old, record(id="y1", model="kws")])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "xiao_esp32s3-kws-int8-1.json",
        "xiao_esp32s3-person-int8-1.json",
        "xiao_esp32s3-person-int8-2.json",
    ]
    baseline.renew(tmp_path, [record(id="x3")], old)
    assert sorted(r.id for r in baseline.load(tmp_path)[0]) == ["x3", "y1"]
    assert (tmp_path / "xiao_esp32s3-person-int8-1.json").exists()


def test_two_models_of_one_name_have_each_a_file_and_neither_takes_the_others_place(tmp_path: Path) -> None:
    one, two = (record(id=p, model={"file": f"{p}/m.tflite", **file_of(p)}) for p in "ab")
    baseline.renew(tmp_path, [one, two])
    assert sorted(r.id for r in baseline.load(tmp_path)[0]) == ["a", "b"]
    newer = record(id="c", day=1, model={"file": "a/m.tflite", **file_of("a, trained anew")})
    baseline.renew(tmp_path, [newer], [one])
    assert sorted(r.id for r in baseline.load(tmp_path)[0]) == ["b", "c"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_model_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    [path] = baseline.renew(tmp_path / "base", [record(model="../../evil")])
    assert path.parent == tmp_path / "base"


def test_a_git_revision_is_read_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _git(tmp_path, "init", "-q")
    for name, replaced in (("old", []), ("new", [record(id="old")])):
        baseline.renew(tmp_path / "results" / "baseline", [record(id=name)], replaced)
        _git(tmp_path, "add", "-A")
        _git(tmp_path, "commit", "-qm", name)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert [r.id for r in baseline.load("git:HEAD~1")[0]] == ["old"]
    assert [r.id for r in baseline.load("git:HEAD:results/baseline")[0]] == ["new"]
    for wrong in ("git:nowhere", "git:HEAD:no/where", "git:", "git:--output=x"):
        with pytest.raises(HarnessError, match="git:"):
            baseline.load(wrong)


def test_a_baseline_that_is_not_there_or_empty_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no such baseline"):
        baseline.load(tmp_path / "none")
    with pytest.raises(HarnessError, match="holds no record"):
        baseline.load(tmp_path)


def test_the_committed_baseline_is_whole_and_of_emulated_boards_alone() -> None:
    records, damaged = baseline.load(Path(__file__).resolve().parents[2] / baseline.USUAL)
    assert damaged == []
    assert {"xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2"} <= {r.board.id for r in records}
    for kept in records:
        assert kept.invoke.origin == "estimated"
        assert kept.board.port_kind == "emulated"
        assert kept.complete
        assert kept.verification.verdict == "exact"
