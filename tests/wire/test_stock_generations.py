"""The client against fakes of both generations of the stock firmware, written from the vendor's sources.

The fakes share no line with the harness's own virtual boards; `too_early` is what they hold against a
client that repeats a command with an effect while the first is at work.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.wire.at_replies import Replies
from harness.wire.protocol import connect
from harness.wire.session import DeviceRefused, RunInterrupted, Session
from tests.wire import stock_fake_1_0, stock_fake_2_0, stock_line
from tests.wire.stock_fake_1_0 import FirstFake
from tests.wire.stock_fake_2_0 import SecondFake

Fake = FirstFake | SecondFake
Make = Callable[..., Fake]
PLAIN = (b"\x1c\0\0\0TFL3" + bytes(20000)).ljust(24576, b"\xff")
VELA = (b"\x20\0\0\0TFL3" + bytes(4000) + b"ethos-u" + bytes(9000)).ljust(16384, b"\xff")
FIRST, SECOND = 0x400000, 0x400000 + len(PLAIN)

pytestmark = pytest.mark.parametrize("fake", [FirstFake, SecondFake])


def made(fake: Make, flash: bytes = PLAIN + VELA, **options: object) -> tuple[Fake, Session]:
    board = fake(flash, lambda n: 15 + n, **options)
    return board, connect("sscma", board)


def test_the_fakes_know_nothing_of_the_harness(fake: Make) -> None:
    for module in (stock_line, stock_fake_1_0, stock_fake_2_0):
        assert "harness" not in inspect.getsource(module).partition('"""\n\nfrom')[2]


@pytest.mark.parametrize("address", [FIRST, SECOND], ids=["plain", "vela"])
@pytest.mark.parametrize(
    "options", [{}, {"noisy": True}, {"portion": 7, "noisy": True}, {"images": True}], ids=str
)
def test_a_bench_ends_with_samples(fake: Make, address: int, options: dict[str, object]) -> None:
    board, session = made(fake, **options)
    assert [model.address for model in session.models()] == [FIRST, SECOND]
    session.select(address)
    run = session.run(2, 10)
    assert run.samples == [17 + n for n in range(10)]
    assert (run.pre_ms, run.post_ms) == ([7] * 10, [2] * 10)
    assert (run.tick_hz, run.resolution_ms, run.complete) == (1000, 1.0, True)
    assert run.camera == ("sensor 1, 240x240 Auto" if fake is FirstFake else "sensor 0, 240x240 Small")
    assert (run.incidents, board.too_early, board.frames) == ([], [], 12)


def test_no_image_is_asked_for_and_no_other_word_is_said_than_it_knows(fake: Make) -> None:
    board, session = made(fake)
    session.select(FIRST)
    session.run(1, 4)
    said = [line.split("@")[-1] for line in board.heard]
    assert ("INVOKE=5,0,1" if fake is FirstFake else "INVOKE=5,1") in said
    assert not any("INVOKE?" in line for line in said)  # nothing was quiet for long


@pytest.mark.parametrize("camera_s", [0.3, 3.0, 12.0])
def test_a_camera_that_takes_its_time_is_started_once(fake: Make, camera_s: float) -> None:
    board, session = made(fake, camera_fails_at_boot=True)
    board.camera_s = camera_s
    session.select(FIRST)
    run = session.run(1, 5)
    assert run.samples == [16, 17, 18, 19, 20]
    assert (board.camera_starts, board.too_early) == (1, [])


def test_frames_that_take_longer_than_any_question_are_waited_for(fake: Make) -> None:
    board = fake(PLAIN, lambda n: 9000)
    session = connect("sscma", board)
    session.select(FIRST)
    run = session.run(1, 3)
    assert run.samples == [9000] * 3
    assert (run.incidents, board.too_early, board.frames) == ([], [], 4)


@pytest.mark.parametrize("frame", range(1, 9))
@pytest.mark.parametrize("camera_s", [0.1, 3.0])
def test_a_reset_in_mid_run_is_seen_though_the_boot_count_stands_still(
    fake: Make, frame: int, camera_s: float
) -> None:
    board, session = made(fake, resets_before=frame, camera_s=camera_s)
    session.select(SECOND)
    run = session.run(1, 7)
    assert (len(run.samples), run.complete, board.boots) == (7, True, 2)
    assert [incident.kind for incident in run.incidents] == ["reset"]
    assert (board.model, board.too_early) == (2, [])


@pytest.mark.parametrize("frame", range(1, 9))
def test_a_lost_event_costs_a_further_run_and_nothing_else(fake: Make, frame: int) -> None:
    board, session = made(fake, loses=frame)
    session.select(FIRST)
    run = session.run(2, 6)
    assert (len(run.samples), run.complete, board.too_early) == (6, True, [])
    assert 15 + frame - 1 not in run.samples
    assert 15 not in run.samples  # the warm-up of either run is none of them
    assert 16 not in run.samples
    assert {incident.kind for incident in run.incidents} <= {"events-lost"}


def test_a_session_that_is_left_in_mid_run_breaks_it_off(fake: Make) -> None:
    board, session = made(fake)
    session.select(FIRST)

    class Enough(Exception):
        pass

    def stop(index: int, ticks: int) -> None:
        if index == 3:
            raise Enough

    with pytest.raises(Enough), session:
        session.run(0, 1000, on_sample=stop)
    board.pause(2.0)
    frames = board.frames
    board.pause(5.0)
    assert board.frames == frames < 20
    again = connect("sscma", board)
    again.select(FIRST)
    assert len(again.run(0, 3).samples) == 3


def test_reset_is_believed_by_what_the_board_says_as_it_boots(fake: Make) -> None:
    board, session = made(fake, camera_s=1.0)
    session.reset()
    assert board.boots == 2
    session.select(FIRST)
    assert len(session.run(0, 3).samples) == 3


def test_what_it_refuses_is_told_in_a_sentence(fake: Make) -> None:
    board, session = made(fake, recognised=False)
    session.select(FIRST)
    first = r"EINVAL \(the firmware knows no such command, model or value\)"
    second = r"ENOTSUP \(the firmware cannot run this kind of model"
    with pytest.raises(RunInterrupted, match=first if fake is FirstFake else second):
        session.run(0, 3)
    assert board.too_early == []


def test_an_unknown_command_is_a_log_in_one_and_an_event_in_the_other(fake: Make) -> None:
    board, _ = made(fake)
    board.write(b"AT+5@NOSUCH?\r")
    [told] = Replies().feed(board.read(1 << 16, 1.0))
    assert (told["type"], told["name"], told["code"]) == (2 if fake is FirstFake else 1, "AT", 5)


def test_a_board_without_models_says_so(fake: Make) -> None:
    _, session = made(fake, b"\xff" * 8192)
    assert session.models() == []
    with pytest.raises(DeviceRefused, match="no model at 0x400000; in its flash: none"):
        session.select(0x400000)


@pytest.mark.parametrize("lost", ["MODEL", "SENSOR", "INVOKE"])
def test_a_command_whose_reply_is_lost_is_sent_again_once_the_first_is_over(fake: Make, lost: str) -> None:
    board, session = made(fake, camera_fails_at_boot=True, camera_s=0.3)
    board.camera_s = 3.0
    keep, missed = board.send, []

    def send(data: bytes) -> None:
        if f'@{lost}"'.encode() in data and b'"count"' not in data and not missed:
            missed.append(data)
            return
        keep(data)

    board.send = send  # type: ignore[method-assign]
    session.select(FIRST)
    run = session.run(1, 5)
    assert missed
    assert (len(run.samples), board.too_early) == (5, [])


MESSAGES = (
    b'{"type": 0, "name": "3@ID?", "code": 0, "data": "9f3c00a1"}',
    b'{"type":1,"name":"4@INVOKE","code":0,"data":{"count":1,"perf":[7,15,2],"image":"'
    + b"A" * 16384
    + b'"}}',
    b'{"type": 2, "name": "AT", "code": 5, "data": "Unknown command: AT+X?"}',
    b'{"type":0,"name":"INIT@SENSOR","code":0,"data":{"sensors":[]}}',
)
NOISE = (b"", *stock_line.LOGS, b"\xff\x00}\n", b"\r\n> ", b'\r{"type": 1, "na\n')


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(NOISE), st.sampled_from(MESSAGES)), min_size=1, max_size=6),
    st.lists(st.integers(1, 20000), min_size=1, max_size=40),
)
def test_replies_are_read_whatever_is_between_them_and_wherever_they_are_cut(
    fake: Make, said: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    data = b"".join(noise + b"\r" + message + b"\n" for noise, message in said)
    decoder, found, at = Replies(), [], 0
    for cut in [*cuts, len(data)]:
        found += decoder.feed(data[at : at + cut])
        at += cut
    assert found == [json.loads(message) for _, message in said]
