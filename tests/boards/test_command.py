"""`harness boards` as a person and a script use it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import boards
from harness.cli import cli

ROOT = Path(__file__).resolve().parents[2]


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "boards", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_the_list_is_plain_in_a_pipe():
    run = harness()
    lines = run.stdout.splitlines()
    assert (run.returncode, run.stderr) == (0, "")
    assert lines[0].split() == ["id", "aliases", "board", "chip", "clock", "model", "arena", "flashed", "by"]
    assert [line.split()[0] for line in lines[1:]] == boards.ids()
    assert "\x1b" not in run.stdout
    assert all(line == line.rstrip() for line in lines)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("width", "is_table"), [(140, True), (80, False), (40, False)])
def test_the_list_fits_a_terminal_with_no_word_broken(monkeypatch, width, is_table):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    cli.main(["boards"], standalone_mode=False)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    assert all(len(line) <= width for line in lines)
    assert ("id xiao_esp32s3" in lines) is not is_table  # a paragraph says what its first line is
    assert any("─" in line for line in lines) is is_table
    words = [word.rstrip(",") for line in lines for word in line.split()]
    for profile in boards.all_profiles():
        assert {profile.id, *profile.aliases, *profile.name.split(), *profile.chip.name.split()} <= set(words)


def test_the_list_as_json_is_in_si_units():
    listed = json.loads(harness("--json").stdout)
    assert [board["id"] for board in listed] == boards.ids()
    we2 = listed[1]
    assert we2["chip"]["clock_hz"] == 400_000_000
    assert we2["arena"]["size_bytes"] == 1135736
    assert we2["sha256"] == boards.load("we2").sha256


def test_a_board_is_shown_with_the_source_of_every_fact():
    run = harness("show", "we2")
    assert run.returncode == 0
    table, sources = run.stdout.split("\nSources:\n")
    assert "Grove Vision AI V2 (WE2) (grove_vision_ai_we2)" in table
    (row,) = [line.split() for line in table.splitlines() if line.startswith("arena.size ")]
    assert row[:3] == ["arena.size", "1135736", "B"]
    (source,) = [line for line in sources.splitlines() if line.strip().startswith(row[3])]
    assert "1135736" in source


def test_a_board_is_shown_as_json():
    shown = json.loads(harness("show", "xiao_esp32s3", "--json").stdout)
    assert shown["flash"]["regions"][-1]["offset"] == 0x400000
    assert shown["estimate"]["cycles_per_mac"]["CONV_2D"] > 0


def test_a_profile_of_ones_own_is_shown_by_its_path(example, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(example)
    assert "My Board (my_board)" in harness("show", str(path)).stdout


def test_an_unknown_board_is_one_line_and_exit_code_2():
    run = harness("show", "we3")
    assert run.returncode == 2
    assert run.stderr.splitlines() == [
        "harness: error: unknown board 'we3'; did you mean 'we2'? "
        "(`harness boards` lists them; a path to a .toml profile works too)"
    ]


def test_a_valid_profile_passes_the_check(example, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(example)
    run = harness("check", str(path))
    assert (run.returncode, run.stdout) == (0, f"{path}: valid profile of 'my_board' (My Board)\n")


def test_a_name_cannot_steer_the_terminal(example, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(example.replace('"My Board"', '"\\u001b[31mMy Board"'))
    for run in (harness("check", str(path)), harness("show", str(path))):
        assert "\\x1b[31mMy Board" in run.stdout


def test_the_byte_order_mark_of_windows_editors_is_no_problem(example, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + example.encode())
    assert harness("check", str(path)).returncode == 0


def test_the_check_prints_a_line_for_every_problem_and_exits_with_2(changed):
    path, line = changed('clock = "200 MHz"', 'clok = "200 MHz"')
    run = harness("check", str(path))
    assert run.returncode == 2
    assert run.stdout.splitlines() == [
        f"{path}:{line - 5}: chip.clock: is missing (clock of the core)",
        f"{path}:{line}: chip.clok: unknown key; did you mean 'clock'?",
    ]


def test_the_check_as_json_gives_each_problem_apart(changed):
    path, line = changed('clock = "200 MHz"', 'clock = "200 Mhz"')
    run = harness("check", str(path), "--json")
    assert run.returncode == 2
    assert json.loads(run.stdout) == {
        "file": str(path),
        "valid": False,
        "problems": [
            {
                "line": line,
                "key": "chip.clock",
                "message": "'200 Mhz': 'Mhz' is no unit of a frequency; did you mean 'MHz'?",
            }
        ],
    }


@pytest.mark.parametrize("name", ["none.toml", "."])
def test_a_file_that_cannot_be_read_is_one_line_and_exit_code_2(name, tmp_path):
    run = harness("check", str(tmp_path / name))
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("harness: error: cannot read the board profile ")
    assert len(run.stderr.splitlines()) == 1
