"""A valid profile that tests change one thing in: the example that boards/README.md gives to users."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import assets


@pytest.fixture(scope="session")
def example() -> str:
    """The whole profile in boards/README.md."""
    readme = (assets.directory("boards") / "README.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    return str(text)


@pytest.fixture
def changed(example: str, tmp_path: Path) -> Callable[..., tuple[Path, int]]:
    """Write the example with one piece of text replaced; gives the file, and the line of the change."""

    def change(old: str, new: str) -> tuple[Path, int]:
        assert example.count(old) >= 1, f"{old!r} is not in the example"
        path = tmp_path / "board.toml"
        path.write_text(example.replace(old, new, 1), encoding="utf-8")
        return path, example.count("\n", 0, example.index(old)) + 1

    return change
