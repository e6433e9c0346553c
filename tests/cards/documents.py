"""Documents with benchmark tables, generated piece by piece so that a test knows where each figure stands."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from hypothesis import strategies as st
from rich.cells import cell_len

TIME_HEADERS = (
    "Inference(ms)",
    "Invoke Time (ms)",
    "Inference Time(ms)",
    "**Inferencing Time** (ms)",
    "推理时间（毫秒）",
    "推理时间 (ms)",
)
BOARDS = ("xiao_esp32s3", "grove_vision_ai", "sensecap_a1101", "grove_vision_ai_we2")
NAMES = (
    "[ESP32-S3 (XIAO)](https://e.com/x)",
    "Grove Vision AI",
    "SenseCAP A1101",
    "[Grove Vision AI V2](https://e.com/w)",
)
TEXTS = (
    "MobileNetV2(0.35) Rep",
    "图像分类",
    "a \\| b",
    "`x` <b>y</b>",
    "![i](a.png) z",
    "日本語 テキスト",
    "x<br>y",
    "**bold _it_**",
    "é̂",
    "[doc](https://e.com/d.html)",
)
PROSE = (
    "# Title",
    "Some *prose* with a | in it.",
    "正文，有一个表格。",
    "```\n| Inference(ms) | Link |\n|---|---|\n| 5<sup>(1)</sup> | [Link](x_sha1_{sha}.tflite) |\n```",
    "~~~md\nInference(ms) | Link\n--|--\n5 | [Link](x_sha1_{sha}.tflite)\n~~~",
    "    | Inference(ms) | Link |\n    |---|---|\n    | 5 | [Link](x_sha1_{sha}.tflite) |",
    "<!--\n| Inference(ms) | Link |\n|---|---|\n| 5 | [Link](x_sha1_{sha}.tflite) |\n-->",
    "| Inference(ms) | Link |\n|---|---|---|\n| 5 | [Link](x_sha1_{sha}.tflite) |",
    "| Backend | Score |\n|---|---|\n| [Link](x_sha1_{sha}.tflite) | 7 |",
    "- a list\n- of things",
)


@dataclass
class Row:
    """A row by its cells' texts; `dropped` is the side that a cell was taken from, if one was."""

    cells: list[str]
    sha1: str
    dropped: str = ""


@dataclass
class Doc:
    """A document in pieces; `figure[(table, row)]` is the index of that row's figure among them."""

    pieces: list[str] = field(default_factory=list)
    figure: dict[tuple[int, int], int] = field(default_factory=dict)
    rows: dict[tuple[int, int], Row] = field(default_factory=dict)
    boards: dict[tuple[int, int], dict[str, str]] = field(default_factory=dict)
    aligned: set[int] = field(default_factory=set)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass
class Form:
    """How a table is written: with outer pipes or without, padded to widths or with the same spaces."""

    outer: bool
    alignments: list[str]
    widths: list[int] | None
    spaces: tuple[str, str]

    def cells(self, texts: list[str]) -> list[str]:
        if self.widths is None:
            return [self.spaces[0] + text + self.spaces[1] for text in texts]
        padded = []
        for text, width, alignment in zip(texts, self.widths, self.alignments, strict=True):
            spare = width - cell_len(text)
            left = {":-:": spare // 2, "--:": spare - 1}.get(alignment, 1)
            padded.append(" " * left + text + " " * (spare - left))
        return padded

    def rule(self) -> list[str]:
        widths = self.widths or [3] * len(self.alignments)
        return [a[0] + "-" * (width - 2) + a[2] for a, width in zip(self.alignments, widths, strict=True)]

    def line(self, cells: list[str]) -> str:
        return f"|{'|'.join(cells)}|" if self.outer else "|".join(cells)


@st.composite
def forms(draw: st.DrawFn, headers: list[str], rows: list[Row]) -> Form:
    """Return a way to write a table."""
    aligned = draw(st.booleans())
    columns = zip(headers, *(row.cells for row in rows), strict=True)
    widths = [max(map(cell_len, texts)) + 2 + draw(st.integers(0, 6)) for texts in columns]
    outer = aligned or draw(st.booleans())
    return Form(
        outer=outer,
        alignments=[draw(st.sampled_from((":-:", ":--", "--:", "---"))) for _ in headers],
        widths=widths if aligned else None,
        spaces=draw(st.sampled_from((("", ""), (" ", " "), ("", " "), (" ", "")))) if outer else (" ", " "),
    )


@st.composite
def cell_of_figures(draw: st.DrawFn, keys: list[str], unclosed: bool) -> tuple[str, dict[str, str]]:
    """Return a cell and its numbers by foot-note key."""
    chosen = draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3, unique=True))
    decimals = draw(st.integers(0, 2))
    numbers = {key: f"{draw(st.integers(10, 3000))}" for key in chosen}
    if decimals:
        numbers = {
            key: f"{number}.{draw(st.integers(0, 9))}{'0' * (decimals - 1)}"
            for key, number in numbers.items()
        }
    if draw(st.booleans()):
        numbers = dict.fromkeys(chosen, numbers[chosen[0]])
        end = "" if unclosed else "</sup>"
        return f"{numbers[chosen[0]]}<sup>{''.join(f'({key})' for key in chosen)}{end}", numbers
    wrap = draw(st.sampled_from(("", "**", "`")))
    parts = [f"{wrap}{number}{wrap}<sup>({key})</sup>" for key, number in numbers.items()]
    return draw(st.sampled_from(("<br>", "<br/>", " <br /> "))).join(parts), numbers


@st.composite
def documents(draw: st.DrawFn, broken: bool = True) -> Doc:
    """Return a document of one to three benchmark tables among prose and look-alikes."""
    doc = Doc()
    newline = draw(st.sampled_from(("\n", "\r\n")))
    serial = 0
    for table in range(draw(st.integers(1, 3))):
        for prose in draw(st.lists(st.sampled_from(PROSE), max_size=2)):
            doc.pieces.append(prose.replace("{sha}", _sha(1000)).replace("\n", newline) + newline * 2)
        boards = draw(st.permutations(range(4)))[: draw(st.integers(1, 3))]
        keys = {str(i + 1): board for i, board in enumerate(boards)}
        headers = draw(
            st.permutations(
                [
                    "Model",
                    draw(st.sampled_from(TIME_HEADERS)),
                    "Link",
                    *draw(st.permutations(["Top-1(%)", "备注"])),
                ]
            )
        )
        time = next(i for i, h in enumerate(headers) if h in TIME_HEADERS)
        unclosed = draw(st.booleans())
        rows: list[Row] = []
        for index in range(draw(st.integers(2, 4))):
            serial += 1
            figure, numbers = draw(cell_of_figures(list(keys), unclosed))
            link = f"[Link](https://e.com/m_int8_sha1_{_sha(serial)}.tflite)"
            content = {
                "Model": draw(st.sampled_from(TEXTS)),
                "Link": link,
                "Top-1(%)": "88.37",
                "备注": draw(st.sampled_from(TEXTS)),
            }
            rows.append(Row([content.get(h, figure) for h in headers], _sha(serial)))
            doc.rows[table, index] = rows[-1]
            doc.boards[table, index] = {BOARDS[keys[key]]: number for key, number in numbers.items()}
        form = draw(forms(headers, rows))
        if form.widths:
            doc.aligned.add(table)
        doc.pieces.append(form.line(form.cells(headers)) + newline)
        doc.pieces.append(form.line(form.rule()) + newline)
        breakable = broken and form.outer and draw(st.booleans())
        for index, row in enumerate(rows):
            cells = form.cells(row.cells)
            at = time
            if breakable and index and draw(st.booleans()):
                row.dropped = draw(st.sampled_from(("left", "right")))
                gone = 0 if row.dropped == "left" else len(cells) - 1
                if headers[gone] not in ("Link", headers[time]):
                    del cells[gone]
                    at -= row.dropped == "left"
                else:
                    row.dropped = ""
            before, after = cells[:at], cells[at + 1 :]
            start = ("|" if form.outer else "") + "".join(f"{c}|" for c in before)
            doc.pieces.append(start)
            doc.figure[table, index] = len(doc.pieces)
            doc.pieces.append(cells[at])
            doc.pieces.append("".join(f"|{c}" for c in after) + ("|" if form.outer else "") + newline)
        doc.pieces.append(
            newline + draw(st.sampled_from(("*注:*", "***Table Notes:***", "Notes:"))) + newline * 2
        )
        style = draw(st.sampled_from(("stars", "wide stars", "sup")))
        for key, board in keys.items():
            note = {
                "stars": f"  - ***{key}:** {BOARDS[board]}.*",
                "wide stars": f"- ***{key}：** {BOARDS[board]}.*",
                "sup": f"<sup>{key}</sup> Measured on {NAMES[board]}.{newline}",
            }[style]
            doc.pieces.append(note + newline)
        doc.pieces.append(newline)
    doc.pieces.append(draw(st.sampled_from(("", "MIT", "## 使用指南" + newline))))
    return doc


def _sha(serial: int) -> str:
    return hashlib.sha1(str(serial).encode()).hexdigest()
