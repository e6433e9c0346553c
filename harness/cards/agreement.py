"""Whether the copies of one benchmark agree: an entry, the file of all models, the card in each language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from harness.cards.card import BenchmarkTable, Overview, Row
from harness.cards.forms import EntryForm, every
from harness.cards.units import Quantity, to_fraction
from harness.cards.words import Words

# By board (None if it is not said), value in seconds or bytes and origin: the figure as it is shown.
_Figures = dict[tuple[str | None, Fraction, str], str]
_LANGUAGE = re.compile(r"[._-](?:en|zh|cn)(?:[._-]\w{2,4})?$", re.IGNORECASE)


@dataclass(frozen=True)
class Disagreement:
    """A place in one file that says other things than its source does."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}: line {self.line}: {self.text}"


def disagreements(shown: Mapping[Path, Overview], words: Words) -> list[Disagreement]:
    """Return where copies differ from what they are copies of.

    Of an entry all tables are copies that list the same files; without an entry, cards of one name in
    several languages are copies of the first.
    """
    groups: dict[tuple[str, ...], list[_Copy]] = {}
    for path, overview in shown.items():
        for table in overview.tables:
            urls = tuple(row.url or "" for row in table.rows)
            if urls and all(urls):
                groups.setdefault(urls, []).append(_Copy(path, overview, table))
    found = []
    for copies in groups.values():
        # An entry's own file has fewer models than the file of all of them.
        copies.sort(key=lambda copy: (not copy.is_entry, len(copy.overview.tables)))
        for copy in copies[1:]:
            source = copies[0] if copies[0].is_entry else copy.first_of(copies)
            if source.path == copy.path:
                continue
            for one, other in zip(source.table.rows, copy.table.rows, strict=True):
                for text in _differences(one, other, source.path, words):
                    found.append(Disagreement(copy.path, other.line, text))
    return found


@dataclass(frozen=True)
class _Copy:
    """A table that may be a copy of another one, and the file that it is in."""

    path: Path
    overview: Overview
    table: BenchmarkTable

    @property
    def is_entry(self) -> bool:
        return any(self.overview.format == form.NAME and isinstance(form, EntryForm) for form in every())

    @property
    def name(self) -> str:
        """The name of the file without its language: "card" of card.zh_CN.md, as of docs/en/card.md."""
        return _LANGUAGE.sub("", self.path.stem).casefold()

    def first_of(self, copies: Iterable[_Copy]) -> _Copy:
        """Return the first of some copies that has this one's name."""
        return next(copy for copy in copies if copy.name == self.name)


def _differences(source: Row, copy: Row, path: Path, words: Words) -> Iterator[str]:
    """Yield what a row says otherwise than the row it is a copy of, by quantity."""
    here, there = _figures(copy, words), _figures(source, words)
    for quantity in dict.fromkeys((*there, *here)):
        one, other = there.get(quantity, {}), here.get(quantity, {})
        if None in {board for board, _, _ in (*one, *other)}:
            one, other = _without_boards(one), _without_boards(other)
        if one.keys() != other.keys():
            name = {"time": "invoke time", "ram": "RAM"}[quantity]
            file = copy.model or copy.label or "the row"
            yield f"{name} of {file} is {_said(other)} here, but {_said(one)} in {path}"


def _without_boards(figures: _Figures) -> _Figures:
    return {(None, value, origin): text for (_, value, origin), text in figures.items()}


def _figures(row: Row, words: Words) -> dict[Quantity, _Figures]:
    found: dict[Quantity, _Figures] = {}
    for value in row.values:
        measured = words.quantity(value.column)
        if measured and value.text is not None and value.origin != "unreadable":
            number = to_fraction(value.text) * (measured[1].size if measured[1] else 1)
            text = f"{value.text} {value.unit or ''}".strip()
            found.setdefault(measured[0], {})[value.board, number, value.origin] = text
    return found


def _said(figures: _Figures) -> str:
    texts = []
    for (board, _, origin), text in figures.items():
        marked = "" if origin == "published" else f" ({origin})"
        texts.append(text + (f" on {board}" if board else "") + marked)
    return " and ".join(texts) or "not given"
