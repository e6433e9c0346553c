"""clang-tidy and cppcheck have nothing to say of the firmware's code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.firmware.builds import FIRMWARE, require

pytestmark = pytest.mark.interop


def sources(*patterns: str) -> list[str]:
    found = [str(path) for pattern in patterns for path in sorted(FIRMWARE.glob(pattern))]
    assert found
    return found


def test_cppcheck_finds_nothing() -> None:
    require("cppcheck")
    done = subprocess.run(
        [
            *("cppcheck", "--quiet", "--std=c11", "--error-exitcode=1"),
            "--enable=warning,style,performance,portability",
            f"--suppressions-list={FIRMWARE / 'cppcheck-suppressions.txt'}",
            f"-I{FIRMWARE / 'core'}",
            *sources("core/*.c", "engine_selftest/*.c", "ports/**/*.c", "tests/*.c"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_clang_tidy_finds_nothing(checked: Path) -> None:
    require("clang-tidy")
    files = sources("core/*.c", "engine_selftest/*.c", "ports/posix/*.c", "tests/simulated*.c")
    done = subprocess.run(["clang-tidy", "--quiet", "-p", checked, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
