"""How much of the core the tests run; by name only, as it runs them all once more (`pytest -m soak`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.firmware.builds import FIRMWARE, build, require

pytestmark = [pytest.mark.interop, pytest.mark.soak]

LEAST_PERCENT = 95
RUN = (
    "test_conformance.py",
    "test_core_faults.py",
    "test_core_figures.py",
    "test_error_codes.py",
    "test_models_in_flash.py",
)


def test_the_tests_run_95_percent_of_the_cores_lines(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    require("gcovr")
    directory = build("host-checked", tmp_path_factory)
    tests = Path(__file__).parent
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-n", "0", "-k", "core or posix or flash"),
            *("-p", "no:cacheprovider", f"--basetemp={tmp_path_factory.mktemp('run') / 'base'}"),
            *(str(tests / name) for name in RUN),
        ],
        env=os.environ | {"BENCH_CHECKED_BUILD": str(directory)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    report = subprocess.run(
        [
            "gcovr",
            "--json-summary",
            "-",
            "--root",
            str(FIRMWARE),
            "--filter",
            f"{FIRMWARE}/core/",
            str(directory),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    summary = json.loads(report.stdout)
    with capsys.disabled():
        print(
            f"\n{summary['line_covered']} of {summary['line_total']} lines of core: "
            f"{summary['line_percent']} %"
        )
        for file in summary["files"]:
            print(f"  {file['line_percent']:6} %  {file['filename']}")
    assert summary["line_percent"] >= LEAST_PERCENT
