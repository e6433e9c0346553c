"""Tables of other projects: `harness cards show` answers, or says in a line why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cards import show, update, updating
from harness.cards.words import default_words
from tests.cards.making import benched

# As in ESP-DL's models/*/README.md: no links, and the chip at the end of the name or in the line above.
ESP_DL = """## Model Latency

Measured on ESP32-P4, single crop:

| name | input(h*w*c) | Flash(MB) | PSRAM(MB) | preprocess(ms) | model(ms) | postprocess(ms) |
| --- | --- | --- | --- | --- | --- | --- |
| `net_s8_p4` | 224 * 224 * 3 | 2.1 | 3.4 | 2.8 | 326.6 | 0.6 |
| net_s8_p4 (RUNTIME_MODE_MULTI_CORE) | 224 * 224 * 3 | 2.1 | 3.4 | 2.7 | 223.0 | 0.4 |
"""
ESP_DL_TARGETS = """| Target | Input | Stride | Latency (ms) | FPS |
|--------|-------|--------|--------------|-----|
| ESP32-S3 | rgb888 1280x720 | 1 | 197.03 | 5.08 |
| ESP32-P4 | rgb888 1280x720 | 1 | 86.82 | 11.52 |
"""
# As in a submission to MLPerf Tiny.
MLPERF = """|model|accuracy|latency in ms|
|:-----:|:----:|:----:|
| AD | AUC: 0.86 | 0.073 |
| VWW | Top-1: 83.8% | 0.191 |
"""


@pytest.mark.parametrize(
    ("text", "column", "figures"),
    [
        (
            ESP_DL,
            "model(ms)",
            [
                ("net_s8_p4", "ESP32-P4", "326.6"),
                ("net_s8_p4 (RUNTIME_MODE_MULTI_CORE)", "ESP32-P4", "223.0"),
            ],
        ),
        (
            ESP_DL_TARGETS,
            "Latency (ms)",
            [("ESP32-S3", "ESP32-S3", "197.03"), ("ESP32-P4", "ESP32-P4", "86.82")],
        ),
        (MLPERF, "latency in ms", [("AD", None, "0.073"), ("VWW", None, "0.191")]),
    ],
)
def test_their_tables_are_understood_as_far_as_they_say_what_they_are_of(
    text: str, column: str, figures: list[tuple[str, str | None, str]]
) -> None:
    (table,) = show(text).tables
    assert table.columns == (column,)
    found = [(row.label, value.board, value.text) for row in table.rows for value in row.values]
    assert found == figures
    assert {value.unit for row in table.rows for value in row.values} == {"ms"}
    assert update(text, [benched(5)]) == (text, ())


def test_a_column_of_models_is_no_column_of_times() -> None:
    assert show("| Model | Score |\n|---|---|\n| 7 | 5 |\n").tables == ()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        (
            "summary.csv",
            'Organization,Model,Result,ResultUnit\n"x","vww","78.6","inf./sec."\n',
            "it is neither Markdown nor JSON of the zoo, the forms that cards have",
        ),
        (
            "system.json",
            '{"submitter": "x", "host": 5}',
            "no benchmark: no object with a 'url' and 'metrics'",
        ),
        (
            "README.md",
            "| Core | Time |\n|---|---|\n| one | 12.1.ms |\n",
            "no benchmark table: no Markdown table has",
        ),
    ],
)
def test_what_is_no_card_is_said_in_a_line(tmp_path: Path, name: str, text: str, why: str) -> None:
    (tmp_path / name).write_text(text)
    found, unread = updating.overviews([tmp_path / name], default_words())
    (note,) = found[tmp_path / name].notes
    assert note.startswith(why)
    assert "\n" not in note
    assert unread == []


def test_of_a_folder_those_files_are_shown_that_have_a_table(tmp_path: Path) -> None:
    for name, text in (("a.md", ESP_DL), ("b.md", "# Notes\n"), ("c.json", "{}"), ("d.md", MLPERF)):
        (tmp_path / name).write_text(text)
    found, unread = updating.overviews([tmp_path], default_words())
    assert [path.name for path in found] == ["a.md", "d.md"]
    assert unread == []
