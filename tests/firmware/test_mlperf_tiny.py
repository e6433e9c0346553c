"""MLPerf Tiny's four benchmarks, as its runner runs them, on virtual boards and on the C core.

What is right is the reference devices' convention (mlcommons/tiny, benchmark/reference_submissions), written
here once more, on the outputs of the desktop runtime or of the selftest engine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from harness.emulator.process import BoardProcess
from harness.models import reference, tflite
from harness.wire.port import Port, SerialPort
from tests.firmware import mlperf_runner, selftest
from tests.firmware.builds import build
from tests.firmware.devices import CoreDevice, Device, PosixDevice, PythonDevice

BENCHMARKS = {
    "vww01": ("vww_96_int8", (1, 96, 96, 3), 2),
    "ic01": ("pretrainedResnet_quant", (1, 32, 32, 3), 10),
    "kws01": ("kws_ref_model", (1, 49, 10, 1), 12),
    "ad01": ("ad01_int8", (1, 640), 640),
}
"""Name: (its reference model, shape of the input, values of the output)."""
FILES = {"vww01": 5, "ic01": 8, "kws01": 12, "ad01": 5}
DECIMALS = 0.0005 + 1e-6
"""Three decimals are printed."""
DRIVER = Path(__file__).with_name("mlperf_tiny_driver.py")


@dataclass(frozen=True)
class Quantisation:
    """Of a tensor."""

    scale: float
    zero_point: int


# ---- the data, of the form and size of the runner's own


def write_data(root: Path, name: str) -> None:
    """Write raw files and y_labels.csv for a benchmark, the same ones every time."""
    rng = np.random.default_rng(sum(name.encode()))
    _, shape, values = BENCHMARKS[name]
    directory = root / name
    directory.mkdir(parents=True)
    rows = []
    for index in range(FILES[name]):
        file = f"{name}_{index:03d}.bin"
        if name == "ad01":
            # Two windows and a half of log-mel energies: the last half is not sent.
            data = rng.normal(-30, 12, 640 + 128 + 64).astype("<f4").tobytes()
            rows.append(f"{file},2,{index % 2},2560,512")
        else:
            data = rng.integers(0, 256, shape, dtype=np.uint8).tobytes()
            rows.append(f"{file},{values},{rng.integers(values)}")
        (directory / file).write_bytes(data)
    (directory / "y_labels.csv").write_text("\n".join(rows) + "\n")


def sent(root: Path, name: str) -> list[bytes]:
    """Return what is sent for each inference of the accuracy mode."""
    files = [(root / name / f"{name}_{index:03d}.bin").read_bytes() for index in range(FILES[name])]
    if name != "ad01":
        return files
    return [data[at : at + 2560] for data in files for at in (0, 512)]


# ---- the convention of the reference devices


def tensor_of(name: str, data: bytes, given: Quantisation) -> bytes:
    """Return what the reference device puts into its input tensor."""
    if name in ("vww01", "ic01"):
        return (np.frombuffer(data, np.uint8).astype(int) - 128).astype(np.int8).tobytes()
    if name == "kws01":
        return data
    quotients = np.frombuffer(data, "<f4") / np.float32(given.scale)
    rounded = [int(q + 0.5) if q >= 0 else -int(0.5 - q) for q in quotients.astype(float)]
    return bytes(max(-128, min(127, r + given.zero_point)) & 0xFF for r in rounded)


def results_of(name: str, data: bytes, output: bytes, made: Quantisation) -> list[float]:
    """Return what the reference device prints, before it is rounded."""
    values = (np.frombuffer(output, np.int8).astype(float) - made.zero_point) * made.scale
    if name != "ad01":
        return list(values)
    return [float(np.mean((values - np.frombuffer(data, "<f4").astype(float)) ** 2))]


def accuracy(results: list[list[float]], labels: list[int]) -> float:
    """Return the percentage of files whose greatest result is that of their class."""
    return 100 * float(
        np.mean([int(np.argmax(one)) == label for one, label in zip(results, labels, strict=True)])
    )


# ---- the selftest engine: every bit of the tensor shows in the results


def shaped(name: str, directory: Path) -> tflite.Model:
    _, shape, values = BENCHMARKS[name]
    (directory / f"{name}.tflite").write_bytes(selftest.model((shape, "int8"), output=values))
    return tflite.read(directory / f"{name}.tflite")


@contextmanager
def dut_at(port: Port) -> Iterator[mlperf_runner.Dut]:
    try:
        dut = mlperf_runner.Dut(port.write, lambda seconds: port.read(4096, seconds), port.now)
        dut.wake()
        yield dut
    finally:
        port.close()


MAKERS: dict[str, Callable[[Path, tflite.Model], Device]] = {
    "python": lambda build, model: PythonDevice(model),
    "core": CoreDevice,
    "posix": PosixDevice,
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_device_takes_and_gives_what_the_reference_device_does(
    name: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = shaped(name, tmp_path)
    write_data(tmp_path, name)
    given = made = Quantisation(1 / 256, -128)  # selftest.BYTE
    built = Path() if kind == "python" else request.getfixturevalue("checked")
    with MAKERS[kind](built, model) as device, dut_at(device.port()) as dut:
        named, done = mlperf_runner.run(dut, tmp_path, "a")
        assert named == name
        datas = sent(tmp_path, name)
        assert len(done) == len(datas)
        for data, got in zip(datas, done, strict=True):
            [output] = device.expected(tensor_of(name, data, given))
            due = results_of(name, data, output, made)
            assert got.results == pytest.approx(due, abs=DECIMALS, rel=1e-5), got.file


@pytest.mark.parametrize("kind", MAKERS)
def test_a_length_that_is_not_the_models_is_refused_both_ways(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    built = Path() if kind == "python" else request.getfixturevalue("checked")
    with MAKERS[kind](built, shaped("kws01", tmp_path)) as device, dut_at(device.port()) as dut:
        refused = ["e-[Command 'db load' takes 490 bytes for kws01, not 27648]", "m-ready"]
        assert dut.command("db load 27648") == refused
        assert dut.command("db " + "00" * 31) == ["m-ready"]
        assert dut.command("infer 1 0") == ["e-[Input db has 0 bytes, expected 490]", "m-ready"]
        assert dut.command("db load 490") == ["m-[Expecting 490 bytes]", "m-ready"]
        assert dut.command("db " + "00" * 31) == ["m-ready"]
        assert dut.command("infer 1 0") == ["e-[Input db has 31 bytes, expected 490]", "m-ready"]


@pytest.mark.parametrize("kind", MAKERS)
def test_a_buffer_of_floats_is_shown_as_it_came_and_odd_values_are_clamped(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    built = Path() if kind == "python" else request.getfixturevalue("checked")
    values = np.zeros(640, "<f4")
    values[:8] = [np.nan, np.inf, -np.inf, 3e38, 0.5 / 256, 1.5 / 256, 0.49999997 / 256, 1]
    # The scale is 1/256 and the zero point -128: units go from -128 to 127, halves away from zero.
    expected = np.full(640, -128, np.int8)
    expected[:8] = [-128, 127, -128, 127, -127, -126, -128, 127]
    with MAKERS[kind](built, shaped("ad01", tmp_path)) as device, dut_at(device.port()) as dut:
        dut.load(values.tobytes())
        shown = dut.command("db print")[:-1]
        assert bytes.fromhex("".join(line.removeprefix("m-buffer-") for line in shown).replace("-", "")) == (
            values.tobytes()
        )
        dut.command("infer 1 0")
        # No result tells of a NaN; the same tensor with sound values does.
        sound = ((expected.astype(np.float32) + 128) / 256).astype("<f4")
        dut.load(sound.tobytes())
        results, _ = dut.infer(1, 0)
        [output] = device.expected(expected.tobytes())
        due = results_of("ad01", sound.tobytes(), output, Quantisation(1 / 256, -128))
        assert results == pytest.approx(due, abs=DECIMALS, rel=1e-5)


# ---- real models


def quantisations(model: tflite.Model) -> tuple[Quantisation, Quantisation]:
    graph = model.subgraphs[0]
    found = [graph.tensors[index].quantization for index in (graph.inputs[0], graph.outputs[0])]
    given, made = (Quantisation(one.scales[0], one.zero_points[0]) for one in found if one is not None)
    return given, made


def expected_results(shared: Path, root: Path, name: str) -> list[list[float]]:
    """Return what a reference device prints in the accuracy mode, by the desktop runtime."""
    model = tflite.read(shared / "models" / f"{BENCHMARKS[name][0]}.tflite")
    given, made = quantisations(model)
    due = []
    for data in sent(root, name):
        array = np.frombuffer(tensor_of(name, data, given), np.int8).reshape(BENCHMARKS[name][1])
        with reference.start(model.data, [array], invokes=1) as ran:
            [output] = ran.result()
        due.append(results_of(name, data, output.tobytes(), made))
    return due


def hold(name: str, results: list[list[float]], due: list[list[float]], root: Path) -> None:
    """Hold printed results against those of the reference convention: the same accuracy, the same values."""
    step = 1 / 256  # of every classifier's output; kernels may differ by one
    if name == "ad01":
        assert np.array(results) == pytest.approx(np.array(due), rel=0.01)
        return
    labels = [int(line.split(",")[2]) for line in (root / name / "y_labels.csv").read_text().splitlines()]
    assert accuracy(results, labels) == accuracy(due, labels)
    assert np.array(results) == pytest.approx(np.array(due), abs=step + DECIMALS)


@contextmanager
def real_device(kind: str, path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the port of a device with a real model."""
    if kind == "posix-tflm":
        include, library = os.environ.get("TFLM_INCLUDE"), os.environ.get("TFLM_LIBRARY")
        if not include or not library:
            pytest.skip("needs a TFLite-Micro: TFLM_INCLUDE and TFLM_LIBRARY")
        factory = request.getfixturevalue("tmp_path_factory")
        options = (f"-DTFLM_INCLUDE={include}", f"-DTFLM_LIBRARY={library}", "-DBENCH_TESTS=ON")
        posix = PosixDevice(build("host-tflm", factory, *options), tflite.read(path))
        with posix:
            yield posix.url
        return
    arguments = ["--model", str(path), *(["--firmware", "mlperf-tiny"] if kind == "text alone" else [])]
    with BoardProcess("xiao_esp32s3", arguments) as board:
        yield board.url


REAL = ("with bench", "text alone", "posix-tflm")


@pytest.mark.interop
@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_accuracy_is_that_of_the_reference_convention(
    shared: Path, tmp_path: Path, name: str, kind: str, request: pytest.FixtureRequest
) -> None:
    write_data(tmp_path, name)
    due = expected_results(shared, tmp_path, name)
    with (
        real_device(kind, shared / "models" / f"{BENCHMARKS[name][0]}.tflite", request) as url,
        dut_at(SerialPort(url)) as dut,
    ):
        named, done = mlperf_runner.run(dut, tmp_path, "a")
    assert named == name
    hold(name, [one.results for one in done], due, tmp_path)


# ---- MLPerf Tiny's own classes


@pytest.fixture
def own_runner() -> Path:
    """The runner in a checkout of mlcommons/tiny, which is named by an environment variable."""
    runner = Path(os.environ.get("MLPERF_TINY", "")) / "benchmark/runner"
    if "MLPERF_TINY" not in os.environ or not (runner / "script.py").is_file():
        pytest.skip("needs a checkout of mlcommons/tiny: MLPERF_TINY")
    return runner


def told_by_own_runner(runner: Path, url: str, root: Path, mode: str) -> tuple[str, list[list[float]]]:
    """Return the model that the device names, and the results of each inference of its script."""
    # A terminal keeps the boot text, which on a board has gone by when its port is opened; the runner
    # would take its m-ready for an answer.
    with dut_at(SerialPort(url)):
        pass
    out = root / "result.json"
    command = [sys.executable, str(DRIVER), str(runner), url, str(root), mode, str(out)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert out.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    told = json.loads(out.read_text())
    # Its error 2 is that the five rounds took less than 10 s, which a submission may not.
    assert {one["error"] for one in told["result"] if "error" in one} <= {"error 2"}
    rounds = [one["infer"] for one in told["result"] if "infer" in one]
    assert mode == "a" or all(one["throughput"] > 0 for one in rounds)
    return told["model"], [one["results"] for one in rounds]


def due_in(mode: str, name: str, due: list[list[float]]) -> list[list[float]]:
    """Return what is due in a mode: performance has five rounds, with the first window of ad01's files."""
    return due if mode == "a" else due[:: 2 if name == "ad01" else 1][: mlperf_runner.ROUNDS]


@pytest.mark.interop
@pytest.mark.parametrize("mode", ["a", "p"])
@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("name", BENCHMARKS)
def test_mlperf_tinys_own_runner_gets_through(
    own_runner: Path,
    shared: Path,
    tmp_path: Path,
    name: str,
    kind: str,
    mode: str,
    request: pytest.FixtureRequest,
) -> None:
    write_data(tmp_path, name)
    with real_device(kind, shared / "models" / f"{BENCHMARKS[name][0]}.tflite", request) as url:
        model, results = told_by_own_runner(own_runner, url, tmp_path, mode)
    assert model == name
    due = due_in(mode, name, expected_results(shared, tmp_path, name))
    assert len(results) == len(due)
    if mode == "a":
        hold(name, results, due, tmp_path)
    else:
        assert np.array(results) == pytest.approx(np.array(due), abs=1 / 256 + DECIMALS, rel=0.01)


@pytest.mark.interop
@pytest.mark.parametrize("mode", ["a", "p"])
@pytest.mark.parametrize("name", BENCHMARKS)
def test_mlperf_tinys_own_runner_gets_through_with_the_core_on_a_terminal(
    own_runner: Path, checked: Path, tmp_path: Path, name: str, mode: str
) -> None:
    write_data(tmp_path, name)
    given = made = Quantisation(1 / 256, -128)  # selftest.BYTE
    with PosixDevice(checked, shaped(name, tmp_path)) as device:
        model, results = told_by_own_runner(own_runner, device.url, tmp_path, mode)
        assert model == name
        due = []
        for data in sent(tmp_path, name):
            [output] = device.expected(tensor_of(name, data, given))
            due.append(results_of(name, data, output, made))
    due = due_in(mode, name, due)
    # Here no kernels differ: only the printed decimals do.
    assert len(results) == len(due)
    assert np.array(results) == pytest.approx(np.array(due), abs=DECIMALS, rel=1e-5)
