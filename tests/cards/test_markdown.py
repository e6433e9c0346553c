"""What is written into Markdown tables, what is refused, and how people are told."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from harness.cards import CardError, Rules, show, update
from harness.cards.units import parse_digits
from harness.errors import HarnessError
from tests.cards.making import OTHER_SHA1, SHA1, benched, link

NOTES = """
Notes:

- ***1:** xiao_esp32s3.*
- ***2:** grove_vision_ai_we2.*
"""


def card(cell: str, header: str = "Inference(ms)", notes: str = NOTES, other: str = "-") -> str:
    rows = f"| a | {cell} | {link()} |\n| b | {other} | [Link]() |\n"
    return f"| Model | {header} | Link |\n|:--|:-:|--|\n{rows}{notes}"


def written(cell: str, *records, rules: Rules | None = None, **rest: str) -> str:
    """Return the figure's cell after an update with the records."""
    text, _ = update(card(cell, **rest), records, rules or Rules(accept=True))
    return text.split("\n")[2].split(" | ")[1]


def refusal(cell: str, *records, rules: Rules | None = None, **rest: str) -> str:
    with pytest.raises(CardError) as caught:
        update(card(cell, **rest), records, rules or Rules(accept=True))
    return str(caught.value)


@pytest.mark.parametrize(
    ("cell", "ms", "expected"),
    [
        ("582<sup>(1)</sup>", 54.5, "55<sup>(1)</sup>"),
        ("15.0<sup>(1)</sup>", 54.25, "54.3<sup>(1)</sup>"),
        ("1,434<sup>(1)</sup>", 2300, "2,300<sup>(1)</sup>"),
        ("582<sup>(1)", 54, "54<sup>(1)"),
        ("582<sup>1</sup>", 54, "54<sup>1</sup>"),
        ("582[^1]", 54, "54[^1]"),
        ("**582**<sup>(1)</sup>", 54, "**54**<sup>(1)</sup>"),
        ("[582](log.txt)<sup>(1)</sup>", 54, "[54](log.txt)<sup>(1)</sup>"),
        ("[582](log_(1).txt)<sup>(1)</sup>", 54, "[54](log_(1).txt)<sup>(1)</sup>"),
        ("582&nbsp;ms<sup>(1)</sup>", 54, "54&nbsp;ms<sup>(1)</sup>"),
        ("**582<sup>(1)</sup><br>15.0<sup>(2)</sup>**", 54, "**54<sup>(1)</sup><br>15.0<sup>(2)</sup>**"),
        ("待测", 54.26, "54.3<sup>(1)</sup>"),
        ("n.a.", 54.26, "54.3<sup>(1)</sup>"),
        ("<b>582</b> ms <sup>(1)</sup>", 54, None),
        ("582 ms<sup>(1)</sup>", 54, "54 ms<sup>(1)</sup>"),
        ("582<sup>(1)</sup><br>15.0<sup>(2)</sup>", 54, "54<sup>(1)</sup><br>15.0<sup>(2)</sup>"),
        ("22<sup>(1)(2)", 22.6, "23<sup>(1)</sup><br>22<sup>(2)</sup>"),
        ("22<sup>(2)(1)</sup>", 25, "22<sup>(2)</sup><br>25<sup>(1)</sup>"),
        ("15.0<sup>(2)", 54, "15.0<sup>(2)</sup><br>54.0<sup>(1)</sup>"),
        ("-<sup>(1)</sup>", 54.26, "54.3<sup>(1)</sup>"),
        ("-", 54.26, "54.3<sup>(1)</sup>"),
        ("—", 582.4, "582<sup>(1)</sup>"),
        ("N/A", 0.04, "0.0400<sup>(1)</sup>"),
        ("1<sup>(1)</sup>", 0.4, "0.4<sup>(1)</sup>"),
    ],
)
def test_a_figure_is_written_as_the_one_before_it(cell: str, ms: float, expected: str | None) -> None:
    record = benched(ms)
    if expected is None:
        assert "is not a number with foot-notes" in refusal(cell, record)
    else:
        assert written(cell, record) == expected


@pytest.mark.parametrize(
    ("rule", "expected"), [("0", "54"), ("2", "54.26"), ("sig1", "54"), ("sig3", "54.3"), ("sig5", "54.260")]
)
def test_digits_override_the_column(rule: str, expected: str) -> None:
    rules = Rules(digits=parse_digits(rule), accept=True)
    assert written("582<sup>(1)</sup>", benched(54.26), rules=rules) == f"{expected}<sup>(1)</sup>"


@pytest.mark.parametrize("rule", ["", "10", "sig0", "two", "-1"])
def test_a_rule_for_digits_that_is_none_is_named(rule: str) -> None:
    with pytest.raises(HarnessError, match="not a rule"):
        parse_digits(rule)


def test_an_even_number_of_samples_has_the_mean_of_the_middle_two_as_its_median() -> None:
    record = benched(1)
    record = record.model_copy(
        update={"invoke": record.invoke.model_copy(update={"ticks": [9000, 1000, 2000, 3001]})}
    )
    assert written("9.0000<sup>(1)</sup>", record) == "2.5005<sup>(1)</sup>"


@pytest.mark.parametrize(
    ("header", "cell", "expected"),
    [
        ("Inference Time (s)", "0.58<sup>(1)</sup>", "0.05<sup>(1)</sup>"),
        ("Invoke Time [us]", "582<sup>(1)</sup>", "54000<sup>(1)</sup>"),
        ("推理时间（毫秒）", "582<sup>(1)</sup>", "54<sup>(1)</sup>"),
        ("**推理 时间**/ms", "582<sup>(1)</sup>", "54<sup>(1)</sup>"),
        ("Latency (ms) ↓", "582<sup>(1)</sup>", "54<sup>(1)</sup>"),
        ("Inference Time, ms", "582<sup>(1)</sup>", "54<sup>(1)</sup>"),
        ("inference time in ms", "582<sup>(1)</sup>", "54<sup>(1)</sup>"),
        ("[Invoke&nbsp;Time](#how) (ms)", "582<sup>(1)</sup>", "54<sup>(1)</sup>"),
        ("推理延迟 (ms)", "582<sup>(1)</sup>", "54<sup>(1)</sup>"),
        ("Tensor Arena (KB)", "100<sup>(1)</sup>", "262<sup>(1)</sup>"),
        ("Inferencing  Time", "582ms<sup>(1)</sup>", "54ms<sup>(1)</sup>"),
        ("Invoking RAM (MiB)", "0.10<sup>(1)</sup>", "0.25<sup>(1)</sup>"),
        ("Peek RAM(MB)", "0.10<sup>(1)</sup>", "0.26<sup>(1)</sup>"),
        ("Peak RAM (KB)", "100<sup>(1)</sup>", "262<sup>(1)</sup>"),
        ("峰值内存（KiB）", "100<sup>(1)</sup>", "256<sup>(1)</sup>"),
    ],
)
def test_units_are_those_of_the_header_or_the_cell(header: str, cell: str, expected: str) -> None:
    assert written(cell, benched(54, arena=2**18), header=header) == expected


def test_a_new_figure_takes_the_unit_that_the_cells_of_its_column_name() -> None:
    assert written("-", benched(54), header="Latency", other="380 ms<sup>(2)</sup>") == "54 ms<sup>(1)</sup>"


def test_a_figure_without_any_unit_is_refused() -> None:
    assert "names its unit" in refusal("582<sup>(1)</sup>", benched(54), header="Latency")


@pytest.mark.parametrize("header", ["Inference(FPS)", "Invoke", "Time", "Inference(MB)", "Peak RAM (ms)"])
def test_other_columns_are_left_alone(header: str) -> None:
    text = card("582<sup>(1)</sup>", header=header)
    assert update(text, [benched(54)]) == (text, ())


def test_a_new_board_gets_the_next_number_and_a_foot_note_like_the_others() -> None:
    text, (change,) = update(card("582<sup>(1)</sup>"), [benched(31, board="grove_vision_ai")])
    assert "| 582<sup>(1)</sup><br>31<sup>(3)</sup> |" in text
    assert text.endswith("- ***2:** grove_vision_ai_we2.*\n- ***3:** grove_vision_ai.*\n")
    assert change.footnote == "- ***3:** grove_vision_ai.*"


def test_a_new_board_in_a_list_of_names_is_called_by_its_name() -> None:
    notes = "\n<sup>1</sup> Measured on [ESP32-S3 (XIAO)](https://e.com/x).\n\n# Next\n"
    text, _ = update(card("582<sup>(1)</sup>", notes=notes), [benched(31, board="grove_vision_ai_we2")])
    assert text.endswith(
        notes.replace("\n# Next", "\n<sup>2</sup> Measured on Grove Vision AI WE2.\n\n# Next")
    )
    assert show(text).tables[0].boards == {"1": "xiao_esp32s3", "2": "grove_vision_ai_we2"}


def test_a_markdown_foot_note_list_is_continued() -> None:
    notes = "\n[^1]: XIAO ESP32S3\n"
    text, _ = update(card("582[^1]", notes=notes), [benched(31, board="sensecap_a1101")])
    assert "582[^1]<br>31[^2]" in text
    assert text.endswith("[^1]: XIAO ESP32S3\n[^2]: SenseCAP A1101\n")


@pytest.mark.parametrize(
    ("title", "note"),
    [
        ("Model card", "<sup>1</sup> Measured on Grove Vision AI."),
        ("模型卡片：图像分类", "<sup>1</sup> 在 Grove Vision AI 上测得。"),
    ],
)
def test_a_card_without_foot_notes_gets_its_first_in_its_own_language(title: str, note: str) -> None:
    before = f"# {title}\n\n{card('-', notes='')}### Next\n"
    text, _ = update(before, [benched(22, board="grove_vision_ai")])
    assert text.endswith(f"| b | - | [Link]() |\n\n{note}\n\n### Next\n")
    assert update(text, [benched(22, board="grove_vision_ai")]) == (text, ())


@pytest.mark.parametrize(
    ("notes", "end"),
    [
        ("*<sup>1</sup> Measured on XIAO ESP32-S3.*\n", "\n*<sup>2</sup> Measured on SenseCAP A1101.*\n"),
        ("<sup>1</sup> XIAO ESP32-S3.<br>\n", "\n<sup>2</sup> SenseCAP A1101.<br>\n"),
        ("(1) XIAO ESP32-S3\n", "\n(2) SenseCAP A1101\n"),
        ("- (1) **XIAO ESP32-S3**\n", "- (2) **SenseCAP A1101**\n"),
        ("- 1: XIAO ESP32-S3\n- 2: Some other board\n", "- 3: SenseCAP A1101\n"),
    ],
)
def test_foot_notes_are_read_in_the_forms_that_people_write(notes: str, end: str) -> None:
    before = card("5<sup>(1)</sup>", notes=f"\n{notes}")
    records = [benched(6), benched(7, board="sensecap_a1101")]
    text, _ = update(before, records)
    key = "3" if "3:" in end else "2"
    cell = f"6<sup>(1)</sup><br>7<sup>({key})</sup>"
    assert text == before.replace("5<sup>(1)</sup>", cell) + end
    assert update(text, records) == (text, ())


def test_numbered_text_below_a_table_is_no_foot_note() -> None:
    notes = f"{NOTES}\n## Usage\n\n(3) Press the button\n\n(4) SenseCAP A1101\n"
    assert show(card("5<sup>(1)</sup>", notes=notes)).tables[0].boards == {
        "1": "xiao_esp32s3",
        "2": "grove_vision_ai_we2",
    }


def test_front_matter_is_left_alone_and_does_not_make_a_card_english() -> None:
    front = "---\nlicense: mit\ntags: [tflite, tinyml, person-detection, image-classification]\n"
    front += "example: |\n" + "".join(f"  {line}\n" for line in card("5<sup>(1)</sup>").split("\n")) + "---\n"
    before = f"{front}\n# 人物分类模型\n\n{card('-', notes='')}"
    text, _ = update(before, [benched(22)])
    assert text.startswith(front)
    assert text.endswith("\n\n<sup>1</sup> 在 ESP32-S3 (XIAO) 上测得。\n")
    rule = f"---\n\n{card('5<sup>(1)</sup>')}\n---\n"
    assert update(rule, [benched(6)])[0] == rule.replace("| 5<", "| 6<")


def test_a_foot_note_goes_behind_the_whole_of_a_note_that_has_several_lines() -> None:
    notes = "\n- ***1:** xiao_esp32s3.*\n  at 240 MHz\n\nText.\n"
    text, _ = update(card("5<sup>(1)</sup>", notes=notes), [benched(7, board="sensecap_a1101")])
    assert "  at 240 MHz\n- ***2:** sensecap_a1101.*\n\nText.\n" in text


def test_a_table_in_a_quote_gets_its_foot_note_in_the_quote() -> None:
    quoted = "\n".join(f"> {line}" for line in card("-", notes="").rstrip().split("\n")) + "\n"
    text, _ = update(quoted, [benched(22)])
    assert text.endswith("> | b | - | [Link]() |\n>\n> <sup>1</sup> Measured on ESP32-S3 (XIAO).\n")
    assert "| 22.0<sup>(1)</sup> |" in text


@pytest.mark.parametrize("indent", ["  ", "> ", ">   ", "\t"])
def test_a_first_foot_note_stays_in_the_list_item_or_quote_of_its_table(indent: str) -> None:
    start = {"  ": "- Results:\n\n", ">   ": "> - Results:\n>\n", "\t": "-\tResults:\n\n", "> ": ""}[indent]
    before = start + "".join(f"{indent}{line}\n" for line in card("-", notes="").rstrip().split("\n"))
    text, _ = update(f"{before}\nNext.\n", [benched(22)])
    note = f"{indent}<sup>1</sup> Measured on ESP32-S3 (XIAO).\n"
    assert text.endswith(f"[Link]() |\n{indent.rstrip()}\n{note}\nNext.\n")
    assert update(text, [benched(22)]) == (text, ())


def test_foot_notes_are_those_of_the_first_list_below_the_table_outside_of_code() -> None:
    code = "\n```\n- ***1:** grove_vision_ai.*\n```\n"
    later = "\n## Other\n\n- ***1:** sensecap_a1101.*\n"
    assert show(card("5<sup>(1)</sup>", notes=code + NOTES + later)).tables[0].boards == {
        "1": "xiao_esp32s3",
        "2": "grove_vision_ai_we2",
    }


@pytest.mark.parametrize(
    ("rule", "left"),
    [(":-------------------:", left) for left in (2, 3, 4)]
    + [(":--------------------", left) for left in (1, 2, 3)]
    + [("--------------------:", left) for left in (3, 4, 5)],
)
def test_padding_comes_back_as_it_was_where_a_cell_stands_off_the_usual_place(rule: str, left: int) -> None:
    cell = (" " * left + "5<sup>(1)</sup>").ljust(len(rule))
    text = f"|    Inference(ms)    | Link |\n|{rule}|------|\n|{cell}| {link()} |\n{NOTES}"
    for ms in (6, 66, 666):
        new, _ = update(text, [benched(ms)], Rules(accept=True))
        assert len(new.split("\n")[2]) == len(text.split("\n")[2])
        assert update(new, [benched(5)], Rules(accept=True))[0] == text


@pytest.mark.parametrize("header", ["推理时间(ms)           ", "Inference(ms)          "])
def test_a_column_keeps_its_display_width_when_wide_characters_come_in(header: str) -> None:
    rule = f"|-{'-' * cell_len(header)}-|------|"
    figure = "582<sup>(1)</sup>".ljust(cell_len(header))
    text = f"# 模型卡片\n\n| {header} | Link |\n{rule}\n| {figure} | {link()} |\n{NOTES}"
    new, _ = update(text, [benched(6, origin="estimated")], Rules(accept=True, allow_estimated=True))
    (row,) = [line for line in new.split("\n") if "估算" in line and line.startswith("|")]
    assert row.startswith("| 6<sup>(1)(估算)</sup> ")
    assert cell_len(row.split("|")[1]) == cell_len(header) + 2
    assert update(new, [benched(582)], Rules(accept=True))[0] == text


def test_two_tables_share_the_list_below_them() -> None:
    first = card("582<sup>(1)</sup>", notes="\n")
    second = card("-").replace(SHA1, OTHER_SHA1)
    records = [benched(5, board="sensecap_a1101"), benched(6, board="sensecap_a1101", sha1=OTHER_SHA1)]
    text, changes = update(first + second, records)
    assert text.count("(3)") == 2
    assert text.count("***3:** sensecap_a1101.*") == 1
    assert [change.footnote is None for change in changes] == [False, True]


@pytest.mark.parametrize("title", ["Model card", "模型卡片：图像分类"])
def test_an_estimate_is_marked_until_a_measured_figure_takes_its_place(title: str) -> None:
    mark, note = {"M": ("est.", "estimated by a model"), "模": ("估算", "由芯片模型估算")}[title[0]]
    before = f"# {title}\n\n{card('582<sup>(1)</sup>')}"
    estimate = benched(54, origin="estimated")
    assert update(before, [estimate])[1] == ()
    rules = Rules(allow_estimated=True, accept=True)
    text, (change,) = update(before, [estimate], rules)
    assert f"| 54<sup>(1)({mark})</sup> |" in text
    assert f"- ***{mark}:** {note}" in text
    assert change.origin == "estimated"
    assert update(text, [estimate], rules) == (text, ())
    both = [estimate, benched(582, day=-3)]
    assert update(text, both, rules)[0] == before


def test_an_estimate_in_a_list_of_paragraphs_comes_and_goes_with_its_own() -> None:
    notes = "\n<sup>1</sup> Measured on SenseCAP A1101.\n\nText.\n"
    before = card("22<sup>(1)", notes=notes)
    estimate = benched(23, board="sensecap_a1101", origin="estimated")
    text, _ = update(before, [estimate], Rules(allow_estimated=True))
    assert "| 23<sup>(1)(est.) |" in text
    assert "A1101.\n\n<sup>est.</sup> Estimated by a model of the chip, not measured.\n\nText.\n" in text
    assert update(text, [benched(22, board="sensecap_a1101")])[0] == before


def test_an_estimate_of_a_new_board_has_its_number_and_the_mark() -> None:
    rules = Rules(allow_estimated=True)
    estimate = benched(7, board="sensecap_a1101", origin="estimated")
    text, _ = update(card("582<sup>(1)</sup>"), [estimate], rules)
    assert "582<sup>(1)</sup><br>7<sup>(3)(est.)</sup>" in text
    assert re.search(r"2:\*\* .*\n- \*\*\*3:\*\* sensecap_a1101.*\n- \*\*\*est\.:\*\* estimated by", text)


@pytest.mark.parametrize(
    ("notes", "lines"),
    [
        ("", ["<sup>1</sup> SenseCAP A1101.", "<sup>est.</sup> Estimated by"]),
        (
            "\n<sup>1</sup> Measured on XIAO ESP32-S3.\n",
            ["<sup>2</sup> SenseCAP A1101.", "<sup>est.</sup> Estimated by"],
        ),
        ("\n(1) Measured on XIAO ESP32-S3.\n", ["(2) SenseCAP A1101.", "(est.) estimated by"]),
    ],
)
def test_no_foot_note_says_measured_of_a_board_with_estimates_alone(notes: str, lines: list[str]) -> None:
    rules = Rules(allow_estimated=True)
    estimate = benched(7, board="sensecap_a1101", origin="estimated")
    before = card("5<sup>(1)</sup>" if notes else "-", notes=notes)
    text, _ = update(before, [estimate], rules)
    for line in lines:
        assert f"\n{line}" in text
    assert "Measured on SenseCAP" not in text
    assert update(text, [estimate], rules) == (text, ())


def test_an_estimate_of_one_board_goes_beside_a_measured_figure_of_another() -> None:
    records = [benched(54), benched(7, board="grove_vision_ai_we2", origin="estimated")]
    cell = "582<sup>(1)</sup><br>15<sup>(2)</sup>"
    assert written(cell, *records) == "54<sup>(1)</sup><br>15<sup>(2)</sup>"
    rules = Rules(allow_estimated=True, accept=True)
    assert written(cell, *records, rules=rules) == "54<sup>(1)</sup><br>7<sup>(2)(est.)</sup>"
    measured = [*records, benched(8, board="grove_vision_ai_we2")]
    assert written(cell, *measured, rules=rules) == "54<sup>(1)</sup><br>8<sup>(2)</sup>"


def test_ram_of_an_emulated_board_is_marked_as_emulated() -> None:
    rules = Rules(allow_estimated=True)
    record = benched(5, origin="emulated", arena=2**20)
    assert written("-", record, rules=rules, header="Peak RAM (MiB)") == "1.00<sup>(1)(emu.)</sup>"


def test_ram_and_time_columns_are_both_filled() -> None:
    head = "| RAM (KiB) | Latency (ms) | Link |\n|-|-|-|\n"
    text, changes = update(f"{head}| 99 | 5<sup>(1)</sup> | {link()} |\n{NOTES}", [benched(6, arena=102400)])
    assert f"| 100 | 6<sup>(1)</sup> | {link()} |" in text
    assert [change.board for change in changes] == ["xiao_esp32s3"] * 2
    assert update(text, [benched(6, arena=102400)]) == (text, ())


def test_a_board_column_says_which_board_a_row_is_of() -> None:
    head = "| Target | Peak RAM | Inferencing Time | Link |\n|--|--|--|--|\n"
    rows = ("XIAO ESP32S3 | 320KB | 380ms", "Grove Vision AI | - | 500ms", "Foo | - | 1ms")
    table = head + "".join(f"| {row} | {link()} |\n" for row in rows)
    records = [benched(54.4, arena=2**18), benched(450, board="grove_vision_ai")]
    text, _ = update(table, records, Rules(accept=True))
    assert text == table.replace("320KB | 380ms", "262KB | 54ms").replace("500ms", "450ms")


def test_a_bare_figure_is_of_the_board_that_is_named() -> None:
    assert "say --board" in refusal("582", benched(54))
    assert written("582", benched(54), rules=Rules(board="xiao_esp32s3", accept=True)) == "54"


def test_a_row_that_lacks_a_cell_is_matched_from_the_side_that_makes_sense() -> None:
    head = "| Model | Top-1 | Inference(ms) | Link |\n|-|-|-|-|\n"
    head += f"| b | 1 | 3<sup>(1)</sup> | {link(OTHER_SHA1)} |\n"
    text, _ = update(
        f"{head}| 88.3 | 582<sup>(1)</sup> | {link()} |{NOTES}", [benched(54)], Rules(accept=True)
    )
    assert f"| 88.3 | 54<sup>(1)</sup> | {link()} |" in text


@pytest.mark.parametrize(
    "row",
    ["| a | 88.3 | 582<sup>(1)</sup> | {link} | more |", "| a | 88.3 | - | {link} | 582<sup>(1)</sup> |"],
)
def test_a_row_with_more_cells_than_its_head_is_refused(row: str) -> None:
    """Nobody sees the last of its cells on the page."""
    head = "| Model | Top-1 | Inference(ms) | Link |\n|-|-|-|-|\n"
    with pytest.raises(CardError, match="line 3: has 5 cells under a header of 4: the last are not shown"):
        update(head + row.format(link=link()) + NOTES, [benched(54)], Rules(accept=True))


def test_a_row_that_makes_sense_from_both_sides_is_refused() -> None:
    head = f"| A | Inference(ms) | B | Link |\n|-|-|-|-|\n| x | 3<sup>(1)</sup> | - | {link(OTHER_SHA1)} |\n"
    with pytest.raises(CardError, match=r"line 4: has 3 cells under a header of 4.* make sense from either"):
        update(f"{head}| - | 5<sup>(1)</sup> | {link()} |\n{NOTES}", [benched(54)])


def test_a_compiled_model_is_matched_by_the_sha1_of_its_source() -> None:
    text = card("15.0<sup>(2)</sup>").replace(link(), link(end="_vela.tflite"))
    compiled = benched(20, board="grove_vision_ai_we2", file="p.tflite", compiled_from=SHA1)
    uncompiled = benched(99, board="grove_vision_ai_we2")
    assert "| 20.0<sup>(2)</sup> |" in update(text, [compiled, uncompiled])[0]
    assert "| 15.0<sup>(2)</sup> |" in update(text, [uncompiled])[0]
    assert (
        "99.0<sup>(2)</sup>"
        in update(card("15.0<sup>(2)</sup>"), [compiled, uncompiled], Rules(accept=True))[0]
    )


@pytest.mark.parametrize(
    "cell",
    [
        "[Link](https://e.com/m/person.tflite)",
        "[person.tflite](https://e.com/releases/tag/zoo)",
        "<https://e.com/person.tflite>",
        "https://e.com/person.tflite?download=1",
        '<a href="https://e.com/person.tflite">x</a>',
        "[Link][ref]",
        "[![badge](b.png)](person.tflite)",
    ],
)
def test_a_model_without_a_digest_is_matched_by_the_name_its_link_ends_in(cell: str) -> None:
    text = f"Inference(ms) | Link\n--|--\n582<sup>(1)</sup> | {cell}\n\n[ref]: https://e.com/person.tflite\n{NOTES}"
    records = [benched(500, file="person.tflite"), benched(1, file="other.tflite", sha1=OTHER_SHA1)]
    new, _ = update(text, records, Rules(by_name=True))
    assert new == text.replace("582<", "500<")
    with pytest.raises(
        CardError, match=r"line 3: person.tflite: .* which is unproven: .*; --by-name takes it"
    ):
        update(text, records)


def test_two_files_of_one_name_are_not_told_apart_by_guessing() -> None:
    text = card("582<sup>(1)</sup>").replace(link(), "[Link](person.tflite)")
    records = [benched(500, file="person.tflite"), benched(510, file="person.tflite", sha1=OTHER_SHA1)]
    with pytest.raises(CardError, match=r"the records know several files as person.tflite .*--map"):
        update(text, records, Rules(by_name=True))
    rules = Rules(models={"person.tflite": OTHER_SHA1})
    assert "| 510<sup>(1)</sup> |" in update(text, records, rules)[0]


def test_a_row_without_a_link_is_matched_by_an_explicit_mapping_alone() -> None:
    text = card("582<sup>(1)</sup>").replace(link(), "[Link]()")
    assert update(text, [benched(500)]) == (text, ())
    assert "| 500<sup>(1)</sup> |" in update(text, [benched(500)], Rules(models={"a": SHA1}))[0]


def test_the_newest_of_records_that_agree_is_taken() -> None:
    records = [benched(50, day=1), benched(52, day=3), benched(51, day=2)]
    assert written("582<sup>(1)</sup>", *records) == "52<sup>(1)</sup>"


def test_records_that_disagree_are_named_and_can_be_chosen() -> None:
    old, new = benched(50, day=1, id="old"), benched(60, day=2, id="new")
    said = refusal("55<sup>(1)</sup>", old, new)
    assert "records new (60) and old (50) disagree: they are 17% apart" in said
    assert written("55<sup>(1)</sup>", old, new, rules=Rules(choose=frozenset({"old"}))) == "50<sup>(1)</sup>"
    assert written("55<sup>(1)</sup>", old, new, rules=Rules(newest=True)) == "60<sup>(1)</sup>"


def test_records_of_different_firmware_disagree_unless_the_card_shows_them_alike() -> None:
    old = benched(50, id="old")
    new = benched(51, day=1, id="new", firmware={"version": "2.0"})
    assert "firmware virtual 2.0" in refusal("55<sup>(1)</sup>", old, new)
    alike = benched(50.2, day=1, firmware={"version": "2.0"})
    assert written("55<sup>(1)</sup>", old, alike) == "50<sup>(1)</sup>"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (benched(54, verdict="not_available"), "its outputs were not verified"),
        (benched(54, verdict="differs"), "its outputs differ from the reference"),
        (benched(54, complete=False), "the run is not complete"),
        (benched(54, origin="estimated"), "its invoke time is estimated, not measured; --allow-estimated"),
        (benched(54, origin="published"), "its invoke time is published, not measured"),
    ],
)
def test_a_record_that_may_not_be_published_is_passed_over_with_the_reason(record, reason: str) -> None:
    from harness.cards.models import RecordsByModel
    from harness.cards.planning import plan

    result = plan(card("582<sup>(1)</sup>"), RecordsByModel([record]), Rules(accept=True))
    assert result.changes == ()
    assert result.text == card("582<sup>(1)</sup>")
    (left,) = result.left
    assert left.record
    assert reason in str(left)
    assert record.id in str(left)


@pytest.mark.parametrize(
    ("cell", "board", "notes", "message"),
    [
        (
            "5<sup>(1)</sup>",
            "sensecap_a1101",
            "\n- ***1:** some board.*\n",
            "foot-note 1 names no known board",
        ),
        (
            "5<sup>(1)</sup>",
            "xiao_esp32s3",
            "\n<sup>1</sup> Measured on XIAO ESP32-S3 @ 160 MHz\n",
            "foot-note 1 names no known board ('XIAO ESP32-S3 @ 160 MHz')",
        ),
        (
            "5<sup>(9)</sup>",
            "sensecap_a1101",
            NOTES,
            "foot-note 9 is not explained below the table; add '<sup>9</sup> BOARD' behind an empty line",
        ),
        (
            "5<sup>(1)</sup>",
            "xiao_esp32s3",
            NOTES + "- ***1:** grove_vision_ai.*\n",
            "foot-note 1 stands for several boards",
        ),
        ("5<sup>(1)</sup><br>6<sup>(1)</sup>", "xiao_esp32s3", NOTES, "several figures in the cell"),
        ("5 ± 1<sup>(1)</sup>", "xiao_esp32s3", NOTES, "'5 ± 1<sup>(1)</sup>' is not a number"),
        ("5*", "xiao_esp32s3", NOTES + "\n\\* with the Vela file\n", "'5*' is not a number"),
        ("5<br>6<sup>(2)</sup>", "xiao_esp32s3", NOTES, "does not say which board"),
    ],
)
def test_what_is_ambiguous_is_refused_in_one_line(cell: str, board: str, notes: str, message: str) -> None:
    said = refusal(cell, benched(7, board=board), notes=notes)
    assert message in said
    assert said.startswith("line 3: Inference(ms) of ")
    assert "\n" not in said


def test_a_second_row_of_one_model_does_not_get_what_the_first_has() -> None:
    text = card("582<sup>(1)</sup>").replace("[Link]()", link()).replace("| b |", "| a |")
    new, changes = update(text, [benched(500), benched(20, board="grove_vision_ai_we2")])
    empty = text.replace("582<sup>(1)</sup>", "-")
    with pytest.raises(CardError, match="line 4 is of the same model, and nothing tells which of the two"):
        update(empty, [benched(500)])
    assert len(changes) == 2
    assert "| a | - |" in new
    assert "| a | 500<sup>(1)</sup><br>20<sup>(2)</sup> |" in new


def test_two_time_columns_are_refused() -> None:
    head = "| Inference(ms) | Latency (ms) | Link |\n|-|-|-|\n"
    text = f"{head}| 5<sup>(1)</sup> | 6<sup>(1)</sup> | {link()} |\n{NOTES}"
    with pytest.raises(CardError, match=r"several columns for one figure \(Inference\(ms\), .*; name all"):
        update(text, [benched(7)])
    assert update(text, [benched(7, origin="estimated")]) == (text, ())


def test_a_change_that_is_too_large_is_refused_unless_accepted() -> None:
    with pytest.raises(CardError, match=r"582 -> 54 ms .*factor of 10.8.*more than 2x"):
        update(card("582<sup>(1)</sup>"), [benched(54)])
    assert update(card("582<sup>(1)</sup>"), [benched(54)], Rules(max_factor=11))[1]


@pytest.mark.parametrize("size", [500_000, pytest.param(10_000_000, marks=pytest.mark.soak)])
def test_a_large_card_is_updated_as_a_small_one_is(size: int) -> None:
    row = f"| a | - | {link(OTHER_SHA1)} |\n"
    head, _, rest = card("582<sup>(1)</sup>").partition("| b |")
    text = head + row * (size // len(row)) + "| b |" + rest
    assert update(text, [benched(500)])[0] == text.replace("582<", "500<")


def test_every_new_foot_note_is_named_with_the_change_that_needs_it() -> None:
    estimate = benched(7, board="sensecap_a1101", origin="estimated")
    text, (change,) = update(card("-"), [estimate], Rules(allow_estimated=True))
    assert change.footnote is not None
    assert all(f"\n{line}\n" in text for line in change.footnote.split("\n"))
    said = str(change)
    assert "; new foot-note: - ***3:** sensecap_a1101.*; new foot-note: - ***est.:** estimated by" in said


@pytest.mark.parametrize("first", ["Latency (ms)", "RAM (KiB)"])
def test_a_new_board_in_one_column_does_not_make_the_bare_figure_of_another_unclear(first: str) -> None:
    cells = {"Latency (ms)": "582<sup>1</sup>", "RAM (KiB)": "199"}
    new = {"Latency (ms)": "500<sup>1</sup><br>61<sup>3</sup>", "RAM (KiB)": "200"}
    order = sorted(cells, key=lambda header: header != first)

    def table(row: dict[str, str]) -> str:
        head = f"| {' | '.join(order)} | Link |\n|-|-|-|\n"
        return f"{head}| {' | '.join(row[header] for header in order)} | {link()} |\n"

    records = [benched(500, arena=204_800), benched(61, arena=204_800, board="grove_vision_ai")]
    text, _ = update(table(cells) + NOTES, records)
    assert text.startswith(table(new))
    assert update(text, records) == (text, ())


@pytest.mark.parametrize(
    ("latency", "notes", "expected"),
    [
        ("582<sup>1</sup>", NOTES, "200<sup>1</sup>"),
        ("-", "\n[^1]: XIAO ESP32-S3\n", "200[^1]"),
        ("-", NOTES, "200<sup>(1)</sup>"),
    ],
)
def test_a_column_without_marks_takes_those_of_its_table_or_list(
    latency: str, notes: str, expected: str
) -> None:
    before = f"| RAM (KiB) | Latency (ms) | Link |\n|-|-|-|\n| - | {latency} | {link()} |\n{notes}"
    assert f"| {expected} |" in update(before, [benched(582, arena=204_800)])[0]
