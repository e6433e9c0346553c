"""Additions to a JSON text in the form that it has: its indentation, its separators, its line ends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.cards.card import Edit
from harness.cards.jsontext import Member, Node

# A value to be added: a number's text, the members of an object, or the strings of an array.
Added = str | Mapping[str, str] | Sequence[str]


@dataclass(frozen=True)
class JsonStyle:
    """How a JSON file is written."""

    text: str
    root: Node

    def between(self) -> str:
        """Return what stands between two parts on one line: with a space if ':' has one behind it."""
        return "," + self.colon()[1:]

    def colon(self) -> str:
        """Return what stands between a key and its value: as the first one of the file has it."""
        node = self.root
        while not node.members and node.items:
            node = node.items[0]
        if not node.members:
            return ": "
        first = node.members[0]
        return ":" + self.text[first.key_end : first.value.start].partition(":")[2]

    def newline(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"

    def step(self) -> str:
        """Return the indentation of one level: that of the first thing in the file which has one."""
        node = self.root
        while node.members or node.items:
            first = node.members[0].start if node.members else node.items[0].start
            space = self.text[node.start + 1 : first]
            if "\n" in space:
                return space.rpartition("\n")[2][len(self.indent(node.start)) :] or "    "
            node = node.members[0].value if node.members else node.items[0]
        return "    "

    def indent(self, at: int) -> str:
        """Return the indentation of the line that a character is on."""
        line = self.text[self.text.rfind("\n", 0, at) + 1 : at]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def spread(self, node: Node) -> bool:
        """Tell whether an object or array has its parts on lines of their own."""
        parts = [member.start for member in node.members] or [item.start for item in node.items]
        return bool(parts) and "\n" in self.text[node.start : parts[0]]

    def add_members(self, node: Node, members: Mapping[str, Added], spread: bool) -> Edit:
        """Return the edit that puts members at the end of an object; `spread` is for one that is empty."""
        if not node.members:
            indent = self.indent(node.start)
            return Edit(node.start, node.end, self._object(members, indent, spread))
        last = node.members[-1]
        spread = self.spread(node)
        indent = self.indent(last.start)
        separator = self._separator(node, [(m.start, m.value.end) for m in node.members])
        colon = self.text[last.key_end : last.value.start]
        added = "".join(
            f"{separator}{json.dumps(key)}{colon}{self._value(value, indent, spread)}"
            for key, value in members.items()
        )
        return Edit(last.value.end, last.value.end, added)

    def add_before(self, member: Member, node: Node, key: str, value: Added, spread: bool) -> Edit:
        """Return the edit that puts a member in front of another one of the same object."""
        separator = self._separator(node, [(m.start, m.value.end) for m in node.members])
        colon = self.text[member.key_end : member.value.start]
        indent = self.indent(member.start)
        added = f"{json.dumps(key)}{colon}{self._value(value, indent, spread)}{separator}"
        return Edit(member.start, member.start, added)

    def add_items(self, node: Node, items: Sequence[str], spread: bool) -> Edit:
        """Return the edit that puts strings at the end of an array; `spread` is for one that is empty."""
        if not node.items:
            return Edit(node.start, node.end, self._value(items, self.indent(node.start), spread))
        separator = self._separator(node, [(i.start, i.end) for i in node.items])
        end = node.items[-1].end
        return Edit(end, end, "".join(separator + json.dumps(item) for item in items))

    def _separator(self, node: Node, parts: Sequence[tuple[int, int]]) -> str:
        if len(parts) > 1:
            return self.text[parts[-2][1] : parts[-1][0]]
        space = self.text[node.start + 1 : parts[0][0]]
        if "\n" in space:
            return "," + space
        return self.between()

    def _value(self, value: Added, indent: str, spread: bool) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, Mapping):
            return self._object(value, indent, spread)
        return self._wrapped("[]", [json.dumps(item) for item in value], indent, spread)

    def _object(self, members: Mapping[str, Added], indent: str, spread: bool) -> str:
        inner = indent + self.step() if spread else indent
        parts = [f"{json.dumps(k)}{self.colon()}{self._value(v, inner, spread)}" for k, v in members.items()]
        return self._wrapped("{}", parts, indent, spread)

    def _wrapped(self, brackets: str, parts: Sequence[str], indent: str, spread: bool) -> str:
        if not spread:
            return brackets[0] + self.between().join(parts) + brackets[1]
        newline = self.newline() + indent
        inner = newline + self.step()
        return brackets[0] + inner + ("," + inner).join(parts) + newline + brackets[1]
