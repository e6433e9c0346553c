"""The words of cards: what headers, boards and foot-notes are called, in each language."""

from __future__ import annotations

import html
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
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
# What points to a foot-note in a header: <sup>, [^1], a superior digit, a dagger. A star that ends no
# emphasis does so, too.
_MARKS = re.compile(r"<sup>(.*?)(?:</sup>|$)|\[\^([^\]]*)\]|([¹²³⁴⁵⁶⁷⁸⁹†‡§])", re.IGNORECASE)
_EMPHASIS = re.compile(r"\*(?=\S)[^*]+\*|\*\*(?=\S)[^*]+\*\*|\*\*\*(?=\S)[^*]+\*\*\*")
_TAGS = re.compile(r"</?(?!sup\b)[a-z][^<>]*>", re.IGNORECASE)
_TOKEN = re.compile(r"[a-z0-9]+|[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
# What makes another board of a name that it stands right behind: "V3", "2", "Pro".
_VARIANT = re.compile(r"v?\d\w*|pro|plus|max|mini|lite|ultra|kit|se|we\d|[a-z]\d\w*")
# What may stand beside a board's name in the head of a column.
_BESIDE = re.compile(
    r"^(?:on|for|with|at|@|by|在|于)\s+|\s+(?:on|for|with|at|@|by|在)$|[\s()（）:：,，@/-]+$|^[\s()（）:：,，@/-]+"
)


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
    aside: tuple[str, ...]
    marks: Mapping[str, Mark]


@dataclass(frozen=True)
class Head:
    """What the header of a measured column says: `marks` are the foot-notes that it points to, `board` the
    board that it names.
    """

    quantity: Quantity
    unit: Unit | None
    marks: tuple[str, ...] = ()
    board: str | None = None


@dataclass(frozen=True)
class Named:
    """The boards that a text names; `unknown` is the name of hardware that is none of the known boards."""

    boards: tuple[str, ...] = ()
    unknown: str | None = None


@dataclass(frozen=True, eq=False)
class Words:
    """Header names by what they head, board ids by their names, and the phrases of each language."""

    headers: Mapping[str, str]
    with_unit: frozenset[str]
    boards: Mapping[str, str]
    shown: Mapping[str, str]
    runtimes: Mapping[str, str]
    hardware: tuple[str, ...]
    languages: Mapping[str, Language]

    def head(self, header: str) -> Head | None:
        """Return what the header of a measured column says, or None if it heads none.

        "Inference Time<sup>2</sup> (ms)" points to a foot-note, "Latency on SenseCAP A1101 (ms)" names a
        board.
        """
        text, marks = _without_marks(header)
        text = unicodedata.normalize("NFKC", _unmarked(text)).strip()
        unit = None
        if match := _UNIT.search(text):
            unit = UNITS[match[1].casefold()]
            text = text[: match.start()]
        named = None
        quantity = self._quantity(text, unit)
        if quantity is None:
            found = _windows(text, self.boards)
            if len(found) != 1:
                return None
            (start, end, named) = found[0]
            rest = text[:start] + " " + text[end:]
            while (shorter := _BESIDE.sub("", rest).strip()) != rest:
                rest = shorter
            quantity = self._quantity(rest, unit)
        return Head(quantity, unit, marks, named) if quantity else None

    def quantity(self, header: str) -> tuple[Quantity, Unit | None] | None:
        """Return what a header's column holds and in which unit, or None if it is no measured column."""
        head = self.head(header)
        return (head.quantity, head.unit) if head else None

    def _quantity(self, text: str, unit: Unit | None) -> Quantity | None:
        kind = self.heading(text)
        if _plain(text) in self.with_unit and unit is not None and unit.quantity == "time":
            return "time"
        if kind == "time" and (unit is None or unit.quantity == "time"):
            return "time"
        if kind == "ram" and (unit is None or unit.quantity == "ram"):
            return "ram"
        return None

    def heading(self, header: str) -> str | None:
        """Return what kind of column a header is of ("board", "link", "clock" ...), None for no known one."""
        return self.headers.get(_plain(_unmarked(_without_marks(header)[0])))

    def runtime(self, name: str) -> str | None:
        """Return "tflite", "compiled", "kernels" or "other" for the name of a runtime, None for no such."""
        return self.runtimes.get(_plain(_unmarked(name)))

    def runtimes_in(self, text: str) -> list[str]:
        """Return the runtimes that a heading names, if none of them is TFLite-Micro's; else nothing."""
        found = [(text[start:end], kind) for start, end, kind in _windows(text, self.runtimes)]
        return [] if any(kind != "other" for _, kind in found) else [name for name, _ in found]

    def is_hardware(self, name: str) -> bool:
        """Tell whether a name begins like that of a board or chip, known or not."""
        return _plain(_unmarked(name)).startswith(self.hardware)

    def named_in(self, text: str) -> Named:
        """Return the boards that a heading or caption names.

        A name that goes on ("Grove Vision AI V3") and other words for hardware are what is not known.
        """
        plain = unicodedata.normalize("NFKC", _unmarked(_ADDRESS.sub(" ", _LINK.sub(r"\1", text)))).casefold()
        boards: dict[str, None] = {}
        rest = plain
        for start, end, board in reversed(_windows(plain, self.boards)):
            behind = re.match(r"[\s_(（-]*([a-z0-9]+)", plain[end:])
            if behind and _VARIANT.fullmatch(behind[1]):
                return Named(tuple(boards), plain[start : end + behind.end()].strip())
            boards[board] = None
            rest = rest[:start] + " " + rest[end:]
        words = re.findall(r"[a-z0-9][\w-]*", rest)
        unknown = next((w for w in words if _plain(w).startswith(self.hardware)), None)
        if unknown is not None and (as_written := re.search(re.escape(unknown), text, re.IGNORECASE)):
            unknown = as_written[0]
        return Named(tuple(reversed(boards)), unknown)

    def board(self, name: str) -> str | None:
        """Return the id of the board that `name` (or the text of a link) is a name of.

        Case and punctuation do not count; a name that only begins like a known one is another board.
        """
        return self.boards.get(_plain(_TAGS.sub("", _LINK.sub(r"\1", name))))

    def name(self, board: str, otherwise: str) -> str:
        """Return what cards call a board."""
        return self.shown.get(board, otherwise)

    def origin(self, mark: str) -> str | None:
        """Return the origin that a mark in a cell stands for, None if it stands for none."""
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
        return self if known == self.boards else replace(self, boards=known)


def language_of(text: str) -> str:
    """Return "zh" if a card is written in Chinese, else "en".

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

    Raises HarnessError if the file cannot be read or has a key or kind of value that words do not have.
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
        headers={
            _plain(name): kind
            for kind, names in values["headers"].items()
            if kind != "time_with_unit"
            for name in names
        },
        with_unit=frozenset(_plain(name) for name in values["headers"]["time_with_unit"]),
        boards=boards,
        shown={board: names[0] for board, names in values["boards"].items() if names},
        runtimes={_plain(name): kind for kind, names in values["runtimes"].items() for name in names},
        hardware=tuple(_plain(name) for name in values["hardware"]["begins"]),
        languages={
            key: Language(
                table["note"],
                tuple(table["before"]),
                tuple(table["after"]),
                tuple(table["aside"]),
                {origin: Mark(**table[origin]) for origin in ("estimated", "emulated")},
            )
            for key, table in values["language"].items()
        },
    )


def _windows(text: str, names: Mapping[str, str]) -> list[tuple[int, int, str]]:
    """Return where a text has one of the names, as (start, end, what is named); longer names go first."""
    tokens = list(_TOKEN.finditer(text.casefold()))
    found = []
    at = 0
    while at < len(tokens):
        for last in range(min(len(tokens), at + 12), at, -1):
            named = names.get("".join(token[0] for token in tokens[at:last]))
            if named is not None:
                found.append((tokens[at].start(), tokens[last - 1].end(), named))
                at = last - 1
                break
        at += 1
    return found


def _without_marks(header: str) -> tuple[str, tuple[str, ...]]:
    """Return a header without what points to foot-notes, and the keys of these."""
    text = html.unescape(header)
    marks = [
        key for found in _MARKS.findall(text) for key in re.split(r"[()（）,，、;\s]+", "".join(found)) if key
    ]
    text = _MARKS.sub(" ", text)
    if "*" in text and "*" in _EMPHASIS.sub("", text):
        marks.append("*")
    return text, tuple(unicodedata.normalize("NFKC", mark) for mark in marks)


def _unmarked(header: str) -> str:
    """Return the words of a header without links, markup and character references."""
    return html.unescape(_MARKUP.sub(" ", _LINK.sub(r"\1", header)))


@lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    """Return a name without case, punctuation and spaces, so that "Peak RAM" and "peak_ram" are one."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())
