"""Records made up for the tests of this room: every part filled, times as asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.results.record import Record
from harness.results.store import RECORD_NAME, new_id, serialise


def record(
    ticks: Sequence[int] = (1000, 1010, 1005),
    *,
    board: str | dict[str, Any] = "xiao_esp32s3",
    model: str | dict[str, Any] = "person",
    id: str | None = None,
    day: float = 0,
    tick_hz: int = 1_000_000,
    origin: str = "emulated",
    arena: int | None = 120_000,
    **changes: Any,
) -> Record:
    """Return a record; `changes` replaces whole parts or, as a dict, keys of a part.

    Records of one model name are of one file, unless told otherwise: `model={"name": ..., **file_of(...)}`.
    """
    if isinstance(model, dict):
        changes["model"], model = model, model.get("name", "person")
    if isinstance(board, dict):
        changes["board"], board = board, "xiao_esp32s3"
    values: dict[str, Any] = {
        "id": id or new_id(),
        "created": datetime(2026, 5, 1, 12, tzinfo=UTC) + timedelta(days=day),
        "board": {
            "id": board,
            "name": board.replace("_", " ").title(),
            "profile_sha256": "ab" * 32,
            "clock_hz": 240_000_000,
            "memory_bytes": 512 * 1024,
            "port": "pty",
            "port_kind": "emulated",
        },
        "firmware": {"protocol": "bench", "name": "virtual", "version": "1.0", "image_sha256": "cd" * 32},
        "model": {
            "name": model,
            "file": f"{model}.tflite",
            **file_of(model),
            "bytes": 300_000,
            "precision": "int8",
        },
        "inputs": {"spec": ["random:0"], "sha256": "56" * 32},
        "invoke": {
            "origin": origin,
            "ticks": list(ticks),
            "tick_hz": tick_hz,
            "resolution_us": 1.0,
            "warmup": 1,
            "requested": len(ticks),
            "method": "device clock",
        },
        "ram": {
            "origin": origin,
            "arena_used_bytes": arena,
            "arena_head_bytes": arena and arena * 3 // 4,
            "arena_tail_bytes": arena and arena - arena * 3 // 4,
            "method": "arena_used_bytes()",
        },
        "outputs": {"origin": origin, "sha256": ["78" * 32]},
        "verification": {"verdict": "exact", "reference": "tflite-runtime 2.14.0", "max_ulp": 0},
        "host": {"system": "Linux", "machine": "x86_64", "python": "3.11.9"},
        "versions": {"harness": "0.1.0"},
    }
    for key, change in changes.items():
        values[key] = {**values[key], **change} if isinstance(values.get(key), dict) else change
    return Record.model_validate(values)


def file_of(content: str) -> dict[str, str]:
    """Return the hashes of a file, for the `model` of a record; a record's file is by itself its name's."""
    data = content.encode()
    return {name: hashlib.new(name, data).hexdigest() for name in ("md5", "sha1", "sha256")}


def put(made: Record, directory: Path) -> Path:
    """Put a record where the store would, without waiting for the disk."""
    path = directory / made.id / RECORD_NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(serialise(made))
    return path
