"""An update of card files: all of them are planned before any is written."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cards.card import CardError, Change, Plan
from harness.cards.files import CardFile, find_cards, read_card, write_cards
from harness.cards.models import Benched
from harness.cards.planning import drastic, plan
from harness.cards.rules import Rules
from harness.errors import HarnessError, nearest
from harness.results.record import Record


@dataclass(frozen=True)
class Planned:
    """One card file and what an update does to it."""

    file: CardFile
    plan: Plan

    @property
    def differs(self) -> bool:
        return self.plan.text != self.file.text

    def diff(self) -> str:
        """Return the change as a unified diff, empty where there is none."""
        lines = difflib.unified_diff(
            _lines(self.file.text), _lines(self.plan.text), str(self.file.path), str(self.file.path)
        )
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
        )


@dataclass(frozen=True)
class Session:
    """The cards of one update; `skipped` says which files of a directory were passed over, and why."""

    cards: tuple[Planned, ...]
    skipped: tuple[str, ...]
    rules: Rules

    @property
    def notes(self) -> list[str]:
        """What was passed over, each with its file."""
        return [
            *self.skipped,
            *(f"{card.file.path}: {note}" for card in self.cards for note in card.plan.notes),
        ]

    @property
    def drastic(self) -> list[tuple[Path, Change]]:
        """The changes that need to be accepted."""
        return [(c.file.path, change) for c in self.cards for change in drastic(c.plan, self.rules)]

    @property
    def changed(self) -> list[Planned]:
        """The cards that are out of date."""
        return [card for card in self.cards if card.differs]

    def write(self) -> None:
        """Write every card that changes. Raises CardError where one cannot be written."""
        write_cards([(card.file, card.plan.text) for card in self.changed])


def prepare(
    paths: Iterable[Path], records: Sequence[Record], rules: Rules, encoding: str | None = None
) -> Session:
    """Plan the update of files, and of the cards in directories.

    Raises CardError with a line for every problem of every card, HarnessError for a mapping, a record or a
    board that is not known.
    """
    benched = Benched(records)
    _check_choices(benched, rules)
    planned: list[Planned] = []
    skipped: list[str] = []
    problems: list[str] = []
    for path, named in find_cards(paths):
        try:
            file = read_card(path, encoding)
            found = plan(file.text, benched, rules)
        except CardError as error:
            said = str(error) if str(error).startswith(str(path)) else f"{path}: {error}"
            (problems if named else skipped).append(said)
            continue
        problems += [f"{path}: {problem}" for problem in found.problems]
        # In a directory most files are no cards, and that is nothing to speak of.
        quiet = not named and not found.changes and not found.problems
        planned.append(Planned(file, Plan(file.text, mapped=found.mapped) if quiet else found))
    if problems:
        raise CardError("\n".join(problems))
    used = frozenset().union(*(card.plan.mapped for card in planned))
    unused = sorted(set(rules.models) - used)
    if unused:
        raise HarnessError(f"--map {unused[0]}=...: no row has such a cell or links such a file")
    return Session(tuple(planned), tuple(skipped), rules)


def _check_choices(benched: Benched, rules: Rules) -> None:
    for model in rules.models.values():
        if not benched.called(model):
            hint = nearest(model, benched.names())
            raise HarnessError(f"--map ...={model}: no record is of such a file or SHA-1{hint}")
    known = {record.id for record in benched.records}
    for chosen in sorted(rules.choose - known):
        raise HarnessError(f"--record {chosen}: there is no such record{nearest(chosen, known)}")
    boards = {*rules.words.boards.values(), *(record.board.id for record in benched.records)}
    if rules.board is not None and rules.board not in boards:
        raise HarnessError(f"--board {rules.board}: there is no such board{nearest(rules.board, boards)}")
    if not rules.max_factor >= 1:
        raise HarnessError(
            f"--factor {rules.max_factor:g}: must be 1 or more; --yes is not to be asked at all"
        )


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
