"""What stands for a model on the command line, and which models a folder stands for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.models.resolve import Asked, expand


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("zoo/b.tflite", "zoo/a/z.tflite", "zoo/c.tflite"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "zoo" / "README.md").write_text("no model")
    return tmp_path


def test_a_folder_stands_for_the_models_in_it_and_below_it_by_their_paths(place: Path) -> None:
    (place / "zoo" / "folder.tflite").mkdir()
    assert [asked.name for asked in expand(["zoo"])] == ["zoo/a/z.tflite", "zoo/b.tflite", "zoo/c.tflite"]
    assert all(asked.of_folder for asked in expand(["zoo"]))


def test_a_file_under_two_paths_comes_once(place: Path) -> None:
    (place / "zoo" / "link.tflite").symlink_to("b.tflite")
    os.link(place / "zoo" / "c.tflite", place / "other.tflite")
    found = expand(["zoo", "zoo/a", "other.tflite"])
    assert found == [
        Asked("zoo/a/z.tflite", of_folder=True),
        Asked("zoo/b.tflite", of_folder=True),
        Asked("other.tflite"),
    ]


def test_what_is_named_stays_as_it_was_named(place: Path) -> None:
    names = ["zoo/b.tflite", "person_mbv2_035_32_int8", "zoo/b.tflite", "", "nowhere.tflite"]
    assert expand(names) == [Asked(name) for name in names]


def test_a_folder_without_models_is_a_mistake(place: Path) -> None:
    (place / "empty").mkdir()
    with pytest.raises(HarnessError, match=r"^empty: no \.tflite file in this folder$"):
        expand(["zoo", "empty"])


def test_a_folder_called_like_a_bundled_model_is_given_as_a_path(place: Path) -> None:
    name = "cifar10_mbv2_035_32_int8"
    (place / "zoo").rename(place / name)
    assert expand([name]) == [Asked(name)]
    assert len(expand([f"./{name}"])) == 3
