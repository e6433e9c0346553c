"""Fixtures that several rooms use."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is a matter of the host, and of what else it does. Examples are the same in every
# run, so that CI fails for what was changed; `--hypothesis-profile random` draws others.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("reproducible", settings.get_profile("random"), derandomize=True)
settings.load_profile("reproducible")

# The workers and the programs that tests start, hundreds of them, would each compile all modules once more.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def new_cache(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Make a cache without boards, firmware and models, but with what was compiled before in this run.

    Compiled models and decoded weights are the same for all tests and workers; each is made once.
    """
    base = tmp_path_factory.getbasetemp()
    common = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"

    def make(place: Path) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        for kind in ("vela", "npu-weights"):
            (common / kind).mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # where links take a privilege, this cache compiles anew
                (place / kind).symlink_to(common / kind, target_is_directory=True)
        return place

    return make


@pytest.fixture(scope="session", autouse=True)
def _cache(new_cache: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests' emulated boards and compiled models out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE_DIR", str(new_cache(tmp_path_factory.mktemp("cache"))))
        yield


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
