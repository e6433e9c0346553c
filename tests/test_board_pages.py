"""The pages about boards: there is one for each, and every command in them is one that exists."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from harness import boards
from harness.cli import cli
from tests.test_package import CHECKOUT

PAGES = ("boards/README.md", "firmware/README.md")


def commands() -> list[tuple[str, str]]:
    """Return the commands in the pages' blocks of text, each with its page."""
    found = []
    for page in PAGES:
        text = (CHECKOUT / page).read_text(encoding="utf-8")
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            found += [
                (page, line.split(" #")[0].strip()) for line in block.splitlines() if "harness " in line
            ]
    return [(page, line) for page, line in found if line.startswith("harness ")]


def test_each_board_has_a_page() -> None:
    text = (CHECKOUT / "boards/README.md").read_text(encoding="utf-8")
    pages = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert set(boards.ids()) <= set(pages)


@pytest.mark.parametrize(
    "board", ["xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2", "sensecap_a1101"]
)
def test_a_page_says_what_the_profile_says(board: str) -> None:
    text = (CHECKOUT / "boards/README.md").read_text(encoding="utf-8")
    page = text.split(f"### {board}\n")[1].split("\n### ")[0]
    profile = boards.load(board)
    for usb in profile.usb:
        assert usb.id in page
    for label in profile.flash.uf2.drive_labels if profile.flash.uf2 else ():
        assert label in page
    for row in ("| cable |", "| buttons |", "| firmware |", f"harness doctor --board {board}"):
        assert row in page
    assert "goes wrong" in page


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_in_a_page_is_one_that_exists(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and words:
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"{page}: no command {name}"
        command, context = found, click.Context(found, parent=context)
    given, _, _ = command.make_parser(context).parse_args(words)
    board = given.get("board") or next(iter(given.get("boards", ())), None)
    if board and not board.endswith(".toml"):
        boards.load(board)
