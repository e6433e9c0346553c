"""One command line: a letter or a word means the same in every command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from harness.cli import cli
from tests.test_package import CHECKOUT


def commands(command: click.Command = cli, name: str = "harness") -> Iterator[tuple[str, click.Command]]:
    """Every command and group of the tree, by the words that call it."""
    yield name, command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for word in command.list_commands(context):
                inner = command.get_command(context, word)
                assert inner is not None
                yield from commands(inner, f"{name} {word}")


TREE = dict(commands())
# A group that does nothing without a command only holds others.
DOING = [n for n, c in TREE.items() if not isinstance(c, click.Group) or c.invoke_without_command]


def options(name: str) -> dict[str, click.Option]:
    """The options of a command by their long names."""
    found = {}
    for option in TREE[name].params:
        if isinstance(option, click.Option):
            long = [spelling for spelling in option.opts if spelling.startswith("--")]
            assert len(long) == 1, f"{name} {option.opts}: one name, so that scripts have one to use"
            found[long[0]] = option
    return found


def short(option: click.Option) -> list[str]:
    return [spelling for spelling in option.opts if not spelling.startswith("--")]


def test_a_letter_stands_for_one_word_and_a_word_has_the_same_letter_everywhere() -> None:
    words: dict[str, set[str]] = {}
    letters: dict[str, set[tuple[str, ...]]] = {}
    for name in TREE:
        for word, option in options(name).items():
            letters.setdefault(word, set()).add(tuple(short(option)))
            for letter in short(option):
                words.setdefault(letter, set()).add(word)
    assert {letter: found for letter, found in words.items() if len(found) > 1} == {}
    assert {word: found for word, found in letters.items() if len(found) > 1} == {}
    assert (words["-b"], words["-o"], words["-n"]) == ({"--board"}, {"--output"}, {"--invokes"})


def test_the_readme_lists_each_letter_with_its_word() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(-\w)`, `(--[\w-]+)", readme))
    there = {(letter, word) for name in TREE for word, o in options(name).items() for letter in short(o)}
    assert listed == there - {("-v", "--verbose")}


@pytest.mark.parametrize(
    ("word", "kind", "flag"),
    [
        ("--board", click.STRING, False),
        ("--output", click.Path(), False),
        ("--from", click.Path(), False),
        ("--invokes", click.IntRange(), False),
        ("--json", click.BOOL, True),
    ],
)
def test_what_an_option_takes_is_the_same_everywhere(word: str, kind: click.ParamType, flag: bool) -> None:
    found = {name: options(name)[word] for name in TREE if word in options(name)}
    assert found
    for name, option in found.items():
        assert (type(option.type), option.is_flag) == (type(kind), flag), name


def test_a_command_that_takes_a_board_takes_it_by_b() -> None:
    for name in TREE:
        for parameter in TREE[name].params:
            # The one exception: the subject of `harness boards` is a board.
            if parameter.name in ("board", "boards") and name != "harness boards show":
                assert parameter.opts[:2] == ["-b", "--board"], name


def test_these_commands_alone_are_of_no_board() -> None:
    assert {name.removeprefix("harness ") for name in DOING if "--board" not in options(name)} == {
        *("boards", "boards show", "boards check", "ports", "firmware list", "firmware verify"),
        *("compare", "report", "cards show", "npu disasm", "schema"),
    }


def test_every_command_that_prints_facts_prints_them_as_json_too() -> None:
    # A schema is JSON itself, and a virtual board prints the URL of its port alone.
    assert {name.removeprefix("harness ") for name in DOING if "--json" not in options(name)} == {
        *("emulate", "schema")
    }


def completed(*words: str) -> list[str]:
    """What a Tab after the last of these words offers, as bash asks for it."""
    done = subprocess.run(
        [sys.executable, "-m", "harness"],
        env=os.environ
        | {
            "_HARNESS_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_shell_completes_commands_options_and_boards() -> None:
    assert completed("harness", "fi") == ["plain,firmware"]
    assert completed("harness", "bench", "--inv") == ["plain,--invokes", "plain,--invoke-timeout"]
    boards = ["plain,xiao_esp32c3", "plain,xiao_esp32c6", "plain,xiao_esp32s3"]
    assert completed("harness", "emulate", "-b", "xiao") == boards
    assert completed("harness", "emulate", "-b", "./my_b") == ["file,./my_b"]
