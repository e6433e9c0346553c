"""Fitting: whether this installation has what a profile names, its chip family above all."""

from __future__ import annotations

from collections.abc import Iterator

from harness import boards
from harness.boards import Profile, problems
from harness.boards.problems import ProfileError
from harness.chips.family import FAMILIES, Finding, family_of
from harness.flash.method import FLASHERS
from harness.wire.protocol import PROTOCOLS


def load(name: str) -> Profile:
    """Return the profile with this id, alias or file, after checking that everything it names is installed.

    Raises HarnessError as `harness.boards.load` does, and ProfileError for what is not there.
    """
    board = boards.load(name)
    require(board)
    return board


def require(board: Profile) -> None:
    """Raise ProfileError, with the lines of its file, if a profile names what is not there."""
    found = list(_findings(board))
    if found:
        text = board.path.read_text(encoding="utf-8-sig")
        raise ProfileError(board.path, problems.place(found, text))


def cannot_be_emulated(board: Profile) -> str | None:
    """Return why a board has no virtual twin, in a line; None if it has one."""
    family = family_of(board)
    if family.rom is not None:
        return None
    return f"it cannot be emulated: the chip family '{family.name}' has no virtual boot ROM"


def _findings(board: Profile) -> Iterator[Finding]:
    unknown = FAMILIES.problem(board.chip.family)
    if unknown is not None:
        yield ("chip", "family"), unknown
    else:
        yield from family_of(board).findings(board)
    if wrong := FLASHERS.problem(board.flash.method):
        yield ("flash", "method"), wrong
    else:
        yield from FLASHERS.get(board.flash.method).findings(board)
    for index, name in enumerate(board.protocols.supported):
        if wrong := PROTOCOLS.problem(name):
            yield ("protocols", "supported", index), wrong
