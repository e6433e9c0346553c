"""Cards that a zoo's generator makes from its entries: the entry changes first, the card follows in its form.

The generator of the model zoo writes a table with a row for each benchmark of an entry, pads it with
tabulate, and numbers boards in the order in which they come in the entry. A card in this very form is
written as the generator would write it from the changed entry, so that running it changes nothing more.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.cards.benchmarks import Benchmark, find_benchmarks, models
from harness.cards.card import CardPlan, CellChange, Edit, apply
from harness.cards.columns import Column
from harness.cards.entries import find_entries, unmarked
from harness.cards.footnotes import Note, renewed_list
from harness.cards.jsontext import parse
from harness.cards.models import NO_CHECKSUMS, reference
from harness.cards.padding import centred_as_tabulate
from harness.cards.tables import Document
from harness.cards.words import Words

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """A model as an entry of the zoo has it: its files in order, their metrics before and after an update.

    `starts` are the characters at which its benchmarks begin, `changes` those of the update by such a
    character and the metric; `rows` is how many of its files records are of.
    """

    path: Path
    urls: tuple[str, ...]
    starts: tuple[int, ...]
    old: tuple[Metrics, ...]
    new: tuple[Metrics, ...]
    changes: Mapping[tuple[int | None, str], Sequence[CellChange]]
    rows: int

    @property
    def differs(self) -> bool:
        """Whether the update changes the entry."""
        return self.old != self.new


def sources(path: Path, text: str, plan: CardPlan) -> list[Source]:
    """Return the models of a file of the zoo, of which `plan` is the update."""
    before, after = (list(find_entries(t, parse(t))) for t in (text, plan.text))
    changes: dict[tuple[int | None, str], list[CellChange]] = defaultdict(list)
    for change in plan.changes:
        changes[change.at, change.column].append(change)
    groups: dict[int, list[int]] = {}
    for number, entry in enumerate(before):
        groups.setdefault(id(entry.holder), []).append(number)
    found = []
    for numbers in groups.values():
        old, new = (
            tuple(
                json.loads(t[entries[n].metrics.value.start : entries[n].metrics.value.end]) for n in numbers
            )
            for t, entries in ((text, before), (plan.text, after))
        )
        urls = tuple(before[n].url for n in numbers)
        starts = tuple(before[n].node.start for n in numbers)
        found.append(Source(path, urls, starts, old, new, changes, plan.rows))
    return found


def follow(text: str, source: Source, words: Words) -> CardPlan | None:
    """Return the update of a card that follows that of its entry, None for a card in another form."""
    document = Document(text)
    benchmarks, _ = find_benchmarks(document, words)
    if len(benchmarks) != 1 or not _same_files(document, benchmarks[0], source):
        return None
    benchmark = benchmarks[0]
    edits: list[Edit] = []
    changes: list[CellChange] = []
    keys = 0
    for column in benchmark.layout.measured:
        old, new = (_Rendered.of(column.header, metrics) for metrics in (source.old, source.new))
        shown = [placed.row.cells[column.index].text for placed in benchmark.rows]
        if old is None or new is None or old.texts != shown:
            return None
        if old.keys:
            keys += 1
            notes = benchmark.group.notes
            if [(note.key, note.text) for note in notes] != _numbered(old.keys):
                return None
            edits += _list_edits(document, notes, new.keys)
        if old.texts != new.texts:
            edits += _column_edits(benchmark, column, new.texts)
            changes += _changes(benchmark, column, source, words)
    if keys > 1:
        return None
    return CardPlan(apply(text, edits), tuple(changes), benchmarks=1, rows=source.rows)


@dataclass(frozen=True)
class _Rendered:
    """A column as the generator writes it: its cells, and the boards that its foot-notes are of."""

    texts: list[str]
    keys: list[str]

    @classmethod
    def of(cls, header: str, metrics: Sequence[Metrics]) -> _Rendered | None:
        """Return the column of a metric, None for one that the generator does not write."""
        values = [of_one.get(header, "-") for of_one in metrics]
        figures = [value for value in values if value != "-"]
        if figures and all(isinstance(value, dict) for value in figures):
            keys = list(dict.fromkeys(key for value in figures for key in value))
            texts = [
                "<br>".join(f"{v}<sup>({keys.index(k) + 1})</sup>" for k, v in value.items())
                if isinstance(value, dict)
                else value
                for value in values
            ]
            return cls(texts, keys)
        if not figures or any(isinstance(value, dict | list | bool | None) for value in figures):
            return None
        return cls(_as_tabulate(values), [])


def _as_tabulate(values: Sequence[Any]) -> list[str]:
    """Return a column as tabulate prints it: with two decimals if all of it is numbers."""
    numbers = all(isinstance(value, int | float) for value in values)
    if numbers and any(isinstance(value, float) for value in values):
        return [f"{value:.2f}" for value in values]
    return [str(value) for value in values]


def _same_files(document: Document, benchmark: Benchmark, source: Source) -> bool:
    """Tell whether a table has a row for each file of an entry, in the same order."""
    if len(benchmark.rows) != len(source.urls):
        return False
    for placed, url in zip(benchmark.rows, source.urls, strict=True):
        linked = models(document, benchmark, placed, NO_CHECKSUMS)
        wanted = reference(url)
        if placed.shift != 0 or [model.url for model in linked] != ([wanted.url] if wanted else []):
            return False
    return True


def _numbered(keys: Sequence[str]) -> list[tuple[str, str]]:
    return [(str(number), key) for number, key in enumerate(keys, 1)]


def _list_edits(document: Document, notes: Sequence[Note], keys: Sequence[str]) -> list[Edit]:
    """Return the edits that make a list of foot-notes one of these boards, in this order."""
    if [note.text for note in notes] == list(keys):
        return []
    return renewed_list(document, notes, _numbered(keys))


def _column_edits(benchmark: Benchmark, column: Column, texts: Sequence[str]) -> list[Edit]:
    """Return the edits that put new texts into a column, which grows and shrinks as tabulate's do."""
    table = benchmark.table
    cells = [row.cells[column.index] for row in (table.header, table.delimiter, *table.rows)]
    widened = centred_as_tabulate([cell.raw for cell in cells], texts)
    if widened is None:
        widened = [cell.raw for cell in cells[:2]]
        widened += [
            cell.raw if cell.text == text else benchmark.padding.pad(cell, column.index, text)
            for cell, text in zip(cells[2:], texts, strict=True)
        ]
    pairs = zip(cells, widened, strict=True)
    return [Edit(cell.start, cell.end, text) for cell, text in pairs if text != cell.raw]


def _changes(benchmark: Benchmark, column: Column, source: Source, words: Words) -> list[CellChange]:
    """Return the changes of an entry's metric as those of the card's column."""
    found = []
    for placed, start, old, new in zip(benchmark.rows, source.starts, source.old, source.new, strict=True):
        before, after = old.get(column.header), new.get(column.header)
        if before == after:
            continue
        found += [
            replace(
                change,
                line=placed.row.line,
                old=_figure(before, change.board, words),
                new=_figure(after, change.board, words) or change.new,
                at=None,
            )
            for change in source.changes.get((start, column.header), ())
        ]
    return found


def _figure(metric: Any, board: str, words: Words) -> str | None:
    if not isinstance(metric, dict):
        return None if metric is None else str(metric)
    of = {(words.board(base) or base): value for key, value in metric.items() for base in [unmarked(key)[0]]}
    return str(of[board]) if board in of else None
