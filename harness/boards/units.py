"""Quantities as people write them ("240 MHz", "8 MiB", "0x400000"), parsed to plain SI numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from harness.errors import nearest


class UnitError(ValueError):
    """Not a quantity, or one of the wrong kind."""


@dataclass(frozen=True, eq=False)
class Quantity:
    """A kind of quantity: its units as multiples of the SI unit that it is parsed to."""

    name: str
    example: str
    units: dict[str, Fraction]
    whole: str | None = None  # what the parsed number counts, if only whole numbers make sense
    hexadecimal: bool = False  # whether "0x..." stands for a number of the SI unit

    def __str__(self) -> str:
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name}"

    @property
    def wanted(self) -> str:
        """What to write instead, as a clause for a message."""
        return f'{self} is wanted, such as "{self.example}"'


def _units(**scales: int | Fraction) -> dict[str, Fraction]:
    return {unit: Fraction(scale) for unit, scale in scales.items()}


_BINARY = _units(KiB=2**10, MiB=2**20, GiB=2**30)
_BYTES = _units(B=1, kB=10**3, MB=10**6, GB=10**9) | _BINARY

SIZE = Quantity("size", "8 MiB", _BYTES, whole="bytes", hexadecimal=True)
ADDRESS = Quantity("address", "0x400000", _BYTES, whole="bytes", hexadecimal=True)
FREQUENCY = Quantity("frequency", "240 MHz", _units(Hz=1, kHz=10**3, MHz=10**6, GHz=10**9), whole="hertz")
TIME = Quantity(
    "time", "100 ms", _units(s=1, ms=Fraction(1, 10**3), us=Fraction(1, 10**6), ns=Fraction(1, 10**9))
)
BAUD = Quantity("line speed", "921600 Bd", _units(Bd=1, kBd=10**3), whole="baud")

_KINDS = (SIZE, FREQUENCY, TIME, BAUD)

# Every register, file and counter that a profile speaks of is 64 bits wide at most.
_LIMIT = 1 << 64

_QUANTITY = re.compile(
    r"\s*(?P<number>[+-]?[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)\s*(?P<unit>[^\W\d_]*)\s*"
)
_HEX = re.compile(r"\s*0[xX][0-9a-fA-F]+(?:_[0-9a-fA-F]+)*\s*")


def parse(value: object, kind: Quantity) -> Fraction:
    """Parse `value`, a string with a unit or a plain number of the SI unit, as a quantity of `kind`.

    Raises UnitError that names the kind that is wanted, and the kind that was given if that is another.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UnitError(f"{_shown(value)} is not {kind}; {kind.wanted}")
    if isinstance(value, str) and kind.hexadecimal and _HEX.fullmatch(value):
        return _bounded(Fraction(int(value, 16)), value, kind)
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        raise UnitError(f"{value!r} is not a number with a unit; {kind.wanted}")
    if isinstance(value, str) and not match["unit"]:
        raise UnitError(f"{value!r} has no unit; {kind.wanted}")
    scale = _scale(match["unit"], value, kind) if match["unit"] else Fraction(1)
    return _bounded(Fraction(match["number"].replace("_", "")) * scale, value, kind)


def _shown(value: object) -> str:
    return "this" if isinstance(value, dict | list | tuple) else repr(value)


def _scale(unit: str, value: object, kind: Quantity) -> Fraction:
    if unit in kind.units:
        return kind.units[unit]
    other = next((other for other in _KINDS if unit in other.units), None)
    if other is not None:
        raise UnitError(f"{value!r} is {other}; {kind.wanted}")
    # A wrong case is the commonest slip, and too far off for a comparison of letters.
    meant = next((known for known in kind.units if known.casefold() == unit.casefold()), unit)
    raise UnitError(f"{value!r}: '{unit}' is no unit of {kind}{nearest(meant, kind.units)}")


def _bounded(quantity: Fraction, value: object, kind: Quantity) -> Fraction:
    if quantity < 0:
        raise UnitError(f"{value!r} is negative; {kind.wanted}")
    if quantity >= _LIMIT:
        raise UnitError(f"{value!r} is too large for {kind}; it must fit in 64 bits")
    if kind.whole and quantity.denominator != 1:
        raise UnitError(f"{value!r} is not a whole number of {kind.whole}")
    return quantity


def size(value: object) -> int:
    """Parse a size ("8 MiB", "0x1000", 4096) to bytes."""
    return int(parse(value, SIZE))


def address(value: object) -> int:
    """Parse an address or an offset ("0x400000", 4194304, "4 MiB") to the number of the byte."""
    return int(parse(value, ADDRESS))


def frequency(value: object) -> int:
    """Parse a frequency ("240 MHz", 240000000) to hertz."""
    return int(parse(value, FREQUENCY))


def time(value: object) -> float:
    """Parse a time ("100 ms", 0.1) to seconds."""
    return float(parse(value, TIME))


def baud(value: object) -> int:
    """Parse a line speed ("921600 Bd", 921600) to baud."""
    return int(parse(value, BAUD))


def write(quantity: float, kind: Quantity) -> str:
    """Write a quantity in the largest unit that keeps it whole ("8 MiB", "1135736 B"); an address in hex."""
    if kind is ADDRESS:
        return f"{int(quantity):#x}"
    exact = Fraction(str(quantity))
    units = _BINARY | {"B": Fraction(1)} if kind is SIZE else kind.units
    for unit, scale in sorted(units.items(), key=lambda item: item[1], reverse=True):
        if exact and exact % scale == 0:
            return f"{exact // scale} {unit}"
    smallest = min(units, key=lambda unit: units[unit])
    return f"{float(exact / units[smallest]):g} {smallest}"
