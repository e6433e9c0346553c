"""The benchmarks in a file of the model zoo, as they are found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.cards import cell
from harness.cards.figures import UNMEASURED
from harness.cards.jsontext import Member, Node
from harness.cards.units import Quantity, decimals_of
from harness.cards.words import Words

_MARKED = re.compile(rf"(.*) \(({'|'.join(UNMEASURED)})\)", re.DOTALL)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Entry:
    """One benchmark of the file; `holder` is the object that it is in a list of, None for the file itself."""

    node: Node
    url: str
    line: int
    metrics: Member
    holder: Node | None

    @property
    def place(self) -> str:
        """What a person calls it; a file may be all on one line."""
        return f"line {self.line} (character {self.node.start})"

    @property
    def devices(self) -> list[str]:
        """The names of its `device`, which is a list of them or one."""
        device = self.node.get("device")
        nodes = [device.value, *device.value.items] if device else []
        return [node.text for node in nodes if node.kind == "string"]

    @property
    def checksum(self) -> str | None:
        """What the entry says of the bytes of its file, None for nothing."""
        checksum = self.node.get("checksum")
        return checksum.value.text if checksum and checksum.value.kind == "string" else None

    def says(self) -> dict[str, str]:
        """Return what else the entry says of itself, by key."""
        return {
            member.key: member.value.text
            for member in self.node.members
            if member.value.kind in ("string", "number") and member.key not in _NOT_CONDITIONS
        }


_NOT_CONDITIONS = ("url", "author", "checksum")


def find_entries(text: str, root: Node) -> Iterator[Entry]:
    """Yield every object of a JSON text that has a `url` and `metrics`, from the first line on."""
    line, at = 1, 0
    stack: list[tuple[Node, Node | None]] = [(root, None)]
    while stack:
        node, holder = stack.pop()
        url, metrics = node.get("url"), node.get("metrics")
        if url and metrics and url.value.kind == "string" and metrics.value.kind == "object":
            line += text.count("\n", at, node.start)
            at = node.start
            yield Entry(node, url.value.text, line, metrics, holder)
        inner = node if node.kind == "object" else holder
        parts = [*(member.value for member in node.members), *node.items]
        stack += [(part, inner) for part in reversed(parts)]


def figures_of(metric: Node) -> Iterator[tuple[str | None, str, Node]]:
    """Yield the figures of a metric as (board or None, origin, value)."""
    if metric.kind != "object":
        yield None, "measured", metric
        return
    for member in metric.members:
        board, origin = unmarked(member.key)
        yield board, origin, member.value


def unmarked(key: str) -> tuple[str, str]:
    """Return the board that a key names, and the origin behind it."""
    marked = _MARKED.fullmatch(key)
    return (marked[1], marked[2]) if marked else (key, "measured")


def number_of(node: Node) -> str | None:
    """Return the text of a number, which some entries keep as a string; None for a dash or null."""
    return node.text if node.kind in ("number", "string") and _NUMBER.fullmatch(node.text) else None


def canonical(node: Node) -> bool:
    """Tell whether every number in a value is written as Python's and most other programs write it."""
    stack = [node]
    while stack:
        one = stack.pop()
        if one.kind == "number" and repr(json.loads(one.text)) != one.text:
            return False
        stack += [*(member.value for member in one.members), *one.items]
    return True


def is_nothing(node: Node, words: Words) -> bool:
    """Tell whether a dash or the like stands where a figure would."""
    figures = cell.parse(node.text, words) if node.kind == "string" else None
    return figures is not None and figures.empty


@dataclass
class Usual:
    """How a model's entry keeps its figures: the name of its metric of each quantity, and by that name
    whether it is an object by board and how many decimals it has; and a list of devices. `canonical` is
    whether all of its numbers are written as a program writes them, "15.1" and not "15.10".
    """

    names: dict[Quantity, str] = field(default_factory=dict)
    by_board: dict[str, bool] = field(default_factory=dict)
    decimals: dict[str, int] = field(default_factory=dict)
    devices: Node | None = None
    canonical: bool = True

    def see(self, entry: Entry, words: Words) -> None:
        """Take one more benchmark into account."""
        for member in entry.metrics.value.members:
            name = member.key
            measured = words.quantity(name)
            if measured is None:
                continue
            self.names.setdefault(measured[0], name)
            self.by_board.setdefault(name, member.value.kind == "object")
            for _, _, node in figures_of(member.value):
                if (number := number_of(node)) is not None:
                    self.decimals[name] = max(self.decimals.get(name, 0), decimals_of(number))
        device = entry.node.get("device")
        if self.devices is None and device and device.value.items:
            self.devices = device.value
