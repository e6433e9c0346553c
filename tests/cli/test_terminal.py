"""What commands print reaches whoever reads it: pipes that close, encodings that lack characters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Two rows whose second column begins below the other's, if widths are those of what is printed.
TABLE = """
from harness.cli import terminal
terminal.prepare()
terminal.bare_table(terminal.console(), ("a", "b"), [("12.5 ± 0.1 ms", "first"), ("1", "up to ×2.1 – 模")])
"""
PLAIN = ["12.5 +- 0.1 ms  first", "1               up to x2.1 - \\u6a21"]


def environment(**changes: str) -> dict[str, str]:
    """This environment without what says how Python is to encode."""
    names = ("LC_ALL", "LC_CTYPE", "LANG", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONUNBUFFERED")
    return {name: value for name, value in os.environ.items() if name not in names} | changes


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("arguments", "code"), [(["boards"], 0), (["boards", "--json"], 0), (["boards", "check", "bad.toml"], 2)]
)
def test_a_reader_that_goes_changes_neither_what_is_said_nor_the_exit_code(
    tmp_path: Path, arguments: list[str], code: int, unbuffered: str
) -> None:
    (tmp_path / "bad.toml").write_text("id = 3")
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *arguments],
        cwd=tmp_path,
        env=environment(PYTHONUNBUFFERED=unbuffered),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", code)


def test_nobody_who_reads_errors_is_no_other_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "boards", "show", "nothing"], stderr=subprocess.PIPE
    )
    assert process.stderr
    process.stderr.close()
    assert process.wait() == 2


@pytest.mark.parametrize(
    "changes", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii", "LC_ALL": "C.UTF-8"}]
)
def test_plain_ascii_gets_plain_characters_and_columns_that_stay_below_each_other(
    changes: dict[str, str],
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TABLE], env=environment(**changes), capture_output=True, check=True
    )
    assert [line.rstrip() for line in done.stdout.decode("ascii").splitlines()][1:] == PLAIN


@pytest.mark.parametrize("changes", [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "1"}, {}])
def test_every_other_reader_gets_the_characters_themselves(changes: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TABLE], env=environment(**changes), capture_output=True, check=True
    )
    assert "±" in done.stdout.decode()
    assert "up to ×2.1 – 模" in done.stdout.decode()


def test_json_is_ascii_and_markdown_utf8_whatever_the_locale() -> None:
    code = (
        "from harness.cli import terminal; terminal.prepare();"
        "terminal.print_json({'name': '模型'}); terminal.print_file('± 模型')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(LC_ALL="C"), capture_output=True, check=True
    )
    shown, _, markdown = done.stdout.partition(b"}\n")
    assert json.loads(shown.decode("ascii") + "}") == {"name": "模型"}
    assert markdown.decode() == "± 模型"
