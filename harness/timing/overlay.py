"""Write coefficients as the [estimate] tables of a board profile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.boards.profile import EstimateError

_DIGITS = 4
_ORDER = ("cycles_per_mac", "cycles_per_element", "cycles_per_byte")


def rounded(value: float) -> float:
    """Round a coefficient to the digits that a profile keeps of it."""
    return float(f"{value:.{_DIGITS}g}")


def estimate_tables(
    coefficients: Mapping[str, Any],
    source: str,
    *,
    held_out: int,
    fitted: int,
    percent: float | None,
    not_modelled: Sequence[str],
    npu_error: EstimateError | None = None,
) -> str:
    """Return the text of [estimate] and its tables, every fact from `source`.

    `cycles_per_byte` is by kind of memory here, as profiles have it. `percent` is how far estimates are off.
    `npu_error` is the profile's own, which a fit to times on the CPU leaves as it is.
    """
    lines = [
        "[estimate]",
        f"fixed_cycles = {_number(coefficients['fixed_cycles'])}",
        f"cycles_per_operator = {_number(coefficients['cycles_per_operator'])}",
    ]
    lines += [f"source = {json.dumps(source)}", ""]
    for name in _ORDER:
        if name in coefficients:
            lines.append(f"[estimate.{name}]")
            lines += [f"{key} = {_number(value)}" for key, value in _default_last(coefficients[name])]
            lines += [f"source = {json.dumps(source)}", ""]
    lines.append("[estimate.error]")
    if percent is not None:
        lines.append(f"percent = {_number(max(percent, 0.1))}")
    lines += [f"held_out = {held_out}", f"fitted = {fitted}"]
    lines.append(f"not_modelled = {json.dumps(list(not_modelled), ensure_ascii=False)}")
    lines += [f"source = {json.dumps(source, ensure_ascii=False)}", ""]
    if npu_error is not None:
        lines += _kept(npu_error)
    return "\n".join(lines)


def _kept(npu_error: EstimateError) -> list[str]:
    """Return the table of the NPU's error as the profile has it."""
    lines = ["[estimate.npu_error]"]
    if npu_error.percent is not None:
        lines.append(f"percent = {_number(npu_error.percent)}")
    lines += [f"held_out = {npu_error.held_out}", f"fitted = {npu_error.fitted}"]
    lines.append(f"not_modelled = {json.dumps(list(npu_error.not_modelled), ensure_ascii=False)}")
    lines.append(f"source = {json.dumps(npu_error.source_of('percent'), ensure_ascii=False)}")
    return [*lines, ""]


def _default_last(table: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(table.items(), key=lambda item: item[0] == "default")


def _number(value: float) -> str:
    """Write a number as TOML, whole numbers without a point."""
    short = rounded(value)
    return str(int(short)) if short == int(short) else repr(short)
