"""What every card format returns: edits of a text, the changes they make, and what was left alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import HarnessError


class CardError(HarnessError):
    """A card cannot be updated as asked; each line of the message is one problem."""


class Refused(Exception):
    """A figure cannot be put into a card without guessing."""


class Drastic(Refused):
    """A figure changes by more than it is expected to; a person may accept that."""


@dataclass(frozen=True)
class Edit:
    """Replace text[start:end] by `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class CellChange:
    """One figure of a card that a record changes.

    `old` is the text that stood there (None for none), `factor` how many times larger or smaller the new
    value is (None if there was no value), `footnote` the lines that were added below the table for it,
    `at` the character at which the entry begins that it is in (None in a table): a file may be all on one
    line.
    """

    line: int
    column: str
    model: str
    board: str
    old: str | None
    new: str
    unit: str
    origin: str
    record: str
    factor: float | None = None
    footnote: str | None = None
    at: int | None = None

    def __str__(self) -> str:
        times = f", a factor of {self.factor:.3g}" if self.factor and self.factor > 1 else ""
        lines = self.footnote.split("\n") if self.footnote else ()
        added = "".join(f"; new foot-note: {line.strip()}" for line in lines)
        return (
            f"line {self.line}: {self.column} of {self.model} on {self.board}: {self.old or '(none)'} -> "
            f"{self.new} {self.unit} ({self.origin}, record {self.record}{times}){added}"
        )


@dataclass(frozen=True)
class Left:
    """A figure that was at hand for a place in a card and was not written, and why.

    `where` is the place ("line 5: Inference(ms) of person.tflite"), `record` whether it is the record's fault
    alone: a record that may not be published was passed over. Otherwise the card does not say what it would
    have to say, or (`drastic`) the figure changes by more than it is expected to.
    """

    where: str
    why: str
    record: bool = False
    drastic: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.why}" if self.where else self.why


@dataclass(frozen=True)
class CardPlan:
    """What an update would do to one card.

    `left` are the figures that were at hand and are not written, `notes` what else a person may want to know;
    `mapped` are the explicit mappings that named a row of it, `benchmarks` how many tables or entries it has,
    `rows` how many of their rows records are of.
    """

    text: str
    changes: tuple[CellChange, ...] = ()
    left: tuple[Left, ...] = ()
    notes: tuple[str, ...] = ()
    mapped: frozenset[str] = frozenset()
    benchmarks: int = 0
    rows: int = 0

    @property
    def refused(self) -> list[Left]:
        """What the card itself forbids to write."""
        return [left for left in self.left if not left.record]


@dataclass(frozen=True)
class Value:
    """One figure as a card shows it; `board` is None if the card does not say which board it is of.

    `origin` is "published" unless the card marks the figure, or "unreadable" for a cell that is no figure.
    """

    column: str
    board: str | None
    text: str | None
    unit: str | None
    origin: str


@dataclass(frozen=True)
class Row:
    """One row of a benchmark table, or one entry of the zoo: a model and its figures.

    `model` is the file that the row links or, if it links none, None: `label` then is what the row calls
    itself. `md5` is what the zoo's JSON gives beside the file's address.
    """

    line: int
    model: str | None
    sha1: str | None
    values: tuple[Value, ...]
    note: str | None = None
    label: str | None = None
    url: str | None = None
    md5: str | None = None


@dataclass(frozen=True)
class BenchmarkTable:
    """One benchmark table as it was understood; `boards` maps foot-note keys to board ids.

    `title` is what the model of an entry is called.
    """

    line: int
    columns: tuple[str, ...]
    boards: dict[str, str | None]
    rows: tuple[Row, ...]
    title: str | None = None


@dataclass(frozen=True)
class Overview:
    """What was understood of a card."""

    format: str
    language: str | None
    tables: tuple[BenchmarkTable, ...]
    notes: tuple[str, ...] = ()


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return `text` with the edits made; they must not overlap (insertions at one place keep their order)."""
    pieces = []
    at = 0
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        if edit.start < at:
            raise AssertionError("edits overlap")
        pieces += [text[at : edit.start], edit.text]
        at = edit.end
    pieces.append(text[at:])
    return "".join(pieces)
