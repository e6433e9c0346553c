"""One measured cell of one row: which figures go into it, and how it is written then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from harness.cards import cell
from harness.cards.benchmarks import Benchmark
from harness.cards.card import Change, Edit, Refused
from harness.cards.columns import Column
from harness.cards.figures import Disagreement, Figure, choose, usable
from harness.cards.models import Match, other_place
from harness.cards.rules import Rules
from harness.cards.tables import Line
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


@dataclass(frozen=True)
class Outcome:
    """What putting the figures of a model into one cell comes to."""

    edit: Edit | None = None
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class _New:
    """A figure that goes into the cell: as it is shown, in which unit, and the segment it replaces."""

    figure: Figure
    text: str
    unit: Unit
    old: cell.Segment | None


@dataclass(frozen=True)
class Target:
    """A cell of a row, and the records of the row's model.

    `same_model` are the boards that the rows of this model have figures of, by `line N` of the row.
    """

    benchmark: Benchmark
    row: Line
    column: Column
    shift: int
    match: Match
    same_model: Mapping[str, set[str]]
    rules: Rules
    words: Words

    def update(self) -> Outcome:
        """Put the figures of every board that was benched into the cell."""
        allowed, refused = usable(self.match.records, self.column.quantity, self.rules)
        boards = {figure.record.board.id: figure.record.board.name for figure in allowed}
        notes = [
            f"record {record.id} ({record.board.id}) is not used: {reason}"
            for record, reason in refused
            if record.board.id not in boards
        ]
        try:
            edit, changes = self._update(boards, allowed, notes)
        except (Disagreement, Refused) as error:
            return Outcome(notes=self._said(notes), problem=self._said([str(error)])[0])
        return Outcome(edit, changes, self._said(notes))

    def _said(self, texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"line {self.row.line}: {self.column.header} of {self.match.name}: {t}" for t in texts)

    def _update(
        self, boards: dict[str, str], allowed: Sequence[Figure], notes: list[str]
    ) -> tuple[Edit | None, tuple[Change, ...]]:
        named = self.benchmark.board_name(self.row, self.shift)
        own = self.words.board(named) if named is not None else None
        if boards and named is not None:
            if own is None:
                notes.append(
                    f"the row is of a board that is not known ('{short(named)}'): left alone; "
                    "add the name under [boards] of a --words file"
                )
            boards = {board: name for board, name in boards.items() if board == own}
        if not boards:
            return None, ()
        index = self.column.index - self.shift
        if not 0 <= index < len(self.row.cells):
            raise Refused("the row has no such cell; add an empty one")
        figures = self.benchmark.cells[self.row.line, index]
        if figures is None:
            raise Refused(
                f"'{short(self.row.cells[index].text)}' is not a number with foot-notes; "
                "write it as 12.3<sup>(1)</sup>, or '-' for none"
            )
        new = self._new(figures, boards, allowed, own, notes)
        return self._written(index, figures, new) if new else (None, ())

    def _new(
        self,
        figures: cell.Figures,
        boards: dict[str, str],
        allowed: Sequence[Figure],
        own: str | None,
        notes: list[str],
    ) -> dict[str | None, _New]:
        """Return what changes, by foot-note key (None: the number that has none)."""
        named = self.benchmark.group.boards()
        of_key = {key: segment for segment in figures.segments for key in segment.keys}
        keys_of: dict[str, list[str]] = {}
        for key in figures.keys:
            keys_of.setdefault(named.get(key) or "", []).append(key)
        bare = self._board_of_bare_figure(figures, own)
        new: dict[str | None, _New] = {}
        for board in sorted(boards, key=lambda board: (_order(board, named), board)):
            of_board = [figure for figure in allowed if figure.record.board.id == board]
            keys = keys_of.get(board, [])
            if len(keys) > 1:
                raise Refused(f"{board} has several figures in the cell (foot-notes {', '.join(keys)})")
            segment = of_key[keys[0]] if keys else figures.segments[0] if bare == board else None
            if segment is None and (place := other_place(board, f"line {self.row.line}", self.same_model)):
                notes.append(f"the figure of {board} is left out: {place}, of the same model, is for it")
                continue
            if segment is None and (figures.unmarked or bare is not None):
                self._check_bare_figure(figures, allowed, bare, board, notes)
                continue
            if segment is None:
                self._check_addition(keys_of.get("", []))
            unit, shown = self._form(segment)
            chosen = choose(of_board, shown, self.rules)
            text = shown(chosen)
            if segment is not None and (segment.number, segment.origin) == (text, chosen.origin):
                continue
            added = self.benchmark.group.key(board, boards[board]) if segment is None else None
            if chosen.origin == "measured":
                self.benchmark.group.measured.add(board)
            new[keys[0] if keys else added] = _New(chosen, text, unit, segment)
        return new

    def _board_of_bare_figure(self, figures: cell.Figures, own: str | None) -> str | None:
        """Return the board that a number without a foot-note is of, as the cell has one or is to have one.

        It is the one that the row names, or that of the rules, or the only one that the row's other figures
        name.
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
        beside = self.benchmark.boards_beside(self.row, self.column, self.shift)
        return beside.pop() if len(beside) == 1 else None

    def _check_bare_figure(
        self,
        figures: cell.Figures,
        allowed: Sequence[Figure],
        bare: str | None,
        board: str,
        notes: list[str],
    ) -> None:
        """Say that a board's figure finds no place beside one that has no foot-note.

        Raises Refused where nothing tells which board that one is of.
        """
        _, shown = self._form(figures.segments[0])
        alike = {shown(figure) for figure in allowed} & {figures.segments[0].number}
        if bare is None and not alike:
            raise Refused(
                "the card does not say which board the figure is of; give it a foot-note, or say --board"
            )
        if bare is not None or shown(next(f for f in allowed if f.record.board.id == board)) not in alike:
            notes.append(f"the figure of {board} is left out: the cell holds one without a foot-note")

    def _check_addition(self, unknown: Sequence[str]) -> None:
        """Raise Refused where a foot-note of the cell may be that of the board that is to be added."""
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
        if unit is None or unit.quantity != self.column.quantity:
            raise Refused("neither the header nor the cell names its unit; put '(ms)' or '(KB)' there")
        size, digits, commas = unit.size, self.rules.digits, style.commas
        decimals = style.decimals
        if segment is not None and segment.number is not None:
            decimals, commas = decimals_of(segment.number), "," in segment.number
        if digits == AS_THE_COLUMN:
            digits = EMPTY_COLUMN if decimals is None else Digits(decimals=decimals)
        return unit, lambda figure: rounded(figure.value / size, digits, commas)

    def _written(
        self, index: int, figures: cell.Figures, new: Mapping[str | None, _New]
    ) -> tuple[Edit, tuple[Change, ...]]:
        style = self.benchmark.styles[self.column.index]
        own = next((segment.style for segment in figures.segments if segment.keys), None)
        usual = own or style.style or self.benchmark.mark_style()
        language = self.words.languages[self.benchmark.group.language]
        text = cell.write(
            figures,
            {key: cell.New(value.text, value.figure.origin) for key, value in new.items()},
            cell.Style(usual.kind),
            style.group(self.row.line),
            {origin: mark.mark for origin, mark in language.marks.items()},
            "" if self.column.unit else style.suffix,
        )
        source = self.row.cells[index]
        padded = self.benchmark.padding.pad(source, self.column.index, text)
        changes = tuple(
            Change(
                line=self.row.line,
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


def factor(old: str | None, new: str) -> float | None:
    """Return how many times larger or smaller a number's new text is, None without an old one."""
    if old is None:
        return None
    before, after = to_fraction(old), to_fraction(new)
    if not before or not after:
        return 1.0 if before == after else float("inf")
    ratio = Fraction(after, before)
    return float(max(ratio, 1 / ratio))


def short(text: str) -> str:
    """Return a text as one line, cut to what fits into a message."""
    line = " ".join(text.split())
    return line if len(line) <= 40 else f"{line[:37]}..."


def _order(board: str, named: Mapping[str, str | None]) -> int:
    """Return where a board stands among the foot-notes; boards without one come last."""
    for position, of in enumerate(named.values()):
        if of == board:
            return position
    return len(named)
