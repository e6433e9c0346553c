"""Checked reading of flatbuffers: tables whose fields are got by name, by a reader that trusts no offset.

Every jump, vtable, vector and string has to lie inside the file, and all of them draw on one `Work`
allowance in proportion to the file's size, so that tables that point at each other many times over cannot
make a small file expensive.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from harness import tflite_schema

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")

# The smallest table takes 8 bytes of its own (the reference to it and the reference to its vtable), so with
# 16 units a table and 2 units a byte of file, a file that shares nothing does not run out.
_UNITS_PER_TABLE = 16
_UNITS_PER_BYTE = 2
_SPARE_UNITS = 1 << 16


class Damaged(Exception):
    """The bytes break the format; the message says how, without the file's name."""


class ReadBudget:
    """What is left of the allowance for reading one file."""

    __slots__ = ("left",)

    def __init__(self, file_bytes: int) -> None:
        self.left = _UNITS_PER_BYTE * file_bytes + _SPARE_UNITS

    def charge(self, units: int) -> None:
        """Take `units` off; raises Damaged if the allowance is used up."""
        self.left -= units
        if self.left < 0:
            raise Damaged("its tables share contents so often that it unfolds to far more than its size")


class Table:
    """A table of the file, of the kind that the schema calls `name`; every access may raise Damaged."""

    __slots__ = ("_data", "_schema", "_size", "_vtable", "_work", "position")

    def __init__(self, name: str, data: bytes, position: int, work: ReadBudget) -> None:
        self.position = position
        self._schema = tflite_schema.table(name)
        self._data = data
        self._work = work
        work.charge(_UNITS_PER_TABLE)
        vtable = position - self._number(_I32, position)
        length = self._number(_U16, vtable)
        self._size = self._number(_U16, vtable + 2)
        if length < 4 or vtable + length > len(data) or position + self._size > len(data):
            raise Damaged(f"the table at byte {position} reaches past the end of the file")
        self._vtable = data[vtable : vtable + length]

    def charge(self, units: int) -> None:
        """Take `units` off the file's allowance, for what is shown once more."""
        self._work.charge(units)

    def where(self, field: str) -> int | None:
        """Return the byte of the file where a field lies, None if the table does not have it."""
        slot = 4 + 2 * self._schema[field].slot
        if slot + 2 > len(self._vtable):
            return None
        offset: int = _U16.unpack_from(self._vtable, slot)[0]
        if offset and not 4 <= offset < self._size:
            raise Damaged(f"a field of the table at byte {self.position} lies outside it")
        return self.position + offset if offset else None

    def number(self, field: str) -> int:
        """Return an integer."""
        return int(self.scalar(field))

    def scalar(self, field: str) -> int | float | bool:
        """Return a scalar, the schema's default if the table does not have it."""
        known, at = self._schema[field], self.where(field)
        code = tflite_schema.SCALARS[known.kind]
        if at is None:
            return {"?": bool, "f": float}.get(code, int)(known.default)
        return self._number(struct.Struct(f"<{code}"), at)

    def numbers(self, field: str) -> tuple[int | float, ...]:
        """Return a vector of scalars, () if the table does not have it."""
        code = tflite_schema.SCALARS[self._schema[field].kind[1:-1]]
        start, length = self._vector(self.where(field), struct.calcsize(f"<{code}"))
        self._work.charge(length * struct.calcsize(f"<{code}"))
        return struct.unpack_from(f"<{length}{code}", self._data, start)

    def integers(self, field: str) -> tuple[int, ...]:
        """Return a vector of integers, () if the table does not have it."""
        found: tuple[int, ...] = self.numbers(field)  # type: ignore[assignment]  # as the schema has it
        return found

    def bytes(self, field: str) -> bytes:
        """Return a vector of bytes or a string, nothing if the table does not have it."""
        start, length = self.span(field)
        self._work.charge(length)
        return self._data[start : start + length]

    def span(self, field: str) -> tuple[int, int]:
        """Return start and length in the file of a vector of bytes or a string, without reading it."""
        return self._vector(self.where(field), 1)

    def text(self, field: str) -> str:
        """Return a string; bytes that are not UTF-8 become U+FFFD, as names carry no meaning."""
        return self.bytes(field).decode("utf-8", errors="replace")

    def table(self, field: str, name: str | None = None) -> Table | None:
        """Return the table in a field, None if there is none; `name` is the kind of a union's."""
        at = self.where(field)
        if at is None:
            return None
        return Table(name or self._schema[field].kind, self._data, self._follow(at), self._work)

    def tables(self, field: str) -> Iterator[Table]:
        """Yield the tables of a vector."""
        start, length = self._vector(self.where(field), 1)  # a byte each at least
        for at in range(start, start + 4 * length, 4):
            yield Table(self._schema[field].kind[1:-1], self._data, self._follow(at), self._work)

    def _number(self, kind: struct.Struct, at: int) -> int:
        if at < 0 or at + kind.size > len(self._data):
            raise Damaged(f"an offset leads to byte {at}, outside the file")
        value: int = kind.unpack_from(self._data, at)[0]
        return value

    def _follow(self, at: int) -> int:
        target = at + self._number(_U32, at)
        if target + 4 > len(self._data):
            raise Damaged(f"an offset leads to byte {target}, outside the file")
        return target

    def _vector(self, at: int | None, item_bytes: int) -> tuple[int, int]:
        """Return start and length of the vector that the reference at byte `at` leads to; None: (0, 0)."""
        if at is None:
            return 0, 0
        target = self._follow(at)
        length = self._number(_U32, target)
        if target + 4 + length * item_bytes > len(self._data):
            raise Damaged(f"the vector at byte {target} claims {length} items, more than the file holds")
        return target + 4, length


def root(name: str, data: bytes, work: ReadBudget) -> Table:
    """Return the root table of `data`, of the kind that the schema calls `name`; raises Damaged."""
    if len(data) < 8:
        raise Damaged("it is too short")
    return Table(name, data, _U32.unpack_from(data, 0)[0], work)
