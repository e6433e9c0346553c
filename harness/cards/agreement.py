"""Whether the copies of one benchmark agree: an entry, the file of all models, the card in each language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from harness.cards.card import Overview, Row, Table
from harness.cards.units import Quantity, to_fraction
from harness.cards.words import Words

# A figure: the board (None where it is not said), its value in the unit of its column, its origin.
_Figures = set[tuple[str | None, Fraction, str]]


@dataclass(frozen=True)
class Disagreement:
    """A place in one file that says other things than its source does."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}: line {self.line}: {self.text}"


def disagreements(shown: Mapping[Path, Overview], words: Words) -> list[Disagreement]:
    """Return where copies differ from what they are copies of; tables that list the same files are copies.

    Of an entry's copies the entry is the source; of cards without an entry, the first.
    """
    groups: dict[tuple[str, ...], list[tuple[Path, Overview, Table]]] = {}
    for path, overview in shown.items():
        for table in overview.tables:
            urls = tuple(row.url or "" for row in table.rows)
            if urls and all(urls):
                groups.setdefault(urls, []).append((path, overview, table))
    found = []
    for copies in groups.values():
        # An entry's own file has fewer models than the file of all of them.
        copies.sort(key=lambda copy: (copy[1].format != "zoo", len(copy[1].tables)))
        source_path, _, source = copies[0]
        for path, _, table in copies[1:]:
            if path == source_path:
                continue
            for one, other in zip(source.rows, table.rows, strict=True):
                for text in _differences(one, other, source_path, words):
                    found.append(Disagreement(path, other.line, text))
    return found


def _differences(source: Row, copy: Row, path: Path, words: Words) -> Iterator[str]:
    """Yield what a row says otherwise than the row it is a copy of, by quantity."""
    here, there = _figures(copy, words), _figures(source, words)
    for quantity in dict.fromkeys((*there, *here)):
        one, other = there.get(quantity, set()), here.get(quantity, set())
        if None in {board for board, _, _ in (*one, *other)}:
            one, other = _without_boards(one), _without_boards(other)
        if one != other:
            name = {"time": "invoke time", "ram": "RAM"}[quantity]
            file = copy.model or copy.label or "the row"
            yield f"{name} of {file} is {_said(other)} here, but {_said(one)} in {path}"


def _without_boards(figures: _Figures) -> _Figures:
    return {(None, value, origin) for _, value, origin in figures}


def _figures(row: Row, words: Words) -> dict[Quantity, _Figures]:
    found: dict[Quantity, _Figures] = {}
    for value in row.values:
        measured = words.quantity(value.column)
        if measured and value.text is not None and value.origin != "unreadable":
            number = to_fraction(value.text) * (measured[1].size if measured[1] else 1)
            found.setdefault(measured[0], set()).add((value.board, number, value.origin))
    return found


def _said(figures: Iterable[tuple[str | None, Fraction, str]]) -> str:
    texts = []
    for board, value, origin in sorted(figures, key=str):
        marked = "" if origin == "published" else f" ({origin})"
        texts.append(f"{float(value):g}" + (f" on {board}" if board else "") + marked)
    return " and ".join(texts) or "not given"
