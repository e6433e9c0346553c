"""An update of card files: each is a card of its own, and what is refused in one holds back no other."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.cards import generated
from harness.cards.agreement import Disagreement, disagreements
from harness.cards.card import CardError, CardPlan, Left, Overview
from harness.cards.files import CardFile, find_cards, read_card, write_card
from harness.cards.forms import EntryForm, form_of, suffixes
from harness.cards.models import Checksums, RecordsByModel
from harness.cards.planning import plan, show
from harness.cards.rules import Rules
from harness.cards.wanted import Want, wanted
from harness.cards.words import Words
from harness.errors import HarnessError, nearest
from harness.results.record import Record

# What a file that cannot be read has if it may be a card: a row of dashes and pipes, or a list of benchmarks.
_TABLE_OR_ENTRY = re.compile(rb"[-:]\s*\|\s*[-:]|\"metrics\"")
_NO_FORM = "it is neither Markdown nor JSON of the zoo, the forms that cards have"


@dataclass
class Planned:
    """One card file and what an update does to it.

    `named` is whether the file was, or a directory that it is in. `source` is the entry that the card is made
    from, `unread` why the file could not be read, `unwritten` why it could not be written.
    """

    path: Path
    named: bool
    file: CardFile | None = None
    plan: CardPlan = field(default_factory=lambda: CardPlan(""))
    source: Path | None = None
    unread: str | None = None
    unwritten: str | None = None

    def unreadable(self, error: CardError) -> None:
        """Note why the file cannot be read."""
        self.unread, self.plan = _said(self.path, error), CardPlan(self.file.text if self.file else "")

    @property
    def is_card(self) -> bool:
        """Whether the file is a card, or may be one for all that can be told of one that cannot be read."""
        if self.named or self.plan.benchmarks:
            return True
        if self.unread is None:
            return False
        try:
            return bool(_TABLE_OR_ENTRY.search(self.path.read_bytes().replace(b"\0", b"")))
        except OSError:
            return True

    @property
    def differs(self) -> bool:
        """Whether the card is out of date."""
        return self.file is not None and self.plan.text != self.file.text

    @property
    def left(self) -> list[str]:
        """What was at hand for the card and is not written, and why, a line each."""
        own = [str(left) for left in self.plan.left]
        return [*own, *(why for why in (self.unread, self.unwritten) if why)]

    def reasons(self) -> dict[str, int]:
        """Return why figures are left, and how many for each reason."""
        own = Counter(left.why for left in self.plan.left)
        return dict(own + Counter(why for why in (self.unread, self.unwritten) if why))

    def diff(self) -> str:
        """Return the change as a unified diff, empty if there is none."""
        if self.file is None:
            return ""
        lines = difflib.unified_diff(
            _lines(self.file.text), _lines(self.plan.text), str(self.path), str(self.path)
        )
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
        )


@dataclass(frozen=True)
class Update:
    """The cards of one update; `disagreements` are places that differ from what they are copies of."""

    cards: tuple[Planned, ...]
    rules: Rules
    disagreements: tuple[Disagreement, ...] = ()
    passed_over: tuple[str, ...] = field(default=())

    @property
    def notes(self) -> list[str]:
        """What a person may want to know, each with its file."""
        return [
            *self.passed_over,
            *(f"{card.path}: {note}" for card in self.cards for note in card.plan.notes),
            *map(str, self.disagreements),
        ]

    @property
    def left(self) -> list[str]:
        """What was at hand and is not written, each with its file."""
        return [
            text if text.startswith(str(card.path)) else f"{card.path}: {text}"
            for card in self.cards
            for text in card.left
        ]

    @property
    def drastic(self) -> list[tuple[Path, Left]]:
        """The changes that need to be accepted."""
        return [(c.path, left) for c in self.cards for left in c.plan.left if left.drastic]

    @property
    def changed(self) -> list[Planned]:
        """The cards that are out of date."""
        return [card for card in self.cards if card.differs]

    def write(self) -> list[Planned]:
        """Write every card that changes, each for itself, and return those that were.

        One that cannot be written says so in `unwritten`.
        """
        written: list[Planned] = []
        for card in self.changed:
            assert card.file is not None
            try:
                write_card(card.file, card.plan.text)
                written.append(card)
            except CardError as error:
                card.unwritten = str(error)
            except KeyboardInterrupt:
                names = ", ".join(str(done.path) for done in written)
                raise CardError(f"interrupted; already written: {names or 'nothing'}") from None
        return written


def prepare(
    paths: Iterable[Path], records: Sequence[Record], rules: Rules, encoding: str | None = None
) -> Update:
    """Plan the update of files, and of the cards in directories.

    Raises HarnessError for a mapping, a record or a board that is not known, and if there is no card.
    """
    paths = tuple(paths)
    benched = RecordsByModel(records)
    _check_choices(benched, rules)
    words = rules.words.with_boards(benched.boards)
    rules = replace(rules, words=words)
    cards = _read(find_cards(paths), encoding)
    checksums = checksums_of(cards)
    sources: dict[tuple[str, ...], generated.Source] = {}
    for card in sorted(cards, key=_sources_first):
        if card.file is None:
            continue
        try:
            if isinstance(form_of(card.file.text), EntryForm):
                card.plan = plan(card.file.text, benched, rules, checksums)
                for source in generated.sources(card.path, card.file.text, card.plan):
                    sources.setdefault(source.urls, source)
            elif not _follow(card, sources.values(), words):
                card.plan = plan(card.file.text, benched, rules, checksums)
        except CardError as error:
            card.unreadable(error)
    passed_over = [card.unread for card in cards if card.unread and not card.is_card]
    shown = [card for card in cards if card.is_card]
    if not shown:
        raise HarnessError(f"{', '.join(map(str, paths))}: no card in it: no file has a benchmark table")
    for card in shown:
        if not card.named:
            # A directory is asked about as a whole: one of its cards without records is no error.
            card.plan = replace(card.plan, notes=tuple(n for n in card.plan.notes if n.startswith("line ")))
    used = frozenset().union(*(card.plan.mapped for card in cards))
    unused = sorted(set(rules.models) - used)
    if unused:
        raise HarnessError(f"--map {unused[0]}=...: no row has such a cell or links such a file")
    after = {card.path: show(card.plan.text, words) for card in shown if card.file and not card.unread}
    return Update(tuple(shown), rules, tuple(disagreements(after, words)), tuple(passed_over))


def wants(
    paths: Iterable[Path], words: Words, encoding: str | None = None
) -> tuple[list[Want], list[str], list[str]]:
    """Return the models that cards ask for on which boards, the boards that are not known, and the cards that
    could not be read.

    Raises HarnessError if there is no card.
    """
    found, unread, checksums = _overviews(tuple(paths), words, encoding)
    return *wanted(found, checksums, words), unread


def overviews(
    paths: Iterable[Path], words: Words, encoding: str | None = None
) -> tuple[dict[Path, Overview], list[str]]:
    """Return what is understood of files and of the cards in directories, and which could not be read.

    Raises HarnessError if there is no card.
    """
    found, unread, _ = _overviews(tuple(paths), words, encoding)
    return found, unread


def _overviews(
    paths: Sequence[Path], words: Words, encoding: str | None
) -> tuple[dict[Path, Overview], list[str], Checksums]:
    cards = _read(find_cards(paths), encoding)
    checksums = checksums_of(cards)
    found: dict[Path, Overview] = {}
    for card in cards:
        if card.file is not None:
            try:
                overview = show(card.file.text, words, checksums)
            except CardError as error:
                card.unreadable(error)
                continue
            if not overview.tables and card.path.suffix.lower() not in suffixes():
                overview = Overview("no card", None, (), (_NO_FORM,))
            if overview.tables or card.named:
                found[card.path] = overview
    unread = [card.unread for card in cards if card.unread and card.is_card]
    if not found and not unread:
        raise HarnessError(f"{', '.join(map(str, paths))}: no card in it: no file has a benchmark table")
    return found, unread, checksums


def checksums_of(cards: Iterable[Planned]) -> Checksums:
    """Return the checksums that the entries among some files give beside addresses."""
    checksums = Checksums()
    for card in cards:
        form = form_of(card.file.text) if card.file else None
        if card.file and isinstance(form, EntryForm):
            with contextlib.suppress(CardError):  # it is reported when the file itself is read
                form.add_checksums(card.file.text, checksums)
    return checksums


def _read(found: Iterable[tuple[Path, bool]], encoding: str | None) -> list[Planned]:
    cards: list[Planned] = []
    for path, named in found:
        card = Planned(path, named)
        cards.append(card)
        try:
            card.file = read_card(path, encoding)
            card.plan = CardPlan(card.file.text)
        except CardError as error:
            card.unreadable(error)
    return cards


def _sources_first(card: Planned) -> tuple[bool, int]:
    """Order files so that an entry comes before its copies: the file of all models, then the cards."""
    text = card.file.text if card.file else ""
    return not isinstance(form_of(text), EntryForm), len(text)


def _follow(card: Planned, sources: Iterable[generated.Source], words: Words) -> bool:
    """Let a card that is made from one of the entries follow it; return whether it is such a card."""
    assert card.file is not None
    for source in sources:
        if source.urls[0] in card.file.text and (made := generated.follow(card.file.text, source, words)):
            card.plan, card.source = made, source.path
            return True
    return False


def _said(path: Path, error: CardError) -> str:
    said = str(error)
    return said if said.startswith(str(path)) else f"{path}: {said}"


def _check_choices(benched: RecordsByModel, rules: Rules) -> None:
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
