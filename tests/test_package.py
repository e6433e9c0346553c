"""The package as people install it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import COMMANDS, cli

CHECKOUT = Path(__file__).resolve().parents[1]

# Runs a command of the package as if a module were not installed.
WITHOUT = """
import sys
sys.modules[sys.argv.pop(1)] = None
from harness.cli import main
main()
"""


def test_an_installed_wheel_finds_its_profiles_away_from_the_checkout(tmp_path: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"),
            *("--disable-pip-version-check", "-w", str(tmp_path), str(CHECKOUT)),
        ],
        check=True,
    )
    (wheel,) = tmp_path.glob("harness-*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness", "boards"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for board in ("xiao_esp32s3", "grove_vision_ai", "sensecap_a1101", "grove_vision_ai_we2"):
        assert board in done.stdout
    where = subprocess.run(
        [sys.executable, "-P", "-c", "import harness; print(harness.__file__)"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(tmp_path)), "the test looked at the checkout instead of the wheel"


def test_help_loads_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys, contextlib, io\n"
        "from harness.cli import cli\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    cli.main(['--help'], standalone_mode=False)\n"
        "heavy = {'numpy', 'pandas', 'pydantic', 'serial', 'esptool', 'ethosu', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_has_help() -> None:
    for name in COMMANDS:
        done = CliRunner().invoke(cli, [name, "--help"])
        assert done.exit_code == 0, (name, done.output)
        assert done.stdout.startswith("Usage: ")


@pytest.mark.parametrize("command", [["bench", "--port", "emulated"], ["emulate", "-b", "we2"]])
def test_where_there_is_no_tflite_micro_the_message_says_so(tmp_path: Path, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "tflite_micro", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("harness: error: the emulated boards need the 'tflite-micro' wheel")
    assert len(done.stderr.splitlines()) == 1


def test_an_interrupt_that_a_library_takes_for_another_error_is_an_interrupt() -> None:
    """numpy's import answers a Ctrl-C with an ImportError."""
    script = """
import os, signal
from harness import cli

def import_numpy(**_: object) -> None:
    try:
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    except KeyboardInterrupt as error:
        raise ImportError("you should not try to import numpy from its source directory") from error

cli.cli.main = import_numpy
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "harness: interrupted\n")
