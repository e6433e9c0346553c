"""Which columns of a table are measured, and which cell of a row belongs to which column."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from harness.cards.cell import parse
from harness.cards.tables import Document, Line, Table
from harness.cards.units import Quantity, Unit
from harness.cards.words import Words


@dataclass(frozen=True)
class Column:
    """A measured column: what it holds, and the unit that its header names."""

    index: int
    header: str
    quantity: Quantity
    unit: Unit | None


@dataclass(frozen=True)
class Layout:
    """The columns of a benchmark table that matter; `kinds` is what the cells of each hold."""

    measured: tuple[Column, ...]
    board: int | None
    link: int | None
    kinds: tuple[str | None, ...]


def layout(document: Document, table: Table, words: Words) -> Layout | None:
    """Return the layout of a table, or None where no header of it names a measured column."""
    measured = []
    for index, cell in enumerate(table.header.cells):
        quantity = words.quantity(cell.text)
        if quantity:
            measured.append(Column(index, cell.text, *quantity))
    if not measured:
        return None
    headers = [cell.text for cell in table.header.cells]
    links = [i for i, header in enumerate(headers) if words.heads(header, "link")]
    boards = [i for i, header in enumerate(headers) if words.heads(header, "board")]
    kinds: list[str | None] = []
    whole = [row for row in table.rows if len(row.cells) == len(headers)]
    of_measured = {column.index for column in measured}
    for index in range(len(headers)):
        seen = Counter(_kind(document, row, index, words) for row in whole)
        del seen[None]
        common = seen.most_common(1)
        given = "figure" if index in of_measured else "link" if index in links else None
        kinds.append(given or (common[0][0] if common else None))
    return Layout(
        tuple(measured),
        boards[0] if len(boards) == 1 else None,
        links[0] if len(links) == 1 else None,
        tuple(kinds),
    )


def place(document: Document, row: Line, table: Layout, words: Words) -> tuple[int | None, str | None]:
    """Return how many columns further right a row's cells belong, and what to say of it.

    A row with as many cells as the header has is what it seems (0). Another is matched from the left or
    from the right, whichever side its cells make sense from: each holds what the cells of whole rows hold
    in its column. None where neither or both do.
    """
    width, count = len(table.kinds), len(row.cells)
    if count == width:
        return 0, None
    clashes = {}
    for shift in (0, width - count):
        clash = 0
        for index in range(count):
            column = index + shift
            kind = _kind(document, row, index, words)
            if 0 <= column < width and kind is not None and table.kinds[column] not in (None, kind):
                clash += 1
        clashes[shift] = clash
    said = f"has {count} cells under a header of {width}"
    left, right = clashes[0], clashes[width - count]
    if bool(left) == bool(right):
        sense = "do not make sense" if left else "make sense"
        return None, f"{said}, and they {sense} from either side"
    side, shift = ("right", width - count) if left else ("left", 0)
    return shift, f"{said}: matched from the {side}"


def _kind(document: Document, row: Line, index: int, words: Words) -> str | None:
    """Return what a cell holds: "link", "figure", "text", or None for nothing that would tell."""
    cell = row.cells[index]
    figures = parse(cell.text, words)
    if figures is not None:
        return None if figures.empty else "figure"
    return "link" if "](" in cell.text or "://" in cell.text else "text"
