"""The metrics of one benchmark of the zoo: which figures go into them, and how they are written then."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.cards.card import CellChange, Drastic, Edit, Left, Refused
from harness.cards.conditions import short
from harness.cards.entries import Entry, Usual, is_nothing, number_of, unmarked
from harness.cards.figures import ConflictingRecords, Figure, choose, usable
from harness.cards.jsonedit import Added, JsonStyle
from harness.cards.jsontext import Member, Node
from harness.cards.log import Log
from harness.cards.models import Match
from harness.cards.places import Places
from harness.cards.rules import Rules
from harness.cards.target import check_factor, factor
from harness.cards.units import (
    AS_THE_COLUMN,
    EMPTY_COLUMN,
    QUANTITIES,
    Digits,
    Quantity,
    Unit,
    decimals_of,
    rounded,
)
from harness.cards.words import Words
from harness.results.record import Record

DEFAULT_METRIC = "Inference(ms)"
"""What the zoo calls its invoke times."""


@dataclass(frozen=True)
class _Metric:
    """A metric of the entry, its value (`node`, None for a new one), and the figures that may go into it."""

    quantity: Quantity
    name: str
    node: Node | None
    unit: Unit
    allowed: Sequence[Figure]


@dataclass
class EntryUpdate:
    """One benchmark and the records that may go into it; `places` are all benchmarks that a record may go
    into, by its id.

    `new_metrics` and `new_devices` are what several metrics add to one object and one list: they are written
    at the end, in one edit each.
    """

    form: JsonStyle
    usual: Usual
    entry: Entry
    match: Match
    records: Sequence[Record]
    places: Mapping[Quantity, Mapping[str, Places]]
    rules: Rules
    words: Words
    log: Log[CellChange]
    new_metrics: dict[str, Added] = field(default_factory=dict)
    new_devices: list[str] = field(default_factory=list)

    @property
    def _at(self) -> str:
        return f"line {self.entry.line}: {self.match.name}"

    def run(self) -> None:
        """Put the figures of the model into its metrics."""
        for quantity in QUANTITIES:
            metrics = [
                member
                for member in self.entry.metrics.value.members
                if (measured := self.words.quantity(member.key)) and measured[0] == quantity
            ]
            if len(metrics) > 1:
                names = ", ".join(metric.key for metric in metrics)
                self.log.left.append(Left(self._at, f"has several metrics for one figure ({names})"))
                continue
            if not metrics and quantity != "time" and quantity not in self.usual.names:
                continue
            name = metrics[0].key if metrics else self.usual.names.get(quantity, DEFAULT_METRIC)
            try:
                self._update(quantity, name, metrics[0].value if metrics else None)
            except (ConflictingRecords, Refused) as error:
                self._refuse(name, error)
        self._add_metrics()
        self._add_devices()

    def _update(self, quantity: Quantity, name: str, node: Node | None) -> None:
        allowed = self._allowed(quantity, name, node)
        if not allowed:
            return
        measured = self.words.quantity(name)
        unit = measured[1] if measured else None
        if unit is None:
            raise Refused("the metric's name has no unit; put '(ms)' or '(KB)' there")
        metric = _Metric(quantity, name, node, unit, allowed)
        # Times are kept by board unless the file shows otherwise.
        by_board = node.kind == "object" if node else self.usual.by_board.get(name, quantity == "time")
        if by_board:
            self._boards(metric)
        else:
            self._single(metric)

    def _allowed(self, quantity: Quantity, name: str, node: Node | None) -> Sequence[Figure]:
        """Return the figures that may go into a metric, and tell of the others."""
        allowed, passed = usable(self.records, quantity, self.rules, self.match.exact)
        boards = {figure.record.board.id for figure in allowed}
        where = f"{self._at}: {name}"
        if node is None and not self.rules.add_metrics:
            if boards:
                self.log.notes.append(f"{where}: the entry has no such metric; --add-metrics adds it")
            return ()
        for record, reason in passed:
            if record.board.id not in boards:
                why = f"record {record.id} ({record.board.id}) is not used: {reason}"
                self.log.left.append(Left(where, why, record=True))
        return allowed

    def _boards(self, metric: _Metric) -> None:
        """Put the figures into a metric that is kept by board; one that is refused is left alone."""
        added: dict[str, str] = {}
        for board in sorted({figure.record.board.id for figure in metric.allowed}):
            try:
                self._board(metric, board, added)
            except (ConflictingRecords, Refused) as error:
                self._refuse(metric.name, error)
        if added and metric.node is None:
            self.new_metrics[metric.name] = added
        elif added and metric.node:
            spread = self.form.spread(self.entry.metrics.value)
            self.log.edits.append(self.form.add_members(metric.node, added, spread))

    def _shown(self, figure: Figure, metric: _Metric, old: str | None) -> str:
        """Return a figure as the number it replaces is written, else as its metric is in this entry."""
        digits = self.rules.digits
        if digits == AS_THE_COLUMN:
            decimals = self.usual.decimals.get(metric.name) if old is None else decimals_of(old)
            digits = EMPTY_COLUMN if decimals is None else Digits(decimals=decimals)
        text = rounded(figure.value / metric.unit.size, digits)
        return repr(json.loads(text)) if self.usual.canonical else text

    def _refuse(self, name: str, error: ConflictingRecords | Refused) -> None:
        drastic = isinstance(error, Drastic)
        self.log.left.append(Left(f"{self._at}: {name}", str(error), drastic=drastic))

    def _board(self, metric: _Metric, board: str, added: dict[str, str]) -> None:
        """Change the figure of one board in a metric, or put it into `added` if it has none yet."""
        members = self._members(metric.node, board) if metric.node else []
        if len(members) > 1:
            raise Refused(f"{board} is there twice ({', '.join(member.key for member in members)})")
        member = members[0] if members else None
        of_board = [figure for figure in metric.allowed if figure.record.board.id == board]
        places = [self.places[metric.quantity][figure.record.id] for figure in of_board]
        if member is None and not self._belongs(metric, board, places):
            return
        if member and (
            unlike := next(filter(None, (p.unlike(board, self.entry.place) for p in places)), None)
        ):
            raise Refused(f"{unlike}, of the same model and board, and nothing tells what the two differ in")
        old = number_of(member.value) if member else None
        chosen, text = self._chosen(of_board, metric, old)
        if member is None:
            added[_marked(board, chosen.origin)] = text
            if chosen.origin == "measured" and board not in self.new_devices:
                self.new_devices.append(board)
        else:
            base, origin = unmarked(member.key)
            if (old, origin) == (text, chosen.origin):
                return
            self._replace(member.value, text)
            if origin != chosen.origin:
                key = json.dumps(_marked(base, chosen.origin), ensure_ascii=False)
                self.log.edits.append(Edit(member.start, member.key_end, key))
        self._changed(metric, chosen, old, text)

    def _belongs(self, metric: _Metric, board: str, places: Sequence[Places]) -> bool:
        """Whether a board's first figure goes into this entry, not another one; raises Refused if unclear."""
        filled = bool(metric.node and metric.node.members)
        place = next(filter(None, (p.other(board, self.entry.place, filled) for p in places)), None)
        if place:
            self.log.notes.append(
                f"{self._at}: the figure of {board} is left out: {place}, of the same model, is for it"
            )
        return place is None

    def _members(self, metric: Node, board: str) -> list[Member]:
        """Return the members of a metric that are of a board, under whichever of its names."""
        bases = [(member, unmarked(member.key)[0]) for member in metric.members]
        return [member for member, base in bases if base == board or self.words.board(base) == board]

    def _chosen(self, figures: Sequence[Figure], metric: _Metric, old: str | None) -> tuple[Figure, str]:
        """Return the figure that is written and its text. Raises Refused for one that changes too much."""
        chosen = choose(figures, lambda figure: self._shown(figure, metric, old), self.rules)
        text = self._shown(chosen, metric, old)
        check_factor(old, text, metric.unit, chosen, self.rules)
        return chosen, text

    def _replace(self, node: Node, text: str) -> None:
        quote = '"' if node.kind == "string" else ""
        if not (node.text == "null" or number_of(node) or is_nothing(node, self.words)):
            said = short(self.form.text[node.start : node.end])
            raise Refused(f"{said} is not a number such as 12.3; write one, or null for none")
        self.log.edits.append(Edit(node.start, node.end, quote + text + quote))

    def _changed(self, metric: _Metric, chosen: Figure, old: str | None, text: str) -> None:
        record = chosen.record
        self.log.changes.append(
            CellChange(
                line=self.entry.line,
                column=metric.name,
                model=self.match.name,
                board=record.board.id,
                old=old,
                new=text,
                unit=metric.unit.name,
                origin=chosen.origin,
                record=record.id,
                factor=factor(old, text),
                at=self.entry.node.start,
            )
        )

    def _of_single(self, metric: _Metric) -> list[Figure]:
        """Return the figures that may go into a metric that is one number for no named board."""
        devices = {self.words.board(device) or device for device in self.entry.devices}
        board = self.rules.board or (devices.pop() if len(devices) == 1 else None)
        if board is None:
            raise Refused("the entry does not say which board its one number is of; say --board")
        fit = [figure for figure in metric.allowed if figure.record.board.id == board]
        if fit and fit[0].origin != "measured":
            why = f"one number cannot be marked as {fit[0].origin}: left as it is"
            self.log.notes.append(f"{self._at}: {metric.name}: {why}")
            return []
        return fit

    def _single(self, metric: _Metric) -> None:
        """Put a figure into a metric that is one number, or make that metric."""
        old = number_of(metric.node) if metric.node else None
        fit = self._of_single(metric)
        if not fit:
            return
        chosen, text = self._chosen(fit, metric, old)
        if metric.node is None:
            self.new_metrics[metric.name] = text
        elif text == old:
            return
        else:
            self._replace(metric.node, text)
        self._changed(metric, chosen, old, text)

    def _add_metrics(self) -> None:
        if self.new_metrics:
            node = self.entry.metrics.value
            spread = self.form.spread(node if node.members else self.entry.node)
            self.log.edits.append(self.form.add_members(node, self.new_metrics, spread))

    def _add_devices(self) -> None:
        """Keep the list of devices in step with the boards that have a measured figure."""
        known = {self.words.board(device) or device for device in self.entry.devices}
        new = [board for board in self.new_devices if board not in known]
        device = self.entry.node.get("device")
        if not new:
            return
        spread = self.form.spread(self.usual.devices or self.entry.node)
        if device is None:
            node, metrics = self.entry.node, self.entry.metrics
            self.log.edits.append(self.form.add_before(metrics, node, "device", new, spread))
        elif device.value.kind == "array" and all(i.kind == "string" for i in device.value.items):
            self.log.edits.append(self.form.add_items(device.value, new, spread))
        else:
            self.log.notes.append(
                f"{self._at}: 'device' is no list of boards: {', '.join(new)} is not put there"
            )


def _marked(board: str, origin: str) -> str:
    return board if origin == "measured" else f"{board} ({origin})"
