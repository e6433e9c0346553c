"""Records as tidy pandas frames: runs (a row a run), samples (a row an invoke), layers (a row an operator).

Every column whose figures have a unit ends in it (`_us`, `_uj`, `_w`, `_v`, `_bytes`, `_hz`, `_ppm`,
`_percent`, `_ticks`). Names are categories, counts are integers; what a run does not report is missing, never
zero. Rows are of all runs: those that are not `usable` belong in no average, and the others may be averaged
within a `setup` alone (one model file, inputs, protocol, firmware, clock and origin on one board; see
`harness.results.key`).
"""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness import extras
from harness.results.key import key_of
from harness.results.record import Record
from harness.results.row import run_row
from harness.results.store import Damaged, scan
from harness.results.usable import unusable

if TYPE_CHECKING:
    import pandas as pd

Table = Literal["runs", "samples", "layers"]

# The columns of the runs frame, in their order, each with its type.
RUN_TYPES = {
    "run": "string",
    "setup": "category",
    "usable": "bool",
    "unusable_because": "string",
    "created": "datetime64[us, UTC]",
    "board": "category",
    "board_name": "category",
    "serial_number": "category",
    "port_kind": "category",
    "clock_hz": "Int64",
    "memory_bytes": "Int64",
    "profile_sha256": "string",
    "protocol": "category",
    "firmware": "category",
    "firmware_version": "category",
    "firmware_hash": "string",
    "firmware_sha256": "string",
    "firmware_build": "string",
    "model": "category",
    "model_file": "category",
    "model_bytes": "Int64",
    "model_unproven": "string",
    "model_sha1": "string",
    "model_sha256": "string",
    "source_sha256": "string",
    "precision": "category",
    "accelerator": "category",
    "vela_version": "category",
    "inputs": "category",
    "inputs_sha256": "string",
    "camera": "string",
    "origin": "category",
    "samples": "Int64",
    "warmup": "Int64",
    "invoke_median_us": "float64",
    "invoke_mean_us": "float64",
    "invoke_std_us": "float64",
    "invoke_min_us": "float64",
    "invoke_p25_us": "float64",
    "invoke_p75_us": "float64",
    "invoke_p95_us": "float64",
    "invoke_max_us": "float64",
    "resolution_us": "float64",
    "pre_median_ms": "float64",
    "post_median_ms": "float64",
    "error_percent": "float64",
    "error_below_percent": "float64",
    "ram_origin": "category",
    "arena_used_bytes": "Int64",
    "arena_head_bytes": "Int64",
    "arena_tail_bytes": "Int64",
    "arena_size_bytes": "Int64",
    "heap_free_bytes": "Int64",
    "stack_high_water_bytes": "Int64",
    "energy_origin": "category",
    "energy_by": "category",
    "energy_samples": "Int64",
    "energy_median_uj": "float64",
    "energy_net_median_uj": "float64",
    "energy_std_uj": "float64",
    "energy_uncertainty_percent": "float64",
    "energy_net_uncertainty_percent": "float64",
    "power_mean_w": "float64",
    "power_peak_w": "float64",
    "power_idle_w": "float64",
    "supply_v": "float64",
    "meter": "category",
    "outputs_sha256": "string",
    "verdict": "category",
    "max_ulp": "Int64",
    "layers": "Int64",
    "clock_drift_ppm": "float64",
    "incidents": "Int64",
    "complete": "bool",
    "harness_version": "category",
    "git_commit": "string",
}


# The columns by which the rows of samples and layers tell what they are of.
_LONG = ("run", "setup", "board", "model", "model_sha256", "protocol", "origin")


class Builder:
    """Collects records into columns, so that a record need not be kept once it is added."""

    def __init__(self, table: Table) -> None:
        if table not in ("runs", "samples", "layers"):
            raise ValueError(f"table '{table}': runs, samples or layers")
        extras.need("pandas", "a data frame")
        self._table = table
        self._rows: list[dict[str, Any]] = []
        self._keys: list[tuple[str, ...]] = []
        self._usable: list[bool] = []
        self._lengths: list[int] = []
        self._ticks = array("q")
        self._tick_hz: list[int] = []
        self._operators: list[str] = []
        self._indices = array("q")
        self._origins: list[str] = []

    def add(self, record: Record) -> None:
        """Add the rows of one run."""
        if self._table == "runs":
            self._rows.append(run_row(record))
            return
        key = key_of(record)
        self._keys.append(
            (
                *(record.id, key.setup, key.board, record.model.name),
                *(key.model_sha256, key.protocol, key.origin),
            )
        )
        self._usable.append(unusable(record) is None)
        self._tick_hz.append(record.invoke.tick_hz)
        if self._table == "samples":
            self._lengths.append(len(record.invoke.ticks))
            self._ticks.extend(record.invoke.ticks)
            self._indices.extend(range(len(record.invoke.ticks)))
            return
        self._lengths.append(len(record.layers))
        for layer in record.layers:
            self._ticks.append(layer.ticks)
            self._indices.append(layer.index)
            self._operators.append(layer.operator)
            self._origins.append(layer.origin)

    def frame(self) -> pd.DataFrame:
        """Return the rows added so far."""
        return self._runs() if self._table == "runs" else self._long()

    def _runs(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(self._rows, columns=list(RUN_TYPES)).astype(RUN_TYPES)

    def _long(self) -> pd.DataFrame:
        import pandas as pd

        lengths = np.asarray(self._lengths, dtype=np.int64)
        columns: dict[str, Any] = {}
        for place, name in enumerate(_LONG):
            codes, labels = pd.factorize(np.array([key[place] for key in self._keys], dtype=object))
            columns[name] = pd.Categorical.from_codes(np.repeat(codes, lengths), categories=labels)
        columns["usable"] = np.repeat(np.asarray(self._usable, dtype=bool), lengths)
        ticks = np.frombuffer(self._ticks, dtype=np.int64).copy() if self._ticks else np.empty(0, np.int64)
        indices = np.frombuffer(self._indices, dtype=np.int64).copy() if self._indices else ticks.copy()
        time_us = ticks * 1e6 / np.repeat(np.asarray(self._tick_hz, dtype=np.float64), lengths)
        if self._table == "samples":
            return pd.DataFrame({**columns, "sample": indices, "ticks": ticks, "invoke_us": time_us})
        columns["origin"] = pd.Categorical(self._origins)
        run_of = np.repeat(np.arange(len(lengths)), lengths)
        totals = (
            np.bincount(run_of, weights=time_us, minlength=len(lengths))[run_of] if len(run_of) else time_us
        )
        return pd.DataFrame(
            {
                **columns,
                "layer": indices,
                "operator": pd.Categorical(self._operators),
                "ticks": ticks,
                "time_us": time_us,
                "share_percent": np.divide(
                    100 * time_us, totals, out=np.zeros_like(time_us), where=totals > 0
                ),
            }
        )


def load(path: Path | str | Iterable[Path | str] = "results", table: Table = "runs") -> pd.DataFrame:
    """Read the records under `path` into one frame.

    Args:
        path: a store, the directory or file of one run, or several of these.
        table: "runs" (a row a run), "samples" (a row an invoke) or "layers" (a row an operator and run).

    A damaged record is left out, warned about, and listed in `frame.attrs["damaged"]` as (path, reason).
    Raises HarnessError if there is no such path.
    """
    builder = Builder(table)
    damaged: list[tuple[str, str]] = []
    for item in scan(*([path] if isinstance(path, (str, Path)) else path)):
        if isinstance(item, Damaged):
            damaged.append((str(item.path), item.reason))
            warnings.warn(f"set aside {item.path}: {item.reason}", stacklevel=2)
        else:
            builder.add(item)
    frame = builder.frame()
    frame.attrs["damaged"] = damaged
    return frame


def of(records: Iterable[Record], table: Table) -> pd.DataFrame:
    """Return one of the frames of these runs: "runs", "samples" or "layers"."""
    builder = Builder(table)
    for record in records:
        builder.add(record)
    return builder.frame()


def runs(records: Iterable[Record]) -> pd.DataFrame:
    """Return a frame of a row a run."""
    return of(records, "runs")


def samples(records: Iterable[Record]) -> pd.DataFrame:
    """Return a frame of a row an invoke: its number in the run, ticks, and time in microseconds."""
    return of(records, "samples")


def layers(records: Iterable[Record]) -> pd.DataFrame:
    """Return a frame of a row an operator of a run: ticks, microseconds, and share of the run's layers."""
    return of(records, "layers")
