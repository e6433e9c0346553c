"""Fixtures that several rooms use."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of shared real inputs beside the checkout; tests that ask for it are `interop`."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real models and cards), which is not beside this checkout")
    return SHARED
