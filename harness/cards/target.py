"""One measured cell of one row: which figures go into it, and how it is written then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from harness.cards import cell
from harness.cards.benchmarks import Benchmark, Placed
from harness.cards.card import CellChange, Drastic, Edit, Left, Refused
from harness.cards.columns import Column
from harness.cards.conditions import short
from harness.cards.figures import ConflictingRecords, Figure, choose, usable
from harness.cards.models import Match
from harness.cards.places import Places
from harness.cards.rules import Rules
from harness.cards.units import (
    AS_THE_COLUMN,
    EMPTY_COLUMN,
    UNITS,
    Digits,
    Unit,
    decimals_of,
    rounded,
    to_fraction,
)
from harness.cards.words import Words
from harness.results.record import Record


@dataclass(frozen=True)
class CellOutcome:
    """What putting the figures of a model into one cell comes to."""

    edit: Edit | None = None
    changes: tuple[CellChange, ...] = ()
    left: tuple[Left, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _New:
    """A figure that goes into the cell: as it is shown, in which unit, and the segment it replaces."""

    figure: Figure
    text: str
    unit: Unit
    old: cell.Segment | None


@dataclass
class CellTarget:
    """A cell of a row, and the records that may go into the row.

    `places` are the rows of all the tables of the card that a record may go into, by the record's id.
    """

    benchmark: Benchmark
    placed: Placed
    column: Column
    match: Match
    records: Sequence[Record]
    places: Mapping[str, Places]
    rules: Rules
    words: Words
    refused: list[Left] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def where(self) -> str:
        """What a person calls the cell."""
        return f"line {self.placed.row.line}: {self.column.header} of {self.match.name}"

    @property
    def index(self) -> int:
        """Return the cell's index in its row."""
        return self.column.index - (self.placed.shift or 0)

    def update(self) -> CellOutcome:
        """Put the figures of every board that was benched into the cell."""
        allowed, passed = usable(self.records, self.column.quantity, self.rules, self.match.exact)
        boards = {figure.record.board.id: figure.record.board.name for figure in allowed}
        left = [
            Left(self.where, f"record {record.id} ({record.board.id}) is not used: {reason}", record=True)
            for record, reason in passed
            if record.board.id not in boards
        ]
        edit: Edit | None = None
        changes: tuple[CellChange, ...] = ()
        try:
            if boards:
                edit, changes = self._update(boards, allowed)
        except Refused as error:
            self._refuse(error)
        return CellOutcome(
            edit, changes, (*left, *self.refused), tuple(f"{self.where}: {note}" for note in self.notes)
        )

    def _refuse(self, error: ConflictingRecords | Refused) -> None:
        self.refused.append(Left(self.where, str(error), drastic=isinstance(error, Drastic)))

    def _update(
        self, boards: dict[str, str], allowed: Sequence[Figure]
    ) -> tuple[Edit | None, tuple[CellChange, ...]]:
        own = self._own()
        if own is not None:
            # The rest of the model's boards have rows, columns or tables of their own.
            boards = {board: name for board, name in boards.items() if board == own}
        if not boards:
            return None, ()
        if not 0 <= self.index < len(self.placed.row.cells):
            raise Refused("the row has no such cell; add an empty one")
        figures = self.benchmark.cells[self.placed.row.line, self.index]
        if figures is None:
            raise Refused(
                f"'{short(self.placed.row.cells[self.index].text)}' is not a number with foot-notes; "
                "write it as 12.3<sup>(1)</sup>, or '-' for none"
            )
        new = self._new(figures, boards, allowed, own)
        return self._written(figures, new) if new else (None, ())

    def _own(self) -> str | None:
        """Return the one board that the row, the column or the headings above the table name, None for none.

        Raises Refused if two of them name different boards.
        """
        row = {board for board in self.benchmark.boards_named(self.placed, self.words).values() if board}
        said = {
            "the row": row.pop() if len(row) == 1 else None,
            "the header of its column": self.column.board,
            f"the heading '{self.benchmark.scope.heading}'": self.benchmark.scope.board,
        }
        named = {where: board for where, board in said.items() if board}
        if len(set(named.values())) > 1:
            listed = ", ".join(f"{where} {board}" for where, board in named.items())
            raise Refused(f"nothing tells which board the cell is of: {listed}")
        return next(iter(named.values()), None)

    def _new(
        self,
        figures: cell.Figures,
        boards: dict[str, str],
        allowed: Sequence[Figure],
        own: str | None,
    ) -> dict[str | None, _New]:
        """Return what changes, by foot-note key (None: the number that has none)."""
        named = self.benchmark.group.boards()
        of_key = {key: segment for segment in figures.segments for key in segment.keys}
        keys_of: dict[str, list[str]] = {}
        for key in figures.keys:
            keys_of.setdefault(named.get(key) or "", []).append(key)
        strangers = sorted(board for board in keys_of if board and own is not None and board != own)
        if strangers:
            raise Refused(f"its foot-note names {strangers[0]}, and all else says {own}")
        bare = self._board_of_bare_figure(figures, own)
        new: dict[str | None, _New] = {}
        for board in sorted(boards, key=lambda board: (_order(board, named), board)):
            of_board = [figure for figure in allowed if figure.record.board.id == board]
            keys = keys_of.get(board, [])
            try:
                if len(keys) > 1:
                    raise Refused(f"{board} has several figures in the cell (foot-notes {', '.join(keys)})")
                segment = of_key[keys[0]] if keys else figures.segments[0] if bare == board else None
                found = self._figure(
                    figures, segment, board, of_board, allowed, bare, own, keys_of.get("", [])
                )
            except (ConflictingRecords, Refused) as error:
                self._refuse(error)
                continue
            if found is None:
                continue
            added = self.benchmark.group.key(board, boards[board]) if segment is None else None
            if found.figure.origin == "measured":
                self.benchmark.group.measured.add(board)
            new[keys[0] if keys else added] = found
        return new

    def _figure(
        self,
        figures: cell.Figures,
        segment: cell.Segment | None,
        board: str,
        of_board: Sequence[Figure],
        allowed: Sequence[Figure],
        bare: str | None,
        own: str | None,
        unknown: Sequence[str],
    ) -> _New | None:
        """Return one board's figure as the cell is to show it; None if it shows it already or lacks a place.

        `segment` is where it stands, None for a board that the cell has no figure of. Raises Refused or
        Disagreement if it may not be written.
        """
        here = f"line {self.placed.row.line}"
        if segment is None and own is None:
            place = next(
                filter(None, (p.other(board, here, not figures.empty) for p in self._places(of_board))), None
            )
            if place:
                self.notes.append(f"the figure of {board} is left out: {place}, of the same model, is for it")
                return None
        if segment is None:
            if figures.unmarked or bare is not None:
                self._check_bare_figure(figures, allowed, bare, board)
                return None
            self._check_addition(unknown)
        if segment is None or not segment.keys:
            self._check_explained(board, own)
        elif unlike := next(filter(None, (p.unlike(board, here) for p in self._places(of_board))), None):
            raise Refused(f"{unlike}, of the same model and board, and nothing tells what the two differ in")
        unit, shown = self._form(segment)
        chosen = choose(of_board, shown, self.rules)
        text = shown(chosen)
        if segment is not None and (segment.number, segment.origin) == (text, chosen.origin):
            return None
        check_factor(segment.number if segment else None, text, unit, chosen, self.rules)
        return _New(chosen, text, unit, segment)

    def _places(self, figures: Sequence[Figure]) -> list[Places]:
        return [self.places[figure.record.id] for figure in figures]

    def _check_explained(self, board: str, own: str | None) -> None:
        """Raise Refused if something around the cell may name its board and is not understood.

        A figure whose foot-note names its board needs no such thing.
        """
        if self.column.unclear:
            raise Refused(self.column.unclear)
        beside = self.benchmark.boards_beside(self.placed.row, self.column, self.placed.shift or 0)
        if board in (own, self.rules.board) or board in beside:
            return
        if excluded := self.benchmark.scope.excludes(board):
            raise Refused(excluded)
        if header := self.benchmark.unexplained(self.placed):
            raise Refused(
                f"the column '{header}' may say which board the row is of; add it under [headers] of a"
                " --words file: to 'board' if it does, to 'other' if not"
            )

    def _board_of_bare_figure(self, figures: cell.Figures, own: str | None) -> str | None:
        """Return the board of a number without a foot-note, which the cell has or is to get.

        It is the one that the row, column or heading names, or that of the rules, or the only one that the
        row's other figures name.
        """
        style = self.benchmark.styles[self.column.index]
        if len(figures.segments) != 1 or figures.keys:
            return None
        if own is not None:
            return own
        if not figures.unmarked and (style.marked or not style.unmarked):
            return None
        if self.rules.board is not None:
            return self.rules.board
        beside = self.benchmark.boards_beside(self.placed.row, self.column, self.placed.shift or 0)
        return beside.pop() if len(beside) == 1 else None

    def _check_bare_figure(
        self,
        figures: cell.Figures,
        allowed: Sequence[Figure],
        bare: str | None,
        board: str,
    ) -> None:
        """Say that a board's figure cannot stand beside one that has no foot-note.

        Raises Refused if nothing tells which board that one is of.
        """
        _, shown = self._form(figures.segments[0])
        alike = {shown(figure) for figure in allowed} & {figures.segments[0].number}
        if bare is None and not alike:
            raise Refused(
                "the card does not say which board the figure is of; give it a foot-note, or say --board"
            )
        if bare is not None or shown(next(f for f in allowed if f.record.board.id == board)) not in alike:
            self.notes.append(f"the figure of {board} is left out: the cell holds one without a foot-note")

    def _check_addition(self, unknown: Sequence[str]) -> None:
        """Raise Refused if a foot-note of the cell may be that of the board that is to be added."""
        if not unknown:
            return
        said = [note.text for note in self.benchmark.group.notes if note.key == unknown[0]]
        if len(said) > 1:
            what = "stands for several boards below the table; number them anew"
        elif said:
            what = f"names no known board ('{short(said[0])}'); add the name under [boards] of a --words file"
        else:
            what = (
                f"is not explained below the table; add '<sup>{unknown[0]}</sup> BOARD' behind an empty line"
            )
        raise Refused(f"foot-note {unknown[0]} {what}")

    def _form(self, segment: cell.Segment | None) -> tuple[Unit, Callable[[Figure], str]]:
        """Return the unit of a figure and how it is shown: as the one it replaces, else as its column."""
        style = self.benchmark.styles[self.column.index]
        unit = self.column.unit
        if segment is not None and segment.unit:
            unit = UNITS[segment.unit.casefold()]
        elif unit is None and len(style.units) == 1 and (segment is None or segment.number is None):
            unit = UNITS[next(iter(style.units))]
        if unit is None:
            raise Refused("neither the header nor the cell names its unit; put '(ms)' or '(KB)' there")
        if unit.quantity != self.column.quantity:
            noun = {"time": "time", "ram": "memory"}[self.column.quantity]
            raise Refused(f"the cell is in {unit.name}, which is no unit of {noun}")
        size, digits, commas = unit.size, self.rules.digits, style.commas
        decimals = style.decimals
        if segment is not None and segment.number is not None:
            decimals, commas = decimals_of(segment.number), "," in segment.number
        if digits == AS_THE_COLUMN:
            digits = EMPTY_COLUMN if decimals is None else Digits(decimals=decimals)
        return unit, lambda figure: rounded(figure.value / size, digits, commas)

    def _written(
        self, figures: cell.Figures, new: Mapping[str | None, _New]
    ) -> tuple[Edit, tuple[CellChange, ...]]:
        style = self.benchmark.styles[self.column.index]
        own = next((segment.style for segment in figures.segments if segment.keys), None)
        usual = own or style.style or self.benchmark.mark_style()
        language = self.words.languages[self.benchmark.group.language]
        text = cell.write(
            figures,
            {key: cell.New(value.text, value.figure.origin) for key, value in new.items()},
            cell.Style(usual.kind),
            style.group(self.placed.row.line),
            {origin: mark.mark for origin, mark in language.marks.items()},
            "" if self.column.unit else style.suffix,
        )
        source = self.placed.row.cells[self.index]
        padded = self.benchmark.padding.pad(source, self.column.index, text)
        changes = tuple(
            CellChange(
                line=self.placed.row.line,
                column=self.column.header,
                model=self.match.name,
                board=value.figure.record.board.id,
                old=value.old.number if value.old else None,
                new=value.text,
                unit=value.unit.name,
                origin=value.figure.origin,
                record=value.figure.record.id,
                factor=factor(value.old.number if value.old else None, value.text),
            )
            for value in new.values()
        )
        return Edit(source.start, source.end, padded), changes


def check_factor(old: str | None, new: str, unit: Unit, figure: Figure, rules: Rules) -> None:
    """Raise Refused for a figure that grows or shrinks by more than the rules accept."""
    grown = factor(old, new)
    if grown is not None and grown > rules.max_factor and not rules.accept:
        raise Drastic(
            f"{old} -> {new} {unit.name} ({figure.origin}, record {figure.record.id}, a factor of "
            f"{grown:.3g}): a change of more than {rules.max_factor:g}x; --yes writes it"
        )


def factor(old: str | None, new: str) -> float | None:
    """Return how many times larger or smaller a number's new text is, None without an old one."""
    if old is None:
        return None
    before, after = to_fraction(old), to_fraction(new)
    if not before or not after:
        return 1.0 if before == after else float("inf")
    ratio = Fraction(after, before)
    return float(max(ratio, 1 / ratio))


def _order(board: str, named: Mapping[str, str | None]) -> int:
    """Return where a board stands among the foot-notes; boards without one come last."""
    for position, of in enumerate(named.values()):
        if of == board:
            return position
    return len(named)
