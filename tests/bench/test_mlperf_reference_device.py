"""`harness bench` with MLPerf Tiny's reference device at the other end, in all four benchmarks.

The device is the tests' own (`tests.wire.mlperf_reference_device`). Its model is the desktop runtime, which
also says what is right. The board is one that takes files on a drive, so that flashing it is a copy.
"""

from __future__ import annotations

import shutil
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from harness.models import reference, tensors, tflite
from harness.results import store
from tests.results.running import harness
from tests.wire.mlperf_reference_device import ReferenceDevice, on_a_terminal

pytestmark = pytest.mark.interop

MODELS = {
    "vww01": "vww_96_int8",
    "ic01": "pretrainedResnet_quant",
    "kws01": "kws_ref_model",
    "ad01": "ad01_int8",
}


@contextmanager
def drive_in(directory: Path) -> Iterator[Path]:
    """Show a boot loader's drive, which goes away with the first file that is whole on it."""
    directory.mkdir()
    (directory / "INFO_UF2.TXT").write_text("UF2 Bootloader v1\nModel: Grove AI\nBoard-ID: reference\n")
    stop = threading.Event()

    def take() -> None:
        while not stop.wait(0.01):
            sizes = [(file.stat().st_size, blocks(file)) for file in directory.glob("*.uf2")]
            if any(size == 512 * number > 0 for size, number in sizes):
                shutil.rmtree(directory)
                return

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield directory
    finally:
        stop.set()
        thread.join()


def blocks(file: Path) -> int:
    """Return how many blocks a UF2 file has, by its first."""
    with file.open("rb") as opened:
        return int.from_bytes(opened.read(32)[24:28], "little")


def device_for(name: str, model: tflite.Model) -> ReferenceDevice:
    graph = model.subgraphs[0]
    given, made = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]

    def invoke(tensor: bytes) -> list[int]:
        array = np.frombuffer(tensor, np.int8).reshape(given.shape)
        with reference.start(model.data, [array]) as ran:
            return ran.result()[0].ravel().tolist()

    return ReferenceDevice(name, given.bytes, invoke, quantisation=of(given), made=of(made))


def of(tensor: tflite.Tensor) -> tuple[float, int]:
    assert tensor.quantization is not None
    return tensor.quantization.scales[0], tensor.quantization.zero_points[0]


@pytest.mark.parametrize("name", MODELS)
def test_a_bench_runs_the_tensor_that_was_asked_for_and_holds_what_is_printed(
    name: str, shared: Path, tmp_path: Path
) -> None:
    path = shared / "models" / f"{MODELS[name]}.tflite"
    model = tflite.read(path)
    device = device_for(name, model)
    with on_a_terminal(device, termios.B921600) as url, drive_in(tmp_path / "drive") as drive:
        done = harness(
            *("bench", path, "--board", "grove_vision_ai", "--protocol", "mlperf-tiny"),
            *("--port", url, "--drive", drive, "--invokes", "20"),
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stderr
    [found] = (tmp_path / "results").glob("*/record.json")
    record = store.read(found.parent)
    [asked] = tensors.read(["random:0"], model).arrays
    assert device.tensor == asked.tobytes()
    # Its clock: 500 µs an inference, and 10 µs for a timestamp.
    assert [ticks / record.invoke.tick_hz for ticks in record.invoke.ticks] == [pytest.approx(505e-6)] * 10
    assert record.invoke.origin == "measured"
    if name == "ad01":
        assert record.verification.verdict == "not_available"
        assert "the reconstruction error" in (record.verification.reason or "")
    else:
        assert record.verification.verdict == "within_tolerance"
