"""Tables of every kind, put together at random: a figure only goes where the card says that it belongs.

The oracle below knows how each table was put together, and reads nothing of harness.cards: from the pieces it
says which boards' figures may go into a row, and which must.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.cards import Rules
from harness.cards.models import RecordsByModel
from harness.cards.planning import plan
from harness.results.record import Record
from tests.cards.making import SHA1, benched

SAMPLE = settings(max_examples=250, suppress_health_check=list(HealthCheck))
WHOLE = settings(max_examples=20_000, suppress_health_check=list(HealthCheck))

NAMES = {
    "xiao_esp32s3": ("XIAO ESP32S3", "xiao_esp32s3", "[ESP32-S3 (XIAO)](https://e.com/x)"),
    "grove_vision_ai": ("Grove Vision AI", "grove_vision_ai", "**Grove Vision AI Module**"),
    "grove_vision_ai_we2": ("Grove Vision AI V2", "we2", "Grove Vision AI WE2"),
    "sensecap_a1101": ("SenseCAP A1101", "sensecap_a1101", "`SenseCAP A1101`"),
}
STRANGERS = (
    "STM32H743",
    "ESP32-P4",
    "Nicla Vision",
    "nRF52840",
    "Grove Vision AI V3",
    "XIAO ESP32C3",
    "Rig B",
)
# What is benched, and the text that shows it: no figure of a table is one of these.
NEW = {"xiao_esp32s3": "111", "grove_vision_ai": "222", "grove_vision_ai_we2": "333"}
TIMES = ("Inference(ms)", "Invoke Time (ms)", "Latency / ms", "推理时间 (ms)", "**Inference Time**(ms)")
NO_TIMES = ("Preprocess(ms)", "Throughput (FPS)", "Inference(FPS)", "Time to market (ms)", "P99 (ms)")
BOARD_HEADS = (
    *("Board", "Platform", "MCU", "Chip", "Series", "SoC", "Device", "平台", "芯片", "开发板", "Target"),
    *("Rig", "Where", "Testbed", "Variante", "机器", "x", ""),
)
CONDITIONS: dict[str, dict[str, bool | None]] = {
    # What a row may say, and whether the records agree (None: they do not say it).
    "clock": {"240 MHz": True, "160 MHz": False, "0.24 GHz": True, "80MHz": False, "max": None},
    "runtime": {"TFLM": True, "TFLite": True, "EON": False, "ONNX Runtime": False, "ESP-DL": False},
    "precision": {"INT8": True, "int8 (PTQ)": True, "FLOAT32": False, "fp16": False, "W8A16": False},
    "unknown": {"fast": None, "slow": None, "on": None, "off": None, "PSRAM": None},
    "number": {"1": None, "2": None, "4": None},
}
CONDITION_HEADS = {
    "clock": ("Clock", "CPU Frequency", "主频", "Setup"),
    "runtime": ("Runtime", "Backend", "框架", "Stack"),
    "precision": ("Precision", "Quantization", "精度", "Kind"),
    "unknown": ("Mode", "Core", "Memory", "Cache"),
    "number": ("Threads", "Cores", "Batch"),
}
NEUTRAL = ("Results", "Person detection", "## Benchmark", "性能", "Models of 2024")


@dataclass
class Row:
    """A row: what its time cell shows by board ("" for a bare figure, "?" for an unknown foot-note)."""

    tag: str
    board: str | None
    board_text: str
    shown: dict[str, str]
    conditions: list[str]
    extra: bool
    ours: bool


@dataclass
class Sheet:
    """A card of one table, in pieces."""

    heading: str = ""
    heading_board: str | None = None
    stranger_above: bool = False
    head: str = "Inference(ms)"
    head_board: str | None = None
    head_unclear: bool = False
    board_head: str | None = None
    conditions: list[tuple[str, str]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    style: str = "(1)"
    proven: bool = True
    measured: bool = True

    @property
    def text(self) -> str:
        headers = [*([self.board_head] if self.board_head is not None else [])]
        headers += [head for head, _ in self.conditions] + [self.head, "Link"]
        lines = [f"| {' | '.join(headers)} |", f"|{'---|' * len(headers)}"]
        for row in self.rows:
            cells = [*([row.board_text] if self.board_head is not None else []), *row.conditions]
            cells += [self.cell(row), f"[Link](https://e.com/{row.tag}/{self.file(row)})"]
            lines.append(f"| {' | '.join(cells)} |{' 9 |' if row.extra else ''}")
        notes = [f"<sup>{key}</sup> Measured on {board}.\n" for board, key in self.keys.items()]
        return "\n".join([self.heading, "", *lines, "", *notes])

    def file(self, row: Row) -> str:
        if not row.ours:
            return f"other_sha1_{'0' * 40}.tflite"
        return f"model_sha1_{SHA1}.tflite" if self.proven else "model.tflite"

    def cell(self, row: Row) -> str:
        parts = []
        for board, number in row.shown.items():
            key = self.keys.get(NAMES[board][0] if board in NAMES else "", "9")
            mark = f"<sup>({key})</sup>" if self.style == "(1)" else f"[^{key}]"
            parts.append(number if board == "" else f"{number}{mark}")
        return "<br>".join(parts) or "-"


TRAITS = (
    "heading",
    "mark",
    "boards",
    "condition",
    "two conditions",
    "rows",
    "extra",
    "unproven",
    "no time",
    "others",
)


@st.composite
def sheets(draw: st.DrawFn) -> Sheet:
    """Return a card of one table with a few traits: each alone is rarely in doubt, together they are."""
    traits = draw(st.lists(st.sampled_from(TRAITS), max_size=4, unique=True))
    sheet = Sheet()
    boards = list(NAMES)
    form = draw(
        st.sampled_from(("# {}", "## {}", "{}\n===", "<h3>{}</h3>", "**{}**", "Measured on {}:", "- **{}**"))
    )
    kind = draw(st.sampled_from(("neutral", "board", "board", "stranger"))) if "heading" in traits else ""
    if kind == "board":
        sheet.heading_board = draw(st.sampled_from(boards))
        name = draw(st.sampled_from(NAMES[sheet.heading_board][:2]))
        sheet.heading = form.format(draw(st.sampled_from(("", "Results on ", "性能："))) + name)
    elif kind == "stranger":
        sheet.heading, sheet.stranger_above = form.format(draw(st.sampled_from(STRANGERS[:-1]))), True
    elif kind == "neutral":
        sheet.heading = form.format(draw(st.sampled_from(NEUTRAL)))
    sheet.keys = {NAMES[b][0]: str(i + 1) for i, b in enumerate(draw(st.permutations(boards))[:3])}
    sheet.style = draw(st.sampled_from(("(1)", "[^1]")))
    sheet.measured = "no time" not in traits
    sheet.head = draw(st.sampled_from(TIMES if sheet.measured else NO_TIMES))
    if "mark" in traits and "(ms)" in sheet.head:
        mark = draw(st.sampled_from((*sheet.keys.values(), "7", "*")))
        sheet.head = sheet.head.replace("(ms)", "* (ms)" if mark == "*" else f"<sup>{mark}</sup> (ms)")
        sheet.head_board = next((b for b in boards if sheet.keys.get(NAMES[b][0]) == mark), None)
        sheet.head_unclear = sheet.head_board is None
    if "boards" in traits:
        sheet.board_head = draw(st.sampled_from(BOARD_HEADS))
    count = 2 if "two conditions" in traits else 1 if "condition" in traits else 0
    for condition in draw(st.permutations(sorted(CONDITIONS)))[:count]:
        sheet.conditions.append((draw(st.sampled_from(CONDITION_HEADS[condition])), condition))
    sheet.proven = "unproven" not in traits
    for number in range(draw(st.integers(2, 4)) if "rows" in traits else 1):
        row = draw(rows(sheet, number))
        row.extra = "extra" in traits and draw(st.booleans())
        row.ours = "others" not in traits or draw(st.booleans())
        sheet.rows.append(row)
    return sheet


@st.composite
def rows(draw: st.DrawFn, sheet: Sheet, number: int) -> Row:
    """Return a row of a table."""
    board, text = None, "-"
    if sheet.board_head is not None:
        if draw(st.booleans()):
            board = draw(st.sampled_from(sorted(NAMES)))
            text = draw(st.sampled_from(NAMES[board]))
        else:
            text = draw(st.sampled_from((*STRANGERS, "-", "")))
    kind = draw(st.sampled_from(("empty", "bare", "marked", "marked", "unknown")))
    shown: dict[str, str] = {}
    keyed = [b for b in NAMES if NAMES[b][0] in sheet.keys]
    if kind == "bare":
        shown[""] = f"{40 + number}.1"
    elif kind == "marked":
        some = draw(st.lists(st.sampled_from(keyed), min_size=1, max_size=2, unique=True))
        shown = {b: f"{50 + 10 * number + i}.2" for i, b in enumerate(some)}
    elif kind == "unknown":
        shown["?"] = f"{90 + number}.3"
    conditions = [draw(st.sampled_from(sorted(CONDITIONS[kind]))) for _, kind in sheet.conditions]
    return Row(f"r{number}", board, text, shown, conditions, extra=False, ours=True)


def may(sheet: Sheet, row: Row, board: str) -> bool:
    """Tell whether a board's figure may stand in a row: the oracle."""
    if not (row.ours and sheet.proven and sheet.measured) or row.extra:
        return False
    if sheet.board_head is not None and row.board_text not in ("-", ""):
        if row.board is not None and row.board != board:
            return False
        others = any(r.board is not None for r in sheet.rows)
        known_head = sheet.board_head in BOARD_HEADS[:11]
        # A text that is no known board, in a column that is one of boards or may be.
        chips = any(r.board_text in STRANGERS[:-1] for r in sheet.rows)
        if row.board is None and (others or chips or known_head):
            return False
        if row.board is None and board not in (*row.shown, sheet.head_board, sheet.heading_board):
            return False
    said = {b for b in (row.board, sheet.head_board, sheet.heading_board) if b}
    if said - {board}:
        return False
    if any(b in NAMES and b != board for b in row.shown) and said:
        return False
    if (
        board not in row.shown
        and not said
        and (sheet.stranger_above or sheet.head_unclear or "" in row.shown)
    ):
        return False
    if board not in row.shown and row.board is None and not said and "?" in row.shown:
        return False
    if board not in row.shown and sheet.head_unclear:
        return False
    return _conditions_agree(sheet, row)


def _conditions_agree(sheet: Sheet, row: Row) -> bool:
    same = [r for r in sheet.rows if r.ours and not r.extra]
    for index, (head, kind) in enumerate(sheet.conditions):
        agrees = CONDITIONS[kind][row.conditions[index]]
        # "max" is a clock where the head or another row says that the column is one of clocks.
        clock = kind == "clock" and (head != "Setup" or any(r.conditions[index] != "max" for r in sheet.rows))
        if agrees is False or (agrees is None and clock):
            return False
        if agrees is None and len({r.conditions[index] for r in same}) > 1:
            return False
    return True


def must(sheet: Sheet, row: Row, board: str) -> bool:
    """Tell whether a board's figure has to be written: something names it, and nothing is against it."""
    alone = sum(r.ours for r in sheet.rows) == 1
    named = board in row.shown or board in (row.board, sheet.head_board, sheet.heading_board)
    agree = all(
        CONDITIONS[kind][said] for (_, kind), said in zip(sheet.conditions, row.conditions, strict=True)
    )
    silent = sheet.board_head is None or row.board == board
    known = set(row.shown) <= {board} if row.shown.get(board) else set(row.shown) <= {""}
    return alone and named and agree and silent and known and may(sheet, row, board)


def records() -> list[Record]:
    return [benched(float(ms), board=board, file="model.tflite") for board, ms in NEW.items()]


def written(text: str, row: Row) -> set[str]:
    """Return the boards whose new figures are anywhere in a row."""
    line = next(line for line in text.split("\n") if f"/{row.tag}/" in line)
    return {board for board, ms in NEW.items() if re.search(rf"(?<![\d.]){ms}(?:\.0)?(?![\d.])", line)}


def check(sheet: Sheet) -> None:
    before = sheet.text
    after = plan(before, RecordsByModel(records()), Rules(accept=True)).text
    for row in sheet.rows:
        for board in written(after, row):
            assert may(sheet, row, board), f"{board} in {row.tag}:\n{before}\n->\n{after}"
        for board in NEW:
            if must(sheet, row, board):
                assert board in written(after, row), f"no {board} in {row.tag}:\n{before}"
    again = plan(after, RecordsByModel(records()), Rules(accept=True)).text
    assert again == after


@SAMPLE
@given(sheets())
def test_no_figure_goes_where_the_card_does_not_say_that_it_belongs(sheet: Sheet) -> None:
    check(sheet)


@pytest.mark.soak
@WHOLE
@given(sheets())
def test_no_figure_goes_astray_in_thousands_of_tables(sheet: Sheet) -> None:
    check(sheet)


def test_the_oracle_would_see_a_figure_that_went_astray() -> None:
    row = Row("r0", "sensecap_a1101", "SenseCAP A1101", {}, [], False, True)
    sheet = Sheet(board_head="Series", rows=[row])
    wrong = sheet.text.replace("| - |", "| 111<sup>(1)</sup> |")
    assert written(wrong, row) == {"xiao_esp32s3"}
    assert not may(sheet, row, "xiao_esp32s3")
