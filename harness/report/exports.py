"""Runs in the formats of other tools: CSV, JSON, Parquet, pyperf, github-action-benchmark."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness import extras
from harness.errors import HarnessError
from harness.results.group import USUAL, Group, group
from harness.results.history import succession
from harness.results.naming import apart
from harness.results.record import Record
from harness.results.row import invoke_us
from harness.results.table import Table

if TYPE_CHECKING:
    import pandas as pd


def table(frame: pd.DataFrame) -> Table:
    """Return a frame as a table of strings, what is missing as nothing."""
    rows = [
        ["" if value is None or value != value or str(value) == "<NA>" else _cell(value) for value in row]
        for row in frame.itertuples(index=False)
    ]
    numeric = {name for name in frame.columns if frame[name].dtype.kind in "iuf"}
    return Table(tuple(frame.columns), rows, frozenset(numeric))


def _cell(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def csv(frame: pd.DataFrame) -> str:
    """Return a frame as CSV, times as ISO 8601, what is missing as nothing."""
    return str(frame.to_csv(index=False, lineterminator="\n", date_format="%Y-%m-%dT%H:%M:%S.%fZ"))


def json_rows(frame: pd.DataFrame) -> str:
    """Return a frame as a JSON array of an object a row."""
    text = frame.to_json(orient="records", date_format="iso", date_unit="us", indent=1, double_precision=10)
    return f"{text}\n"


def json_values(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows of plain values as a JSON array of an object a row, in the form of `json_rows`."""
    rounded = [
        {key: round(value, 10) if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    ]
    return json.dumps(rounded, indent=1, separators=(",", ":")) + "\n"


def parquet(frame: pd.DataFrame) -> bytes:
    """Return a frame as a Parquet file; raises MissingPackage if pyarrow is not installed."""
    extras.need("pyarrow", "Parquet")
    out = io.BytesIO()
    frame.to_parquet(out, index=False, engine="pyarrow")
    return out.getvalue()


def pyperf(records: Sequence[Record]) -> str:
    """Return a pyperf benchmark suite (format 1.0): a benchmark for each key (see `harness.results.key`).

    A run is a run of pyperf's, its samples are the values, in seconds. pyperf takes no value of 0; those and
    runs that are not usable are left out. Raises HarnessError if nothing is left.
    """
    benchmarks = []
    groups = group(records)
    for one, name in zip(groups, _names(groups), strict=True):
        runs = []
        for record in one.records:
            values = [float(value) / 1e6 for value in invoke_us(record) if value > 0]
            if values:
                runs.append({"metadata": _pyperf_metadata(record, sum(values)), "values": values})
        if runs:
            metadata = {"name": name, "unit": "second", "loops": 1}
            benchmarks.append({"metadata": metadata, "runs": runs})
    if not benchmarks:
        raise HarnessError("there is no sample to export")
    return json.dumps({"version": "1.0", "benchmarks": benchmarks}, indent=1) + "\n"


def _pyperf_metadata(record: Record, seconds: float) -> dict[str, Any]:
    return {
        "date": record.created.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f"),
        "duration": seconds,
        "harness_run": record.id,
        "harness_origin": record.invoke.origin,
        "harness_firmware": f"{record.firmware.name} {record.firmware.version}",
        "harness_model_sha256": record.model.sha256,
        "timer": f"{record.invoke.method}, resolution {record.invoke.resolution_us:g} us",
    }


def github_action_benchmark(records: Sequence[Record]) -> str:
    """Return what github-action-benchmark reads as `customSmallerIsBetter`: time and RAM of each group.

    It follows a name over time, so a file or firmware that was replaced by another is left out.
    """
    rows: list[dict[str, Any]] = []
    everything = group(records)
    replaced = succession(everything)
    groups = [one for place, one in enumerate(everything) if place not in replaced and one.records]
    for one, called in zip(groups, _names(groups), strict=True):
        sha256 = one.key.model_sha256
        extra = f"{len(one.records)} runs, {one.samples} samples\nlatest {one.latest.id}\nSHA-256 {sha256}"
        value = (one.median_us or 0.0) / 1000
        row = {"name": f"{called}: invoke time", "unit": "ms", "value": value, "extra": extra}
        if one.between_percent is not None:
            row["range"] = f"± {one.between_percent:.2f} %"
        rows.append(row)
        if one.arena_used_bytes is not None:
            name = f"{called}: RAM ({one.ram.origin})"
            rows.append({"name": name, "unit": "bytes", "value": one.arena_used_bytes, "extra": extra})
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def _names(groups: Sequence[Group]) -> list[str]:
    """Return a name for each group that no other has: `board/model/precision (origin)`, more if needed."""
    told = apart(groups, (*USUAL, "origin"))
    return [
        f"{one.key.board}/{one.names[0]}/{one.key.precision} ({', '.join(filter(None, (one.origin, words)))})"
        for one, words in zip(groups, told, strict=True)
    ]
