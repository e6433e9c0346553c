"""The words of cards: what headers, boards and foot-notes are called, in each language."""

from __future__ import annotations

import html
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from harness.cards.units import UNIT_PATTERN, UNITS, Quantity, Unit
from harness.errors import HarnessError, nearest

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LETTERS = re.compile(r"[^\W\d_]")
_ADDRESS = re.compile(r"https?://\S+|`[^`\n]*`|<[^<>\n]*>")
# Behind the unit an arrow may say which way is better.
_UNIT = re.compile(rf"\s*(?:[(\[/,]|\bin\b)\s*({UNIT_PATTERN})\s*[)\]]?[\s↓↑⬇⬆\ufe0f]*$", re.IGNORECASE)
_LINK = re.compile(r"\[([^\[\]]*)\]\((?:[^()]|\([^()]*\))*\)")
_MARKUP = re.compile(r"<sup>.*?(?:</sup>|$)|\[\^[^\]]*\]|<[^<>]*>|[*_`]", re.IGNORECASE)


@dataclass(frozen=True)
class Mark:
    """How a figure that was not measured is marked: in the cell, and in a foot-note."""

    mark: str
    note: str


@dataclass(frozen=True)
class Language:
    """The phrases of foot-notes in one language."""

    note: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    marks: Mapping[str, Mark]


@dataclass(frozen=True)
class Words:
    """Header names by what they head, board ids by their names, and the phrases of each language."""

    headers: Mapping[str, str]
    boards: Mapping[str, str]
    shown: Mapping[str, str]
    languages: Mapping[str, Language]

    def quantity(self, header: str) -> tuple[Quantity, Unit | None] | None:
        """Return what a header's column holds and in which unit, or None where it is no measured column."""
        text = unicodedata.normalize("NFKC", _unmarked(header)).strip()
        unit = None
        if match := _UNIT.search(text):
            unit = UNITS[match[1].casefold()]
            text = text[: match.start()]
        kind = self.headers.get(_plain(text))
        if kind == "time" and (unit is None or unit.quantity == "time"):
            return "time", unit
        if kind == "ram" and (unit is None or unit.quantity == "ram"):
            return "ram", unit
        return None

    def heads(self, header: str, kind: str) -> bool:
        """Tell whether a header names a column of `kind`: "board" or "link"."""
        return self.headers.get(_plain(_unmarked(header))) == kind

    def board(self, name: str) -> str | None:
        """Return the id of the board that `name` (or the text of a link) is a name of.

        Case and punctuation do not count; a name that only begins like a known one is another board.
        """
        return self.boards.get(_plain(_LINK.sub(r"\1", name)))

    def name(self, board: str, otherwise: str) -> str:
        """Return what cards call a board."""
        return self.shown.get(board, otherwise)

    def origin(self, mark: str) -> str | None:
        """Return the origin that a mark in a cell stands for, None where it stands for none."""
        for language in self.languages.values():
            for origin, words in language.marks.items():
                if mark.casefold() == words.mark.casefold():
                    return origin
        return None

    def with_boards(self, boards: Iterable[tuple[str, str]]) -> Words:
        """Return these words with more boards, each an id and its name; known names keep their board."""
        known = dict(self.boards)
        for board, name in boards:
            known.setdefault(_plain(board), board)
            known.setdefault(_plain(name), board)
        return replace(self, boards=known)


def language_of(text: str) -> str:
    """Return "zh" where a card is written in Chinese, else "en".

    Chinese cards keep their English names and addresses, so a share of Han characters decides.
    """
    prose = _ADDRESS.sub(" ", text)
    han = len(_HAN.findall(prose))
    return "zh" if han * 20 > len(_LETTERS.findall(prose)) else "en"


@cache
def default_words() -> Words:
    """Return the words that ship with the package."""
    return _words(tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8")))


def load_words(path: Path) -> Words:
    """Return the shipped words with those of a TOML file of the same form added.

    Raises HarnessError where the file cannot be read or has a key or kind of value that words do not have.
    """
    shipped = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))
    try:
        added = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HarnessError(f"{path}: not a TOML file: {error}") from error
    try:
        return _words(_merged(shipped, added, ""))
    except _BadKey as error:
        raise HarnessError(f"{path}: {error}") from error


class _BadKey(Exception):
    pass


def _merged(base: dict[str, Any], added: dict[str, Any], where: str) -> dict[str, Any]:
    result = dict(base)
    for key, value in added.items():
        if key not in base and where != "boards.":
            raise _BadKey(f"'{where}{key}' is no key of a words file{nearest(key, base)}")
        mine = base.get(key, [])
        if type(value) is not type(mine) or (
            isinstance(value, list) and not all(isinstance(item, str) for item in value)
        ):
            kinds: dict[type, str] = {dict: "a table", list: "a list of texts", str: "a text"}
            raise _BadKey(f"'{where}{key}' should be {kinds[type(mine)]}")
        if isinstance(value, dict):
            result[key] = _merged(mine, value, f"{where}{key}.")
        else:
            result[key] = [*mine, *value] if isinstance(value, list) else value
    return result


def _words(values: dict[str, Any]) -> Words:
    boards: dict[str, str] = {}
    for board, names in values["boards"].items():
        for name in (board, *names):
            if boards.setdefault(_plain(name), board) != board:
                raise _BadKey(f"'{name}' names both {boards[_plain(name)]} and {board}")
    for key, table in values["language"].items():
        if "{board}" not in table["note"]:
            raise _BadKey(f"'language.{key}.note' should have {{board}} where the board's name goes")
    return Words(
        headers={_plain(name): kind for kind, names in values["headers"].items() for name in names},
        boards=boards,
        shown={board: names[0] for board, names in values["boards"].items() if names},
        languages={
            key: Language(
                table["note"],
                tuple(table["before"]),
                tuple(table["after"]),
                {origin: Mark(**table[origin]) for origin in ("estimated", "emulated")},
            )
            for key, table in values["language"].items()
        },
    )


def _unmarked(header: str) -> str:
    """Return the words of a header without links, markup and character references."""
    return html.unescape(_MARKUP.sub(" ", _LINK.sub(r"\1", header)))


def _plain(name: str) -> str:
    """Return a name without case, punctuation and spaces, so that "Peak RAM" and "peak_ram" are one."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())
