"""`harness bench` against the firmware, as against any board."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.models import tflite
from harness.results.record import Record
from tests.firmware.builds import FIRMWARE, require
from tests.firmware.devices import PosixDevice, ProcessDevice, QemuDevice

pytestmark = pytest.mark.interop


def bench(device: ProcessDevice, board: str, model: Path, out: Path) -> Record:
    result = harness.bench(
        [str(model)], [str(FIRMWARE / "ports" / board / "board.toml")], port=device.url, invokes=5, out=out
    )
    assert not result.failures, result.failures
    [record] = result.records
    return record


def is_marked(record: Record, board: str) -> None:
    """The selftest engine's figures can be taken for nobody's."""
    assert record.board.id == board
    assert record.complete
    assert len(record.invoke.ticks) == 5
    origins = {record.invoke.origin, record.ram.origin, record.outputs.origin}
    assert origins | {layer.origin for layer in record.layers} == {"emulated"}
    assert record.verification.verdict == "not_available"
    assert "selftest" in (record.verification.reason or "")
    assert any("selftest" in note for note in record.notes)
    assert record.clock_drift_ppm is None


def test_the_posix_build_records_a_run(checked: Path, shared: Path, tmp_path: Path) -> None:
    path = shared / "models/kws_ref_model.tflite"
    with PosixDevice(checked, tflite.read(path)) as device:
        record = bench(device, "posix", path, tmp_path)
    is_marked(record, "posix")
    assert record.board.port_kind == "pty"


def test_a_cortex_m55_in_qemu_records_a_run(cortex_m55: Path, shared: Path, tmp_path: Path) -> None:
    require("qemu-system-arm")
    path = shared / "models/kws_ref_model.tflite"
    with QemuDevice(cortex_m55, tflite.read(path)) as device:
        record = bench(device, "mps3_an547", path, tmp_path)
    is_marked(record, "mps3_an547")
    assert record.board.port_kind == "socket"
    assert record.board.clock_hz == 32_000_000
    assert record.ram.stack_high_water_bytes
