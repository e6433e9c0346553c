"""The benchmark tables of a Markdown card: their rows' models and boards, cells and foot-notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from harness.cards import cell, columns
from harness.cards.columns import Column, Layout, cell_text
from harness.cards.conditions import Condition, is_nothing, plain, without_clock
from harness.cards.footnotes import FootNotes, find_notes
from harness.cards.models import Checksums, Reference, reference
from harness.cards.padding import Padding, padding
from harness.cards.scope import Scope, scopes
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


@dataclass(frozen=True)
class Placed:
    """A row, and by how many columns its cells belong further right (None if unclear); `note` says why."""

    row: Line
    shift: int | None
    note: str | None

    def text(self, column: int) -> str:
        """Return what the row says in a column."""
        return "" if self.shift is None else cell_text(self.row, column - self.shift)


@dataclass
class Benchmark:
    """One benchmark table; `cells` are the measured cells as they were found, by line and index, `written`
    those that an update has changed. `conditions` are what its other columns say of how figures were
    measured, `scope` what stands above it.
    """

    table: Table
    layout: Layout
    group: FootNotes
    padding: Padding
    scope: Scope
    rows: list[Placed]
    conditions: dict[int, Condition]
    cells: dict[tuple[int, int], cell.Figures | None] = field(default_factory=dict)
    written: dict[tuple[int, int], cell.Figures | None] = field(default_factory=dict)
    styles: dict[int, ColumnStyle] = field(default_factory=dict)

    def read(self, words: Words) -> None:
        """Read the measured cells; those of a short row may count from either side."""
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

    def measured(self) -> list[Column]:
        """Return the measured columns, each with the board that the foot-notes of its header are of."""
        boards = self.group.boards()
        return [column.explained(boards) for column in self.layout.measured]

    def mark_style(self) -> cell.Style:
        """Return how a column without foot-notes is to mark its figures: as the table or its list does."""
        usual = next((style.style for style in self.styles.values() if style.style), None)
        defined = any(note.kind == "definition" for note in self.group.notes)
        return usual or cell.Style("[^1]" if defined else "(1)")

    def boards_named(self, placed: Placed, words: Words) -> dict[str, str | None]:
        """Return what a row says in the columns that name boards, and which known board that is."""
        texts = [placed.text(index) for index, one in self.conditions.items() if one.kind == "board"]
        return {text: words.board(without_clock(text)) for text in texts if not is_nothing(plain(text))}

    def unexplained(self, placed: Placed) -> str | None:
        """Return the header of a column that may name the board of a row, but none that is known."""
        for index, one in self.conditions.items():
            if one.kind == "unknown" and not is_nothing(plain(placed.text(index))):
                return one.header or f"column {index + 1}"
        return None

    def boards_beside(self, row: Line, column: Column, shift: int) -> set[str]:
        """Return the boards that the other measured cells of a row name, or will name if none does."""
        others = [(row.line, c.index - shift) for c in self.layout.measured if c.index != column.index]
        found = [self._boards(self.cells.get(at)) for at in others]
        written = [self._boards(self.written.get(at)) for at in others]
        return set().union(*found) or set().union(*written)

    def _boards(self, figures: cell.Figures | None) -> set[str]:
        boards = self.group.boards()
        return {boards.get(key) or f"({key})" for key in (figures.keys if figures else ())}

    def origins(self) -> set[str]:
        """Return the origins that marks in the cells name, once they are updated."""
        cells = {**self.cells, **self.written}.values()
        return {s.origin for figures in cells if figures for s in figures.segments} - {"measured"}


def find_benchmarks(document: Document, words: Words) -> tuple[list[Benchmark], list[FootNotes]]:
    """Return the benchmark tables, and the groups of foot-notes that they share.

    A table's foot-notes are the first list below it; tables with none between them share it.
    """
    found = [(t, layout) for t in document.tables if (layout := columns.layout(t, words))]
    above = scopes(document, [table for table, _ in found], words)
    language = language_of(document.body) if found else "en"
    benchmarks: list[Benchmark] = []
    groups: list[FootNotes] = []
    after = len(document.lines)
    for (table, layout), scope in reversed(list(zip(found, above, strict=True))):
        notes = find_notes(document, table.after, after, words)
        if notes or not groups:
            groups.append(FootNotes(notes, table.after - 1, language))
        rows = [Placed(row, *columns.place(row, layout, words)) for row in table.rows]
        # A row that cannot be placed still tells what the columns are about.
        seen = [(placed.row, placed.shift or 0) for placed in rows]
        says = columns.conditions(layout, seen, words)
        benchmarks.append(Benchmark(table, layout, groups[-1], padding(table), scope, rows, says))
        after = table.first
    benchmarks.reverse()
    for benchmark in benchmarks:
        benchmark.read(words)
    return benchmarks, groups


def models(document: Document, benchmark: Benchmark, placed: Placed, checksums: Checksums) -> list[Reference]:
    """Return the model files that a row links: in the link column if that has any, else anywhere."""
    link, row = benchmark.layout.link, placed.row
    if link is not None and 0 <= link - (placed.shift or 0) < len(row.cells):
        found = _references(document, row, [link - (placed.shift or 0)], checksums)
        if found:
            return found
    return _references(document, row, range(len(row.cells)), checksums)


def label(benchmark: Benchmark, placed: Placed) -> str | None:
    """Return what a row calls itself: its first cell that says something in words."""
    texts = [plain(placed.text(index)) for index in benchmark.conditions]
    return next((text for text in texts if not is_nothing(text)), None)


def _references(
    document: Document, row: Line, indexes: Sequence[int], checksums: Checksums
) -> list[Reference]:
    found: dict[str, Reference] = {}
    for index in indexes:
        for address, said in document.links(row.cells[index]):
            # Some cards link a page of downloads and name the file in the link's text.
            model = reference(address, checksums)
            if model is None and (model := reference(said)):
                model = replace(model, url="")
            if model:
                found[model.file] = model
    return list(found.values())
