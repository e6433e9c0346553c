"""Model cards in Markdown: benchmark tables, the figures in them, and the foot-notes below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.cards import card, cell, columns
from harness.cards.benchmarks import Benchmark, find_benchmarks, models
from harness.cards.card import Change, Edit, Overview, Plan, Value, apply
from harness.cards.figures import usable
from harness.cards.footnotes import Group, note_edits
from harness.cards.models import Benched, Match, match
from harness.cards.rules import Rules
from harness.cards.tables import Document, Line
from harness.cards.target import Target
from harness.cards.units import UNITS
from harness.cards.words import Words, language_of

NAME = "markdown"
_NO_TABLE = (
    "no benchmark table: no Markdown table has a header that names an invoke time or RAM; "
    "more names go under [headers] of a --words file"
)


def recognises(text: str) -> bool:
    """Tell whether a text is of this format: Markdown is what no other format claims."""
    return True


@dataclass
class _Log:
    """What an update of one card comes to; `origins` are the marks that the updated cells bear."""

    edits: list[Edit] = field(default_factory=list)
    changes: list[tuple[Change, Group]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    mapped: set[str] = field(default_factory=set)
    matched: bool = False


def plan(text: str, benched: Benched, rules: Rules) -> Plan:
    """Say what the records change in a card, and return the card with it."""
    words = rules.words.with_boards((r.board.id, r.board.name) for r in benched.records)
    document = Document(text)
    benchmarks, groups = find_benchmarks(document, words)
    log = _Log()
    for benchmark in benchmarks:
        matched = [
            placed
            for row in benchmark.table.rows
            if (placed := _matched(document, benchmark, row, benched, rules, words, log))
        ]
        shown: dict[tuple[str, int], dict[str, set[str]]] = {}
        for placed in matched:
            for column in benchmark.layout.measured:
                boards = benchmark.boards_in(placed.row, column.index - placed.shift)
                shown.setdefault((placed.match.name, column.index), {})[f"line {placed.row.line}"] = boards
        for placed in matched:
            _update_row(benchmark, placed, shown, rules, words, log)
    if not benchmarks:
        log.notes.append(_NO_TABLE)
    elif not log.matched:
        log.notes.append("no row links a model of the records; --map can name the model of a row")
    changes: list[Change] = []
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
    new = apply(text, log.edits)
    return Plan(new, tuple(changes), tuple(log.notes), tuple(log.problems), frozenset(log.mapped))


@dataclass(frozen=True)
class _Placed:
    """A row of a model that was benched, and how its cells lie under the header."""

    row: Line
    shift: int
    match: Match


def _matched(
    document: Document,
    benchmark: Benchmark,
    row: Line,
    benched: Benched,
    rules: Rules,
    words: Words,
    log: _Log,
) -> _Placed | None:
    """Return a row whose model is in the records, None for any other."""
    where = f"line {row.line}: "
    shift, note = columns.place(document, row, benchmark.layout, words)
    linked = models(document, benchmark, row, shift or 0)
    found = match(linked, [c.text for c in row.cells], benched, rules.models)
    if found.mapped:
        log.mapped.add(found.mapped)
    if found.note:
        log.notes.append(where + found.note)
    if found.problem:
        log.problems.append(where + found.problem)
    if not found.records:
        return None
    log.matched = True
    if note:
        (log.problems if shift is None else log.notes).append(where + note)
    return None if shift is None else _Placed(row, shift, found)


def _update_row(
    benchmark: Benchmark,
    placed: _Placed,
    shown: Mapping[tuple[str, int], Mapping[str, set[str]]],
    rules: Rules,
    words: Words,
    log: _Log,
) -> None:
    """Put the figures of a row's model into its cells.

    `shown` are the boards of the cells before the update, by model and column, and then by line.
    """
    row, shift = placed.row, placed.shift
    for column in benchmark.layout.measured:
        same = [c for c in benchmark.layout.measured if c.quantity == column.quantity]
        if len(same) > 1:
            if column is same[0] and usable(placed.match.records, column.quantity, rules)[0]:
                headers = ", ".join(c.header for c in same)
                said = f"the table has several columns for one figure ({headers}); name all but one otherwise"
                log.problems.append(f"line {row.line}: {said}")
            continue
        same_model = shown[placed.match.name, column.index]
        outcome = Target(benchmark, row, column, shift, placed.match, same_model, rules, words).update()
        log.notes += outcome.notes
        if outcome.problem:
            log.problems.append(outcome.problem)
        if outcome.edit:
            log.edits.append(outcome.edit)
            log.changes += [(change, benchmark.group) for change in outcome.changes]
            written = cell.parse(outcome.edit.text.strip(" \t"), words)
            benchmark.written[row.line, column.index - shift] = written


def show(text: str, words: Words) -> Overview:
    """Return what is understood of a card."""
    document = Document(text)
    benchmarks, _ = find_benchmarks(document, words)
    tables = []
    for benchmark in benchmarks:
        rows = [_shown(document, benchmark, row, words) for row in benchmark.table.rows]
        headers = tuple(column.header for column in benchmark.layout.measured)
        line = benchmark.table.header.line
        tables.append(card.Table(line, headers, benchmark.group.boards(), tuple(rows)))
    return Overview(NAME, language_of(document.body), tuple(tables))


def _shown(document: Document, benchmark: Benchmark, row: Line, words: Words) -> card.Row:
    shift, note = columns.place(document, row, benchmark.layout, words)
    linked = models(document, benchmark, row, shift or 0)
    values: list[Value] = []
    if shift is not None:
        named = benchmark.board_name(row, shift)
        boards = benchmark.group.boards()
        for column in benchmark.layout.measured:
            index = column.index - shift
            if not 0 <= index < len(row.cells):
                continue
            figures = benchmark.cells[row.line, index]
            if figures is None:
                values.append(Value(column.header, None, row.cells[index].text, None, "unreadable"))
                continue
            for segment in figures.segments:
                unit = UNITS[segment.unit.casefold()] if segment.unit else column.unit
                own = [words.board(named) or named] if named else [None]
                for board in [boards.get(key) or f"({key})" for key in segment.keys] or own:
                    if segment.number is not None:
                        name = unit.name if unit else None
                        origin = "published" if segment.origin == "measured" else segment.origin
                        values.append(Value(column.header, board, segment.number, name, origin))
    files = " + ".join(model.file for model in linked) or None
    return card.Row(row.line, files, linked[0].sha1 if len(linked) == 1 else None, tuple(values), note)
