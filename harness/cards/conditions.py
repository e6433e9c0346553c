"""How a figure was measured, as a table or an entry says it, against how a record was.

A row is of a model, but a model may have several rows: one for each board, clock, runtime, precision or
input size. A record goes into a row only if it agrees with all that tells the row from the others of its
model; what cannot be held against a record leaves the row alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction

from harness.cards.words import Words
from harness.results.record import Record

_NOTHING = re.compile(r"(?:[-—–\s/?…]|n/?a|n\.a\.|none|\.{3}|无)*", re.IGNORECASE)
_TAG = re.compile(r"<(?!sup)[^<>]*>|[*`\\]", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\[\]]*)\]\((?:[^()]|\([^()]*\))*\)")
_NUMBER = re.compile(r"[-+~≈]?\d[\d,.]*(?:e[-+]?\d+)?\s*[%kKMG]?")
_HERTZ = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_CLOCK = re.compile(r"(\d+(?:\.\d+)?)\s*([kMG]?)Hz\b", re.IGNORECASE)
_CLOCK_HEAD = re.compile(r"[(\[/,\s]\s*([kMG]?)Hz\s*[)\]]?\s*$", re.IGNORECASE)
_RESULT_HEAD = re.compile(
    r"[(\[]\s*(?:%|fps|inf\.?/s(?:ec)?\.?|[mµu]?[jw]h?|[mg]?flops|[mgk]?macs)\s*[)\]]\s*$", re.IGNORECASE
)
_SIZE = re.compile(r"[\[(]?\d+(?:\s*(?:[x×*,]|\\\*)\s*\d+)+[\])]?(?:\s*px)?", re.IGNORECASE)
_PRECISIONS: dict[str, tuple[str, ...]] = {
    "int8": ("int8", "i8", "s8", "w8a8", "8 bit", "8-bit", "8bit", "int8x8"),
    "uint8": ("uint8", "u8"),
    "int16x8": ("int16x8", "w8a16", "16x8", "int16 activations"),
    "int16": ("int16", "i16", "s16", "16-bit", "16 bit", "16bit"),
    "float32": ("float32", "fp32", "f32", "float", "32-bit", "32 bit", "32bit"),
    "float16": ("float16", "fp16", "f16", "half", "bf16", "bfloat16"),
    "int4": ("int4", "i4", "w4a16", "w4a8", "4-bit", "4 bit", "4bit"),
}
_PRECISION = {name: precision for precision, names in _PRECISIONS.items() for name in names}
_PRECISION_TEXT = re.compile(
    rf"({'|'.join(sorted(map(re.escape, _PRECISION), key=len, reverse=True))})"
    r"(?:\s*(?:[(（].*[)）]|量化|quantized|quantised|ptq|qat))?",
    re.IGNORECASE,
)


class RowVerdict(Enum):
    """How a record compares with one thing that a row says."""

    AGREES = "agrees"
    DIFFERS = "differs"
    SILENT = "the row says nothing"
    UNKNOWN = "the record does not say it"


@dataclass(frozen=True)
class Condition:
    """A column (or a key of an entry, or the headings above a table) and what kind of thing it says."""

    header: str
    kind: str
    hertz: int | None = None

    def judge(self, value: str, record: Record, words: Words) -> RowVerdict:
        """Compare a record with what a row says here."""
        text = plain(value)
        if is_nothing(text) or self.kind == "result":
            return RowVerdict.SILENT
        if self.kind == "board":
            return _board(value, record, words)
        if self.kind == "clock":
            return _same_clock(clock_of(text, self.hertz), record)
        if self.kind == "runtime":
            return _runtime(text, record, words)
        if self.kind == "precision":
            said, is_of = precision_of(text), record.model.precision.removesuffix(" (Vela)")
            if said is None or is_of in ("mixed", "none"):
                return RowVerdict.UNKNOWN
            return RowVerdict.AGREES if said == is_of else RowVerdict.DIFFERS
        return RowVerdict.UNKNOWN


def plain(value: str) -> str:
    """Return the words of a cell without links, tags and emphasis."""
    return unicodedata.normalize("NFKC", _TAG.sub("", _LINK.sub(r"\1", value))).strip()


def is_nothing(text: str) -> bool:
    """Tell whether a cell says nothing: it is empty, a dash or the like."""
    return _NOTHING.fullmatch(text) is not None


def is_number(text: str) -> bool:
    """Tell whether a cell holds a number, which names no board."""
    return _NUMBER.fullmatch(text) is not None


def clock_of(text: str, hertz: int | None = None) -> Fraction | None:
    """Return the clock that a text names, in Hz; `hertz` is the unit of a bare number."""
    if match := _CLOCK.fullmatch(text.lstrip("@~ ")):
        return Fraction(match[1]) * _HERTZ[match[2].lower()]
    if hertz and re.fullmatch(r"\d+(?:\.\d+)?", text):
        return Fraction(text) * hertz
    return None


def clocks_in(text: str) -> list[str]:
    """Return the clocks that a heading names."""
    return [match[0] for match in _CLOCK.finditer(plain(text))]


def precision_of(text: str) -> str | None:
    """Return the precision that a text names, in the words of a record; None for no known one."""
    match = _PRECISION_TEXT.fullmatch(text.casefold())
    return _PRECISION[match[1].casefold()] if match else None


def condition(header: str, values: Iterable[str], words: Words) -> Condition:
    """Return what kind of thing a column says, by its values or else by its header."""
    texts = [text for value in values if not is_nothing(text := plain(value))]
    hertz = _CLOCK_HEAD.search(header)
    unit = _HERTZ[hertz[1].lower()] if hertz else None
    head = words.heading(_CLOCK_HEAD.sub("", header))
    if any(words.board(without_clock(text)) for text in texts):
        return Condition(header, "board")
    if head is None and any(words.is_hardware(text) for text in texts):
        return Condition(header, "board")
    if any(_CLOCK.search(text) for text in texts) or (hertz and head in (None, "clock", "board")):
        return Condition(header, "clock", unit)
    if any(words.runtime(text) for text in texts):
        return Condition(header, "runtime")
    if any(precision_of(text) for text in texts):
        return Condition(header, "precision")
    if texts and all(_SIZE.fullmatch(text) for text in texts):
        return Condition(header, "size")
    if head == "clock":
        return Condition(header, "clock", unit)
    # A column of percentages under a word that may mean precision is one of results.
    numbers = bool(texts) and all(is_number(text) for text in texts)
    if head == "result" or _RESULT_HEAD.search(header) or (head == "precision" and numbers):
        return Condition(header, "result")
    if head in ("board", "runtime", "precision", "size", "other"):
        return Condition(header, head)
    return Condition(header, "number" if numbers else "unknown")


def _board(value: str, record: Record, words: Words) -> RowVerdict:
    clock = _CLOCK.search(value)
    if clock and _same_clock(clock_of(clock[0]), record) is RowVerdict.DIFFERS:
        return RowVerdict.DIFFERS
    board = words.board(without_clock(value))
    if board is None:
        return RowVerdict.UNKNOWN
    return RowVerdict.AGREES if board == record.board.id else RowVerdict.DIFFERS


def without_clock(text: str) -> str:
    """Return what else a text says: "XIAO ESP32S3 @ 160 MHz" says two things."""
    clock = _CLOCK.search(text)
    if not clock:
        return text
    return text[: clock.start()].rstrip(" @,(（") + text[clock.end() :].lstrip(" )）")


def _same_clock(hertz: Fraction | None, record: Record) -> RowVerdict:
    if hertz is None:
        return RowVerdict.UNKNOWN
    # 480 MHz is 479,999,232 Hz on some boards, because of their crystal.
    near = abs(hertz - record.board.clock_hz) * 200 <= hertz
    return RowVerdict.AGREES if near else RowVerdict.DIFFERS


def _runtime(text: str, record: Record, words: Words) -> RowVerdict:
    """Hold a runtime against a record, which is of TFLite-Micro: "TFLM + ESP-NN" says two things."""
    whole = words.runtime(text)
    parts = [text] if whole else [part for part in re.split(r"[+/,;&()（）]|\bwith\b", text) if part.strip()]
    verdicts = {_runtime_part(part, record, words) for part in parts}
    for verdict in (RowVerdict.DIFFERS, RowVerdict.UNKNOWN):
        if verdict in verdicts:
            return verdict
    return RowVerdict.AGREES if verdicts else RowVerdict.UNKNOWN


def _runtime_part(text: str, record: Record, words: Words) -> RowVerdict:
    kind = words.runtime(text)
    if kind == "tflite":
        return RowVerdict.AGREES
    if kind == "compiled":
        compiled = record.model.vela is not None or record.model.precision.endswith("(Vela)")
        compiled = compiled or record.model.source_sha1 is not None or "_vela." in record.model.file.lower()
        return RowVerdict.AGREES if compiled else RowVerdict.DIFFERS
    if kind == "kernels":
        has = record.firmware.kernels
        if has is None:
            return RowVerdict.UNKNOWN
        same = re.sub(r"\W", "", text).casefold().removesuffix("kernels") in re.sub(r"\W", "", has).casefold()
        return RowVerdict.AGREES if same else RowVerdict.DIFFERS
    return RowVerdict.DIFFERS if kind == "other" else RowVerdict.UNKNOWN


@dataclass(frozen=True)
class Said:
    """What one row says, a text for each condition, and the records of its model."""

    place: str
    values: Sequence[str]
    records: Sequence[Record]


@dataclass
class Sifted:
    """The records that may go into a row; `refused` says why the others may not although they may be its own,
    `notes` why they are not.
    """

    records: list[Record] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def sift(rows: Sequence[Said], conditions: Sequence[Condition], words: Words) -> list[Sifted]:
    """Return the records that agree with each row, in the order of the rows.

    Rows of one model, which share a record, are held against each other: a record goes into one of them only
    if it agrees with all that they differ in.
    """
    result = [Sifted() for _ in rows]
    shared: dict[str, tuple[Record, list[int]]] = {}
    for number, row in enumerate(rows):
        for record in row.records:
            shared.setdefault(record.id, (record, []))[1].append(number)
    for record, numbers in shared.values():
        varying = _varying([rows[number] for number in numbers], conditions)
        fits = [n for n in numbers if _agrees(rows[n], record, conditions, varying, words, result[n])]
        unlike = _varying([rows[number] for number in fits], conditions)
        for number in fits:
            if not unlike:
                result[number].records.append(record)
                continue
            others = " and ".join([rows[n].place for n in fits[:3] if n != number])
            _once(
                result[number].refused,
                f"{others} is of the same model and fits the record as well: '{conditions[unlike[0]].header}'"
                " does not tell which of them it is of",
            )
    return result


def _agrees(
    row: Said,
    record: Record,
    conditions: Sequence[Condition],
    varying: Sequence[int],
    words: Words,
    result: Sifted,
) -> bool:
    """Tell whether a record agrees with a row, as far as can be told; say so in `result` if not."""
    verdicts = [c.judge(v, record, words) for c, v in zip(conditions, row.values, strict=True)]
    boards = [v for c, v in zip(conditions, verdicts, strict=True) if c.kind == "board"]
    for index, (one, verdict) in enumerate(zip(conditions, verdicts, strict=True)):
        said = short(plain(row.values[index]))
        if one.kind == "board" and verdict is RowVerdict.UNKNOWN:
            # "XIAO ESP32S3 | ESP32-S3": the chip beside a board that is known says nothing more.
            if RowVerdict.AGREES in boards:
                continue
            _once(
                result.notes,
                f"the row is of a board that is not known ('{said}'): left alone; add the name under [boards]"
                " of a --words file",
            )
            return False
        if verdict is RowVerdict.DIFFERS:
            if one.kind != "board":
                _once(
                    result.notes,
                    f"'{said}' ({one.header}) is not what record {record.id} is of: {_is(one, record)}",
                )
            return False
        if verdict is RowVerdict.UNKNOWN and one.kind in ("clock", "runtime"):
            _once(
                result.refused,
                f"nothing tells whether '{said}' ({one.header}) is what record {record.id} is of",
            )
            return False
    for index in varying:
        if verdicts[index] is not RowVerdict.AGREES:
            if conditions[index].kind == "board" and RowVerdict.AGREES in boards:
                continue
            said = short(plain(row.values[index])) or "-"
            _once(
                result.refused,
                f"'{said}' ({conditions[index].header}) tells the row from others of its model, and records"
                " do not say it",
            )
            return False
    return True


def _varying(rows: Sequence[Said], conditions: Sequence[Condition]) -> list[int]:
    """Return the conditions, other than results, in which the rows of one model differ."""
    if len(rows) < 2:
        return []
    return [
        index
        for index, one in enumerate(conditions)
        if one.kind != "result" and len({_folded(row.values[index]) for row in rows}) > 1
    ]


def _folded(value: str) -> str:
    text = plain(value)
    return "" if is_nothing(text) else text.casefold()


def _is(one: Condition, record: Record) -> str:
    if one.kind == "clock":
        return f"{record.board.clock_hz / 1e6:g} MHz"
    if one.kind == "precision":
        return record.model.precision
    return "TFLite-Micro" + (f", {record.firmware.kernels} kernels" if record.firmware.kernels else "")


def _once(texts: list[str], text: str) -> None:
    if text not in texts:
        texts.append(text)


def short(text: str) -> str:
    """Return a text as one line, cut to what fits into a message."""
    line = " ".join(text.split())
    return line if len(line) <= 40 else f"{line[:37]}..."
