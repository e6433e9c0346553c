"""Model cards in Markdown: benchmark tables, the figures in them, and the foot-notes below."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.cards import card, cell
from harness.cards.benchmarks import Benchmark, Placed, find_benchmarks, label, models
from harness.cards.card import CardPlan, CellChange, Left, Overview, Value, apply
from harness.cards.columns import Column
from harness.cards.conditions import Said, sift
from harness.cards.figures import usable
from harness.cards.footnotes import FootNotes, note_edits
from harness.cards.log import Log
from harness.cards.models import NO_CHECKSUMS, Checksums, Match, RecordsByModel, match
from harness.cards.places import Places, Shown
from harness.cards.rules import Rules
from harness.cards.tables import Document
from harness.cards.target import CellTarget
from harness.cards.units import QUANTITIES, UNITS, Quantity
from harness.cards.words import Words, language_of
from harness.results.record import Record

NAME = "markdown"
SUFFIXES = (".md", ".markdown")
_NO_TABLE = (
    "no benchmark table: no Markdown table has a header that names an invoke time or RAM; "
    "more names go under [headers] of a --words file"
)


def recognises(text: str) -> bool:
    """Tell whether a text is of this format: Markdown is what no other format claims."""
    return True


@dataclass(frozen=True)
class _Ready:
    """A row of a model that was benched, with the records that agree with what the row says."""

    benchmark: Benchmark
    placed: Placed
    match: Match
    records: Sequence[Record]


def plan(text: str, benched: RecordsByModel, rules: Rules, checksums: Checksums = NO_CHECKSUMS) -> CardPlan:
    """Say what the records change in a card, and return the card with it."""
    words = rules.words.with_boards(benched.boards)
    document = Document(text)
    benchmarks, groups = find_benchmarks(document, words)
    log: Log[tuple[CellChange, FootNotes]] = Log()
    ready = [
        row
        for benchmark in benchmarks
        for row in _ready(document, benchmark, benched, rules, checksums, words, log)
    ]
    places: dict[Quantity, dict[str, Places]] = {quantity: defaultdict(Places) for quantity in QUANTITIES}
    for row in ready:
        for column in row.benchmark.measured():
            shown = _boards_shown(row.benchmark, row.placed, column, words)
            for record in row.records:
                places[column.quantity][record.id].add(f"line {row.placed.row.line}", shown)
    for row in ready:
        _update_row(row, places, rules, words, log)
    if not benchmarks:
        log.notes.append(_NO_TABLE)
    elif not log.matched:
        log.notes.append("no row links a model of the records; --map can name the model of a row")
    changes: list[CellChange] = []
    for group in groups:
        mine = [change for change, of in log.changes if of is group]
        if mine:
            group.origins |= set().union(*(b.origins() for b in benchmarks if b.group is group))
            edits, added = note_edits(document, group, words)
            log.edits += edits
            for change in mine:
                lines = [added.pop(key) for key in (change.board, change.origin) if key in added]
                changes.append(replace(change, footnote="\n".join(lines) or None))
    changes.sort(key=lambda change: change.line)
    return log.plan(apply(text, log.edits), changes, len(benchmarks))


def _ready(
    document: Document,
    benchmark: Benchmark,
    benched: RecordsByModel,
    rules: Rules,
    checksums: Checksums,
    words: Words,
    log: Log[tuple[CellChange, FootNotes]],
) -> list[_Ready]:
    """Return the rows of a table whose models were benched, each with the records that agree with it."""
    matched = [
        (placed, found)
        for placed in benchmark.rows
        if (found := _matched(document, benchmark, placed, benched, rules, checksums, log))
    ]
    above = benchmark.scope.conditions
    conditions = [*benchmark.conditions.values(), *(one for one, _ in above)]
    said = [
        Said(
            f"line {placed.row.line}",
            [*(placed.text(index) for index in benchmark.conditions), *(text for _, text in above)],
            found.records,
        )
        for placed, found in matched
    ]
    ready = []
    for (placed, found), sifted in zip(matched, sift(said, conditions, words), strict=True):
        where = f"line {placed.row.line}: {found.name}"
        measured = benchmark.layout.measured
        wanted = any(usable(found.records, column.quantity, rules)[0] for column in measured)
        log.see_sifted(where, sifted, wanted=wanted)
        if sifted.records:
            ready.append(_Ready(benchmark, placed, found, sifted.records))
    return ready


def _matched(
    document: Document,
    benchmark: Benchmark,
    placed: Placed,
    benched: RecordsByModel,
    rules: Rules,
    checksums: Checksums,
    log: Log[tuple[CellChange, FootNotes]],
) -> Match | None:
    """Return the match of a row whose model is in the records, None for any other."""
    where = f"line {placed.row.line}"
    linked = models(document, benchmark, placed, checksums)
    texts = [c.text for c in placed.row.cells] if rules.models else []
    found = match(linked, texts, benched, rules.models, rules.by_name)
    log.see_match(where, found)
    log.matched += bool(found.problem) + bool(found.records)
    if not found.records:
        return None
    if placed.shift is None:
        log.left.append(Left(where, placed.note or ""))
        return None
    if placed.note:
        log.notes.append(f"{where}: {placed.note}")
    return found


def _boards_shown(
    benchmark: Benchmark, placed: Placed, column: Column, words: Words
) -> dict[str, Shown | None]:
    """Return the boards that a cell has figures of, with the figures; unknown foot-notes are one each."""
    figures = benchmark.cells.get((placed.row.line, column.index - (placed.shift or 0)))
    if figures is None:
        return {}
    own = {board for board in benchmark.boards_named(placed, words).values() if board}
    bare = next(iter(own), None) or column.board or benchmark.scope.board
    boards = benchmark.group.boards()
    found: dict[str, Shown | None] = {}
    for segment in figures.segments:
        unit = UNITS[segment.unit.casefold()] if segment.unit else column.unit
        shown = Shown.of(segment.number, unit) if segment.number and unit else None
        names = [boards.get(key) or f"({key})" for key in segment.keys]
        names += [bare] if bare and not segment.keys and segment.number else []
        found.update(dict.fromkeys(names, shown))
    return found


def _update_row(
    row: _Ready,
    places: Mapping[Quantity, Mapping[str, Places]],
    rules: Rules,
    words: Words,
    log: Log[tuple[CellChange, FootNotes]],
) -> None:
    """Put the figures of a row's model into its cells."""
    columns = row.benchmark.measured()
    for column in columns:
        same = [c for c in columns if c.quantity == column.quantity]
        if len(same) > len({c.board for c in same if c.board}) and len(same) > 1:
            if column is same[0] and usable(row.records, column.quantity, rules)[0]:
                headers = ", ".join(c.header for c in same)
                why = f"the table has several columns for one figure ({headers}); name all but one otherwise"
                log.left.append(Left(f"line {row.placed.row.line}", why))
            continue
        target = CellTarget(
            row.benchmark,
            row.placed,
            column,
            row.match,
            row.records,
            places[column.quantity],
            rules,
            words,
        )
        outcome = target.update()
        log.notes += outcome.notes
        log.left += outcome.left
        if outcome.edit:
            log.edits.append(outcome.edit)
            log.changes += [(change, row.benchmark.group) for change in outcome.changes]
            written = cell.parse(outcome.edit.text.strip(" \t"), words)
            row.benchmark.written[row.placed.row.line, target.index] = written


def show(text: str, words: Words, checksums: Checksums = NO_CHECKSUMS) -> Overview:
    """Return what is understood of a card."""
    document = Document(text)
    benchmarks, _ = find_benchmarks(document, words)
    tables = []
    for benchmark in benchmarks:
        rows = [_shown(document, benchmark, placed, words, checksums) for placed in benchmark.rows]
        headers = tuple(column.header for column in benchmark.layout.measured)
        line = benchmark.table.header.line
        tables.append(card.BenchmarkTable(line, headers, benchmark.group.boards(), tuple(rows)))
    notes = () if tables else (_NO_TABLE,)
    return Overview(NAME, language_of(document.body), tuple(tables), notes)


def _shown(
    document: Document, benchmark: Benchmark, placed: Placed, words: Words, checksums: Checksums
) -> card.Row:
    linked = models(document, benchmark, placed, checksums)
    values: list[Value] = []
    if placed.shift is not None:
        named = next((known or text for text, known in benchmark.boards_named(placed, words).items()), None)
        shown = benchmark.group.shown()
        for column in benchmark.measured():
            index = column.index - placed.shift
            if not 0 <= index < len(placed.row.cells):
                continue
            figures = benchmark.cells[placed.row.line, index]
            if figures is None:
                text = placed.row.cells[index].text
                values.append(Value(column.header, None, text, None, "unreadable"))
                continue
            own = named or column.board or benchmark.scope.board or benchmark.scope.unknown
            for segment in figures.segments:
                unit = UNITS[segment.unit.casefold()] if segment.unit else column.unit
                for key in segment.keys or (None,):
                    board, origin = shown.get(key, (f"({key})", "measured")) if key else (own, "measured")
                    if segment.number is None and board is None:
                        continue
                    marked = segment.origin if segment.origin != "measured" else origin
                    origin = "published" if marked == "measured" else marked
                    name = unit.name if unit else None
                    values.append(Value(column.header, board, segment.number, name, origin))
    files = " + ".join(model.file for model in linked) or None
    one = linked[0] if len(linked) == 1 else None
    return card.Row(
        placed.row.line,
        files,
        one.sha1 if one else None,
        tuple(values),
        placed.note,
        label(benchmark, placed),
        one.url or None if one else None,
        one.md5 if one else None,
    )
