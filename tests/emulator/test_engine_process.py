"""The engine of a virtual board is a process of its own: whatever becomes of it, the board goes on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness import boards
from harness.emulator.process import BoardProcess
from harness.runner.api import flash_board
from harness.runner.reach import VirtualPort
from harness.wire.patience import Patience
from harness.wire.protocol import connect
from harness.wire.session import RunInterrupted, Session
from tests.emulator.endless import endless

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="emulated boards exist for Linux alone")

SMALL = "mnist_mbv2_035_32_int8"
FLASH = boards.load("xiao_esp32s3").flash
FIRST = FLASH.model_region.offset
BEHIND = FIRST + FLASH.block_bytes
IMPATIENT = Patience(first_sign_s=60.0, request_s=20.0, slow_request_s=60.0, invoke_s=1.5)


@pytest.fixture(scope="module")
def endless_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "endless.tflite"
    path.write_bytes(endless())
    return str(path)


def board_with(protocol: str, *models: str) -> BoardProcess:
    options = [option for model in models for option in ("--model", model)]
    return BoardProcess("xiao_esp32s3", ["--firmware", protocol, *options])


@pytest.fixture
def board(endless_file: str) -> Iterator[BoardProcess]:
    """A bench board with the endless model, and another one behind it."""
    with board_with("bench", endless_file, SMALL) as board:
        yield board


def greeted(board: BoardProcess, protocol: str = "bench", patience: Patience = IMPATIENT) -> Session:
    return connect(protocol, VirtualPort(board, 921600), patience)


def template_of(board: BoardProcess) -> psutil.Process:
    [template] = psutil.Process(board.pid).children()
    return template


def engine_of(board: BoardProcess) -> psutil.Process:
    [engine] = template_of(board).children()
    return engine


def at_sample(number: int, act: Callable[[], object]) -> Callable[[int, int], None]:
    return lambda index, ticks: act() if index == number else None


@pytest.mark.parametrize("protocol", ["bench", "mlperf-tiny", "sscma"])
def test_a_model_that_never_ends_is_told_in_time_and_the_board_takes_another(
    protocol: str, endless_file: str
) -> None:
    with board_with(protocol, endless_file) as board:
        with greeted(board, protocol) as session:
            session.select(FIRST)
            began = time.monotonic()
            with pytest.raises(
                RunInterrupted, match=r"^an invoke has not ended after 1\.5 s on the board at"
            ):
                session.run(1, 3)
            assert time.monotonic() - began >= 1.5
        flash_board("xiao_esp32s3", board.url, models=[SMALL])
        with greeted(board, protocol, Patience(first_sign_s=60.0)) as session:
            session.select(FIRST)
            assert session.run(1, 3).complete


def test_a_session_that_comes_while_another_s_invoke_goes_on_is_served_at_once(board: BoardProcess) -> None:
    first = greeted(board)
    first.select(FIRST)
    link = first._link  # type: ignore[attr-defined]
    from harness.wire import messages as m

    link.ask(m.StartRun(1, 0, 1, 1, 0), m.Running)
    status = link.ask(m.GetRun(), m.RunStatus)
    assert (status.state, status.warmup) == (m.RunState.WARMING, 1)
    assert status.busy > 0
    working = engine_of(board)
    link.port.close()
    with greeted(board) as second:
        second.select(BEHIND)
        assert second.run(0, 3).complete
    assert not working.is_running()


def test_an_invoke_that_takes_longer_than_a_request_may_is_no_trouble(board: BoardProcess) -> None:
    """The engine is stopped for a while: so long does that invoke take."""

    def stop() -> None:
        engine = engine_of(board)
        engine.suspend()
        threading.Timer(3.0, engine.resume).start()

    with greeted(board, patience=Patience(first_sign_s=60.0, request_s=1.0, invoke_s=600.0)) as session:
        session.select(BEHIND)
        began = time.monotonic()
        # More than the board keeps for a host that has not taken them: it is at work when it is stopped.
        run = session.run(1, 1500, on_sample=at_sample(0, stop))
        assert time.monotonic() - began >= 3.0
        assert run.complete
        assert run.incidents == []


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGSEGV, "(signal 11)"), (signal.SIGABRT, "(signal 6)")]
)
def test_a_model_that_crashes_its_engine_fails_the_run_and_the_board_goes_on(
    board: BoardProcess, number: signal.Signals, words: str
) -> None:
    with greeted(board, patience=Patience(first_sign_s=60.0)) as session:
        info = session.select(BEHIND)
        image = os.urandom(info.inputs[0].bytes)
        session.load(0, image)
        whole = session.run(0, 2).samples
        expected = session.output(0)
        with pytest.raises(RunInterrupted) as caught:
            session.run(0, 100_000, on_sample=at_sample(0, lambda: engine_of(board).send_signal(number)))
        assert str(caught.value) == (
            f"the model failed to run on the board: the model crashed TFLite-Micro {words}"
        )
        assert caught.value.run.samples
        assert session.run(0, 2).samples == whole
        assert session.output(0) == expected
    assert board.exit_code is None


def test_ending_engines_costs_a_board_nothing(board: BoardProcess) -> None:
    def held() -> tuple[int, int]:
        process = psutil.Process(board.pid)
        return process.num_fds(), process.num_threads()

    with greeted(board) as session:
        before = None
        for round in range(6):
            session.select(FIRST)
            if round % 2:
                threading.Timer(0.2, engine_of(board).kill).start()
            with pytest.raises(RunInterrupted):
                session.run(0, 1)
            session.select(BEHIND)
            assert session.run(0, 1).complete
            if round == 1:
                before = held()
        while held() != before:  # else the time-out of the test says so
            time.sleep(0.05)


def test_a_board_whose_engines_are_all_gone_still_answers(board: BoardProcess) -> None:
    with greeted(board) as session:
        template_of(board).kill()
        with pytest.raises(Exception, match="the engine's process ended"):
            session.select(BEHIND)
        assert session.identify().board == "xiao_esp32s3"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_of_a_board_outlives_it_and_its_end_is_told(
    board: BoardProcess, number: signal.Signals
) -> None:
    said = {signal.SIGKILL: r"ended by a signal \(Killed\)", signal.SIGTERM: r"without a word \(status 0\)"}
    with greeted(board, patience=Patience(first_sign_s=60.0)) as session:
        session.select(FIRST)
        everybody = [template_of(board), engine_of(board)]
        threading.Timer(0.5, os.kill, [board.pid, number]).start()
        with pytest.raises(RunInterrupted, match=f"the virtual board ended: {said[number]}"):
            session.run(0, 1)
    _, alive = psutil.wait_procs(everybody, timeout=20)
    assert not alive


def test_its_flash_can_be_used_again_as_soon_as_a_board_has_been_killed(tmp_path: Path) -> None:
    options = ["--flash", str(tmp_path), "--firmware", "bench", "--model", SMALL]
    for _ in range(2):
        with BoardProcess("xiao_esp32s3", options) as board, greeted(board) as session:
            session.select(FIRST)
            os.kill(board.pid, signal.SIGKILL)
