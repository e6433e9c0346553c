"""Units that a column may be in, and how a figure is rounded into it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from harness.errors import HarnessError

Quantity = Literal["time", "ram"]
QUANTITIES: tuple[Quantity, ...] = ("time", "ram")


@dataclass(frozen=True)
class Unit:
    """A unit: `size` is how many seconds or bytes it is."""

    name: str
    quantity: Quantity
    size: Fraction


_TIME: dict[str, tuple[Fraction, tuple[str, ...]]] = {
    "s": (Fraction(1), ("sec", "seconds", "秒")),
    "ms": (Fraction(1, 1000), ("msec", "milliseconds", "毫秒")),
    "us": (Fraction(1, 10**6), ("µs", "μs", "usec", "microseconds", "微秒")),
}
# KB and MB are the decimal units of the SI, KiB and MiB the binary ones of IEC 80000-13.
_RAM: dict[str, tuple[Fraction, tuple[str, ...]]] = {
    "B": (Fraction(1), ("bytes", "byte", "字节")),
    "KB": (Fraction(1000), ("千字节",)),
    "MB": (Fraction(10**6), ("兆字节",)),
    "KiB": (Fraction(1024), ()),
    "MiB": (Fraction(1024**2), ()),
}
_ALL: dict[Quantity, dict[str, tuple[Fraction, tuple[str, ...]]]] = {"time": _TIME, "ram": _RAM}
UNITS: dict[str, Unit] = {
    alias.casefold(): Unit(name, quantity, size)
    for quantity, table in _ALL.items()
    for name, (size, aliases) in table.items()
    for alias in (name, *aliases)
}
# Longest first, so that "ms" is not read as "s".
UNIT_PATTERN = "|".join(re.escape(alias) for alias in sorted(UNITS, key=len, reverse=True))


@dataclass(frozen=True)
class Digits:
    """How figures are rounded: as the column does it (neither set), to decimals, or to significant digits."""

    decimals: int | None = None
    significant: int | None = None


AS_THE_COLUMN = Digits()
# For a column that holds no figure yet.
EMPTY_COLUMN = Digits(significant=3)


def parse_digits(rule: str) -> Digits:
    """Read a `--digits` rule: `column`, a number of decimals (`0` to `9`), or `sig1` to `sig9`.

    Raises HarnessError for anything else.
    """
    if rule == "column":
        return Digits()
    match = re.fullmatch(r"(sig)?([0-9])", rule)
    if not match or rule == "sig0":
        raise HarnessError(
            f"--digits {rule}: not a rule; use 'column', a number of decimals 0 to 9, or 'sig3' for three "
            "significant digits"
        )
    count = int(match[2])
    return Digits(significant=count) if match[1] else Digits(decimals=count)


def decimals_of(number: str) -> int:
    """Return how many digits follow the point in a number's text."""
    return len(number.partition(".")[2])


def to_fraction(number: str) -> Fraction:
    """Return the exact value of a number's text, which may group thousands with commas."""
    return Fraction(number.replace(",", ""))


def rounded(value: Fraction, digits: Digits, grouped: bool = False) -> str:
    """Return `value` as text, halves rounded up; `grouped` puts commas between thousands.

    A value above zero never becomes a zero: it then keeps one significant digit.
    """
    if digits.significant is not None:
        decimals = max(0, digits.significant - _magnitude(value))
    else:
        decimals = digits.decimals or 0
    if 0 < value < Fraction(1, 2 * 10**decimals):
        decimals = 1 - _magnitude(value)
    scaled = int(value * 10**decimals + Fraction(1, 2))
    whole, rest = divmod(scaled, 10**decimals)
    text = f"{whole:,}" if grouped else str(whole)
    return f"{text}.{rest:0{decimals}d}" if decimals else text


def _magnitude(value: Fraction) -> int:
    """Return how many digits stand before the point; zero and below for values under 0.1."""
    if value <= 0:
        return 1
    magnitude = len(str(int(value))) if value >= 1 else 0
    while magnitude <= 0 and value < Fraction(1, 10 ** (1 - magnitude)):
        magnitude -= 1
    return magnitude
