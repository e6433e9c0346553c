"""The main job, from the command line to the records, on emulated boards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

import harness
from harness import boards
from harness.__main__ import main
from harness.emulator.process import BoardProcess
from harness.models import reference
from harness.results import store
from harness.runner import Observer, Result
from harness.runner.api import flash_board
from harness.runner.missing import Kept
from harness.runner.plan import Job
from tests.results.running import harness as in_process

SMALL, OTHER = "cifar10_mbv2_035_32_int8", "mnist_mbv2_035_32_int8"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def board_of(process: subprocess.Popen[bytes]) -> psutil.Process:
    """Return the virtual board that a harness has started, once it has."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.Error):
                if "emulate" in child.cmdline():
                    return child
        time.sleep(0.05)
    raise AssertionError("no board was started")


def test_without_arguments_the_person_model_runs_on_the_three_boards(tmp_path: Path) -> None:
    done = run("bench", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)["records"]
    assert [r["board"]["id"] for r in records] == ["xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2"]
    for record in records:
        assert record["model"]["name"] == "person_mbv2_035_32_int8"
        assert len(record["invoke"]["ticks"]) == 10
        assert record["invoke"]["origin"] == "estimated"
        assert record["ram"]["origin"] == "emulated"
        assert record["ram"]["arena_used_bytes"] > 20_000
        assert record["verification"]["verdict"] == "exact"
        assert store.read(tmp_path / record["path"]).id == record["id"]
    assert [r["model"]["precision"] for r in records] == ["int8", "int8", "int8 (Vela)"]


def test_the_table_names_origin_and_unit_of_every_figure(tmp_path: Path) -> None:
    done = in_process("bench", SMALL, "--board", "grove_vision_ai", "-n", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    row = next(line for line in done.stdout.splitlines() if line.startswith("grove_vision_ai"))
    for word in (SMALL, "int8", " ms", "estimated", "KiB", "emulated", "exact"):
        assert word in row


IMAGE = np.random.default_rng(7).integers(-128, 128, (1, 32, 32, 3), dtype=np.int8)


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """`IMAGE` benched on all boards, and where the records are."""
    place = tmp_path_factory.mktemp("everywhere")
    np.save(place / "image.npy", IMAGE)
    out = place / "out"
    return harness.bench(
        [SMALL], port="emulated", invokes=4, warmup=0, inputs=[str(place / "image.npy")], out=out
    ), out


def test_results_come_back_as_a_frame_and_are_read_back_from_disk(everywhere: tuple[Result, Path]) -> None:
    result, out = everywhere
    frame = result.frame()
    assert list(frame["board"]) == ["xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2"]
    assert list(frame["samples"]) == [4, 4, 4]
    again = harness.load(out)
    assert sorted(again["run"]) == sorted(frame["run"])


def test_the_same_inputs_reach_every_board(everywhere: tuple[Result, Path]) -> None:
    result, _ = everywhere
    assert len(result.records) == 3
    assert len({record.inputs.sha256 for record in result.records}) == 1
    assert len({tuple(record.outputs.sha256 or ()) for record in result.records}) == 1


def test_real_numbers_are_quantised_for_the_model_and_the_record_says_so(
    everywhere: tuple[Result, Path], tmp_path: Path
) -> None:
    np.save(tmp_path / "real.npy", (IMAGE + 128.0) * 0.003921568859368563)
    result = harness.bench(
        SMALL, "we2", port="emulated", invokes=1, inputs=[str(tmp_path / "real.npy")], out=tmp_path / "out"
    )
    (real,), (*_, as_stored) = result.records, everywhere[0].records
    assert as_stored.board.id == real.board.id
    assert real.inputs.sha256 == as_stored.inputs.sha256
    assert real.outputs.sha256 == as_stored.outputs.sha256
    said = [note for note in real.notes if note not in as_stored.notes]
    assert said == ["input 'image': float64 quantised with the model's scale 0.00392157 and zero point -128"]


def test_a_board_started_by_hand_is_benched_through_its_port(tmp_path: Path) -> None:
    with BoardProcess("xiao_esp32s3", ["--model", SMALL]) as board:
        result = harness.bench([SMALL], ["xiao_esp32s3"], port=board.url, invokes=2, out=tmp_path)
    record = result.records[0]
    assert record.verification.verdict == "exact"
    assert record.board.port_kind == "pty"
    assert record.invoke.origin == "estimated", "a virtual board's time is never measured, whatever its port"


def test_a_profile_of_ones_own_is_benched_by_its_path(tmp_path: Path) -> None:
    shipped = boards.load("xiao_esp32s3").path.read_text()
    own = tmp_path / "own board.toml"
    own.write_text(shipped.replace('id = "xiao_esp32s3"', 'id = "own"').replace("240 MHz", "120 MHz"))
    result = harness.bench([SMALL], ["xiao_esp32s3", own], port="emulated", invokes=1, out=tmp_path / "out")
    theirs, ours = result.records
    assert ours.board.id == "own"
    assert ours.board.profile_sha256 != theirs.board.profile_sha256
    assert ours.invoke.ticks[0] / ours.invoke.tick_hz > theirs.invoke.ticks[0] / theirs.invoke.tick_hz


def test_a_board_started_by_hand_is_given_the_model_that_it_lacks(tmp_path: Path) -> None:
    with BoardProcess("xiao_esp32s3", ["--model", SMALL]) as board:
        result = harness.bench([OTHER], ["xiao_esp32s3"], port=board.url, invokes=2, out=tmp_path)
    assert result.records[0].verification.verdict == "exact"
    [flashed] = result.flashed
    assert flashed.kept == (Kept("bench firmware", "its build hash"),)
    assert [outcome.file for outcome in flashed.outcomes] == [OTHER]


@pytest.mark.parametrize(
    "board",
    [
        pytest.param("xiao_esp32s3", marks=pytest.mark.soak),
        "grove_vision_ai",
        pytest.param("grove_vision_ai_we2", marks=pytest.mark.soak),
    ],
)
def test_a_second_bench_of_the_same_model_flashes_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_cache: Callable[[Path], Path], board: str
) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(new_cache(tmp_path / "cache")))
    arguments = ("bench", SMALL, "--board", board, "--port", "emulated", "-n", "1", "-w", "0")
    first, second = in_process(*arguments, cwd=tmp_path), in_process(*arguments, cwd=tmp_path)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert f"flashed: {board}: {SMALL}" in first.stdout
    assert first.stdout.count("verified: ") == (4 if board == "xiao_esp32s3" else 2)
    said = [line for line in second.stdout.splitlines() if line.startswith("flashed: ")]
    assert said == [
        f"flashed: {board}: nothing, it already holds bench firmware (by its build hash) and "
        f"{said_model(board)} (by the SHA-256 of its flash)"
    ]


def said_model(board: str) -> str:
    return f"{SMALL} (Vela)" if board == "grove_vision_ai_we2" else SMALL


def test_another_model_is_flashed_alone_and_another_protocol_s_firmware_too(tmp_path: Path) -> None:
    def flashed(model: str) -> tuple[list[str], list[str]]:
        result = harness.bench(
            [model], ["grove_vision_ai"], port="emulated", invokes=1, warmup=0, out=tmp_path
        )
        [done] = result.flashed
        return [outcome.file for outcome in done.written], [kept.what for kept in done.there]

    flashed(SMALL)
    assert flashed(OTHER) == ([OTHER], ["bench firmware"])
    flash_board("grove_vision_ai", "emulated", firmware="sscma")
    assert flashed(OTHER) == (["firmware", OTHER], [])


def test_ctrl_c_while_the_desktop_runtime_still_works_keeps_the_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reference.Reference, "result", interrupted)
    result = harness.bench(SMALL, "xiao_esp32s3", port="emulated", invokes=3, out=tmp_path)
    assert result.interrupted
    record = store.read(result.paths[0])
    assert record.complete
    assert len(record.invoke.ticks) == 3
    assert record.verification.reason == "interrupted by the user"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_job_that_is_ended_keeps_what_was_measured(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-m", "harness", "bench", SMALL, "-b", "grove_vision_ai", "-n", "1000000"]
    (tmp_path / "tmp").mkdir()
    terminal, its_side = os.openpty()  # for the progress, which tells when samples flow
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=its_side, env=os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    )
    os.close(its_side)
    said = b""
    while b": invoke" not in said:
        said += os.read(terminal, 4096)
    process.send_signal(number)
    with contextlib.suppress(OSError):  # a terminal that its last user has left
        while part := os.read(terminal, 4096):
            said += part
    os.close(terminal)
    assert process.wait(20) == code
    assert said.endswith(b"harness: interrupted; what was measured is recorded\r\n")
    (record,) = store.read_all(tmp_path / "results")[0]
    assert record.invoke.ticks
    assert not record.complete
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize("delay", [0.2, 0.5, pytest.param(1.0, marks=pytest.mark.soak), 2.0])
def test_ctrl_c_ends_at_once_keeps_what_was_measured_and_leaves_no_child(
    tmp_path: Path, delay: float
) -> None:
    # Until Python itself has started, how a signal ends it is no matter of the harness.
    begin = (
        "import sys; from harness.__main__ import main; print('begun', file=sys.stderr, flush=True); main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", begin, "bench", "person_mbv2_035_96_int8", "-n", "100000", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == b"begun\n"
    time.sleep(delay)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    # Before Python has its handler in place, the signal itself ends the process.
    assert process.returncode in (130, -signal.SIGINT), err
    assert b"Traceback" not in err
    _, alive = psutil.wait_procs(children, timeout=2)
    assert not alive
    for record in json.loads(out)["records"] if out else []:
        assert not record["complete"]
        assert record["invoke"]["ticks"]
        assert store.read(tmp_path / record["path"]).invoke.ticks == record["invoke"]["ticks"]


def test_ctrl_c_while_a_class_is_made_shows_no_traceback_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As imports make many; Python 3.11 makes a RuntimeError of it."""

    class Field:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr("harness.cli.main", lambda: type("Made", (), {"field": Field()}))
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 130
    assert capsys.readouterr().err == "harness: interrupted\n"


def test_the_board_ends_with_a_harness_that_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "bench", SMALL, "-n", "100000"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    board = board_of(process)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs([board], timeout=5)
    assert not alive


def test_emulate_prints_its_url_first_and_ends_when_told_to(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "emulate", "-b", "we2", "--listen", "socket://127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline().startswith("socket://127.0.0.1:")
    process.terminate()
    _, err = process.communicate(timeout=5)
    assert process.returncode == 0
    assert err == ""


def test_a_store_that_fails_after_the_run_does_not_lose_what_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "results"

    class Saboteur(Observer):
        def job(self, job: Job, number: int, total: int) -> None:
            out.write_text("in the way")

    result = harness.bench(
        [SMALL], ["xiao_esp32s3"], port="emulated", invokes=2, out=out, observer=Saboteur()
    )
    assert "the record is in" in result.failures[0].message
    assert store.read(result.paths[0]).invoke.ticks == result.records[0].invoke.ticks
    shutil.rmtree(result.paths[0].parents[1])


def test_a_closed_standard_error_stops_no_bench(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness", "bench", OTHER, "-b", "we2", "-n", "1"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *command], cwd=tmp_path, stdout=subprocess.PIPE, timeout=120
    )
    assert done.returncode == 0
    assert b"recorded: " in done.stdout
