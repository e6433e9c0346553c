"""A cache for each test of this room: emulated boards start blank in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(new_cache: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache of this test."""
    place = new_cache(tmp_path / "cache")
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(place))
    return place
