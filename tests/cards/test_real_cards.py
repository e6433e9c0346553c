"""The real cards: a new value changes its cell and nothing else, and taken back leaves the file as it was."""

from __future__ import annotations

import difflib
import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import cmarkgfm
import mistune
import pytest

from harness.cards import Rules, show, update
from tests.cards.making import benched

CARDS = (
    "classification_overview.zh_CN.md",
    "person_classification_96.en.md",
    "person_classification_96.zh_CN.md",
    "person_classification_96.json",
)
RENDERERS: dict[str, Callable[[str], str]] = {
    "cmark-gfm": lambda text: cmarkgfm.github_flavored_markdown_to_html(text),
    "mistune": lambda text: str(mistune.create_markdown(escape=False, plugins=["table"])(text)),
}
ACCEPT = Rules(accept=True)

pytestmark = pytest.mark.interop


def cells(shared: Path, name: str) -> list[tuple[str, str, str, str]]:
    """Return every figure of a .tflite file, which alone can be benched: (file, SHA-1, board, text)."""
    overview = show((shared / "cards" / name).read_bytes().decode())
    return [
        (row.model, row.sha1, value.board, value.text)
        for table in overview.tables
        for row in table.rows
        for value in row.values
        if row.model and row.sha1 and value.board and value.text and row.model.endswith(".tflite")
    ]


def measured(file: str, sha1: str, board: str, ms: float):
    vela = sha1 if file.endswith("_vela.tflite") else None
    precision = "float32" if "float32" in file else "int8"
    return benched(ms, board=board, sha1=sha1, file=file, compiled_from=vela, precision=precision)


def without_digest(text: str) -> str:
    """Return an entry without the digest of all of it, which changes with every figure."""
    return re.sub(r'"uuid": "[0-9a-f]{32}"', '"uuid": ""', text)


def changed_lines(old: str, new: str) -> list[tuple[str, str]]:
    old_lines, new_lines = old.split("\n"), new.split("\n")
    assert len(old_lines) == len(new_lines)
    return [(a, b) for a, b in zip(old_lines, new_lines, strict=True) if a != b]


@pytest.mark.parametrize("name", CARDS)
def test_each_figure_can_be_changed_alone_and_put_back(shared: Path, name: str) -> None:
    original = (shared / "cards" / name).read_bytes().decode()
    found = cells(shared, name)
    assert len(found) >= 2
    for file, sha1, board, text in found:
        for new in (float(text) + 1, float(text) * 1.5, float(text) * 10, float(text) / 10):
            changed, changes = update(original, [measured(file, sha1, board, new)], ACCEPT)
            ((before, after),) = changed_lines(without_digest(original), without_digest(changed))
            assert [change.board for change in changes] == [board]
            assert changes[0].new in after
            if "|" in before:
                column = before.split("|").index(
                    next(c for c in before.split("|") if c.strip().startswith(text))
                )
                pairs = list(zip(before.split("|"), after.split("|"), strict=True))
                assert [i for i, (a, b) in enumerate(pairs) if a != b] == [column]
            back, _ = update(changed, [measured(file, sha1, board, float(text))], ACCEPT)
            assert back.encode() == original.encode()


@pytest.mark.parametrize("name", CARDS)
def test_all_figures_can_be_changed_at_once_and_put_back(shared: Path, name: str) -> None:
    original = (shared / "cards" / name).read_bytes().decode()
    found = cells(shared, name)
    new = [measured(file, sha1, board, float(text) + 7) for file, sha1, board, text in found]
    old = [measured(file, sha1, board, float(text)) for file, sha1, board, text in found]
    changed, changes = update(original, new, ACCEPT)
    assert len(changes) == len(found)
    assert update(changed, new, ACCEPT) == (changed, ())
    back, _ = update(changed, old, ACCEPT)
    assert back.encode() == original.encode()
    assert update(original, old, ACCEPT) == (original, ())


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("name", CARDS[:3])
def test_a_rendered_card_differs_in_the_updated_cells_alone(shared: Path, name: str, renderer: str) -> None:
    original = (shared / "cards" / name).read_bytes().decode()
    found = cells(shared, name)
    new = [measured(file, sha1, board, float(text) + 7) for file, sha1, board, text in found]
    changed, _ = update(original, new, ACCEPT)
    render = RENDERERS[renderer]
    before, after = (
        re.split(r"(<t[dh][ >].*?</t[dh]>)", render(text), flags=re.DOTALL) for text in (original, changed)
    )
    assert len(before) == len(after)
    different = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    rows = {(file, sha1) for file, sha1, _, _ in found}
    assert len(different) == len(rows)
    for old_cell, new_cell in different:
        old_number, new_number = (
            re.search(r"\d+(\.\d+)?", html.unescape(re.sub(r"<td[^>]*>", "", c)))[0]
            for c in (old_cell, new_cell)
        )
        assert float(new_number) == float(old_number) + 7
        assert old_cell.replace(old_number, new_number, 1) == new_cell


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("name", CARDS[:3])
def test_a_new_board_renders_as_one_more_figure_and_one_more_foot_note(
    shared: Path, name: str, renderer: str
) -> None:
    original = (shared / "cards" / name).read_bytes().decode()
    file, sha1, _, _ = cells(shared, name)[-1]
    vela = sha1 if file.endswith("_vela.tflite") else None
    record = benched(31, board="nicla_vision", sha1=sha1, file=file, compiled_from=vela)
    changed, (change,) = update(original, [record], ACCEPT)
    before, after = (re.sub(r"<[^>]+>", "\n", RENDERERS[renderer](text)) for text in (original, changed))
    lines = difflib.ndiff(before.split("\n"), after.split("\n"))
    added = [line[2:].strip() for line in lines if line[0] in "+-" and line[2:].strip()]
    number = len(show(original).tables[0].boards) + 1
    text = " ".join(added)
    assert re.search(r"31(\.0)? ", text), added
    assert f"({number})" in text
    assert "nicla" in text.lower()
    assert change.footnote is not None
    assert len(added) <= 5
    assert update(changed, [record], ACCEPT) == (changed, ())


def test_a_board_of_a_shared_figure_gets_its_own_and_joins_again(shared: Path) -> None:
    original = (shared / "cards" / CARDS[0]).read_bytes().decode()
    file, sha1, board, _ = next(c for c in cells(shared, CARDS[0]) if c[2] == "sensecap_a1101")
    changed, _ = update(original, [measured(file, sha1, board, 25.4)])
    ((_, after),) = changed_lines(original, changed)
    assert " 22<sup>(2)</sup><br>25<sup>(3)</sup> |" in after
    back, _ = update(changed, [measured(file, sha1, board, 22)])
    assert back == original


def test_both_languages_and_the_zoo_entry_take_the_same_estimate(shared: Path) -> None:
    estimated = benched(54.6, origin="estimated")
    rules = Rules(allow_estimated=True, accept=True)
    texts = {name: (shared / "cards" / name).read_bytes().decode() for name in CARDS[1:]}
    new = {name: update(text, [estimated], rules)[0] for name, text in texts.items()}
    assert "| 55<sup>(1)(est.)</sup> |" in new[CARDS[1]]
    assert "  - ***est.:** estimated by a model of the chip, not measured.*\n- ***Link" in new[CARDS[1]]
    assert "| 55<sup>(1)(估算)</sup> |" in new[CARDS[2]]
    assert "  - ***估算：** 由芯片模型估算，并非实测.*\n- ***链接" in new[CARDS[2]]
    metrics = json.loads(new[CARDS[3]])["benchmark"][3]["metrics"]
    assert metrics["Inference(ms)"] == {"xiao_esp32s3 (estimated)": 55}
    for name, text in new.items():
        assert update(text, [estimated], rules) == (text, ())
        back, _ = update(text, [benched(582)], Rules(accept=True))
        assert back == texts[name]
