"""The JSON Schema of a record, as the package publishes it (`record.schema.json` beside this file)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.results.record import SCHEMA_VERSION, Record

PUBLISHED = Path(__file__).with_name("record.schema.json")


def json_schema() -> dict[str, Any]:
    """Return the schema of the current version, JSON Schema draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:harness:record:{SCHEMA_VERSION}",
        **Record.model_json_schema(mode="validation"),
    }


def text() -> str:
    """Return the schema as it is published."""
    return json.dumps(json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    PUBLISHED.write_text(text(), encoding="utf-8")
