"""Where the tables of a Markdown document are: every row and cell as a span of its text.

A Markdown parser finds the tables, so that code blocks, HTML, quotes and lists are what they are for a
reader of the page; the spans are found in the text itself, and each is held against what the parser saw.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_LINE_END = re.compile(r"\r\n|\r|\n")
# YAML in front of the text, as model hubs and site generators have it; a rule ("---") has no key below it.
_FRONT_MATTER = re.compile(
    r"\A---[ \t]*\r?\n(?:#.*\n)*[\w-]+[ \t]*:.*\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?=\r?\n|$)"
)
_KEPT_ROWS = 50
_QUOTE = re.compile(r"[ \t]*>[ \t]?")
_CONTAINERS = re.compile(r"(?:[ \t]*(?:>|[-+*](?=[ \t])|\d{1,9}[.)](?=[ \t])))*[ \t]*")
_HTML_LINK = re.compile(r"<a\s[^<>]*?href\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s<>\"']+))", re.IGNORECASE)
# Nearly all links of a large card are so; reading them otherwise takes most of its time.
_PLAIN_LINK = re.compile(r"\[([\w .-]+)\]\((https?://[\w./:~-]+)\)")
_BARE_LINK = re.compile(r"https?://[^\s<>|]+")


@dataclass(frozen=True)
class Cell:
    """The text between two pipes, with its padding."""

    start: int
    end: int
    raw: str

    @property
    def text(self) -> str:
        return self.raw.strip(" \t")


@dataclass(frozen=True)
class Line:
    """One row of a table; `line` counts from 1."""

    line: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table; `first` and `after` are the indexes of its first line and of the one after its last."""

    header: Line
    delimiter: Line
    rows: tuple[Line, ...]
    first: int
    after: int


@functools.cache
def _parser(inline: bool) -> MarkdownIt:
    """Return a parser of blocks, or of what is in them, too; one is made once for all documents."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    if not inline:
        parser.core.ruler.disable("inline")
    return parser


class Document:
    """A Markdown document: its lines as spans, its tables, and which lines are no prose.

    `body` is the text with its front matter blanked out, `headings` are (level, text) by their first lines.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.body = _FRONT_MATTER.sub(lambda front: re.sub(r"[^\r\n]", " ", front[0]), text, count=1)
        self.lines = list(_lines(text))
        self._references: dict[str, Any] = {}
        shortened, self._cuts = _without_long_runs(self.body, self.lines)
        # Cells are parsed one at a time, when a row's links are asked for: a large card has few that matter.
        tokens = _parser(inline=False).parse(shortened, self._references)
        for token in tokens:
            if token.map:
                token.map = [self._line(index) for index in token.map]
        self.headings: dict[int, tuple[int, str]] = {}
        self.opaque: set[int] = set()
        self.html: set[int] = set()
        for token, behind in itertools.pairwise([*tokens, *tokens[-1:]]):
            if token.type == "heading_open" and token.map:
                self.headings[token.map[0]] = (int(token.tag[1]), behind.content)
            if token.type in ("fence", "code_block", "html_block") and token.map:
                self.opaque.update(range(*token.map))
            if token.type == "html_block" and token.map:
                self.html.update(range(*token.map))
        self.tables = tuple(self._tables(tokens))

    def _line(self, index: int) -> int:
        """Return where a line of the text that was parsed is in the document."""
        for first, removed in self._cuts:
            if index >= first:
                index += removed
        return index

    @property
    def newline(self) -> str:
        """The line end that the document uses (that of its first line)."""
        first = _LINE_END.search(self.text)
        return first[0] if first else "\n"

    def content(self, index: int) -> str:
        """Return a line without its end."""
        start, end, _ = self.lines[index]
        return self.text[start:end]

    def links(self, cell: Cell) -> list[tuple[str, str]]:
        """Return the links in a cell as (address, label), in any form Markdown or HTML gives them."""
        source = cell.text
        if not any(sign in source for sign in ("](", "][", "<", "://", "]")):
            return []
        if simple := _PLAIN_LINK.fullmatch(source):
            return [(simple[2], simple[1])]
        found: list[tuple[str, str]] = []
        tokens = (
            _parser(inline=True).parseInline(source.replace("\\|", "|"), dict(self._references))[0].children
            or []
        )
        depth = 0
        for token in tokens:
            if token.type == "link_open":
                depth += 1
                found.append((str(token.attrs.get("href", "")), ""))
            elif token.type == "link_close":
                depth -= 1
            elif token.type == "html_inline":
                for double, single, bare in _HTML_LINK.findall(token.content):
                    found.append((double or single or bare, ""))
            elif token.type in ("text", "code_inline") and depth:
                address, label = found[-1]
                found[-1] = (address, label + token.content)
            elif token.type == "text":
                found += [(address, "") for address in _BARE_LINK.findall(token.content)]
        return found

    def _tables(self, tokens: list[Any]) -> Iterator[Table]:
        quotes = lists = 0
        rows: list[tuple[int, list[str]]] = []
        span = (0, 0)
        for token in tokens:
            if token.type in ("blockquote_open", "blockquote_close"):
                quotes += token.nesting
            elif token.type in ("list_item_open", "list_item_close"):
                lists += token.nesting
            elif token.type == "table_open":
                span, rows = (token.map[0], token.map[1]), []
            elif token.type == "tr_open":
                rows.append((token.map[0], []))
            elif token.type == "inline" and rows:
                rows[-1][1].append(token.content)
            elif token.type == "table_close":
                table = self._table(span, rows, quotes, lists)
                rows = []
                if table:
                    yield table

    def _table(
        self, span: tuple[int, int], rows: list[tuple[int, list[str]]], quotes: int, lists: int
    ) -> Table | None:
        header = self._row(rows[0][0], rows[0][1], quotes, lists)
        delimiter = self._row(rows[0][0] + 1, None, quotes, 0)
        body = [self._row(index, contents, quotes, 0) for index, contents in rows[1:]]
        if header is None or delimiter is None:
            return None
        body += [
            self._row(index, None, 0, 0)
            for first, removed in self._cuts
            for index in range(first, first + removed)
            if span[0] < first < span[1]
        ]
        body.sort(key=lambda row: row.line if row else 0)
        return Table(header, delimiter, tuple(row for row in body if row), span[0], span[1])

    def _row(self, index: int, contents: list[str] | None, quotes: int, lists: int) -> Line | None:
        """Return the row on a line, or None if its cells are not what the parser saw in it."""
        start, end, _ = self.lines[index]
        if lists:
            at = _match_end(_CONTAINERS, self.text, start, end)
        else:
            at = start
            for _ in range(quotes):
                at = _match_end(_QUOTE, self.text, at, end)
        cells = tuple(Cell(a, b, self.text[a:b]) for a, b in split_cells(self.text, at, end))
        if contents is not None:
            seen = [cell.text.replace("\\|", "|").strip() for cell in cells][: len(contents)]
            if seen + [""] * (len(contents) - len(seen)) != [content.strip() for content in contents]:
                return None
        return Line(index + 1, cells)


def _without_long_runs(body: str, lines: list[tuple[int, int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """Return a text without most of the rows of long tables, and what was cut as (first line, how many).

    Behind a table's first rows nothing but another row begins with a pipe at the margin, and the parser takes
    most of its time for these. A first line is counted with all lines before it in their places.
    """
    pieces: list[str] = []
    cuts: list[tuple[int, int]] = []
    at = 0
    for is_row, run in itertools.groupby(enumerate(lines), key=lambda line: body.startswith("|", line[1][0])):
        indexes = [index for index, _ in run] if is_row else []
        if len(indexes) > 2 * _KEPT_ROWS:
            first, last = indexes[_KEPT_ROWS], indexes[-1]
            pieces.append(body[at : lines[first][0]])
            at = lines[last][2]
            cuts.append((first, last - first + 1))
    return "".join(pieces) + body[at:], cuts


def split_cells(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the spans between the unescaped pipes of text[start:end], outer pipes taken off."""
    while start < end and text[start] in " \t":
        start += 1
    while end > start and text[end - 1] in " \t":
        end -= 1
    bounds = [start - 1]
    bounds += [i for i in range(start, end) if text[i] == "|" and not (i > start and text[i - 1] == "\\")]
    bounds.append(end)
    spans = [(a + 1, b) for a, b in itertools.pairwise(bounds)]
    if spans and spans[0][0] == spans[0][1]:
        spans = spans[1:]
    if spans and spans[-1][0] == spans[-1][1]:
        spans = spans[:-1]
    return spans


def _lines(text: str) -> Iterator[tuple[int, int, int]]:
    """Yield each line as (start, end without its line end, end)."""
    at = 0
    for match in _LINE_END.finditer(text):
        yield at, match.start(), match.end()
        at = match.end()
    if at < len(text):
        yield at, len(text), len(text)


def _match_end(pattern: re.Pattern[str], text: str, start: int, end: int) -> int:
    match = pattern.match(text, start, end)
    return match.end() if match else start
