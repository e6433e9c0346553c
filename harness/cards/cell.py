"""The figures in one cell: numbers, each with the foot-notes that say which board it is of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from harness.cards.units import UNIT_PATTERN
from harness.cards.words import Words

# Between two figures: a line break or, behind the marks of the first, a stroke, a comma, a space or nothing.
_BREAK = re.compile(
    r"<br\s*/?>|(?:(?<=</sup>)|(?<=\d\]))(?:&nbsp;|\s)*[/,，;；、]?(?:&nbsp;|\s)*(?=[*`]*\d|[-—–]+<sup)",
    re.IGNORECASE,
)
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_NOTHING = r"-{1,3}|[—–]{1,2}|n/?a|n\.a\.|tb[da]|todo|none|\?|…|\.{3}|无|暂无|待测|待定|未测"
_SPACE = r"\s|&nbsp;"
_OPEN = rf"{_SPACE}|[*_`]|\[(?!\^)|<(?!/|br\b|sup\b)[a-z][^<>]*>"
_CLOSE = rf"{_SPACE}|[*_`]|</(?!sup\b)[a-z]+>|\]\((?:[^()\s]|\([^()\s]*\))*+\)"
_SEGMENT = re.compile(
    rf"(?P<head>(?:{_OPEN})*+)(?P<number>(?:{_NUMBER})(?![\d.,])|{_NOTHING}|)"
    rf"(?P<tail>(?:(?:{_SPACE})*+(?P<unit>{UNIT_PATTERN})(?!\w))?(?:{_CLOSE})*+)"
    rf"(?P<marks>(?:<sup>[^<]*+(?:</sup>)?)++|(?:\[\^[^\]]++\])++|)(?P<end>(?:{_CLOSE})*+)",
    re.IGNORECASE,
)
_PARENTHESES = re.compile(r"[(（]([^()（）]*)[)）]")


@dataclass(frozen=True)
class Style:
    """How foot-notes are put on a figure: `kind` is "(1)", "1" or "[^1]"; the first two in <sup>."""

    kind: str = "(1)"
    closed: bool = True

    def marks(self, keys: Sequence[str]) -> str:
        """Return the marks of these foot-notes."""
        if self.kind == "[^1]":
            return "".join(f"[^{key}]" for key in keys)
        body = "".join(f"({key})" for key in keys) if self.kind == "(1)" else ",".join(keys)
        return f"<sup>{body}{'</sup>' if self.closed else ''}"


@dataclass(frozen=True)
class Segment:
    """One figure of a cell: text around a number, and the keys of its foot-notes.

    `number` is None if a dash or nothing stands; `origin` is what a mark says of it ("measured" without
    one); `marked` is the marks' own text.
    """

    head: str
    number: str | None
    nothing: str
    tail: str
    unit: str | None
    marked: str
    end: str
    keys: tuple[str, ...]
    origin: str
    style: Style

    @property
    def raw(self) -> str:
        number = self.nothing if self.number is None else self.number
        return f"{self.head}{number}{self.tail}{self.marked}{self.end}"

    def marked_with(
        self, keys: Sequence[str], origin: str, style: Style, marks: Mapping[str, str]
    ) -> Segment:
        """Return this segment with other foot-notes; `marks` are the words for origins."""
        all_keys = [*keys, *([marks[origin]] if origin in marks else [])]
        marked = style.marks(all_keys) if all_keys else ""
        return replace(self, marked=marked, keys=tuple(keys), origin=origin, style=style)


@dataclass(frozen=True)
class Figures:
    """The figures of a cell and the breaks between them."""

    segments: tuple[Segment, ...]
    breaks: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(key for segment in self.segments for key in segment.keys)

    @property
    def unmarked(self) -> bool:
        """Whether a number of the cell names no board."""
        return any(s.number is not None and not s.keys for s in self.segments)

    @property
    def empty(self) -> bool:
        """Whether the cell holds no number and no mark."""
        return all(s.number is None and not s.keys for s in self.segments)


@dataclass(frozen=True)
class New:
    """A figure to be written: its text and its origin."""

    text: str
    origin: str


@lru_cache(maxsize=4096)
def parse(text: str, words: Words) -> Figures | None:
    """Read a cell, or return None for one that holds something else than figures and their marks."""
    breaks = tuple(match[0] for match in _BREAK.finditer(text))
    segments = []
    for part in _BREAK.split(text):
        match = _SEGMENT.fullmatch(part)
        marks = _marks(match["marks"], words) if match else None
        if match is None or marks is None:
            return None
        keys, origin, style = marks
        is_number = match["number"][:1].isdigit()
        segments.append(
            Segment(
                head=match["head"],
                number=match["number"] if is_number else None,
                nothing="" if is_number else match["number"],
                tail=match["tail"],
                unit=match["unit"],
                marked=match["marks"],
                end=match["end"],
                keys=keys,
                origin=origin,
                style=style,
            )
        )
    if any(s.unit and s.number is None for s in segments):
        return None
    opened, closed = "".join(s.head for s in segments), "".join(s.tail + s.end for s in segments)
    if any(opened.count(sign) != closed.count(sign) for sign in "*`"):
        # A star that closes no emphasis points to a foot-note.
        return None
    return Figures(tuple(segments), breaks)


def _marks(text: str, words: Words) -> tuple[tuple[str, ...], str, Style] | None:
    """Return the keys, the origin and the style of a segment's marks, or None if they are no marks."""
    if text.startswith("[^"):
        keys, style = re.findall(r"\[\^([^\]]+)\]", text), Style("[^1]")
    else:
        bodies = re.findall(r"<sup>([^<]*)", text, re.IGNORECASE)
        closed = text.lower().endswith("</sup>") or not text
        body = ",".join(bodies)
        style = Style("(1)" if _PARENTHESES.search(body) or not text else "1", closed)
        keys = [key for part in re.split(r"[()（）,，、;\s]+", body) if (key := part.strip())]
        if bodies and not keys:
            return None
    origins = [origin for key in keys if (origin := words.origin(key))]
    if len(origins) > 1:
        return None
    rest = tuple(key for key in keys if not words.origin(key))
    if not all(re.fullmatch(r"\w{1,12}", key) for key in rest):
        return None
    return rest, origins[0] if origins else "measured", style


def write(
    figures: Figures,
    new: Mapping[str | None, New],
    style: Style,
    group: Style | None,
    marks: Mapping[str, str],
    unit: str = "",
) -> str:
    """Return a cell's text with the new figures in it, by foot-note key (None: the number without one).

    style: how the column marks its figures. group: how the column marks one figure of several boards, None
    if it never does; figures that become alike are then put together. marks: the words of origins.
    unit: what follows a number in the cells of this column ("ms" with its space).

    Segments that no new figure concerns keep their text, except that a <sup> left open is closed if
    another figure follows it.
    """
    segments: list[tuple[Segment, bool]] = []
    joins: list[str] = []
    for index, segment in enumerate(figures.segments):
        if index:
            joins.append(figures.breaks[index - 1])
        pieces = _renewed(segment, new, marks)
        joins += ["<br>"] * (len(pieces) - 1)
        segments += pieces
    if None in new and not figures.segments[0].keys:
        segments[0] = (_put(segments[0][0], new[None], (), marks, style), True)
    known = set(figures.keys)
    added = [(key, value) for key, value in new.items() if key is not None and key not in known]
    for key, value in added:
        if len(segments) == 1 and segments[0][0].number is None and not segments[0][0].keys:
            empty = segments.pop()[0]
            segments.append((_put(replace(empty, tail=unit + empty.tail), value, (key,), marks, style), True))
            continue
        blank = Segment("", None, "", unit, None, "", "", (), "measured", style)
        joins.append(figures.breaks[-1] if figures.breaks else "<br>")
        segments.append((_put(blank, value, (key,), marks, style), True))
    if group:
        _put_together(segments, joins, group, marks)
    text = ""
    for index, (segment, _) in enumerate(segments):
        last = index == len(segments) - 1
        raw = segment.raw
        if not last and not segment.style.closed and segment.marked:
            raw = f"{raw.rstrip()}</sup>"
        text += raw + ("" if last else joins[index])
    return text


def _renewed(
    segment: Segment, new: Mapping[str | None, New], marks: Mapping[str, str]
) -> list[tuple[Segment, bool]]:
    """Split a segment of which some boards have new figures; True marks the parts that have."""
    runs: list[tuple[New | None, list[str]]] = []
    for key in segment.keys:
        value = new.get(key)
        if runs and runs[-1][0] == value:
            runs[-1][1].append(key)
        else:
            runs.append((value, [key]))
    if all(value is None for value, _ in runs):
        return [(segment, False)]
    if len(runs) == 1:
        value, keys = runs[0]
        assert value is not None
        return [(_put(segment, value, keys, marks, segment.style), True)]
    closed = replace(segment.style, closed=True)
    pieces = []
    for value, keys in runs:
        if value is None:
            pieces.append((segment.marked_with(keys, segment.origin, closed, marks), True))
        else:
            pieces.append((_put(segment, value, keys, marks, closed), True))
    return pieces


def _put(
    segment: Segment, value: New, keys: Sequence[str], marks: Mapping[str, str], style: Style
) -> Segment:
    """Return `segment` with a figure in it; its marks keep their text if they stay the same."""
    filled = replace(segment, number=value.text)
    if tuple(keys) == segment.keys and value.origin == segment.origin:
        return filled
    return filled.marked_with(keys, value.origin, style, marks)


def _put_together(
    segments: list[tuple[Segment, bool]], joins: list[str], style: Style, marks: Mapping[str, str]
) -> None:
    """Join neighbours that show the same figure, one of them new, as the column writes such figures."""
    index = 0
    while index + 1 < len(segments):
        (one, new_one), (two, new_two) = segments[index], segments[index + 1]
        alike = (one.number, one.origin, one.tail.strip()) == (two.number, two.origin, two.tail.strip())
        if alike and one.keys and two.keys and (new_one or new_two):
            last = index + 2 == len(segments)
            joined = one.marked_with(
                (*one.keys, *two.keys), one.origin, style if last else replace(style, closed=True), marks
            )
            segments[index : index + 2] = [(replace(joined, end=two.end), True)]
            del joins[index]
        else:
            index += 1
