"""Which columns of a table are measured, what the others say, and which cell of a row belongs to which."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.cards.cell import parse
from harness.cards.conditions import Condition, condition
from harness.cards.tables import Line, Table
from harness.cards.units import Quantity, Unit
from harness.cards.words import Words

_MODEL_FILE = re.compile(r"\.(?:tflite|onnx|pth|pt|h5|pb|keras|engine)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """A measured column: what it holds, the unit that its header names, and the board that it names or points
    to; `unclear` says what its header points to that names no board.
    """

    index: int
    header: str
    quantity: Quantity
    unit: Unit | None
    marks: tuple[str, ...] = ()
    board: str | None = None
    unclear: str | None = None

    def explained(self, boards: dict[str, str | None]) -> Column:
        """Return this column with the board that the foot-notes of its header are of."""
        if not self.marks:
            return self
        of = {boards.get(mark) for mark in self.marks} | ({self.board} if self.board else set())
        board = of.pop() if len(of) == 1 else None
        if board is not None:
            return replace(self, board=board)
        keys = ", ".join(self.marks)
        return replace(self, board=None, unclear=f"foot-note {keys} of its header names no one known board")


@dataclass(frozen=True)
class Layout:
    """The columns of a benchmark table that matter; `kinds` is what the cells of each hold."""

    headers: tuple[str, ...]
    measured: tuple[Column, ...]
    link: int | None
    kinds: tuple[str | None, ...]


def layout(table: Table, words: Words) -> Layout | None:
    """Return the layout of a table, or None if no header of it names a measured column."""
    measured = []
    for index, cell in enumerate(table.header.cells):
        head = words.head(cell.text)
        if head:
            measured.append(Column(index, cell.text, head.quantity, head.unit, head.marks, head.board))
    if not measured:
        return None
    headers = [cell.text for cell in table.header.cells]
    links = [i for i, header in enumerate(headers) if words.heading(header) == "link"]
    kinds: list[str | None] = []
    whole = [row for row in table.rows if len(row.cells) == len(headers)]
    of_measured = {column.index for column in measured}
    for index in range(len(headers)):
        seen = Counter(_kind(row, index, words) for row in whole)
        del seen[None]
        common = seen.most_common(1)
        given = "figure" if index in of_measured else "link" if index in links else None
        kinds.append(given or (common[0][0] if common else None))
    return Layout(tuple(headers), tuple(measured), links[0] if len(links) == 1 else None, tuple(kinds))


def conditions(table: Layout, rows: Sequence[tuple[Line, int]], words: Words) -> dict[int, Condition]:
    """Return what the other columns say of how the figures were measured, by their indexes.

    `rows` are those that could be placed, with how many columns further right their cells belong. A column
    of links to models says nothing.
    """
    found = {}
    measured = {column.index for column in table.measured}
    for index, header in enumerate(table.headers):
        if index in measured or index == table.link:
            continue
        texts = [text for row, shift in rows if (text := cell_text(row, index - shift))]
        links = sum(_MODEL_FILE.search(text) is not None for text in texts)
        if not links or links * 2 < len(texts):
            found[index] = condition(header, texts, words)
    return found


def cell_text(row: Line, index: int) -> str:
    """Return what a cell says, nothing for one that a row does not have."""
    return row.cells[index].text if 0 <= index < len(row.cells) else ""


def place(row: Line, table: Layout, words: Words) -> tuple[int | None, str | None]:
    """Return by how many columns a row's cells belong further right, and a note on it.

    A row with as many cells as the header has is what it seems (0). One with fewer is matched from the left
    or from the right, whichever side its cells make sense from: each holds what the cells of whole rows hold
    in its column. None if neither or both do, and for a row with more cells, some of which no reader of
    the page sees.
    """
    width, count = len(table.kinds), len(row.cells)
    if count == width:
        return 0, None
    said = f"has {count} cells under a header of {width}"
    if count > width:
        return None, f"{said}: the last are not shown, and nothing tells which one is too many"
    clashes = {}
    for shift in (0, width - count):
        kinds = [(_kind(row, index, words), table.kinds[index + shift]) for index in range(count)]
        clashes[shift] = sum(kind is not None and usual not in (None, kind) for kind, usual in kinds)
    left, right = clashes[0], clashes[width - count]
    if bool(left) == bool(right):
        sense = "do not make sense" if left else "make sense"
        return None, f"{said}, and they {sense} from either side"
    side, shift = ("right", width - count) if left else ("left", 0)
    return shift, f"{said}: matched from the {side}"


def _kind(row: Line, index: int, words: Words) -> str | None:
    """Return what a cell holds: "link", "figure", "text", or None for nothing that would tell."""
    text = row.cells[index].text
    figures = parse(text, words)
    if figures is not None:
        return None if figures.empty else "figure"
    return "link" if "](" in text or "://" in text else "text"
