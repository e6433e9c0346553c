"""Baselines come from files, directories and git revisions, and are renewed in place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import boards
from harness.errors import HarnessError
from harness.models.resolve import resolve
from harness.results import baseline
from harness.results.key import source_sha256
from tests.results.making import file_of, record

# As results/README.md has them.
BOARDS = ("xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2", "sensecap_a1101")
MODELS = {
    "person_mbv2_035_32_int8",
    "person_mbv2_035_96_int8",
    "cifar10_mbv2_035_32_int8",
    "mnist_mbv2_035_32_int8",
}


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


def test_the_committed_baseline_is_of_the_models_and_profiles_of_today() -> None:
    """What was benched with another file or profile is renewed as results/README.md says, never kept."""
    records, damaged = baseline.load(Path(__file__).resolve().parents[2] / baseline.USUAL)
    assert damaged == []
    held: dict[str, set[str]] = {}
    for kept in records:
        held.setdefault(kept.board.id, set()).add(kept.model.name)
        assert (kept.invoke.origin, kept.board.port_kind) == ("estimated", "emulated")
        assert (kept.complete, kept.verification.verdict) == (True, "exact")
        assert kept.board.profile_sha256 == boards.load(kept.board.id).sha256, kept.id
        assert source_sha256(kept.model) == resolve(kept.model.name).sha256, kept.id
    assert held == dict.fromkeys(BOARDS, MODELS)
