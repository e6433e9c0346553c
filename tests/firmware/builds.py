"""Builds of the firmware for the tests: once a session, out of the tree, skipped where a tool is missing."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"


def require(*tools: str) -> None:
    """Skip the test where a program is not installed."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def build(preset: str, factory: pytest.TempPathFactory, *options: str) -> Path:
    """Build a preset of firmware/CMakePresets.json, once for all workers of a run; return where it is."""
    require("cmake", "ninja")
    workers = "PYTEST_XDIST_WORKER" in os.environ
    directory = (factory.getbasetemp().parent if workers else factory.getbasetemp()) / f"firmware-{preset}"
    with open(directory.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "built").exists():
            _build(preset, directory, *options)
            (directory / "built").touch()
    return directory


def _build(preset: str, directory: Path, *options: str) -> None:
    for command in (
        ["cmake", "--preset", preset, "-B", str(directory), *options],
        ["cmake", "--build", str(directory), "-j", "2"],
    ):
        done = subprocess.run(command, cwd=FIRMWARE, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
