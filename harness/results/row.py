"""One run as one flat row: what the runs frame, queries and groups work with."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.results.key import key_of, source_sha256
from harness.results.record import Energy, Record
from harness.results.usable import unusable

ENERGY = (
    "energy_origin",
    "energy_by",
    "energy_samples",
    "energy_median_uj",
    "energy_net_median_uj",
    "energy_std_uj",
    "energy_uncertainty_percent",
    "energy_net_uncertainty_percent",
    "power_mean_w",
    "power_peak_w",
    "power_idle_w",
    "supply_v",
    "meter",
)
_STATISTICS = (
    "invoke_median_us",
    "invoke_mean_us",
    "invoke_std_us",
    "invoke_min_us",
    "invoke_p25_us",
    "invoke_p75_us",
    "invoke_p95_us",
    "invoke_max_us",
)


def invoke_us(record: Record) -> np.ndarray:
    """Return the invoke times of a run in microseconds, shape (n,), in the order they were taken."""
    return np.asarray(record.invoke.ticks, dtype=np.float64) * 1e6 / record.invoke.tick_hz


def run_row(record: Record) -> dict[str, Any]:
    """Return one row of the runs frame; a figure that the run does not report is None."""
    board, firmware, model, invoke, ram = (
        record.board,
        record.firmware,
        record.model,
        record.invoke,
        record.ram,
    )
    key, reason = key_of(record), unusable(record)
    return {
        "run": record.id,
        "setup": key.setup,
        "usable": reason is None,
        "unusable_because": reason,
        "created": record.created,
        "board": board.id,
        "board_name": board.name,
        "serial_number": board.serial_number,
        "port_kind": board.port_kind,
        "clock_hz": board.clock_hz,
        "memory_bytes": board.memory_bytes,
        "profile_sha256": board.profile_sha256,
        "protocol": firmware.protocol,
        "firmware": firmware.name,
        "firmware_version": firmware.version,
        "firmware_hash": key.firmware_hash,
        "firmware_sha256": firmware.image_sha256,
        "firmware_build": firmware.build_hash,
        "model": model.name,
        "model_file": model.file,
        "model_bytes": model.bytes,
        "model_unproven": model.unproven,
        "model_sha1": model.sha1,
        "model_sha256": model.sha256,
        "source_sha256": source_sha256(model),
        "precision": model.precision,
        "accelerator": model.vela.accelerator if model.vela else None,
        "vela_version": model.vela.version if model.vela else None,
        "inputs": " ".join(record.inputs.spec),
        "inputs_sha256": record.inputs.sha256,
        "camera": record.inputs.camera,
        "origin": invoke.origin,
        "samples": len(invoke.ticks),
        "warmup": invoke.warmup,
        **_statistics(record),
        "resolution_us": invoke.resolution_us,
        "pre_median_ms": float(np.median(invoke.pre_ms)) if invoke.pre_ms else None,
        "post_median_ms": float(np.median(invoke.post_ms)) if invoke.post_ms else None,
        "error_percent": invoke.error_percent,
        "error_below_percent": invoke.error_below_percent,
        "ram_origin": ram.origin,
        "arena_used_bytes": ram.arena_used_bytes,
        "arena_head_bytes": ram.arena_head_bytes,
        "arena_tail_bytes": ram.arena_tail_bytes,
        "arena_size_bytes": ram.arena_size_bytes,
        "heap_free_bytes": ram.heap_free_bytes,
        "stack_high_water_bytes": ram.stack_high_water_bytes,
        **_energy(record.energy),
        "outputs_sha256": " ".join(record.outputs.sha256) if record.outputs.sha256 else None,
        "verdict": record.verification.verdict,
        "max_ulp": record.verification.max_ulp,
        "layers": len(record.layers),
        "clock_drift_ppm": record.clock_drift_ppm,
        "incidents": len(record.incidents),
        "complete": record.complete,
        "harness_version": record.versions.get("harness"),
        "git_commit": record.git.commit if record.git else None,
    }


def _energy(energy: Energy | None) -> dict[str, Any]:
    """Return the energy of a run's invokes; None each if no meter measured it."""
    if energy is None:
        return dict.fromkeys(ENERGY)
    std = float(np.std(energy.gross_uj, ddof=1)) if len(energy.gross_uj) > 1 else None
    values = (
        *(energy.origin, energy.by, len(energy.gross_uj)),
        *(float(np.median(energy.gross_uj)), float(np.median(energy.net_uj)), std),
        *(energy.uncertainty_percent, energy.net_uncertainty_percent),
        *(energy.mean_w, energy.peak_w, energy.idle_w, energy.meter.supply_v, energy.meter.name),
    )
    return dict(zip(ENERGY, values, strict=True))


def _statistics(record: Record) -> dict[str, float | None]:
    """Return median, mean, spread and extremes of one run's samples; None each if it has none.

    They are taken of the ticks, whose sums are exact: the spread of equal samples is 0, not a rounding error.
    """
    ticks = np.asarray(record.invoke.ticks, dtype=np.float64)
    if not len(ticks):
        return dict.fromkeys(_STATISTICS)
    p25, median, p75, p95 = np.percentile(ticks, [25, 50, 75, 95])
    std = ticks.std(ddof=1) if len(ticks) > 1 else None
    values = (median, ticks.mean(), std, ticks.min(), p25, p75, p95, ticks.max())
    return {
        name: None if value is None else float(value * 1e6 / record.invoke.tick_hz)
        for name, value in zip(_STATISTICS, values, strict=True)
    }
