"""What cards ask for: each model, by its hash, on each board that a row has a place for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.cards.card import Overview
from harness.cards.models import Checksums, Reference, reference, uncompiled
from harness.cards.units import to_fraction
from harness.cards.words import Words


@dataclass
class Want:
    """A model that cards show on a board.

    `model` is the file that a row links, `bench` the one that goes to the bench: for a file that Vela made
    the int8 file before it, without which outputs cannot be held against a reference. `seconds` is what a
    card says that one invoke takes, None if none does; `places` are the files and lines that ask for it.
    """

    model: Reference
    bench: Reference
    board: str
    seconds: float | None = None
    places: list[tuple[Path, int]] = field(default_factory=list)


def wanted(
    shown: Mapping[Path, Overview], checksums: Checksums, words: Words
) -> tuple[list[Want], list[str]]:
    """Return what cards ask for, in the order in which they do, and which boards of theirs are not known.

    A place that is still empty ("-" with a foot-note, or below the name of a board) is asked for as well.
    """
    known = set(words.boards.values())
    found: dict[tuple[str, str], Want] = {}
    unknown: dict[str, None] = {}
    for path, overview in shown.items():
        for table in overview.tables:
            for row in table.rows:
                model = reference(row.url or row.model or "", checksums)
                if model is None or not model.file.lower().endswith(".tflite"):
                    continue
                if not row.url:
                    model = replace(model, url="")
                for value in row.values:
                    measured = words.quantity(value.column)
                    if measured is None or measured[0] != "time" or value.board is None:
                        continue
                    if value.board not in known:
                        unknown[f"{path}: line {row.line}: '{value.board}' is no board that is known"] = None
                        continue
                    want = found.setdefault(
                        (_identity(model), value.board),
                        Want(model, uncompiled(model, checksums), value.board),
                    )
                    want.places.append((path, row.line))
                    if value.text is not None and measured[1] is not None and want.seconds is None:
                        want.seconds = float(to_fraction(value.text) * measured[1].size)
    return list(found.values()), list(unknown)


def boards_of(wants: Iterable[Want]) -> list[str]:
    """Return the boards that are asked for, in the order in which they are."""
    return list(dict.fromkeys(want.board for want in wants))


def _identity(model: Reference) -> str:
    """Return what identifies a model in all cards: its hash, or else its name."""
    proof = model.sha1 or model.md5 or model.file
    return f"{proof} {'compiled' if model.vela else ''}"
