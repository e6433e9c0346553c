"""The foot-notes below a table: which key is which board, and the lines of new ones."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from harness.cards.card import Edit
from harness.cards.tables import Document
from harness.cards.words import Words

_STARS = re.compile(
    r"(?P<lead>\s*(?:[-*+]\s+)?\*{0,3})(?P<key>KEY)(?P<sep>\*{0,3}\s*[:：]\s*\*{0,3}\s*)"
    r"(?P<body>\S.*?)(?P<tail>[.。]?\*{0,3}(?:\s*<br\s*/?>)?\s*)".replace("KEY", r"[^\s*:：<>|\[\]]{1,12}"),
    re.IGNORECASE,
)
_SUP = re.compile(
    r"(?P<lead>\s*(?:[-*+]\s+)?(?P<em>[*_]{1,3})?<sup>\s*[(（]?)(?P<key>[^\s()（）<>]{1,12})"
    r"(?P<sep>[)）]?\s*</sup>\s*[:：]?\s*)(?P<body>\S.*?)"
    r"(?P<tail>[.。]?(?(em)(?P=em))(?:\s*<br\s*/?>)?\s*)",
    re.IGNORECASE,
)
_BRACKETS = re.compile(
    r"(?P<lead>\s*(?:[-*+]\s+)?[(（])(?P<key>[^\s()（）<>]{1,12})(?P<sep>[)）]\s*[:：]?\s*)"
    r"(?P<body>\S.*?)(?P<tail>[.。]?(?:\s*<br\s*/?>)?\s*)",
    re.IGNORECASE,
)
_STAR = re.compile(
    r"(?P<lead>\s*(?:[-*+]\s+)?)(?P<key>\\\*)(?P<sep>\s*)(?P<body>\S.*?)(?P<tail>[.。]?(?:\s*<br\s*/?>)?\s*)",
    re.IGNORECASE,
)
_DEFINITION = re.compile(
    r"(?P<lead>\s{0,3}\[\^)(?P<key>[^\s\]]{1,12})(?P<sep>\]:\s*)(?P<body>\S.*?)(?P<tail>[.。]?\s*)"
)
# Several foot-notes may stand on one line, each behind its key.
_NEXT = re.compile(r"(?<=[\s*>])(?=<sup>)", re.IGNORECASE)
_ORIGIN = re.compile(r"\s*[(（](estimated|emulated)[)）]\s*")
_CLAUSE = re.compile(r"[^,，;；]+")
_QUOTED = re.compile(r"(?:[ \t]*>[ \t]?)*")
_BEGINS = re.compile(r"\s*(?:[-*+]\s|\d+[.)]\s|#|<|\||`{3}|~{3}|>|\[\^|$)")


@dataclass(frozen=True)
class Note:
    """One foot-note; `board` is None if it names none that is known. Spans are in `source`, its text.

    `origin` is what a generated card says behind the board ("xiao_esp32s3 (estimated)"), and `shown` that
    board. `whole` is whether the foot-note is all that its line has, `sure` whether the line alone is a
    foot-note, whatever stands around it.
    """

    line: int
    key: str
    board: str | None
    text: str
    kind: str
    sure: bool
    source: str
    key_span: tuple[int, int]
    name_span: tuple[int, int]
    body_span: tuple[int, int]
    whole: bool = True
    origin: str = "measured"
    shown: str | None = None


@dataclass
class FootNotes:
    """The foot-notes of one or more tables, and those that an update adds to them.

    `after` is the index of the line that the first foot-note of a list that does not exist yet goes behind,
    `measured` the added boards that have a measured figure.
    """

    notes: list[Note]
    after: int
    language: str
    taken: set[str] = field(default_factory=set)
    added: dict[str, str] = field(default_factory=dict)
    measured: set[str] = field(default_factory=set)
    origins: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)

    def boards(self) -> dict[str, str | None]:
        """Return the board of each key; None for one that names no known board, or two of them."""
        found: dict[str, str | None] = {}
        for note in self.notes:
            found[note.key] = note.board if found.get(note.key, note.board) == note.board else None
        found.update({key: board for board, key in self.added.items()})
        return found

    def shown(self) -> dict[str, tuple[str, str]]:
        """Return the board and the origin that a reader sees behind each key."""
        found = {key: (board or f"({key})", "measured") for key, board in self.boards().items()}
        marked = {note.key: (note.shown, note.origin) for note in self.notes if note.shown}
        return {**found, **marked}

    def key(self, board: str, name: str) -> str:
        """Return the key of a board: that of its foot-note, or the next number and a foot-note to add."""
        keys = [key for key, of in self.boards().items() if of == board]
        if keys:
            return keys[0]
        numbers = [int(key) for key in (*self.boards(), *self.taken) if key.isascii() and key.isdigit()]
        self.added[board] = str(max(numbers, default=0) + 1)
        self.names[board] = name
        return self.added[board]


def find_notes(document: Document, first: int, after: int, words: Words) -> list[Note]:
    """Return the foot-notes on lines [first, after), up to a heading that follows the first of them.

    A numbered line without any markup is one if it names a board, or goes on counting from one that is.
    """
    notes: list[Note] = []
    for index in range(first, after):
        if index in document.headings and notes:
            break
        if index in document.opaque:
            continue
        for note in _read_line(document.content(index), index, words):
            if note.sure or _goes_on(notes, note):
                notes.append(note)
    return notes


def _read_line(line: str, index: int, words: Words) -> list[Note]:
    quoted = _QUOTED.match(line)
    prefix = quoted.end() if quoted else 0
    starts = [match.start() for match in _NEXT.finditer(line, prefix)]
    if starts and "<sup>" in line[: starts[0]].lower():
        starts.insert(0, 0)
    if len(starts) < 2:
        note = _read(line, prefix, index, words)
        return [note] if note else []
    pieces = [line[a:b] for a, b in itertools.pairwise([*starts, len(line)])]
    notes = [_read(piece, 0, index, words) for piece in pieces]
    return [replace(note, whole=False) for note in notes if note]


def _read(line: str, prefix: int, index: int, words: Words) -> Note | None:
    forms = (
        ("sup", _SUP),
        ("definition", _DEFINITION),
        ("brackets", _BRACKETS),
        ("stars", _STARS),
        ("star", _STAR),
    )
    kind, match = next(((k, m) for k, form in forms if (m := form.fullmatch(line, prefix))), ("", None))
    if match is None:
        return None
    body = match["body"]
    start, end = _name(body, words)
    name = body[start:end]
    board, origin, shown = words.board(name), "measured", None
    if board is None and (marked := _ORIGIN.search(name)):
        origin, shown = marked[1], words.board(name[: marked.start()])
    marks_origin = words.origin(match["key"]) is not None
    if kind in ("brackets", "stars") and not (match["key"].isdigit() or marks_origin):
        return None
    if kind == "star" and board is None:
        return None
    offset = match.start("body")
    return Note(
        line=index,
        key=match["key"].lstrip("\\"),
        board=board,
        text=name,
        kind=kind,
        sure=bool(board) or marks_origin or kind in ("sup", "definition") or "*" in match["sep"],
        source=line,
        key_span=match.span("key"),
        name_span=(offset + start, offset + end),
        body_span=match.span("body"),
        origin=origin,
        shown=shown,
    )


def _goes_on(notes: Sequence[Note], note: Note) -> bool:
    numbers = [int(other.key) for other in notes[-1:] if other.kind == note.kind and other.key.isdecimal()]
    return note.key.isdecimal() and int(note.key) - 1 in numbers


def _name(body: str, words: Words) -> tuple[int, int]:
    """Return the span of the name in a foot-note: all of it but for the phrases that may stand around one.

    Clauses that say how the accuracy was found may stand beside it.
    """
    languages = words.languages.values()
    asides = tuple(phrase.casefold() for language in languages for phrase in language.aside)
    clauses = [match.span() for match in _CLAUSE.finditer(body)]
    rest = [at for at in clauses if not _stripped(body, *at)[2].casefold().startswith(asides)]
    start, end = rest[0] if len(rest) == 1 and len(clauses) > 1 else (0, len(body))
    start, end, _ = _stripped(body, start, end)
    for language in languages:
        for phrase in sorted(language.before, key=len, reverse=True):
            if body[start:end].casefold().startswith(phrase.casefold()):
                start += len(phrase)
                break
        for phrase in sorted(language.after, key=len, reverse=True):
            if body[start:end].casefold().endswith(phrase.casefold()):
                end -= len(phrase)
                break
    start, end, _ = _stripped(body, start, end)
    return start, end


def _stripped(body: str, start: int, end: int) -> tuple[int, int, str]:
    while start < end and body[start] in " :：*_`":
        start += 1
    while start < end and body[end - 1] in " *_`.。":
        end -= 1
    return start, end, body[start:end]


def note_edits(document: Document, group: FootNotes, words: Words) -> tuple[list[Edit], dict[str, str]]:
    """Return the edits that add a group's new foot-notes, and each new line by board id or origin.

    A new line is made as the last one of the list is. Foot-notes that explain a mark which no figure bears
    any more are taken out again.
    """
    lines: dict[str, str] = {}
    edits: list[Edit] = []
    known = {origin for note in group.notes if (origin := words.origin(note.key))}
    numbered = [note for note in group.notes if not words.origin(note.key) and note.kind != "star"]
    language = words.languages[group.language]
    template = next((n for n in reversed(numbered) if n.board), numbered[-1] if numbered else None)
    for board, key in group.added.items():
        name = words.name(board, group.names[board])
        if template is None:
            said = language.note.replace("{board}", name) if board in group.measured else _sentence(name)
            lines[board] = f"<sup>{key}</sup> {said}"
            continue
        source = template.source
        said = source[slice(*template.name_span)]
        # "Measured on" is not said of a board that has none but estimated figures.
        whole = not template.board or board not in group.measured
        span = template.body_span if whole else template.name_span
        name = board if said == template.board else name
        lines[board] = _replaced(source, (template.key_span, key), (span, name))
    for origin in sorted(group.origins - known):
        mark = language.marks[origin]
        if template is None:
            lines[origin] = f"<sup>{mark.mark}</sup> {_sentence(mark.note)}"
            continue
        source = template.source
        said = mark.note if template.kind in ("stars", "brackets") else mark.note[:1].upper() + mark.note[1:]
        lines[origin] = _replaced(source, (template.key_span, mark.mark), (template.body_span, said))
    boards = [lines[board] for board in group.added]
    marks = [lines[origin] for origin in sorted(group.origins - known)]
    if not group.notes:
        if boards or marks:
            edits.append(_first_list(document, group.after, [*boards, *marks]))
        return edits, lines
    for new, anchor in ((boards, numbered or group.notes), (marks, group.notes)):
        if new:
            edits.append(_behind(document, anchor[-1], new))
    for note in group.notes:
        origin = words.origin(note.key)
        if origin and origin not in group.origins and note.whole:
            edits.append(_removal(document, note, separated=note.kind == "sup"))
    return edits, lines


def renewed_list(document: Document, notes: Sequence[Note], new: Sequence[tuple[str, str]]) -> list[Edit]:
    """Return the edits that make a list of foot-notes one of these keys and names, each line as it was."""
    template = notes[-1]
    lines = [
        _replaced(note.source, (note.key_span, key), (note.name_span, name))
        for (key, name), note in zip(new, [*notes, *[template] * len(new)], strict=False)
    ]
    edits = [
        Edit(document.lines[note.line][0], document.lines[note.line][1], line)
        for note, line in zip(notes, lines, strict=False)
        if line != note.source
    ]
    if len(lines) > len(notes):
        edits.append(_insertion(document, template.line, lines[len(notes) :]))
    return edits + [_removal(document, note, separated=False) for note in notes[len(lines) :]]


def _replaced(line: str, *parts: tuple[tuple[int, int], str]) -> str:
    for (start, end), text in sorted(parts, reverse=True):
        line = line[:start] + text + line[end:]
    return line


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("。" if ord(text[-1]) > 0x2E7F else ".")


def _behind(document: Document, note: Note, new: Sequence[str]) -> Edit:
    """Put lines behind a foot-note: as list items or definitions right below it, else as paragraphs."""
    index = note.line
    # The foot-note may go on over the next lines.
    while index + 1 < len(document.lines) and not _BEGINS.match(document.content(index + 1)):
        index += 1
    prefix = _quotes(document.content(note.line))
    line = document.content(note.line)
    item = note.kind == "definition" or re.match(r"[-*+]\s", line[len(prefix) :].lstrip())
    between = [] if item else [prefix.rstrip()]
    added = [piece for text in new for piece in (*between, text)]
    return _insertion(document, index, added)


def _first_list(document: Document, index: int, new: Sequence[str]) -> Edit:
    """Begin a list of foot-notes behind the last line of a table, as paragraphs in the same quote or item."""
    line = document.content(index)
    prefix = line[: len(line) - len(line.lstrip(" \t>"))]
    added = [piece for text in new for piece in (prefix.rstrip(), prefix + text)]
    if index + 1 < len(document.lines) and document.content(index + 1)[len(prefix.rstrip()) :].strip():
        added.append(prefix.rstrip())
    return _insertion(document, index, added)


def _insertion(document: Document, index: int, added: Sequence[str]) -> Edit:
    _, end, whole = document.lines[index]
    newline = document.text[end:whole] or document.newline
    return Edit(end, end, "".join(newline + line for line in added))


def _removal(document: Document, note: Note, separated: bool) -> Edit:
    before_end = document.lines[note.line - 1][1] if note.line else 0
    if separated and note.line > 1 and not document.content(note.line - 1).strip(" \t>"):
        before_end = document.lines[note.line - 2][1]
    return Edit(before_end, document.lines[note.line][1], "")


def _quotes(line: str) -> str:
    match = _QUOTED.match(line)
    return match[0] if match and ">" in match[0] else ""
