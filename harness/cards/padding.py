"""How a table pads its cells: aligned tables stay aligned, compact ones stay compact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.cards.tables import Cell, Table

Measure = Callable[[str], int]


@dataclass(frozen=True)
class Padding:
    """The padding rule of one table; `measure` is None if its columns have no common width.

    Tables are aligned by display width or, by programs that count every character as one, by length.
    """

    measure: Measure | None
    widths: tuple[int, ...]
    alignments: tuple[str, ...]

    def pad(self, cell: Cell, column: int, text: str) -> str:
        """Return `text` padded as `cell` is: to its column's width, or with the very spaces it has.

        If the text does not fit the column any more, the cell grows and the others stay as they are.
        """
        left = len(cell.raw) - len(cell.raw.lstrip(" \t"))
        right = len(cell.raw) - len(cell.raw.rstrip(" \t"))
        if not cell.text:
            # The padding of an empty cell belongs to neither side.
            left, right = min(1, left), min(1, max(0, left - 1))
        if self.measure is None or column >= len(self.widths):
            return self._beside(cell, left, right, text)
        width, now = self.widths[column], self.measure(cell.raw)
        grown = now > width and left <= 1 and right <= 1
        if now != width and not grown:
            return self._beside(cell, left, right, text)
        spare = width - self.measure(text)
        if spare < 2:
            return f" {text} "
        alignment = self.alignments[column]
        before = width - self.measure(cell.text)
        if alignment == "centre":
            # How far the cell stands off the middle is kept, so that what was put in can be taken out.
            off = 0 if grown or not cell.text else left - before // 2
            left = min(max(1, spare // 2 + off), spare - 1)
        elif alignment == "right":
            right = 1 if grown else right
            left = max(1, spare - right)
        else:
            left = 1 if grown else left
            left = min(left, spare - 1)
        return " " * left + text + " " * (spare - left)

    @staticmethod
    def _beside(cell: Cell, left: int, right: int, text: str) -> str:
        return cell.raw[:left] + text + (cell.raw[len(cell.raw) - right :] if right else "")


def padding(table: Table) -> Padding:
    """Return how a table pads: its header and its delimiter row have the same widths if it is aligned."""
    from rich.cells import cell_len

    header, delimiter = table.header.cells, table.delimiter.cells
    alignments = tuple(_alignment(cell.text) for cell in delimiter)
    if len(header) == len(delimiter):
        for measure in (cell_len, len):
            widths = tuple(measure(cell.raw) for cell in header)
            if widths == tuple(measure(cell.raw) for cell in delimiter):
                return Padding(measure, widths, alignments)
    return Padding(None, (), alignments)


def centred_as_tabulate(raw: Sequence[str], texts: Sequence[str]) -> list[str] | None:
    """Return a column of a table that tabulate printed, centred, with other texts in it.

    `raw` are its cells with their padding: the header, the delimiter, the rows; `texts` is what goes into the
    rows. A header has a space more on each side than a cell. None if the column is not in this form.
    """
    header = raw[0].strip(" ")
    if _tabulated(header, [cell.strip(" ") for cell in raw[2:]]) != list(raw):
        return None
    return _tabulated(header, texts)


def _tabulated(header: str, texts: Sequence[str]) -> list[str]:
    width = max([len(header) + 2, *map(len, texts)])
    rule = f":{'-' * width}:"
    return [f" {header:^{width}} ", rule, *(f" {text:^{width}} " for text in texts)]


def _alignment(delimiter: str) -> str:
    left, right = delimiter.startswith(":"), delimiter.endswith(":")
    return "centre" if left and right else "right" if right else "left"
