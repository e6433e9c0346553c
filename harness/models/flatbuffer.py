"""Checked access to flatbuffers: the schema's generated classes, read through a table that trusts no offset.

The Python flatbuffers runtime follows whatever offsets and lengths a file holds. `CheckedTable` takes the
place of its `Table` under the generated classes: every jump, vtable, vector and string has to lie inside
the file, and all of them draw on one `Work` allowance in proportion to the file's size, so that tables that
point at each other many times over cannot make a small file expensive.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import flatbuffers
from flatbuffers.table import Table

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


class Work:
    """What is left of the allowance for reading one file."""

    __slots__ = ("left",)

    def __init__(self, file_bytes: int) -> None:
        self.left = _UNITS_PER_BYTE * file_bytes + _SPARE_UNITS

    def charge(self, units: int) -> None:
        """Take `units` off; raises Damaged if the allowance is used up."""
        self.left -= units
        if self.left < 0:
            raise Damaged("its tables share contents so often that it unfolds to far more than its size")


class CheckedTable(Table):
    """A flatbuffers table whose every access is checked against the bounds of the file."""

    def __init__(self, data: bytes, pos: int, work: Work) -> None:
        self.Bytes = data
        self.Pos = pos
        self._work = work
        work.charge(_UNITS_PER_TABLE)
        vtable = pos - self._number(_I32, pos)
        length = self._number(_U16, vtable)
        self._size = self._number(_U16, vtable + 2)
        if length < 4 or vtable + length > len(data) or pos + self._size > len(data):
            raise Damaged(f"the table at byte {pos} reaches past the end of the file")
        self._fields = data[vtable : vtable + length]

    def _number(self, kind: struct.Struct, at: int) -> int:
        if at < 0 or at + kind.size > len(self.Bytes):
            raise Damaged(f"an offset leads to byte {at}, outside the file")
        value: int = kind.unpack_from(self.Bytes, at)[0]
        return value

    def _follow(self, at: int) -> int:
        target = at + self._number(_U32, at)
        if target + 4 > len(self.Bytes):
            raise Damaged(f"an offset leads to byte {target}, outside the file")
        return target

    def _vector(self, at: int, item_bytes: int) -> tuple[int, int]:
        """Return start and length of the vector that the reference at byte `at` leads to."""
        target = self._follow(at)
        length = self._number(_U32, target)
        if target + 4 + length * item_bytes > len(self.Bytes):
            raise Damaged(f"the vector at byte {target} claims {length} items, more than the file holds")
        return target + 4, length

    def Offset(self, vtableOffset: int) -> int:
        """Return where in the table the field of this vtable slot lies, 0 if it is absent."""
        if vtableOffset + 2 > len(self._fields):
            return 0
        offset: int = _U16.unpack_from(self._fields, vtableOffset)[0]
        if offset and not 4 <= offset < self._size:
            raise Damaged(f"a field of the table at byte {self.Pos} lies outside it")
        return offset

    def Get(self, flags: Any, off: int) -> Any:
        """Return the scalar of type `flags` at byte `off` of the file."""
        return flags.py_type(self._number(flags.packer_type, off))

    def Indirect(self, off: int) -> int:
        """Return where the reference at byte `off` of the file leads."""
        return self._follow(off)

    def String(self, off: int) -> bytes:
        """Return the string that the reference at byte `off` of the file leads to."""
        start, length = self._vector(off, 1)
        self._work.charge(length)
        return bytes(self.Bytes[start : start + length])

    def VectorLen(self, off: int) -> int:
        """Return the item count of the vector in the field at `off`, at least a byte an item in the file."""
        return self._vector(self.Pos + off, 1)[1]

    def Vector(self, off: int) -> int:
        """Return the byte of the file where the items of the vector in the field at `off` start."""
        return self._vector(self.Pos + off, 1)[0]

    def Union(self, t2: Table, off: int) -> None:
        """Point `t2` at the table in the union field at `off`."""
        t2.Bytes = self.Bytes
        t2.Pos = self._follow(self.Pos + off)

    def GetVectorAsNumpy(self, flags: Any, off: int) -> Any:
        """Return the vector of scalars in the field at `off` as a numpy array over the file's bytes."""
        start, length = self._vector(self.Pos + off, flags.bytewidth)
        self._work.charge(length * flags.bytewidth)
        dtype = flatbuffers.number_types.to_numpy_type(flags)
        return flatbuffers.encode.GetVectorAsNumpy(dtype, self.Bytes, length, start)

    def span(self, off: int) -> tuple[int, int]:
        """Return start and length in the file of the bytes in the field at `off`, without reading them."""
        return self._vector(self.Pos + off, 1)


def root(schema: type, data: bytes, work: Work) -> Any:
    """Return the root object of `data`, of the generated class `schema`; raises Damaged."""
    if len(data) < 8:
        raise Damaged("it is too short")
    return at(schema, data, _U32.unpack_from(data, 0)[0], work)


def at(schema: type, data: bytes, pos: int, work: Work) -> Any:
    """Return the object of the generated class `schema` at byte `pos`; raises Damaged."""
    found = schema()
    found._tab = CheckedTable(data, pos, work)
    return found


def child(found: Any, owner: Any) -> Any:
    """Return `found`, the object that an accessor of `owner` gave, with checked access; None stays."""
    if found is not None:
        found._tab = CheckedTable(owner._tab.Bytes, found._tab.Pos, owner._tab._work)
    return found


def children(owner: Any, field: str) -> Iterator[Any]:
    """Yield the tables of the vector `field` of `owner`, each with checked access."""
    item = getattr(owner, field)
    for j in range(getattr(owner, field + "Length")()):
        yield child(item(j), owner)


def numbers(owner: Any, field: str) -> tuple[Any, ...]:
    """Return the vector of scalars `field` of `owner` as a tuple of Python numbers, () if absent."""
    if getattr(owner, field + "IsNone")():
        return ()
    return tuple(getattr(owner, field + "AsNumpy")().tolist())


def charge(owner: Any, units: int) -> None:
    """Take `units` off the allowance of `owner`'s file, for what is shown once more; raises Damaged."""
    owner._tab._work.charge(units)


def text(raw: bytes | None) -> str:
    """Return a string of the file; bytes that are not UTF-8 become U+FFFD, as names carry no meaning."""
    return (raw or b"").decode("utf-8", errors="replace")
