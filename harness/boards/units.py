"""Quantities as people write them ("240 MHz", "8 MiB", "0x400000"), parsed to plain SI numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from harness.errors import nearest


class UnitError(ValueError):
    """A quantity that is not one, or one of another kind than is wanted."""


@dataclass(frozen=True)
class Kind:
    """A kind of quantity: its units as multiples of the SI unit that it is parsed to."""

    name: str
    example: str
    units: dict[str, Fraction]
    whole: str | None  # what the parsed number counts, where only whole numbers make sense


_BINARY = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_DECIMAL = {"kB": 10**3, "MB": 10**6, "GB": 10**9}

SIZE = Kind("size", "8 MiB", {k: Fraction(v) for k, v in {"B": 1, **_BINARY, **_DECIMAL}.items()}, "bytes")
FREQUENCY = Kind(
    "frequency",
    "240 MHz",
    {k: Fraction(v) for k, v in {"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9}.items()},
    "hertz",
)
TIME = Kind(
    "time",
    "100 ms",
    {"s": Fraction(1), "ms": Fraction(1, 10**3), "us": Fraction(1, 10**6), "ns": Fraction(1, 10**9)},
    None,
)
BAUD = Kind("line speed", "921600 Bd", {"Bd": Fraction(1), "kBd": Fraction(10**3)}, "baud")

KINDS = (SIZE, FREQUENCY, TIME, BAUD)

_QUANTITY = re.compile(
    r"\s*(?P<number>[+-]?(?:\d[\d_]*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)\s*(?P<unit>[^\W\d_]*)\s*"
)
_HEX = re.compile(r"0[xX][0-9a-fA-F]+(?:_[0-9a-fA-F]+)*")


def parse(value: object, kind: Kind) -> Fraction:
    """Parse `value`, a string with a unit or a plain number of the SI unit, as a quantity of `kind`.

    Raises UnitError that names the kind that is wanted, and the kind that was given where that is another.
    """
    wanted = f'a {kind.name} is wanted, such as "{kind.example}"'
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UnitError(f"{value!r} is not a {kind.name}; {wanted}")
    text = str(value)
    if _HEX.fullmatch(text.strip()) and kind is SIZE:
        return Fraction(int(text, 16))
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(f"{value!r} is not a number with a unit; {wanted}")
    number, unit = Fraction(match["number"].replace("_", "")), match["unit"]
    if not unit:
        if isinstance(value, str):
            raise UnitError(f"{value!r} has no unit; {wanted}")
        scale = Fraction(1)
    elif unit in kind.units:
        scale = kind.units[unit]
    else:
        other = next((k for k in KINDS if unit in k.units), None)
        if other is not None:
            raise UnitError(f"{value!r} is a {other.name}; {wanted}")
        raise UnitError(f"{value!r}: '{unit}' is no unit of a {kind.name}{nearest(unit, kind.units)}")
    if number < 0:
        raise UnitError(f"{value!r} is negative; {wanted}")
    quantity = number * scale
    if kind.whole and quantity.denominator != 1:
        raise UnitError(f"{value!r} is not a whole number of {kind.whole}")
    return quantity


def size(value: object) -> int:
    """Parse a size ("8 MiB", "0x1000", 4096) to bytes."""
    return int(parse(value, SIZE))


def frequency(value: object) -> int:
    """Parse a frequency ("240 MHz", 240000000) to hertz."""
    return int(parse(value, FREQUENCY))


def time(value: object) -> float:
    """Parse a time ("100 ms", 0.1) to seconds."""
    return float(parse(value, TIME))


def baud(value: object) -> int:
    """Parse a line speed ("921600 Bd", 921600) to baud."""
    return int(parse(value, BAUD))


def address(value: object) -> int:
    """Parse an address or an offset ("0x400000", 4194304, "4 MiB") to a byte number of at most 64 bits."""
    if isinstance(value, str) and not _HEX.fullmatch(value.strip()):
        try:
            number = size(value)
        except UnitError:
            raise UnitError(
                f'{value!r} is not an address; an address is wanted, such as "0x400000"'
            ) from None
    else:
        number = size(value)
    if number >= 1 << 64:
        raise UnitError(f"{value!r} does not fit in 64 bits")
    return number


def format_size(count: int) -> str:
    """Write bytes in the largest binary unit that keeps the number whole ("8 MiB", "1135736 B")."""
    for unit, scale in reversed(_BINARY.items()):
        if count and count % scale == 0:
            return f"{count // scale} {unit}"
    return f"{count} B"


def format_frequency(hertz: int) -> str:
    """Write hertz in the largest unit that keeps the number whole ("240 MHz")."""
    for unit, scale in (("GHz", 10**9), ("MHz", 10**6), ("kHz", 10**3)):
        if hertz and hertz % scale == 0:
            return f"{hertz // scale} {unit}"
    return f"{hertz} Hz"
