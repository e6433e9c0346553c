"""Write coefficients as the [estimate] tables of a board profile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.boards.profile import EstimateError, Fitted, Library
from harness.models.calibration import Band

_DIGITS = 4
_TABLES = ("cycles_per_mac", "cycles_per_element", "cycles_per_row", "cycles_per_byte")
_SIZES = {"cache_bytes": "cache", "vector_bytes": "vector"}
_NPU = {
    "npu_cycles_per_job": "cycles_per_job",
    "npu_cycles_per_byte": "cycles_per_byte",
    "npu_factor": "factor",
}


def rounded(value: float) -> float:
    """Round a coefficient to the digits that a profile keeps of it."""
    return float(f"{value:.{_DIGITS}g}")


def error_of(
    within: Band | None,
    median_factor: float | None,
    *,
    held_out: int,
    fitted: int,
    source: str,
    not_modelled: Sequence[str] = (),
    range: Fitted | None = None,
) -> EstimateError:
    """Return what a profile says of its error: percent of the estimate."""
    return EstimateError(
        percent=rounded(100 * (within.high - 1)) if within else None,
        below_percent=rounded(100 * (1 - within.low)) if within else None,
        median_percent=rounded(100 * (median_factor - 1)) if median_factor is not None else None,
        held_out=held_out,
        fitted=fitted,
        not_modelled=tuple(not_modelled),
        range=range,
        source=source,
    )


def estimate_tables(
    coefficients: Mapping[str, Any],
    source: str,
    *,
    error: EstimateError | None = None,
    npu_error: EstimateError | None = None,
    library: Library | None = None,
) -> str:
    """Return the text of [estimate] and its tables, every fact from `source` but for the last three tables.

    `cycles_per_byte` is by kind of memory here, as profiles have it.
    """
    lines = ["[estimate]"]
    for name in ("fixed_cycles", "cycles_per_operator"):
        lines.append(f"{name} = {_number(coefficients[name])}")
    lines += [f"{key} = {coefficients[name]}" for name, key in _SIZES.items() if name in coefficients]
    lines += [f"source = {json.dumps(source)}", ""]
    for name in _TABLES:
        if name in coefficients:
            default_last = sorted(coefficients[name].items(), key=lambda item: item[0] == "default")
            lines += _table(f"estimate.{name}", default_last, source)
    npu = [(key, coefficients[name]) for name, key in _NPU.items() if name in coefficients]
    if npu:
        lines += _table("estimate.npu", npu, source)
    if library is not None:
        lines += ["[estimate.library]", f"assumed = {_text(library.assumed)}"]
        lines += [f"{_text(key)} = {_number(value)}" for key, value in sorted(library.factors().items())]
        lines += [f"source = {_text(library.source_of('assumed'))}", ""]
    for key, found in (("error", error), ("npu_error", npu_error)):
        if found is not None:
            lines += _error(f"estimate.{key}", found)
    return "\n".join(lines)


def _table(name: str, values: Sequence[tuple[str, float]], source: str) -> list[str]:
    rows = [f"{key} = {_number(value)}" for key, value in values]
    return [f"[{name}]", *rows, f"source = {json.dumps(source)}", ""]


def _error(name: str, error: EstimateError) -> list[str]:
    lines = [f"[{name}]"]
    for key in ("percent", "below_percent", "median_percent"):
        value: float | None = getattr(error, key)
        if value is not None:
            lines.append(f"{key} = {_number(value)}")
    lines += [f"held_out = {error.held_out}", f"fitted = {error.fitted}"]
    lines.append(f"not_modelled = {_text(list(error.not_modelled))}")
    lines += [f"source = {_text(error.source_of('held_out'))}", ""]
    if error.range is not None:
        lines += [
            f"[{name}.range]",
            f"cycles = {list(error.range.cycles)}",
            f"weight_bytes = {list(error.range.weight_bytes)}",
            f"kernels = {_text(list(error.range.kernels))}",
            f"source = {_text(error.range.source_of('cycles'))}",
            "",
        ]
    return lines


def _text(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """Write a number as TOML, whole numbers without a point."""
    short = rounded(value)
    return str(int(short)) if short == int(short) else repr(short)
