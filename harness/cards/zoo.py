"""Entries of the model zoo: JSON in which each benchmark has its metrics by name and by board.

A benchmark is an object with a `url` and `metrics`. A figure that was not measured is kept under the board's
key with its origin behind it ("xiao_esp32s3 (estimated)"): readers that look a board up do not take it for
a measured one, and a card that is made from the entry shows the origin in its foot-note.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.cards import card
from harness.cards.card import CardError, Change, Edit, Overview, Plan, Refused, Value, apply
from harness.cards.entries import (
    Entry,
    Usual,
    figures_of,
    find_entries,
    is_nothing,
    number_of,
    unmarked,
)
from harness.cards.figures import Disagreement, Figure, choose, usable
from harness.cards.jsonedit import Added, Form
from harness.cards.jsontext import Member, Node, parse
from harness.cards.models import Benched, Match, match, other_place, reference
from harness.cards.rules import Rules
from harness.cards.target import factor, short
from harness.cards.units import (
    AS_THE_COLUMN,
    EMPTY_COLUMN,
    Digits,
    Quantity,
    Unit,
    decimals_of,
    rounded,
)
from harness.cards.words import Words

NAME = "zoo"
DEFAULT_METRIC = "Inference(ms)"


def recognises(text: str) -> bool:
    """Tell whether a text is of this format: it begins as a JSON object or array of objects does.

    Markdown may begin with a brace or bracket as well, `[](#link)` for one.
    """
    return re.match(r"\s*(?:\[?\s*\{\s*(?:[\"}]|$)|\[\s*\]\s*$)", text) is not None


@dataclass
class _Log:
    edits: list[Edit] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    mapped: set[str] = field(default_factory=set)


def plan(text: str, benched: Benched, rules: Rules) -> Plan:
    """Say what the records change in the file, and return the file with it."""
    words = rules.words.with_boards((r.board.id, r.board.name) for r in benched.records)
    root = _parse(text)
    entries = list(find_entries(text, root))
    form = Form(text, root)
    log = _Log()
    matched: list[tuple[Entry, Match]] = []
    for entry in entries:
        where = f"line {entry.line}: "
        model = reference(entry.url)
        found = match([model] if model else [], [entry.url], benched, rules.models)
        if found.mapped:
            log.mapped.add(found.mapped)
        if found.note:
            log.notes.append(where + found.note)
        if found.problem:
            log.problems.append(where + found.problem)
        if found.records:
            matched.append((entry, found))
    of_model: dict[str, list[Entry]] = {}
    for entry, found in matched:
        of_model.setdefault(found.name, []).append(entry)
    usual = Usual()
    for entry in entries:
        usual.see(entry, words)
    for entry, found in matched:
        _Update(form, usual, entry, found, of_model[found.name], rules, words, log).run()
    if not entries:
        log.notes.append("no benchmark: no object with a 'url' and 'metrics'")
    elif not matched:
        log.notes.append("no benchmark is of a model in the records")
    new = apply(text, log.edits)
    return Plan(new, tuple(log.changes), tuple(log.notes), tuple(log.problems), frozenset(log.mapped))


def show(text: str, words: Words) -> Overview:
    """Return what is understood of the file."""
    rows = []
    columns: dict[str, None] = {}
    for entry in find_entries(text, _parse(text)):
        model = reference(entry.url)
        values: list[Value] = []
        for metric in entry.metrics.value.members:
            measured = words.quantity(metric.key)
            if measured is None:
                continue
            columns[metric.key] = None
            unit = measured[1].name if measured[1] else None
            only = entry.devices[0] if len(entry.devices) == 1 else None
            for board, origin, node in figures_of(metric.value):
                named = words.board(board) or board if board is not None else only
                published = "published" if origin == "measured" else origin
                values.append(Value(metric.key, named, number_of(node), unit, published))
        rows.append(
            card.Row(entry.line, model.file if model else None, model.sha1 if model else None, tuple(values))
        )
    tables = (card.Table(1, tuple(columns), {}, tuple(rows)),) if rows else ()
    return Overview(NAME, None, tables)


def _parse(text: str) -> Node:
    try:
        return parse(text)
    except json.JSONDecodeError as error:
        raise CardError(f"line {error.lineno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise CardError("nested too deep for a file of the model zoo") from error


@dataclass
class _Update:
    """One benchmark and the records of its model; `same_model` are all of that model."""

    form: Form
    usual: Usual
    entry: Entry
    match: Match
    same_model: Sequence[Entry]
    rules: Rules
    words: Words
    log: _Log

    def run(self) -> None:
        """Put the figures of the model into its metrics."""
        for quantity in ("time", "ram"):
            metrics = [
                member
                for member in self.entry.metrics.value.members
                if (measured := self.words.quantity(member.key)) and measured[0] == quantity
            ]
            where = f"line {self.entry.line}: {self.match.name}"
            if len(metrics) > 1:
                names = ", ".join(metric.key for metric in metrics)
                self.log.problems.append(f"{where}: has several metrics for one figure ({names})")
                continue
            if not metrics and quantity != "time" and quantity not in self.usual.names:
                continue
            name = metrics[0].key if metrics else self.usual.names.get(quantity, DEFAULT_METRIC)
            try:
                self._update(quantity, name, metrics[0] if metrics else None, f"{where}: {name}")
            except (Disagreement, Refused) as error:
                self.log.problems.append(f"{where}: {name}: {error}")

    def _update(self, quantity: Quantity, name: str, metric: Member | None, where: str) -> None:
        allowed, refused = usable(self.match.records, quantity, self.rules)
        boards = sorted({figure.record.board.id for figure in allowed})
        for record, reason in refused:
            if record.board.id not in boards:
                self.log.notes.append(
                    f"{where}: record {record.id} ({record.board.id}) is not used: {reason}"
                )
        if not boards:
            return
        measured = self.words.quantity(name)
        unit = measured[1] if measured else None
        if unit is None:
            raise Refused("the metric's name has no unit; put '(ms)' or '(KB)' there")
        # Times are kept by board unless the file shows otherwise.
        if metric is None and not self.usual.by_board.get(name, quantity == "time"):
            self._add_single(name, unit, allowed, where)
        elif metric is None:
            added: dict[str, str] = {}
            for board in boards:
                self._board(name, None, board, unit, allowed, added)
            if added:
                self._add_metric(name, added)
                self._add_devices([b for b in boards if b in added], allowed)
        elif metric.value.kind == "object":
            added = {}
            for board in boards:
                self._board(name, metric.value, board, unit, allowed, added)
            if added:
                spread = self.form.spread(self.entry.metrics.value)
                self.log.edits.append(self.form.add_members(metric.value, added, spread))
            self._add_devices([b for b in boards if b in added], allowed)
        else:
            self._single(name, metric.value, unit, allowed, where)

    def _shown(self, figure: Figure, name: str, unit: Unit, old: str | None) -> str:
        """Return a figure as the number it replaces is written, else as its metric is in this file."""
        digits = self.rules.digits
        if digits == AS_THE_COLUMN:
            decimals = self.usual.decimals.get(name) if old is None else decimals_of(old)
            digits = EMPTY_COLUMN if decimals is None else Digits(decimals=decimals)
        return rounded(figure.value / unit.size, digits)

    def _board(
        self,
        name: str,
        metric: Node | None,
        board: str,
        unit: Unit,
        allowed: Sequence[Figure],
        added: dict[str, str],
    ) -> None:
        """Change the figure of one board in a metric, or note it in `added` where there is none."""
        members = self._members(metric, board) if metric else []
        if len(members) > 1:
            raise Refused(f"{board} is there twice ({', '.join(member.key for member in members)})")
        if not members:
            shown = {entry.place: self._boards(entry, name) for entry in self.same_model}
            if place := other_place(board, self.entry.place, shown):
                self.log.notes.append(
                    f"line {self.entry.line}: {self.match.name}: the figure of {board} is left out: "
                    f"{place}, of the same model, is for it"
                )
                return
        old = number_of(members[0].value) if members else None
        of_board = [figure for figure in allowed if figure.record.board.id == board]
        chosen = choose(of_board, lambda figure: self._shown(figure, name, unit, old), self.rules)
        text = self._shown(chosen, name, unit, old)
        if not members:
            added[_marked(board, chosen.origin)] = text
        else:
            base, origin = unmarked(members[0].key)
            if (old, origin) == (text, chosen.origin):
                return
            self._replace(members[0].value, text)
            if origin != chosen.origin:
                key = json.dumps(_marked(base, chosen.origin), ensure_ascii=False)
                self.log.edits.append(Edit(members[0].start, members[0].key_end, key))
        self._changed(name, unit, chosen, old, text)

    def _members(self, metric: Node, board: str) -> list[Member]:
        """Return the members of a metric that are of a board, under whichever of its names."""
        bases = [(member, unmarked(member.key)[0]) for member in metric.members]
        return [member for member, base in bases if base == board or self.words.board(base) == board]

    def _boards(self, entry: Entry, name: str) -> set[str]:
        """Return the boards that a benchmark has figures of under a metric."""
        metric = entry.metrics.value.get(name)
        keys = [key for key, _, _ in figures_of(metric.value) if key] if metric else []
        return {self.words.board(key) or key for key in keys}

    def _replace(self, node: Node, text: str) -> None:
        quote = '"' if node.kind == "string" else ""
        if not (node.text == "null" or number_of(node) or is_nothing(node, self.words)):
            said = short(self.form.text[node.start : node.end])
            raise Refused(f"{said} is not a number such as 12.3; write one, or null for none")
        self.log.edits.append(Edit(node.start, node.end, quote + text + quote))

    def _changed(self, name: str, unit: Unit, chosen: Figure, old: str | None, text: str) -> None:
        record = chosen.record
        self.log.changes.append(
            Change(
                line=self.entry.line,
                column=name,
                model=self.match.name,
                board=record.board.id,
                old=old,
                new=text,
                unit=unit.name,
                origin=chosen.origin,
                record=record.id,
                factor=factor(old, text),
            )
        )

    def _of_single(self, allowed: Sequence[Figure], where: str) -> list[Figure]:
        """Return the figures that may stand where there is one number for no named board."""
        devices = {self.words.board(device) or device for device in self.entry.devices}
        board = self.rules.board or (devices.pop() if len(devices) == 1 else None)
        if board is None:
            raise Refused("the entry does not say which board its one number is of; say --board")
        fit = [figure for figure in allowed if figure.record.board.id == board]
        if fit and fit[0].origin != "measured":
            self.log.notes.append(f"{where}: one number cannot be marked as {fit[0].origin}: left as it is")
            return []
        return fit

    def _single(self, name: str, node: Node, unit: Unit, allowed: Sequence[Figure], where: str) -> None:
        old = number_of(node)
        fit = self._of_single(allowed, where)
        if not fit:
            return
        chosen = choose(fit, lambda figure: self._shown(figure, name, unit, old), self.rules)
        text = self._shown(chosen, name, unit, old)
        if text != old:
            self._replace(node, text)
            self._changed(name, unit, chosen, old, text)

    def _add_single(self, name: str, unit: Unit, allowed: Sequence[Figure], where: str) -> None:
        fit = self._of_single(allowed, where)
        if not fit:
            return
        chosen = choose(fit, lambda figure: self._shown(figure, name, unit, None), self.rules)
        text = self._shown(chosen, name, unit, None)
        self._add_metric(name, text)
        self._changed(name, unit, chosen, None, text)

    def _add_metric(self, name: str, value: Added) -> None:
        node = self.entry.metrics.value
        spread = self.form.spread(node if node.members else self.entry.node)
        self.log.edits.append(self.form.add_members(node, {name: value}, spread))

    def _add_devices(self, boards: Sequence[str], allowed: Sequence[Figure]) -> None:
        """Keep the list of devices in step with the boards that have a measured figure."""
        measured = {figure.record.board.id for figure in allowed if figure.origin == "measured"}
        known = {self.words.board(device) or device for device in self.entry.devices}
        new = [board for board in boards if board in measured - known]
        device = self.entry.node.get("device")
        if not new:
            return
        if device is None:
            spread = self.form.spread(self.usual.devices or self.entry.node)
            node, metrics = self.entry.node, self.entry.metrics
            self.log.edits.append(self.form.add_before(metrics, node, "device", new, spread))
        elif device.value.kind == "array" and all(i.kind == "string" for i in device.value.items):
            self.log.edits += [self.form.add_item(device.value, board) for board in new]
        else:
            self.log.notes.append(
                f"line {self.entry.line}: {self.match.name}: 'device' is no list of boards: "
                f"{', '.join(new)} is not put there"
            )


def _marked(board: str, origin: str) -> str:
    return board if origin == "measured" else f"{board} ({origin})"
