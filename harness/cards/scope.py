"""What the headings and the caption above a table say of all that is in it: a board, a clock, a runtime."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.cards.conditions import Condition, clocks_in, precision_of
from harness.cards.tables import Document, Table
from harness.cards.words import Words

_HTML_HEADING = re.compile(r"<(h[1-6]|summary|caption|b|strong)\b[^<>]*>(.*?)</\1>", re.IGNORECASE)
_BOLD = re.compile(r"\s*(?:>\s*)*(?:[-*+]\s+)?(\*\*|__)(?P<text>[^*]+?)\1\s*[:：]?\s*")
_CAPTION = re.compile(r"\s*(?:>\s*)*(?:[-*+]\s+)?(?P<text>\S.*?)[*_]{0,3}\s*[:：]\s*[*_]{0,3}\s*")
_NUMBERED = re.compile(r"\s*(?:>\s*)*[*_]{0,3}(?:Table\s|表)\s*\d.*")
# "float", "half" and "s8" are precisions, and mean other things as well.
_SURE = re.compile(r"\d{2}|int\d", re.IGNORECASE)
_BOLD_LEVEL = 7


@dataclass(frozen=True)
class Scope:
    """What stands above a table, from the outermost heading to the caption.

    `board` is the one board that it names, `among` the boards if it names several, `unknown` hardware that
    is none of the known boards. `conditions` are the other things that it says, each with its text.
    """

    board: str | None = None
    among: tuple[str, ...] = ()
    unknown: str | None = None
    heading: str | None = None
    conditions: tuple[tuple[Condition, str], ...] = ()

    def excludes(self, board: str) -> str | None:
        """Say why a figure of a board may not be added below these headings, or None if it may."""
        if self.unknown is not None:
            return (
                f"the table is under '{self.heading}', which names '{self.unknown}', no board that is known"
            )
        if self.among and board not in self.among:
            return f"the table is under '{self.heading}', which does not name {board}"
        return None


def scopes(document: Document, tables: list[Table], words: Words) -> list[Scope]:
    """Return what stands above each of the tables, which are in the order of the document."""
    levels: dict[int, str] = {}
    at = 0
    result = []
    for table in tables:
        for index in range(at, table.first):
            for level, text in _headings(document, index):
                levels = {lower: said for lower, said in levels.items() if lower < level}
                levels[level] = text
        at = table.first
        chain = [levels[level] for level in sorted(levels)]
        caption = _caption(document, table)
        result.append(_scope([*chain, caption] if caption else chain, words))
    return result


def _headings(document: Document, index: int) -> list[tuple[int, str]]:
    """Return the headings that begin on a line, as (level, text): real ones, HTML's and lines in bold."""
    if index in document.headings:
        return [document.headings[index]]
    line = document.content(index)
    if index in document.html:
        found = []
        for tag, text in _HTML_HEADING.findall(line):
            level = int(tag[1]) if tag[0] in "hH" and tag[1:].isdigit() else _BOLD_LEVEL
            found.append((level, text))
        if re.search(r"</details", line, re.IGNORECASE):
            found.append((_BOLD_LEVEL, ""))
        return found
    if index in document.opaque:
        return []
    bold = _BOLD.fullmatch(line)
    return [(_BOLD_LEVEL, bold["text"])] if bold else []


def _caption(document: Document, table: Table) -> str | None:
    """Return the line right above a table if it introduces the table: "Measured on SenseCAP A1101:"."""
    index = table.first - 1
    while index >= 0 and not document.content(index).strip(" \t>"):
        index -= 1
    if index < 0 or index in document.opaque or index in document.headings:
        return None
    line = document.content(index)
    if match := _CAPTION.fullmatch(line):
        return match["text"]
    return line if _NUMBERED.fullmatch(line) else None


def _scope(chain: list[str], words: Words) -> Scope:
    """Return what a chain of headings says; the innermost that names a board goes before those around it."""
    board: str | None = None
    among: tuple[str, ...] = ()
    unknown = heading = None
    for text in reversed(chain):
        named = words.named_in(text)
        if named.boards or named.unknown is not None:
            heading, unknown = " ".join(text.split()), named.unknown
            board = named.boards[0] if len(named.boards) == 1 and unknown is None else None
            among = named.boards if board is None else ()
            break
    conditions = []
    for depth, text in enumerate(reversed(chain)):
        header = f"the heading '{' '.join(text.split())}'"
        conditions += [(Condition(header, "clock"), clock) for clock in clocks_in(text)[:1]]
        if depth < 2:
            # Titles further out name what a model was trained with.
            conditions += [(Condition(header, "runtime"), name) for name in words.runtimes_in(text)[:1]]
        tokens = re.findall(r"[\w.-]+", text)
        precisions = [token for token in tokens if precision_of(token) and _SURE.search(token)]
        if len({precision_of(token) for token in precisions}) == 1:
            conditions.append((Condition(header, "precision"), precisions[0]))
    return Scope(board, among, unknown, heading, tuple(conditions))
