"""JSON as text: every value with its span, so that one can be changed and the rest left alone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from json.decoder import scanstring  # type: ignore[attr-defined]

_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")


@dataclass
class Member:
    """A key of an object and its value; `start` to `key_end` is the key with its quotes."""

    key: str
    start: int
    key_end: int
    value: Node


@dataclass
class Node:
    """A value and its span; `kind` is "object", "array", "string", "number" or "literal"."""

    kind: str
    start: int
    end: int
    text: str = ""
    members: list[Member] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)

    def get(self, key: str) -> Member | None:
        """Return the member of an object by its key (the last one, as JSON readers take it)."""
        return next((member for member in reversed(self.members) if member.key == key), None)


def parse(text: str) -> Node:
    """Read a JSON text.

    Raises json.JSONDecodeError if it is not JSON, RecursionError if it is nested too deep.
    """
    json.loads(text)
    node, _ = _value(text, _skip(text, 0))
    return node


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _value(text: str, at: int) -> tuple[Node, int]:
    sign = text[at]
    if sign == "{":
        return _container(text, at, "object", "}")
    if sign == "[":
        return _container(text, at, "array", "]")
    if sign == '"':
        value, end = scanstring(text, at + 1)
        return Node("string", at, end, value), end
    match = _SCALAR.match(text, at)
    if match is None:
        raise json.JSONDecodeError("NaN and Infinity are no JSON values", text, at)
    kind = "literal" if match[0][0] in "tfn" else "number"
    return Node(kind, at, match.end(), match[0]), match.end()


def _container(text: str, at: int, kind: str, end: str) -> tuple[Node, int]:
    node = Node(kind, at, at)
    at = _skip(text, at + 1)
    while text[at] != end:
        if kind == "object":
            key, key_end = scanstring(text, at + 1)
            value, after = _value(text, _skip(text, _skip(text, key_end) + 1))
            node.members.append(Member(key, at, key_end, value))
        else:
            value, after = _value(text, at)
            node.items.append(value)
        at = _skip(text, after)
        if text[at] == ",":
            at = _skip(text, at + 1)
    node.end = at + 1
    return node, node.end
