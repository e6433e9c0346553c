"""Runs are named by path, id or query; what is meant wrongly is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.results.select import select
from tests.results.making import put, record


@pytest.fixture
def store(tmp_path: Path) -> Path:
    put(record([1000] * 3, id="a1", board="xiao_esp32s3", model="person", day=0), tmp_path)
    put(record([2000] * 9, id="a2", board="grove_vision_ai", model="person", day=1, arena=None), tmp_path)
    put(record([3000] * 9, id="b1", board="xiao_esp32s3", model="kws", day=2, complete=False), tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ([], ["a1", "a2", "b1"]),
        (["board=xiao*"], ["a1", "b1"]),
        (["board!=xiao*"], ["a2"]),
        (["board=XIAO*", "model=person"], ["a1"]),
        (["samples>=9"], ["a2", "b1"]),
        (["invoke_median_us<2500"], ["a1", "a2"]),
        (["arena_used_bytes>0"], ["a1", "b1"]),
        (["arena_used_bytes=none"], ["a2"]),
        (["created>2026-05-02"], ["a2", "b1"]),
        (["created=2026-05-02"], ["a2"]),
        (["complete=true"], ["a1", "a2"]),
        (["samples=3"], ["a1"]),
        (["b"], ["b1"]),
        (["a1", "b1"], ["a1", "b1"]),
    ],
)
def test_a_query_finds_the_runs_that_are_meant(store: Path, words: list[str], ids: list[str]) -> None:
    assert [record.id for record in select(words, store)[0]] == ids


def test_a_path_and_an_id_can_be_given_together(store: Path, tmp_path: Path) -> None:
    elsewhere = put(record(id="c1", day=9), tmp_path / "other")
    assert [r.id for r in select(["a1", str(elsewhere)], store)[0]] == ["a1", "c1"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bord=xiao", "there is no column 'bord'; did you mean 'board'"),
        ("samples>many", "'many' is not a number"),
        ("created>someday", "is not a date"),
        ("a", "2 runs begin so"),
        ("zzz", "no such run"),
        ("no/where", "no such file or directory"),
    ],
)
def test_what_cannot_be_meant_is_one_clear_line(store: Path, word: str, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        select([word], store)
