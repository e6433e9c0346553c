"""The benchmark tables of a Markdown card: their rows' models and boards, cells and foot-notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.cards import cell, columns
from harness.cards.columns import Column, Layout
from harness.cards.footnotes import Group, find_notes
from harness.cards.models import Reference, reference
from harness.cards.padding import Padding, padding
from harness.cards.tables import Document, Line, Table
from harness.cards.units import decimals_of
from harness.cards.words import Words, language_of


@dataclass
class ColumnStyle:
    """How the cells of one column write their figures.

    `groups` holds, by line, how one figure of several boards is marked, for the first two lines that do so.
    """

    decimals: int | None = None
    commas: bool = False
    units: set[str] = field(default_factory=set)
    suffix: str = ""
    style: cell.Style | None = None
    groups: dict[int, cell.Style] = field(default_factory=dict)
    marked: bool = False
    unmarked: bool = False

    def see(self, line: int, figures: cell.Figures) -> None:
        """Take one more cell into account."""
        self.unmarked |= figures.unmarked
        for segment in figures.segments:
            if segment.number is not None:
                self.decimals = max(self.decimals or 0, decimals_of(segment.number))
                self.commas |= "," in segment.number
                if segment.unit:
                    self.units.add(segment.unit.casefold())
                    self.suffix = self.suffix or segment.tail
            if segment.keys:
                self.marked = True
                self.style = self.style or segment.style
                if len(segment.keys) > 1 and len(self.groups) < 2:
                    self.groups.setdefault(line, segment.style)

    def group(self, line: int) -> cell.Style | None:
        """Return how lines other than this one mark a figure of several boards."""
        return next((style for at, style in self.groups.items() if at != line), None)


@dataclass
class Benchmark:
    """One benchmark table; `cells` are the measured cells as they were found, by line and index, `written`
    those that an update has changed.
    """

    table: Table
    layout: Layout
    group: Group
    padding: Padding
    cells: dict[tuple[int, int], cell.Figures | None] = field(default_factory=dict)
    written: dict[tuple[int, int], cell.Figures | None] = field(default_factory=dict)
    styles: dict[int, ColumnStyle] = field(default_factory=dict)

    def read(self, words: Words) -> None:
        """Read the measured cells, from whichever side those of a row may have to be counted."""
        width = len(self.layout.kinds)
        for column in self.layout.measured:
            style = self.styles[column.index] = ColumnStyle()
            for row in self.table.rows:
                for index in {column.index, column.index + len(row.cells) - width}:
                    if not 0 <= index < len(row.cells):
                        continue
                    figures = cell.parse(row.cells[index].text, words)
                    self.cells[row.line, index] = figures
                    if figures is not None:
                        self.group.taken.update(figures.keys)
                        if len(row.cells) == width:
                            style.see(row.line, figures)

    def mark_style(self) -> cell.Style:
        """Return how a column without foot-notes is to mark its figures: as the table or its list does."""
        usual = next((style.style for style in self.styles.values() if style.style), None)
        defined = any(note.kind == "definition" for note in self.group.notes)
        return usual or cell.Style("[^1]" if defined else "(1)")

    def board_name(self, row: Line, shift: int) -> str | None:
        """Return what a row says in the table's board column, None where there is no such column."""
        index = -1 if self.layout.board is None else self.layout.board - shift
        return row.cells[index].text if 0 <= index < len(row.cells) else None

    def boards_beside(self, row: Line, column: Column, shift: int) -> set[str]:
        """Return the boards that the other measured cells of a row name, or come to name where none does."""
        others = [(row.line, c.index - shift) for c in self.layout.measured if c.index != column.index]
        found = [self._boards(self.cells.get(at)) for at in others]
        written = [self._boards(self.written.get(at)) for at in others]
        return set().union(*found) or set().union(*written)

    def boards_in(self, row: Line, index: int) -> set[str]:
        """Return the boards that a cell has figures of; unknown foot-notes are one each."""
        return self._boards(self.cells.get((row.line, index)))

    def _boards(self, figures: cell.Figures | None) -> set[str]:
        boards = self.group.boards()
        return {boards.get(key) or f"({key})" for key in (figures.keys if figures else ())}

    def origins(self) -> set[str]:
        """Return the origins that marks in the cells name, once they are updated."""
        cells = {**self.cells, **self.written}.values()
        return {s.origin for figures in cells if figures for s in figures.segments} - {"measured"}


def find_benchmarks(document: Document, words: Words) -> tuple[list[Benchmark], list[Group]]:
    """Return the benchmark tables, and the groups of foot-notes that they share.

    A table's foot-notes are the first list below it; tables with none between them share it.
    """
    found = [(t, layout) for t in document.tables if (layout := columns.layout(document, t, words))]
    language = language_of(document.body) if found else "en"
    benchmarks: list[Benchmark] = []
    groups: list[Group] = []
    after = len(document.lines)
    for table, layout in reversed(found):
        notes = find_notes(document, table.after, after, words)
        if notes or not groups:
            groups.append(Group(notes, table.after - 1, language))
        benchmarks.append(Benchmark(table, layout, groups[-1], padding(table)))
        after = table.first
    benchmarks.reverse()
    for benchmark in benchmarks:
        benchmark.read(words)
    return benchmarks, groups


def models(document: Document, benchmark: Benchmark, row: Line, shift: int) -> list[Reference]:
    """Return the model files that a row links: in the link column where that has any, else anywhere."""
    link = benchmark.layout.link
    if link is not None and 0 <= link - shift < len(row.cells):
        found = _references(document, row, [link - shift])
        if found:
            return found
    return _references(document, row, range(len(row.cells)))


def _references(document: Document, row: Line, indexes: Sequence[int]) -> list[Reference]:
    found: dict[str, Reference] = {}
    for index in indexes:
        for address, label in document.links(row.cells[index]):
            # Some cards link a page of downloads and name the file in the link's text.
            model = reference(address) or reference(label)
            if model:
                found[model.file] = model
    return list(found.values())
