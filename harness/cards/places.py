"""The rows of a card that one record may go into: which of them a figure belongs in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from harness.cards.card import Refused
from harness.cards.units import Unit, decimals_of, to_fraction


@dataclass(frozen=True)
class Shown:
    """A figure as a row shows it: its text, its value in seconds or bytes, and how fine its last digit is."""

    text: str
    value: Fraction
    step: Fraction

    @classmethod
    def of(cls, number: str, unit: Unit) -> Shown:
        """Return a figure by the text of its number."""
        step = unit.size / Fraction(10 ** decimals_of(number))
        return cls(f"{number} {unit.name}", to_fraction(number) * unit.size, step)

    def alike(self, other: Shown) -> bool:
        """Tell whether two figures may be one that was rounded twice."""
        return abs(self.value - other.value) * 2 <= self.step + other.step


class Places:
    """The rows of one model in a card, and the boards that each of them has figures of.

    A board's first figure goes into one of them alone. Rows that have figures go before empty ones: a zoo
    links the int8 file from its float row as well.
    """

    def __init__(self) -> None:
        self._of_board: dict[str, list[str]] = defaultdict(list)
        self._filled: list[str] = []
        self._all: list[str] = []
        self._shown: dict[str, list[tuple[str, Shown]]] = defaultdict(list)

    def add(self, place: str, boards: Mapping[str, Shown | None]) -> None:
        """Take one more row into account, by what a person calls it and what it shows of each board."""
        lists = [self._all, *([self._filled] if boards else []), *(self._of_board[board] for board in boards)]
        for places in lists:
            if places[-1:] != [place]:
                places.append(place)
        for board, shown in boards.items():
            known = self._shown[board]
            # One that is unlike the first is enough to make all of them unclear.
            if shown is not None and (not known or (len(known) < 2 and not shown.alike(known[0][1]))):
                known.append((place, shown))

    def other(self, board: str, here: str, filled: bool) -> str | None:
        """Return the row that a board's first figure belongs in, None for the row `here`.

        `filled` is whether that row has figures. Raises Refused if several rows are alike in this.
        """
        there = _but(here, self._of_board.get(board, []))
        others = _but(here, self._filled)
        if there or (others and not filled):
            return there or others
        alike = others if filled else _but(here, self._all)
        if alike:
            raise Refused(
                f"{alike} is of the same model, and nothing tells which of the two is for {board}; put a"
                " figure or a '-' with its foot-note into one"
            )
        return None

    def unlike(self, board: str, here: str) -> str | None:
        """Return another row that shows this board otherwise though nothing tells the two rows apart."""
        known = self._shown.get(board, [])
        if len(known) < 2:
            return None
        return next((f"{place} shows {shown.text}" for place, shown in known if place != here), None)


def _but(here: str, places: Sequence[str]) -> str | None:
    return next((place for place in places[:2] if place != here), None)
