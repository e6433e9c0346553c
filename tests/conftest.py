"""Fixtures that several rooms use."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The workers and the programs that tests start, hundreds of them, would each compile all modules once more.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests' emulated boards and compiled models out of the user's cache."""
    before = os.environ.get("HARNESS_CACHE_DIR")
    os.environ["HARNESS_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["HARNESS_CACHE_DIR"]
    else:
        os.environ["HARNESS_CACHE_DIR"] = before


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Have signals reach the programs that tests start, even if a shell runs all this in the background.

    Such a shell ignores Ctrl-C, and `nohup` the end of the terminal; what they start inherits that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of shared real inputs beside the checkout; tests that ask for it are `interop`."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real models and cards), which is not beside this checkout")
    return SHARED
