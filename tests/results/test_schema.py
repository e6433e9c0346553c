"""The published schema says what the store writes, and every version ever written stays readable."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from harness.results import schema, store
from harness.results.record import SCHEMA_VERSION
from tests.results.making import record
from tests.results.running import harness

GOLDEN = Path(__file__).with_name("golden")


def _published() -> jsonschema.Draft202012Validator:
    published = json.loads(schema.PUBLISHED.read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    return jsonschema.Draft202012Validator(published)


def test_the_published_schema_is_that_of_the_code() -> None:
    assert json.loads(schema.PUBLISHED.read_text()) == schema.json_schema(), (
        "the record changed: python -m harness.results.schema writes the schema anew"
    )


def test_what_the_store_writes_is_valid() -> None:
    _published().validate(json.loads(store.serialise(record())))


@pytest.mark.parametrize(
    ("part", "key", "wrong"),
    [
        ("invoke", "ticks", [1.5]),
        ("invoke", "origin", "guessed"),
        ("board", "port_kind", "wire"),
        ("ram", "method", None),
    ],
)
def test_what_the_code_refuses_the_schema_refuses(part: str, key: str, wrong: object) -> None:
    values = json.loads(store.serialise(record()))
    values[part][key] = wrong
    del values["digest"]
    assert not _published().is_valid(values)
    with pytest.raises(store.RecordError, match=f"key '{part}.{key}"):
        store.parse(json.dumps(values).encode(), Path("x"))


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_records_of_every_version_are_read(version: int) -> None:
    """The golden files are never changed; a new version adds one."""
    kept = store.read(GOLDEN / f"record-v{version}.json")
    assert kept.board.id == "xiao_esp32s3"
    assert kept.invoke.ticks == [27489684, 27489690, 27489701]
    assert [layer.operator for layer in kept.layers] == ["CONV_2D", "SOFTMAX"]
    assert kept.model.vela is not None
    assert kept.incidents[0].kind == "reconnected"
    assert kept.model_extra == {"added_later": {"by": "a newer harness"}}


def test_the_command_prints_the_published_schema(tmp_path: Path) -> None:
    assert harness("schema", cwd=tmp_path).stdout == schema.PUBLISHED.read_text()
