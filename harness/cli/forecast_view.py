"""How `harness inspect --board` shows what a board makes of a model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.boards import Profile
from harness.check.forecast import Forecast, Layer, Time
from harness.cli.ram_view import arena_dict, arena_facts, memories_dict
from harness.models import ethosu
from harness.results.table import band


def as_dict(fate: Forecast, board: Profile) -> dict[str, Any]:
    """Return the forecast for JSON: times in seconds, sizes in bytes. `layers` replaces those of the file."""
    time = fate.time
    return {
        "board": board.id,
        "deployed": {
            "name": fate.deployed.name,
            "bytes": len(fate.deployed.data),
            "sha256": fate.deployed.sha256,
            "compiled": ethosu.is_compiled(fate.deployed),
        },
        "arena": arena_dict(fate.ram),
        "memory": memories_dict(fate.ram),
        "time": {
            "origin": "estimated",
            "seconds": time.seconds,
            "error_percent": time.band_percent,
            "error_below_percent": time.below_percent,
            "held_out_figures": time.held_out,
            "why_none": time.why_none,
            "left_out": list(time.left_out),
            "not_modelled": list(time.not_modelled),
            "methods": list(time.methods),
            "layers": [asdict(layer) for layer in time.layers],
        },
    }


def time_text(time: Time) -> str:
    """Write a time with its band: `541 ms, -18/+35 %`."""
    if time.seconds is None:
        return f"not known: {time.why_none}"
    milliseconds = f"{rounded(time.seconds * 1e3)} ms"
    if time.band_percent is None or time.below_percent is None:
        return f"{milliseconds}, error not known (no published time to hold it against)"
    return f"{milliseconds}, {band(time.band_percent, time.below_percent)}"


def rounded(value: float) -> str:
    """Write a number with three significant digits and never with an exponent: `2,300`."""
    short = float(f"{value:.3g}")
    return f"{short:,.0f}" if short >= 1000 else f"{short:g}"


def show(fate: Forecast, board: Profile, *, layers: bool) -> None:
    """Print the forecast for people."""
    from harness.cli.terminal import console, facts, table

    out, time = console(), fate.time
    out.print()
    rows = [("Board", f"{board.name} ({board.id})")]
    if fate.deployed is not fate.given:
        rows.append(
            ("", f"the figures are of the file that Vela compiles, {len(fate.deployed.data):,} bytes")
        )
    elif board.model_format == "vela" and not ethosu.is_compiled(fate.deployed):
        rows.append(("", f"Vela finds nothing in it for the NPU: it runs on the {board.chip.core} alone"))
    rows += arena_facts(fate.ram)
    rows.append(("Time", f"{time_text(time)} (estimated)" if time.seconds is not None else time_text(time)))
    rows += [("", f"left out: {what}") for what in time.left_out]
    if time.seconds is not None:
        rows += [("", f"not modelled: {what}") for what in time.not_modelled]
    facts(out, rows)
    table(
        out,
        ("Memory", "Kind", ">Bytes", ">Firmware", ">Arena", ">Model", ">Left"),
        (
            (
                use.memory,
                use.kind,
                use.size_bytes,
                "?" if use.firmware_bytes is None else use.firmware_bytes,
                use.arena_bytes or None,
                use.model_bytes or None,
                use.left_bytes if use.firmware_bytes is not None else f"at most {use.left_bytes:,}",
            )
            for use in fate.ram.memories
        ),
    )
    if layers:
        table(
            out,
            (">Layer", "Operator", "On", ">ms", ">Share", ">MACs", ">Weight bytes", ">Data bytes", "Name"),
            (_row(layer) for layer in time.layers),
        )


def _row(layer: Layer) -> tuple[object, ...]:
    return (
        f"{layer.subgraph}:{layer.index}" if layer.subgraph else layer.index,
        layer.operator,
        layer.target,
        "?" if layer.seconds is None else f"{layer.seconds * 1e3:.3f}",
        None if layer.share is None else f"{layer.share:.1%}",
        layer.macs,
        layer.weight_bytes or None,
        layer.arena_bytes or None,
        layer.name.split(";")[0][:40],
    )
