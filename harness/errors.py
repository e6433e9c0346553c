"""The errors that a person reads: one line each, with what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """Something the user can mend; the command line prints its message alone and exits with `exit_code`."""

    exit_code = 2


class BoardError(HarnessError):
    """A board, its boot loader or the line to it did not do what it should have."""

    exit_code = 1


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word `word` was probably meant to be, as a clause to append to a message.

    Returns `"; did you mean 'x' or 'y'?"` with all that begin with `word`, else with the one that is near, or
    `"; known: a, b"` if none is.
    """
    names = sorted(known)
    meant = [name for name in names if word and name.lower().startswith(word.lower())]
    meant = meant or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if meant:
        *others, last = (f"'{name}'" for name in meant)
        return f"; did you mean {', '.join(others)}{' or ' if others else ''}{last}?"
    return f"; known: {', '.join(names)}" if names else ""


def printable(text: str) -> str:
    """Return `text` on one line, with whatever would steer a terminal escaped.

    For words that come out of a file or off the line, before they are shown or put into a message.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
