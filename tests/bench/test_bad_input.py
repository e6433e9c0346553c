"""What people get wrong: each is one clear line, exit code 2, and nothing written."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness import bench
from harness.errors import HarnessError
from harness.models import bundled
from tests.results.running import Done, harness

SMALL = "cifar10_mbv2_035_32_int8"


def run(cwd: Path, *arguments: str) -> Done:
    return harness("bench", *arguments, cwd=cwd)


def refused(done: Done | subprocess.CompletedProcess[str], cwd: Path) -> str:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("harness: error: ")
    assert not (cwd / "results").exists()
    return lines[0]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("empty.tflite", b"", "empty"),
        ("truncated.tflite", bundled.build(SMALL)[:20_000], "damaged"),
        ("random.tflite", random.Random(1).randbytes(5000), "not a TFLite model"),
        ("page.tflite", b"<!DOCTYPE html><html>", "web page"),
    ],
)
def test_a_file_that_is_no_model(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    message = refused(run(tmp_path, name), tmp_path)
    assert name in message
    assert expected in message


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    assert "nothere.tflite" in refused(run(tmp_path, "nothere.tflite"), tmp_path)


def test_an_unknown_board_and_the_nearest_one(tmp_path: Path) -> None:
    message = refused(run(tmp_path, SMALL, "--board", "xiao_esp32s4"), tmp_path)
    assert "xiao_esp32s4" in message
    assert "did you mean 'xiao_esp32s3'?" in message


def test_an_input_of_wrong_shape_or_type_names_both(tmp_path: Path) -> None:
    np.save(tmp_path / "grey.npy", np.zeros((1, 32, 32, 1), np.int8))
    message = refused(run(tmp_path, SMALL, "--input", "grey.npy"), tmp_path)
    assert "[1, 32, 32, 1]" in message
    assert "[1, 32, 32, 3]" in message
    np.save(tmp_path / "wide.npy", np.zeros((1, 32, 32, 3), np.int16))
    message = refused(run(tmp_path, SMALL, "--input", "wide.npy"), tmp_path)
    assert "int16" in message
    assert "int8" in message


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("/dev/ttyNOPE", "no port /dev/ttyNOPE"),
        ("", "no port (an empty name)"),
        ("/dev/null", "/dev/null is not a serial port"),
        ("/", "/ is not a serial port"),
        ("socket://127.0.0.1", "it lacks a port number"),
        ("socket://127.0.0.1:1", "nothing listens at socket://127.0.0.1:1"),
        ("nosuch://x", "cannot read the port URL 'nosuch://x'"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="ports have other names there")
def test_a_port_that_does_not_exist(tmp_path: Path, port: str, expected: str) -> None:
    assert expected in refused(run(tmp_path, SMALL, "--board", "we2", "--port", port), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-n", "0"), "0 is not in the range"),
        (("--bord", "we2"), "--board"),
        (("--port", "/dev/ttyNOPE"), "several boards cannot all be at /dev/ttyNOPE"),
        (("--protocol", "benhc"), "did you mean 'bench'?"),
    ],
)
def test_a_use_that_makes_no_sense(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    assert expected in refused(run(tmp_path, SMALL, *arguments), tmp_path)


def test_an_unknown_command_and_the_nearest_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness", "bnech"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "no command 'bnech'; did you mean 'bench'?" in refused(done, tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_the_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "harness", "boards"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "harness: error: No space left on device\n"


def test_counts_that_make_no_sense_are_refused_in_python_too(tmp_path: Path) -> None:
    for counts in ({"invokes": 0}, {"warmup": -1}):
        with pytest.raises(HarnessError, match="makes sense"):
            bench(SMALL, "xiao_esp32s3", out=tmp_path, **counts)


def test_a_results_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a directory")
    message = refused(run(tmp_path, SMALL, "--output", "taken/results"), tmp_path)
    assert "taken" in message


def test_an_input_that_does_not_fit_names_its_model(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 32, 32, 3), np.int8))
    message = refused(run(tmp_path, SMALL, "mnist_mbv2_035_32_int8", "-b", "we2", "-i", "x.npy"), tmp_path)
    assert "mnist_mbv2_035_32_int8: input 'x.npy' is int8 [1, 32, 32, 3], the model takes" in message


def test_a_drive_is_never_passed_over_in_silence(tmp_path: Path) -> None:
    flashed_otherwise = refused(run(tmp_path, SMALL, "-b", "we2", "--drive", "."), tmp_path)
    assert "--drive is for boards that are flashed by UF2, not for grove_vision_ai_we2" in flashed_otherwise
    missing = refused(run(tmp_path, SMALL, "-b", "grove_vision_ai", "--drive", "nowhere"), tmp_path)
    assert "nowhere: there is no such drive" in missing
    emulated = run(tmp_path, SMALL, "-b", "grove_vision_ai", "--drive", ".", "--port", "emulated")
    assert "an emulated board has a drive of its own" in refused(emulated, tmp_path)


def test_a_port_that_is_nearly_a_word_says_which(tmp_path: Path) -> None:
    message = refused(run(tmp_path, SMALL, "-b", "we2", "--port", "emulate"), tmp_path)
    assert message.endswith("no port 'emulate'; did you mean 'emulated'?")


@pytest.mark.parametrize("count", [2.5, "3", None])
def test_a_count_that_is_no_whole_number_is_refused_before_a_board_is_touched(count: object) -> None:
    with pytest.raises(HarnessError, match="it is a whole number"):
        bench(SMALL, "we2", invokes=count)  # type: ignore[arg-type]
