import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.emulator.faults import Damage, Event, Faults, parse_faults
from harness.emulator.line import VirtualLine
from harness.errors import HarnessError
from harness.wire.port import open_port
from harness.wire.protocol import connect
from tests.wire.serving import toy_board
from tests.wire.toy import ADDRESS, INPUTS, expected_output

IMAGE = bytes(range(256)) * 108


def test_a_specification_is_read_whole() -> None:
    assert parse_faults("") == Faults()
    assert parse_faults(
        "drop=0.001, flip=1/1000,dup=1e-4,insert=.5e-3,burst=1e-5:32,stall=1e-6:2.5s,"
        "reset@40000,reset@1.5s,vanish@60000:3s,seed=7"
    ) == Faults(
        drop=0.001,
        flip=0.001,
        dup=1e-4,
        insert=5e-4,
        burst=1e-5,
        burst_bytes=32,
        stall=1e-6,
        stall_s=2.5,
        events=(
            Event("reset", bytes=40000),
            Event("reset", seconds=1.5),
            Event("vanish", bytes=60000, away_s=3.0),
        ),
        seed=7,
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("flop=0.1", "unknown fault 'flop'; did you mean"),
        ("drop", "'drop' should be written drop=..."),
        ("reset=4", "'reset=4' should be written reset@..."),
        ("drop=lots", "'lots' is not a number"),
        ("drop=-1", "'-1' is not a number"),
        ("drop=2", "a rate is between 0 and 0.5"),
        ("drop=1/0", "a rate is between 0 and 0.5"),
        ("drop=0.3,flip=0.3", "add up to 0.6"),
        ("drop=0.1:4", "a ':' that drop does not take"),
        ("reset@4:4", "a ':' that reset does not take"),
        ("reset@soon", "'soon' is not a whole number"),
        ("seed=x", "'x' is not a whole number"),
        ("burst=0.1:x", "'x' is not a whole number"),
        ("=5", "unknown fault"),
        ("stall=0.1:1e400", "at most 3600 seconds"),
        ("vanish@5:1e300", "at most 3600 seconds"),
        ("reset@1e9s", "at most 3600 seconds"),
        ("burst=0.1:0", "a burst has 1 to 1048576 bytes"),
        ("burst=0.1:99999999999", "a burst has 1 to 1048576 bytes"),
        (f"reset@{10**400}", "is not a whole number"),
    ],
)
def test_a_wrong_specification_is_one_clear_line(spec: str, words: str) -> None:
    with pytest.raises(HarnessError) as caught:
        parse_faults(spec)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30))
def test_no_text_is_more_than_wrong(spec: str) -> None:
    with contextlib.suppress(HarnessError):
        assert isinstance(parse_faults(spec), Faults)


@pytest.mark.parametrize("kind", ["drop", "flip", "dup", "insert", "burst", "stall"])
def test_harm_comes_at_the_rate_that_was_asked_for_and_the_same_for_a_seed(kind: str) -> None:
    faults = parse_faults(f"{kind}=1/1000,seed=5")
    data = bytes(200_000)
    damage = Damage(faults, "x")
    pieces = damage.apply(data)
    assert 140 <= damage.counts[kind] <= 260
    assert pieces == Damage(faults, "x").apply(data)
    assert pieces != Damage(faults, "y").apply(data) or kind == "stall"
    portions = [Damage(faults, "x")]
    cut = [piece for at in range(0, len(data), 777) for piece in portions[0].apply(data[at : at + 777])]
    assert b"".join(part for part, _ in cut) == b"".join(part for part, _ in pieces)
    grown = sum(len(part) for part, _ in pieces) - len(data)
    change = {"drop": -1, "dup": 1, "insert": 1}.get(kind, 0)
    assert grown == change * damage.counts[kind]
    assert sum(rest > 0 for _, rest in pieces) == (damage.counts[kind] if kind == "stall" else 0)


@pytest.mark.parametrize("rate", ["1e-17", "5e-324"])
def test_a_rate_too_low_to_be_seen_does_no_harm(rate: str) -> None:
    damage = Damage(parse_faults(f"drop={rate}"), "x")
    assert damage.apply(bytes(100_000)) == [(bytes(100_000), 0.0)]


def test_bytes_take_their_time_on_the_line() -> None:
    line = VirtualLine(9600, 0.25)
    line.to_device.send(1.0, bytes(96))
    line.to_device.send(1.0, bytes(96))
    assert line.to_device.take(1.0 + 0.1 + 0.249) == b""
    assert len(line.to_device.take(1.0 + 0.1 + 0.251)) == 96
    assert line.to_device.due() == pytest.approx(1.0 + 0.2 + 0.25)
    line.clear()
    assert line.to_device.due() is None


def test_an_attached_line_paces_a_real_session() -> None:
    with (
        toy_board(line=VirtualLine(921600, 0.005)) as board,
        connect("bench", open_port(board.url)) as session,
    ):
        session.select(ADDRESS)
        started = time.monotonic()
        session.load(0, IMAGE)
        assert time.monotonic() - started >= 0.3  # what 8N1 needs for it
        assert len(session.run(0, 5).samples) == 5
        assert session.output(0) == expected_output(IMAGE, bytes(20))


def test_a_bad_attached_line_is_survived() -> None:
    line = VirtualLine(None, 0.001, parse_faults("flip=1e-4,drop=1e-4,burst=1e-5,seed=2"))
    with toy_board(line=line) as board, connect("bench", open_port(board.url)) as session:
        session.select(ADDRESS)
        for number in range(5):
            data = bytes([number]) * INPUTS[0].bytes
            session.load(0, data)
            assert len(session.run(0, 3).samples) == 3
            assert session.output(0) == expected_output(data, bytes(20))
    assert line.to_device.damage.counts


@pytest.mark.parametrize("event", ["reset@30000", "vanish@30000:0.3"])
def test_a_reset_and_a_lost_port_in_mid_run_are_survived_over_a_real_port(event: str) -> None:
    line = VirtualLine(None, 0.0, parse_faults(event))
    with toy_board(line=line) as board, connect("bench", open_port(board.url)) as session:
        session.select(ADDRESS)
        session.load(0, IMAGE)
        run = session.run(1, 2000)
        assert len(run.samples) == 2000
        assert run.complete
        kinds = [incident.kind for incident in run.incidents]
        assert kinds == (["reset"] if event.startswith("reset") else ["port-lost", "reconnected"])
        assert session.output(0) == expected_output(IMAGE, bytes(20))
        assert board.boots == (2 if event.startswith("reset") else 1)


def test_the_text_protocol_works_over_an_attached_line() -> None:
    with toy_board(line=VirtualLine()) as board, connect("mlperf-tiny", open_port(board.url)) as session:
        session.load(0, IMAGE)
        assert len(session.run(1, 10).samples) == 10
