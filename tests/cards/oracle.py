"""What the cards and entries of the model zoo say, read by rules of its own: this knows no harness.cards.

The oracle knows the forms that the zoo has had since 2023, and those alone. For each figure it says where the
number stands in the text, which file and board it is of, and which unit it is in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

TIMES = {"Inference(ms)", "Invoke Time (ms)", "Invoke Time* (ms)", "Invoking Time* (ms)", "调用时间 (ms)"}
RAMS = {
    "Peek RAM(MB)": 10**6,
    "Invoking RAM (MiB)": 2**20,
    "Invoking RAM (KiB)": 2**10,
    "调用内存 (MiB)": 2**20,
}
BOARDS = {
    "xiao_esp32s3": "xiao_esp32s3",
    "ESP32-S3 (XIAO)": "xiao_esp32s3",
    "grove_vision_ai": "grove_vision_ai",
    "Grove Vision AI": "grove_vision_ai",
    "SenseCAP A1101": "sensecap_a1101",
    "grove_vision_ai_we2": "grove_vision_ai_we2",
    "we2": "grove_vision_ai_we2",
}
RULE = re.compile(r"[\s|:-]+")
FILE = re.compile(r"\]\((?:[^()\s]*/)?([^()/\s]+\.tflite)\)")
HASH = re.compile(r"([0-9a-f]{40})(?:_vela)?\.tflite$")
MARKED = re.compile(r"(\d+(?:\.\d+)?)<sup>((?:\(\d\))+)")
BARE = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Figure:
    """A number of a card: text[start:end], of a file on boards (those that share it), in seconds or bytes."""

    start: int
    end: int
    line: int
    file: str
    sha1: str | None
    boards: tuple[str, ...]
    quantity: str
    size: float
    precision: str

    @property
    def vela(self) -> bool:
        return self.file.endswith("_vela.tflite")


def figures(name: str, text: str) -> list[Figure]:
    """Return the figures of .tflite files whose board a card or entry names."""
    return list(_of_entries(text) if name.endswith(".json") else _of_tables(text))


def _of_tables(text: str) -> Iterator[Figure]:
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    fenced = _fenced(lines)
    for index in range(len(lines) - 1):
        cells = [cell.strip() for cell in lines[index].strip().strip("|").split("|")]
        times = [i for i, cell in enumerate(cells) if cell in TIMES]
        if index in fenced or len(times) != 1 or not RULE.fullmatch(lines[index + 1]):
            continue
        end = index + 2
        while end < len(lines) and "|" in lines[end]:
            end += 1
        notes = _notes(lines[end:])
        header_board = notes.get("*") if "*" in cells[times[0]] else None
        for row in range(index + 2, end):
            yield from _of_row(lines[row], starts[row], row, cells, times[0], notes, header_board)


def _of_row(
    line: str, start: int, row: int, header: list[str], time: int, notes: dict[str, str], bare: str | None
) -> Iterator[Figure]:
    spans = _cells(line)
    file = FILE.search(line)
    shift = len(header) - len(spans)
    if not file or shift < 0 or shift > 1:
        return

    def said(column: str) -> str:
        at = next((i for i, head in enumerate(header) if head.casefold() == column), None)
        return "" if at is None else line[slice(*spans[at - shift])].strip()

    of_file = {"file": file[1], "sha1": _sha1(file[1])}
    precision = said("precision") or said("精度")
    at, to = spans[time - shift]
    found = [
        Figure(
            start=start + at + match.start(1),
            end=start + at + match.end(1),
            line=row + 1,
            boards=tuple(notes.get(key, "?") for key in re.findall(r"\d", match[2])),
            quantity="time",
            size=1e-3,
            precision=precision,
            **of_file,
        )
        for match in MARKED.finditer(line[at:to])
    ]
    if not found and bare and BARE.fullmatch(line[at:to].strip()):
        number = BARE.search(line[at:to])
        span = (start + at + number.start(), start + at + number.end())
        found = [Figure(*span, row + 1, *of_file.values(), (bare,), "time", 1e-3, precision)]
    yield from found
    boards = {board for figure in found for board in figure.boards}
    rams = [i for i, head in enumerate(header) if head in RAMS]
    if len(rams) == 1 and len(boards) == 1:
        at, to = spans[rams[0] - shift]
        if BARE.fullmatch(line[at:to].strip()):
            number = BARE.search(line[at:to])
            span = (start + at + number.start(), start + at + number.end())
            size = RAMS[header[rams[0]]]
            yield Figure(*span, row + 1, *of_file.values(), tuple(boards), "ram", size, precision)


def _cells(line: str) -> list[tuple[int, int]]:
    start = len(line) - len(line.lstrip())
    stripped = line.rstrip()
    start += stripped[start : start + 1] == "|"
    end = len(stripped) - stripped.endswith("|")
    spans, at = [], start
    for index in range(start, end + 1):
        if index == end or line[index] == "|":
            spans.append((at, index))
            at = index + 1
    return spans


def _notes(lines: list[str]) -> dict[str, str]:
    """Return the boards of the foot-notes below a table, up to the next table or heading behind them."""
    found: dict[str, str] = {}
    for line in lines:
        if found and line.startswith("#"):
            break
        if line.startswith("|"):
            if found:
                break
            continue
        for key, name in re.findall(r"<sup>(\d)</sup>[^\[<]*\[([^\]]*)\]", line):
            if name in BOARDS:
                found.setdefault(key, BOARDS[name])
        if (note := re.fullmatch(r"\s*- \*\*\*(\d)[:：]\*\* (\w+)\.\*", line)) and note[2] in BOARDS:
            found.setdefault(note[1], BOARDS[note[2]])
        if (note := re.match(r"\\\*.*Measured on \[([^\]]*)\]", line)) and note[1] in BOARDS:
            found.setdefault("*", BOARDS[note[1]])
    return found


def _fenced(lines: list[str]) -> set[int]:
    inside, found = False, set()
    for index, line in enumerate(lines):
        fence = line.lstrip().startswith("```")
        if inside or fence:
            found.add(index)
        inside ^= fence
    return found


def _of_entries(text: str) -> Iterator[Figure]:
    """Yield the figures of an entry: Python's reader says what there is, a search where it stands."""
    at = 0
    models = json.loads(text)
    for model in models.get("models", [models]) if isinstance(models, dict) else models:
        for benchmark in model.get("benchmark", []) if isinstance(model, dict) else []:
            start = text.index('"backend"', at) if '"backend"' in text[at:] else at
            end = text.index(json.dumps(benchmark["url"]), start) if benchmark.get("url") else start
            at = end
            file = benchmark.get("url", "").rpartition("/")[2]
            times = benchmark.get("metrics", {}).get("Inference(ms)", {})
            if not file.endswith(".tflite") or not isinstance(times, dict):
                continue
            common = {"file": file, "sha1": _sha1(file), "precision": benchmark.get("precision", "")}
            block = re.compile(r'"Inference\(ms\)":\s*\{[^}]*\}').search(text, start, end)
            for key in times:
                number = re.compile(rf'"{re.escape(key)}":\s*([\d.]+)').search(
                    text, block.start(), block.end()
                )
                line = text.count("\n", 0, number.start()) + 1
                span = number.span(1)
                yield Figure(*span, line=line, boards=(BOARDS[key],), quantity="time", size=1e-3, **common)


def _sha1(file: str) -> str | None:
    match = HASH.search(file)
    return match[1] if match else None
