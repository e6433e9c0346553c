"""Whatever the table looks like: a new figure goes into its cell, and nothing else changes."""

from __future__ import annotations

import re

import cmarkgfm
import mistune
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from harness.cards import CardError, Rules, show, update
from tests.cards.documents import Doc, documents
from tests.cards.making import benched

ACCEPT = Rules(accept=True)
SAMPLE = settings(max_examples=60, suppress_health_check=list(HealthCheck))
WHOLE = settings(max_examples=3000, suppress_health_check=list(HealthCheck))


def figures(text: str) -> dict[tuple[str, str], str]:
    """Return every figure that is understood, by SHA-1 and board."""
    return {
        (row.sha1, value.board): value.text
        for table in show(text).tables
        for row in table.rows
        for value in row.values
    }


def check_update(doc: Doc, data: st.DataObject) -> None:
    where = data.draw(st.sampled_from(sorted(doc.figure)))
    row = doc.rows[where]
    board = data.draw(st.sampled_from(sorted(doc.boards[where])))
    old = doc.boards[where][board]
    new = data.draw(st.integers(10, 4000))
    record = benched(new, board=board, sha1=row.sha1)
    if row.dropped:
        try:
            text, _ = update(doc.text, [record], ACCEPT)
        except CardError as error:
            # A row that lacks a cell may be refused, but is never misread.
            assert "from either side" in str(error)  # noqa: PT017
            return
    else:
        text, _ = update(doc.text, [record], ACCEPT)
    at = doc.figure[where]
    before, after = "".join(doc.pieces[:at]), "".join(doc.pieces[at + 1 :])
    assert text.startswith(before)
    assert text.endswith(after)
    assert len(text) >= len(before) + len(after)
    written = text[len(before) : len(text) - len(after)]
    if where[0] in doc.aligned and not row.dropped:
        room = max(cell_len(written.strip()) + 2, cell_len(doc.pieces[at]))
        assert cell_len(written) == room
    found, expected = figures(text), figures(doc.text)
    digits = len(old.partition(".")[2])
    expected[row.sha1, board] = f"{new:.{digits}f}"
    assert found == expected
    assert update(text, [record], ACCEPT) == (text, ())
    back, _ = update(text, [benched(float(old), board=board, sha1=row.sha1)], ACCEPT)
    assert figures(back) == figures(doc.text)
    shared = list(doc.boards[where].values()).count(old) > 1
    if not shared:
        assert back == doc.text


def check_rendering(doc: Doc, data: st.DataObject) -> None:
    where = data.draw(st.sampled_from(sorted(doc.figure)))
    row = doc.rows[where]
    board = data.draw(st.sampled_from(sorted(doc.boards[where])))
    assume(not row.dropped)
    text, changes = update(doc.text, [benched(4321, board=board, sha1=row.sha1)], ACCEPT)
    assert len(changes) == 1
    for render in (
        cmarkgfm.github_flavored_markdown_to_html,
        mistune.create_markdown(escape=False, plugins=["table"]),
    ):
        old, new = (
            re.split(r"(<t[dh][ >].*?</t[dh]>)", str(render(t)), flags=re.DOTALL) for t in (doc.text, text)
        )
        assert len(old) == len(new)
        ((before, after),) = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
        assert "4321" in after
        assert "4321" not in before


@SAMPLE
@given(documents(), st.data())
def test_only_the_measured_cell_changes_and_reads_back_as_the_new_value(
    doc: Doc, data: st.DataObject
) -> None:
    check_update(doc, data)


@SAMPLE
@given(documents(broken=False), st.data())
def test_renderers_show_one_cell_that_differs(doc: Doc, data: st.DataObject) -> None:
    check_rendering(doc, data)


@pytest.mark.soak
@WHOLE
@given(documents(), st.data())
def test_only_the_measured_cell_changes_in_thousands_of_documents(doc: Doc, data: st.DataObject) -> None:
    check_update(doc, data)


@pytest.mark.soak
@WHOLE
@given(documents(broken=False), st.data())
def test_renderers_show_one_cell_that_differs_in_thousands_of_documents(
    doc: Doc, data: st.DataObject
) -> None:
    check_rendering(doc, data)


@SAMPLE
@given(st.text(alphabet="|-:*<>/supbr()[]%123.5 \n\r\t`~#注ms", max_size=200))
@example("[](#anchor)1")
@example("{% raw %}")
def test_no_text_is_too_odd_to_be_left_alone(text: str) -> None:
    show(text)
    assert update(text, [benched(5)], ACCEPT) == (text, ())
