"""Entries of the model zoo: JSON in which each benchmark has its metrics by name and by board.

A benchmark is an object with a `url` and `metrics`. A figure that was not measured is kept under the board's
key with its origin behind it ("xiao_esp32s3 (estimated)"): readers that look a board up do not take it for
a measured one, and a card that is made from the entry shows the origin in its foot-note.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from harness.cards import card
from harness.cards.card import CardError, CardPlan, CellChange, Edit, Overview, Value, apply
from harness.cards.conditions import Said, condition, sift
from harness.cards.entries import Entry, Usual, canonical, figures_of, find_entries, number_of
from harness.cards.figures import usable
from harness.cards.jsonedit import JsonStyle
from harness.cards.jsontext import Node, parse
from harness.cards.log import Log
from harness.cards.metrics import EntryUpdate
from harness.cards.models import NO_CHECKSUMS, Checksums, Match, RecordsByModel, Reference, match, reference
from harness.cards.places import Places, Shown
from harness.cards.rules import Rules
from harness.cards.units import QUANTITIES, Quantity
from harness.cards.words import Words
from harness.results.record import Record

NAME = "zoo"
SUFFIXES = (".json",)


def recognises(text: str) -> bool:
    """Tell whether a text is of this format: it begins as a JSON object or array of objects does.

    Markdown may begin with a brace or bracket as well, `[](#link)` for one.
    """
    return re.match(r"\s*(?:\[?\s*\{\s*(?:[\"}]|$)|\[\s*\]\s*$)", text) is not None


def add_checksums(text: str, checksums: Checksums) -> None:
    """Take the checksums that stand beside the addresses of a file. Raises CardError if it is damaged."""
    for entry in find_entries(text, _parse(text)):
        if entry.checksum:
            checksums.add(entry.url, entry.checksum)


def plan(text: str, benched: RecordsByModel, rules: Rules, checksums: Checksums = NO_CHECKSUMS) -> CardPlan:
    """Say what the records change in the file, and return the file with it."""
    words = rules.words.with_boards(benched.boards)
    root = _parse(text)
    entries = list(find_entries(text, root))
    form = JsonStyle(text, root)
    log: Log[CellChange] = Log()
    matched: list[tuple[Entry, Match]] = []
    for entry in entries:
        where = f"line {entry.line}"
        model = _reference(entry, checksums)
        found = match([model] if model else [], [entry.url], benched, rules.models, rules.by_name)
        log.see_match(where, found)
        if found.records:
            matched.append((entry, found))
    usual = _usual(entries, words)
    ready = _sifted(matched, rules, words, log)
    places: dict[Quantity, dict[str, Places]] = {quantity: defaultdict(Places) for quantity in QUANTITIES}
    for entry, _, records in ready:
        for quantity, boards in _boards_shown(entry, words).items():
            for record in records:
                places[quantity][record.id].add(entry.place, boards)
    for entry, found, records in ready:
        EntryUpdate(form, usual[id(entry.holder)], entry, found, records, places, rules, words, log).run()
    if not entries:
        log.notes.append("no benchmark: no object with a 'url' and 'metrics'")
    elif not matched and not log.left:
        log.notes.append("no benchmark is of a model in the records")
    log.edits += _uuids(text, entries, log.edits)
    log.matched = len(matched)
    return log.plan(apply(text, log.edits), log.changes, 1 if entries else 0)


def _reference(entry: Entry, checksums: Checksums) -> Reference | None:
    """Return the file of an entry, with the MD5 that stands beside its address."""
    model = reference(entry.url, checksums)
    if model and model.md5 is None and entry.checksum:
        own = Checksums()
        own.add(model.url, entry.checksum)
        model = replace(model, md5=own.of(model.url))
    return model


def _usual(entries: Sequence[Entry], words: Words) -> dict[int, Usual]:
    """Return how each model of a file keeps its figures: a file of many models is many files in one."""
    found: dict[int, Usual] = {}
    for entry in entries:
        if id(entry.holder) not in found:
            found[id(entry.holder)] = Usual(canonical=canonical(entry.holder or entry.node))
        found[id(entry.holder)].see(entry, words)
    return found


def _sifted(
    matched: Sequence[tuple[Entry, Match]], rules: Rules, words: Words, log: Log[CellChange]
) -> list[tuple[Entry, Match, Sequence[Record]]]:
    """Return the entries with the records that agree with what they say of themselves."""
    said = [entry.says() for entry, _ in matched]
    keys = list(dict.fromkeys(key for says in said for key in says))
    conditions = [condition(key, (says.get(key, "") for says in said), words) for key in keys]
    rows = [
        Said(entry.place, [says.get(key, "") for key in keys], found.records)
        for (entry, found), says in zip(matched, said, strict=True)
    ]
    ready: list[tuple[Entry, Match, Sequence[Record]]] = []
    for (entry, found), sifted in zip(matched, sift(rows, conditions, words), strict=True):
        where = f"line {entry.line}: {found.name}"
        wanted = any(usable(found.records, quantity, rules)[0] for quantity in QUANTITIES)
        log.see_sifted(where, sifted, wanted=wanted)
        if sifted.records:
            ready.append((entry, found, sifted.records))
    return ready


def _boards_shown(entry: Entry, words: Words) -> dict[Quantity, dict[str, Shown | None]]:
    """Return the boards that an entry has figures of, by quantity, with the figures."""
    found: dict[Quantity, dict[str, Shown | None]] = {quantity: {} for quantity in QUANTITIES}
    for metric in entry.metrics.value.members:
        measured = words.quantity(metric.key)
        for board, _, node in figures_of(metric.value) if measured else ():
            if measured and board:
                number, unit = number_of(node), measured[1]
                shown = Shown.of(number, unit) if number and unit else None
                found[measured[0]][words.board(board) or board] = shown
    return found


def _uuids(text: str, entries: Sequence[Entry], edits: Sequence[Edit]) -> list[Edit]:
    """Return the edits that keep the digests of models in step: a `uuid` that is the MD5 of its object.

    The zoo's own script makes it of the object as JSON, with "0000" in the place of the digest.
    """
    found = []
    holders = {id(entry.holder): entry.holder for entry in entries if entry.holder}
    for node in holders.values():
        uuid = node.get("uuid")
        mine = [edit for edit in edits if node.start <= edit.start and edit.end <= node.end]
        if not mine or uuid is None or uuid.value.text != _digest(text[node.start : node.end]):
            continue
        moved = [Edit(edit.start - node.start, edit.end - node.start, edit.text) for edit in mine]
        new = _digest(apply(text[node.start : node.end], moved))
        found.append(Edit(uuid.value.start, uuid.value.end, json.dumps(new)))
    return found


def _digest(text: str) -> str:
    value = json.loads(text)
    value["uuid"] = "0000"
    return hashlib.md5(json.dumps(value).encode(), usedforsecurity=False).hexdigest()


def show(text: str, words: Words, checksums: Checksums = NO_CHECKSUMS) -> Overview:
    """Return what is understood of the file: a table for each model."""
    models: dict[int, list[Entry]] = {}
    for entry in find_entries(text, _parse(text)):
        models.setdefault(id(entry.holder), []).append(entry)
    tables = []
    for entries in models.values():
        rows = tuple(_row(entry, words, checksums) for entry in entries)
        columns = tuple(dict.fromkeys(value.column for row in rows for value in row.values))
        holder = entries[0].holder
        name = holder.get("name") if holder else None
        tables.append(
            card.BenchmarkTable(entries[0].line, columns, {}, rows, name.value.text if name else None)
        )
    notes = () if tables else ("no benchmark: no object with a 'url' and 'metrics'",)
    return Overview(NAME, None, tuple(tables), notes)


def _row(entry: Entry, words: Words, checksums: Checksums) -> card.Row:
    model = _reference(entry, checksums)
    only = entry.devices[0] if len(entry.devices) == 1 else None
    values: list[Value] = []
    for metric in entry.metrics.value.members:
        measured = words.quantity(metric.key)
        if measured is None:
            continue
        unit = measured[1].name if measured[1] else None
        for board, origin, node in figures_of(metric.value):
            named = words.board(board) or board if board is not None else only
            published = "published" if origin == "measured" else origin
            values.append(Value(metric.key, named, number_of(node), unit, published))
    return card.Row(
        entry.line,
        model.file if model else None,
        model.sha1 if model else None,
        tuple(values),
        label=entry.says().get("name"),
        url=entry.url,
        md5=model.md5 if model else None,
    )


def _parse(text: str) -> Node:
    try:
        return parse(text)
    except json.JSONDecodeError as error:
        raise CardError(f"line {error.lineno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise CardError("nested too deep for a file of the model zoo") from error
