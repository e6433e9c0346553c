"""What boards print on their way to a firmware that answers, and what it says about those that get nowhere.

The words are the families' (`Family.begins`, `Family.troubles`). A console is read for all families at once:
a board of another kind than was expected is at the other end often enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from harness.chips.family import FAMILIES, Family


@dataclass(frozen=True)
class Told:
    """What a console says is wrong.

    Attributes:
        clause: what that is, with the console's own line, and what to do.
        final: whether waiting is in vain: the board does nothing more, or has done the same time and again.
        flashing_helps: whether another firmware may be the cure.
    """

    clause: str
    final: bool
    flashing_helps: bool


def trouble(heard: bytes) -> Told | None:
    """Return what is wrong with a board by the last bytes that it printed; None if they do not say."""
    families = [FAMILIES.get(name) for name in FAMILIES.names()]
    begun = max(
        (begin.start() for family in families for begin in re.finditer(family.begins or rb"(?!)", heard)),
        default=0,
    )
    return next((told for family in families for told in _told(family, heard, begun)), None)


def _told(family: Family, heard: bytes, begun: int) -> Iterator[Told]:
    """Yield what the words of a family say, what tells most first; the last boot began at `begun`."""
    for kind in family.troubles:
        # What ends in a restart counts from one to the next; what a board stays in, from its last start.
        found = [*re.finditer(kind.words, heard if kind.restarts else heard[begun:])]
        if found and len(found) >= kind.least:
            line = found[-1][0].strip().decode("ascii", "backslashreplace")
            final = not kind.restarts or len(found) >= kind.restarts
            yield Told(kind.clause.format(line), final, kind.flashing_helps)
