"""Read the limits that a person writes: `3%`, `0.03`, `+0`, `+2KiB`, `+1%`."""

from __future__ import annotations

import re

from harness.errors import HarnessError

_SHARE = re.compile(r"^\+?(\d+(?:\.\d+)?)\s*(%?)$")
_SIZE = re.compile(r"^\+?(\d+(?:\.\d+)?)\s*(B|KiB|MiB|kB|MB|)$", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kib": 1024, "mib": 1024**2, "kb": 1000, "mb": 1000**2}


def share(text: str, what: str) -> float:
    """Return a share: `3%` and `0.03` are both 0.03.

    Raises HarnessError for anything else, and for a bare number of 1 or more, which could mean either.
    """
    match = _SHARE.match(text.strip())
    if not match:
        raise HarnessError(f"{what} '{text}': give a percentage, as in 3%, or a share, as in 0.03")
    number = float(match[1])
    if match[2]:
        return number / 100
    if number >= 1:
        raise HarnessError(f"{what} '{text}': is that {text}% or {100 * number:g}%? Write the % sign")
    return number


def certainty(text: str) -> float:
    """Return a confidence as a share; what is no better than a coin or cannot be reached is refused."""
    value = share(text, "--confidence")
    if not 0.5 < value < 1:
        raise HarnessError(f"--confidence '{text}': give one between 50% and 100%")
    return value


def growth(text: str) -> tuple[int, float]:
    """Return how much memory may grow, as (bytes, share): `+0`, `+1024`, `+2KiB`, `+1%`."""
    text = text.strip()
    if text.endswith("%"):
        return 0, share(text, "--max-ram")
    match = _SIZE.match(text)
    if not match:
        raise HarnessError(f"--max-ram '{text}': give bytes or a percentage, as in +0, +2KiB or +1%")
    return int(float(match[1]) * _UNITS[match[2].lower()]), 0.0
