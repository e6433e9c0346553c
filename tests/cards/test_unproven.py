"""A run whose model was not proven reaches a card by --by-name alone."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cards.models import RecordsByModel, match, reference
from harness.results.record import Record
from tests.cards.making import OTHER_SHA1, SHA1, benched

UNPROVEN = "sscma cannot tell which model runs: taken to be it, which was named"
FILE = f"person_int8_sha1_{SHA1}.tflite"


def unproven(**model: Any) -> Record:
    """Return the record of a model that was named to be FILE."""
    made = benched(15, id="stock", file=FILE)
    changed = {**made.model.model_dump(), "unproven": UNPROVEN, **model}
    return Record.model_validate({**made.model_dump(), "model": changed})


def matched(record: Record, *, by_name: bool = False, models: dict[str, str] | None = None) -> Any:
    """Return how a row that links FILE finds the record."""
    link = reference(f"https://files.example.com/{FILE}")
    assert link is not None
    return match([link], [], RecordsByModel([record]), models or {}, by_name)


def test_a_card_s_row_does_not_take_it_for_the_file_whose_hash_it_has() -> None:
    found = matched(unproven())
    assert not found.records
    assert found.problem == f"what ran in record stock is unproven: {UNPROVEN}; --by-name takes its word"


def test_by_name_takes_it() -> None:
    found = matched(unproven(), by_name=True)
    assert [record.id for record in found.records] == ["stock"]
    assert not found.exact, "it is not proven to be of the very file"


@pytest.mark.parametrize("by_name", [False, True])
def test_a_file_of_that_name_with_another_hash_stays_out(by_name: bool) -> None:
    assert not matched(unproven(sha1=OTHER_SHA1), by_name=by_name).records


def test_an_explicit_mapping_is_no_proof_either() -> None:
    listed = unproven(file="model 1 at 0x400000", name="model 1 at 0x400000", sha1="", sha256="", bytes=0)
    models = {FILE: "model 1 at 0x400000"}
    assert "--by-name takes its word" in matched(listed, models=models).problem
    assert matched(listed, models=models, by_name=True).records == [listed]


def test_a_proven_run_goes_before_it() -> None:
    proven = benched(15, id="proven", file=FILE)
    link = reference(f"https://files.example.com/{FILE}")
    assert link is not None
    found = match([link], [], RecordsByModel([unproven(), proven]), {}, by_name=True)
    assert [record.id for record in found.records] == ["proven"]
