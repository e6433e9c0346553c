"""Rows of one model, told apart by what they say: each kind of fragment that once got a wrong figure."""

from __future__ import annotations

import pytest

from harness.cards import Rules
from harness.cards.card import CardPlan
from harness.cards.models import RecordsByModel
from harness.cards.planning import plan
from harness.results.record import Record
from tests.cards.making import SHA1, benched, link

NOTES = "\n- ***1:** xiao_esp32s3.*\n- ***2:** grove_vision_ai_we2.*\n"
ACCEPT = Rules(accept=True)


def card(headers: str, *rows: str, above: str = "", notes: str = NOTES) -> str:
    """Return a card of one table; "LINK" in a row is the link of the model that was benched."""
    columns = headers.count("|") + 1
    lines = [f"| {headers} |", f"|{'-|' * columns}", *(f"| {row} |" for row in rows)]
    return above + "\n".join(lines).replace("LINK", link()) + "\n" + notes


def updated(text: str, *records: Record, rules: Rules = ACCEPT) -> CardPlan:
    return plan(text, RecordsByModel(records or [benched(54)]), rules)


def changed_rows(text: str, made: CardPlan) -> list[str]:
    """Return the lines that an update changed, as they are now, without their links."""
    pairs = zip(text.split("\n"), made.text.split("\n"), strict=False)
    return [new.replace(link(), "LINK").strip("| ") for old, new in pairs if old != new]


@pytest.mark.parametrize(
    ("header", "ours", "other"),
    [
        ("Clock", "240 MHz", "160 MHz"),
        ("Clock (MHz)", "240", "160"),
        ("CPU Freq", "0.24 GHz", "80MHz"),
        ("主频", "240MHz", "160MHz"),
        ("Setup", "@240 MHz", "@ 160 MHz"),
        ("Runtime", "TFLM", "EON"),
        ("Backend", "TFLite", "ONNX Runtime"),
        ("推理框架", "TensorFlow Lite Micro", "ESP-DL"),
        ("Stack", "LiteRT", "TVM"),
        ("Runtime", "TFLM + ESP-NN", "TFLM + CMSIS-NN"),
        ("Precision", "INT8 (PTQ)", "FLOAT32"),
        ("量化", "int8", "fp16"),
        ("Board", "XIAO ESP32S3", "Grove Vision AI"),
        ("Board", "XIAO ESP32-S3 @ 240 MHz", "XIAO ESP32-S3 @ 160 MHz"),
    ],
)
def test_of_two_rows_that_differ_in_one_thing_that_which_agrees_is_written(
    header: str, ours: str, other: str
) -> None:
    record = benched(54, firmware={"kernels": "esp-nn"})
    rows = [f"a | {ours} | 70<sup>(1)</sup> | LINK", f"a | {other} | 90<sup>(1)</sup> | LINK"]
    for order in (rows, rows[::-1]):
        text = card(f"Model | {header} | Inference(ms) | Link", *order)
        made = updated(text, record)
        assert changed_rows(text, made) == [rows[0].replace("70<", "54<")]
        if header != "Board":
            (note,) = made.notes
            assert f"'{other}' ({header}) is not what record" in note
        assert updated(made.text, record).text == made.text


def test_each_clock_of_a_board_gets_its_own_record() -> None:
    slow = benched(81)
    slow = slow.model_copy(update={"board": slow.board.model_copy(update={"clock_hz": 160_000_000})})
    rows = ["a | 240 MHz | 70<sup>(1)</sup> | LINK", "a | 160 MHz | 90<sup>(1)</sup> | LINK"]
    text = card("Model | Clock | Inference(ms) | Link", *rows)
    made = updated(text, benched(54), slow)
    assert changed_rows(text, made) == [rows[0].replace("70<", "54<"), rows[1].replace("90<", "81<")]


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("Mode", ("fast", "slow")),
        ("Threads", ("1", "2")),
        ("PSRAM", ("on", "off")),
        ("Model", ("net (single core)", "net (dual core)")),
        ("Input Size", ("96x96", "192x192")),
        ("Precision", ("INT8 (PTQ)", "INT8 (QAT)")),
        ("Runtime", ("TFLite", "TFLM")),
        ("Clock", ("240 MHz", "-")),
        ("Remark", ("", "with camera")),
    ],
)
def test_rows_are_left_with_a_line_where_records_do_not_say_what_tells_them_apart(
    header: str, values: tuple[str, str]
) -> None:
    rows = [f"{value} | {70 + i}<sup>(1)</sup> | LINK" for i, value in enumerate(values)]
    text = card(f"{header} | Inference(ms) | Link", *rows)
    made = updated(text)
    written = 1 if header == "Clock" else 0
    assert len(made.changes) == written
    assert all(f"({header})" in left.why or f"'{header}'" in left.why for left in made.refused)
    assert [left.where.split(":")[0] for left in made.refused] == ["line 3", "line 4"][written:]


def test_what_comes_out_of_a_model_does_not_tell_rows_apart() -> None:
    rows = ["XIAO ESP32S3 | 88.3 | 14 | 70 | LINK", "SenseCAP A1101 | 88.1 | 11 | 90 | LINK"]
    text = card("Board | Top-1(%) | FPS | Inference(ms) | Link", *rows)
    made = updated(text)
    assert changed_rows(text, made) == [rows[0].replace("| 70 |", "| 54 |")]
    assert not made.left


def test_a_row_under_a_runtime_that_nobody_knows_is_left_with_a_line() -> None:
    text = card("Runtime | Inference(ms) | Link", "MyRT 2 | 70<sup>(1)</sup> | LINK")
    made = updated(text)
    assert made.text == text
    assert "nothing tells whether 'MyRT 2' (Runtime) is what record" in made.left[0].why


def test_the_only_row_of_a_model_needs_nothing_that_tells_it_apart() -> None:
    row = "net | 96x96x3 | PTQ | indoor | 70<sup>(1)</sup> | LINK"
    text = card("Model | Input Size | Quantization | Scene | Inference(ms) | Link", row)
    assert changed_rows(text, updated(text)) == [row.replace("70<", "54<")]


HEADS_OF_BOARDS = ("Platform", "MCU", "Chip", "Series", "SoC", "平台", "芯片", "Rig", "Where", "")


@pytest.mark.parametrize("header", HEADS_OF_BOARDS)
def test_a_column_of_boards_is_known_by_its_values_whatever_its_head(header: str) -> None:
    rows = ["XIAO ESP32S3 | 70 | LINK", "Grove Vision AI | 90 | LINK", "STM32H743 | 40 | LINK"]
    text = card(f"{header} | Inference(ms) | Link", *rows)
    made = updated(text)
    assert changed_rows(text, made) == [rows[0].replace("70", "54")]
    assert any("of a board that is not known ('STM32H743')" in note for note in made.notes)


@pytest.mark.parametrize("header", HEADS_OF_BOARDS)
@pytest.mark.parametrize("chip", ["STM32H743", "ESP32-P4", "nRF52840", "Some New Board"])
@pytest.mark.parametrize("cell", ["-", "40"])
def test_a_row_of_another_chip_does_not_get_a_figure(header: str, chip: str, cell: str) -> None:
    text = card(f"{header} | Inference(ms) | Link", f"{chip} | {cell} | LINK")
    made = updated(text)
    assert made.text == text
    assert made.left or made.notes


def test_a_chip_beside_a_board_that_is_known_says_nothing_more() -> None:
    row = "XIAO ESP32S3 | ESP32-S3 | 70 | LINK"
    text = card("Board | Chip | Inference(ms) | Link", row)
    assert changed_rows(text, updated(text)) == [row.replace("| 70 |", "| 54 |")]


@pytest.mark.parametrize(
    "above",
    [
        "## {}\n\n",
        "{}\n---\n\n",
        "<h2 align='center'>{}</h2>\n\n",
        "**{}**\n\n",
        "- **{}**\n\n",
        "<details><summary>{}</summary>\n\n",
        "# Benchmark on {}\n\n## Detection\n\n",
        "Measured on {}:\n\n",
        "**Table 2: {}**\n\n",
        "# XIAO ESP32S3\n\n## {}\n\n",
    ],
)
def test_a_heading_that_names_a_board_holds_for_its_table(above: str) -> None:
    text = card("Inference(ms) | Link", "- | LINK", above=above.format("Grove Vision AI"), notes="")
    assert updated(text).text == text
    made = updated(text, benched(54.2, board="grove_vision_ai"))
    assert made.text == text.replace("| - |", "| 54.2 |")


def test_a_heading_holds_until_the_next_of_its_level() -> None:
    one = card("Inference(ms) | Link", "70 | LINK", above="## Grove Vision AI\n\n", notes="\n")
    two = card("Inference(ms) | Link", "80 | LINK", above="## XIAO ESP32S3\n\n", notes="\n")
    made = updated(one + two, benched(54), benched(61, board="grove_vision_ai"))
    assert made.text == (one + two).replace("70", "61").replace("80", "54")


@pytest.mark.parametrize("board", ["STM32H743", "Nicla Vision", "Grove Vision AI V3", "XIAO ESP32C3"])
def test_nothing_is_added_below_a_heading_of_another_board(board: str) -> None:
    text = card("Inference(ms) | Link", "- | LINK", above=f"## {board}\n\n")
    made = updated(text)
    assert made.text == text
    assert "no board that is known" in made.left[0].why


@pytest.mark.parametrize(
    ("heading", "written"),
    [
        ("## 240 MHz", True),
        ("## XIAO ESP32S3 at 160 MHz", False),
        ("## EON Compiler", False),
        ("## TensorFlow Lite Micro", True),
        ("## FLOAT32", False),
        ("## INT8", True),
        ("## Float", True),
    ],
)
def test_what_else_a_heading_says_has_to_agree_as_well(heading: str, written: bool) -> None:
    text = card("Inference(ms) | Link", "70<sup>(1)</sup> | LINK", above=f"{heading}\n\n")
    assert bool(updated(text).changes) == written


@pytest.mark.parametrize("heading", ["## int8", "## INT8", "## UINT8"])
def test_a_heading_of_another_precision_keeps_a_figure_out_in_any_spelling(heading: str) -> None:
    text = card("Inference(ms) | Link", "70<sup>(1)</sup> | LINK", above=f"{heading}\n\n")
    assert not updated(text, benched(54, precision="float32")).changes


def test_a_row_that_shows_two_figures_of_one_board_is_no_rival_of_itself() -> None:
    heads = "Latency on XIAO ESP32S3 (ms) | Grove Vision AI Latency (ms) | Link"
    made = updated(card(heads, "70<sup>(1)</sup> | 90<sup>(1)</sup> | LINK"))
    assert "| 54.0" in made.text or "| 54<sup>" in made.text


@pytest.mark.parametrize(
    "head", ["Inference Time<sup>2</sup> (ms)", "Inference Time[^2] (ms)", "Latency<sup>(2)</sup> (ms)"]
)
def test_the_mark_in_a_head_is_the_board_of_its_column(head: str) -> None:
    notes = NOTES if "[^" not in head else "\n[^1]: XIAO ESP32S3\n[^2]: Grove Vision AI V2\n"
    text = card(f"{head} | Link", "- | LINK", notes=notes)
    assert updated(text).text == text
    made = updated(text, benched(54), benched(15, board="grove_vision_ai_we2"))
    assert made.text == text.replace("| - |", "| 15.0 |")


@pytest.mark.parametrize("head", ["Inference Time<sup>7</sup> (ms)", "Inference* (ms)", "Latency† (ms)"])
def test_a_mark_in_a_head_that_names_no_board_leaves_its_cells_alone(head: str) -> None:
    text = card(f"{head} | Link", "- | LINK")
    made = updated(text)
    assert made.text == text
    assert "of its header names no one known board" in made.left[0].why


def test_a_star_in_a_head_is_explained_below() -> None:
    """An older generation of the zoo has such tables."""
    note = "\n\\**Confidence Threshold: `0.001`, mAP Eval IoU: `0.50`, Invoke Time Measured on [Grove Vision AI](https://e.com/w/).*\n"
    text = card("Invoke Time* (ms) | Link", "893.62 | LINK", notes=note)
    made = updated(text, benched(54), benched(671.24, board="grove_vision_ai"))
    assert made.text == text.replace("893.62", "671.24")


def test_a_column_for_each_board_is_one_of_times() -> None:
    text = card(
        "Latency on XIAO ESP32S3 (ms) | Grove Vision AI Latency (ms) | Link", "70 | 90 | LINK", notes=""
    )
    made = updated(text, benched(54), benched(61, board="grove_vision_ai"))
    assert made.text == text.replace("| 70 | 90 |", "| 54 | 61 |")


@pytest.mark.parametrize("between", ["/", " / ", "  ", "", "<br>", ", "])
def test_several_figures_in_a_cell_are_each_replaced_by_itself(between: str) -> None:
    notes = "\n<sup>2</sup> XIAO ESP32S3\n\n<sup>3</sup> Grove Vision AI\n\n<sup>4</sup> SenseCAP A1101\n"
    figures = ["671.24<sup>(2)</sup>", "890.83<sup>(3)</sup>", "893.62<sup>(4)</sup>"]
    text = card("Invoke Time (ms) | Link", f"{between.join(figures)} | LINK", notes=notes)
    made = updated(text, benched(601.5), benched(703.25, board="sensecap_a1101"))
    assert made.text == text.replace("671.24<", "601.50<").replace("893.62<", "703.25<")


def test_foot_notes_on_one_line_are_read_one_by_one() -> None:
    """An older generation of the zoo has its boards so."""
    notes = (
        "\n<sup>*</sup>*IoU Threshold: `0.55`.* <sup>1</sup>*Invoke Time Measured on [ESP32-S3 (XIAO)]"
        "(https://e.com/).* <sup>2</sup>*Invoke Time Measured on [Grove Vision AI](https://e.com/).*\n"
    )
    text = card("Invoke Time (ms) | Link", "70<sup>(1)</sup> | LINK", notes=notes)
    made = updated(text, benched(54), benched(61, board="grove_vision_ai"))
    assert made.text == text.replace("| 70<sup>(1)</sup> |", "| 54<sup>(1)</sup><br>61<sup>(2)</sup> |")


def test_two_rows_that_nothing_tells_apart_are_left_where_they_differ() -> None:
    rows = ["a | 70<sup>(1)</sup> | LINK", "a | 90<sup>(1)</sup> | LINK"]
    text = card("Model | Inference(ms) | Link", *rows)
    made = updated(text)
    assert made.text == text
    assert "line 4 shows 90 ms, of the same model and board" in made.left[0].why
    same = card("Model | Inference(ms) | Link", rows[0], rows[0])
    assert updated(same).text == same.replace("70<", "54<")


def test_a_cell_in_a_unit_of_another_kind_is_said_to_be() -> None:
    text = card("Inference(ms) | Link", "320 KB<sup>(1)</sup> | LINK")
    assert updated(text).left[0].why == "the cell is in KB, which is no unit of time"


def test_an_entry_is_held_against_the_record_as_a_row_is() -> None:
    import json

    def entry(**keys: object) -> dict[str, object]:
        return {
            **keys,
            "metrics": {"Inference(ms)": {"xiao_esp32s3": 70}},
            "url": f"https://e.com/m_{SHA1}.tflite",
        }

    text = json.dumps([entry(precision="FLOAT32"), entry(precision="INT8")])
    made = updated(text)
    assert [e["metrics"]["Inference(ms)"]["xiao_esp32s3"] for e in json.loads(made.text)] == [70, 54]
    text = json.dumps([entry(mode="fast"), entry(mode="slow")])
    made = updated(text)
    assert made.text == text
    assert len(made.refused) == 2
