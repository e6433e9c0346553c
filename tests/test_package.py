"""The package as people install it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from click.testing import CliRunner
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from harness import extras
from harness.cli import COMMANDS, cli
from harness.emulator.process import BoardProcess
from harness.results import Record
from harness.results.store import scan
from tests.results.making import put, record

CHECKOUT = Path(__file__).resolve().parents[1]

# Runs a command of the package as if modules were not installed, named with commas between.
WITHOUT = """
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
from harness.cli import main
main()
"""
OPTIONAL = "ethosu,tflite_micro,tflite_runtime,ai_edge_litert,pandas,matplotlib,scipy,pyarrow,PIL"
RUNTIMES = "tflite_runtime,ai_edge_litert"
MODEL = "person_mbv2_035_32_int8"


def without(modules: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `harness WORDS` as if `modules` were not installed."""
    command = [sys.executable, "-c", WITHOUT, modules, *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


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


@pytest.mark.parametrize(
    ("missing", "words", "message"),
    [
        ("tflite_micro", "bench --port emulated", "an emulated board needs tflite-micro: EMULATE"),
        ("tflite_micro", "emulate -b we2", "an emulated board needs tflite-micro: EMULATE"),
        ("ethosu", f"compile {MODEL} --board we2", "compiling a model for an NPU needs ethos-u-vela: VELA"),
        (
            "ethosu",
            f"bench {MODEL} --board we2",
            f"{MODEL}: compiling a model for an NPU needs ethos-u-vela; VELA",
        ),
        ("matplotlib", "report -o page.html", "a page with pictures needs matplotlib: REPORT"),
        ("pandas", "report --format csv", "a data frame needs pandas: REPORT"),
        ("pyarrow", "report -o runs.parquet", "Parquet needs pyarrow: PARQUET"),
        (
            "PIL",
            f"bench {MODEL} --board xiao_esp32s3 --input me.png",
            "a picture as input needs pillow: IMAGES",
        ),
    ],
)
def test_a_command_that_lacks_a_package_names_its_extra_in_a_line(
    tmp_path: Path, missing: str, words: str, message: str
) -> None:
    put(record(), tmp_path / "results")
    done = without(missing, *words.split(), cwd=tmp_path)
    what, _, extra = message.rpartition(" ")
    assert done.stderr == f"harness: error: {what} pip install 'harness[{extra.lower()}]'\n"
    assert done.returncode == 2


def test_a_comparison_of_several_runs_names_the_extra_of_what_it_computes_with(tmp_path: Path) -> None:
    for day in range(3):
        put(record([1000 + day, 1010, 1005], day=day), tmp_path / "results")
    done = without("scipy", "compare", "results", "results", cwd=tmp_path)
    assert done.stderr == "harness: error: a comparison needs scipy: pip install 'harness[report]'\n"
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("ports", ""),
        ("boards", "grove_vision_ai_we2"),
        ("boards show we2", "ethos-u55"),
        (f"check {MODEL} --board xiao_esp32s3", f"yes: {MODEL} on xiao_esp32s3"),
        (f"inspect {MODEL} --layers --board xiao_esp32s3", "CONV_2D"),
        ("report", "xiao_esp32s3"),
        ("report --json", '"board":"xiao_esp32s3"'),
        ("report --format pyperf", '"benchmarks"'),
        ("compare results results", "not shown to differ"),
        ("firmware list", "xiao_esp32s3"),
        ("schema", '"$schema"'),
    ],
)
def test_without_any_extra_a_command_works(tmp_path: Path, words: str, shown: str) -> None:
    put(record(), tmp_path / "results")
    done = without(OPTIONAL, *words.split(), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert shown in done.stdout


def test_without_vela_a_check_says_how_to_get_it(tmp_path: Path) -> None:
    done = without("ethosu", "check", MODEL, "--board", "we2", cwd=tmp_path)
    assert "1. compiling a model for an NPU needs ethos-u-vela" in done.stdout
    assert "-> pip install 'harness[vela]'" in done.stdout
    assert done.returncode == 1


def test_without_any_extra_an_attached_board_is_benched_and_its_outputs_are_not_verified(
    tmp_path: Path,
) -> None:
    """The model was compiled elsewhere; the board is a virtual one, which another process runs."""
    compiled = [*(sys.executable, "-m", "harness"), *("compile", MODEL, "--board", "we2", "-o", "we2.tflite")]
    subprocess.run(compiled, cwd=tmp_path, check=True, capture_output=True)
    with BoardProcess("we2", listen="socket://127.0.0.1:0") as board:
        done = without(OPTIONAL, "bench", "we2.tflite", "--board", "we2", "--port", board.url, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (found,) = scan(tmp_path / "results")
    assert isinstance(found, Record)
    assert found.verification.verdict == "not_available"
    assert found.verification.reason == (
        "holding outputs against a reference needs a desktop TFLite runtime: pip install 'harness[emulate]'"
    )
    assert found.verification.reason in done.stdout


def test_a_package_of_an_extra_is_in_that_extra() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    for package, extra in extras._PACKAGES.values():
        wanted = "tflite-runtime" if package == "a desktop TFLite runtime" else package
        names = [re.match(r"[\w-]+", line)[0] for line in project["optional-dependencies"][extra]]  # type: ignore[index]
        assert wanted in names
    assert {f"harness[{extra}]" for extra in project["optional-dependencies"]} == {
        *project["optional-dependencies"]["all"],
        "harness[all]",
        "harness[test]",
    }


def test_importing_the_package_imports_nothing_else_and_shows_its_functions() -> None:
    code = (
        "import sys; before = set(sys.modules); import harness; "
        "print(sorted(set(sys.modules) - before), dir(harness)); "
        "print(callable(harness.bench), callable(harness.load))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['harness'] ['__version__', 'bench', 'load']\nTrue True\n"


def test_the_wheel_says_that_it_is_typed_and_the_sdist_holds_nothing_that_tests_leave(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(CHECKOUT)).build(directory=str(tmp_path))
    assert "harness/py.typed" in zipfile.ZipFile(wheel).namelist()
    (sdist,) = SdistBuilder(str(CHECKOUT)).build(directory=str(tmp_path))
    with tarfile.open(sdist) as archive:
        paths = [PurePosixPath(*PurePosixPath(name).parts[1:]) for name in archive.getnames()]
    assert {path.parts[0] for path in paths} == {
        *(".gitignore", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"),
        *("boards", "firmware", "harness", "results", "tests"),
    }
    assert {path.parts[1] for path in paths if path.parts[0] == "results"} == {"README.md", "baseline"}
    leavings = {"__pycache__", "build", "dist", ".hypothesis", ".pytest_cache", ".venv"}
    assert not [path for path in paths if leavings & set(path.parts)]


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
