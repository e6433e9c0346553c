"""How long a device is waited for: an invoke that takes long, one without end, a host that stood still."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from harness.emulator.bench_firmware import BenchFirmware
from harness.emulator.engine import EngineError
from harness.emulator.mlperf_firmware import MlperfFirmware
from harness.emulator.sscma_firmware import FirstGeneration
from harness.wire import messages as m
from harness.wire.patience import LAST_LOOK_S, LONGEST_WAIT_S, PUNCTUAL_S, Countdown, Patience
from harness.wire.port import Port
from harness.wire.protocol import connect
from harness.wire.session import NoAnswer, RunInterrupted, Session
from tests.wire.rig import ENDLESS, BusyToy, LivelyToy, Rig, toy_rig
from tests.wire.tampering import Tampering
from tests.wire.toy import ADDRESS, INFO, INPUTS, TICK_HZ, expected_output

FIRMWARES = {
    "bench": lambda engine, boot: BenchFirmware(INFO, engine, boot=boot, text=True),
    "mlperf-tiny": lambda engine, boot: MlperfFirmware(INFO, engine),
    "sscma": lambda engine, boot: FirstGeneration(INFO, engine, boot=boot),
}
STATED = {
    "bench": "an invoke has not ended after 7 s on the board at simulated, after 0 of 3 samples",
    "mlperf-tiny": "an invoke has not ended after 7 s on the board at simulated, after 0 of 3 samples",
    "sscma": "an invoke has not ended after 7 s on the board at simulated, after 0 of 3 samples",
}


def rig_of(protocol: str, toy: type[BusyToy], **engine: object) -> Rig:
    return toy_rig(firmware=FIRMWARES[protocol], toy=toy, **engine)  # type: ignore[arg-type]


def ready(rig: Rig, protocol: str, patience: Patience) -> Session:
    session = connect(protocol, rig.port, patience)
    session.select(ADDRESS)
    if "load" in session.features:
        session.load(0, b"\x01" * 27648)
    return session


@pytest.mark.parametrize("toy", [BusyToy, LivelyToy])
@pytest.mark.parametrize("protocol", FIRMWARES)
def test_an_invoke_may_take_minutes_whatever_a_request_may(protocol: str, toy: type[BusyToy]) -> None:
    rig = rig_of(protocol, toy, cost=lambda n: 90 * TICK_HZ)
    session = ready(rig, protocol, Patience(request_s=2.0, slow_request_s=2.0, invoke_s=100.0))
    run = session.run(1, 3)
    assert [ticks / run.tick_hz for ticks in run.samples] == [90.0] * 3
    assert run.complete
    assert run.incidents == []
    assert 4 * 90 < rig.port.now() < 4 * 90 + 20


@pytest.mark.parametrize("protocol", FIRMWARES)
def test_an_invoke_that_never_ends_ends_the_run_in_the_stated_time_and_the_board_stays_usable(
    protocol: str,
) -> None:
    costs = [ENDLESS, 50_000]
    rig = rig_of(protocol, LivelyToy, cost=lambda n: costs[min(n, 1)])
    session = ready(rig, protocol, Patience(request_s=2.0, slow_request_s=4.0, invoke_s=7.0))
    began = rig.port.now()
    with pytest.raises(RunInterrupted) as caught:
        session.run(1, 3)
    assert str(caught.value) == STATED[protocol]
    assert 7.0 <= rig.port.now() - began < 7.5
    assert caught.value.run.samples == []
    session.close()
    if protocol == "sscma":
        return  # BREAK waits in the stock firmware's queue until the frame ends: only a reset helps
    rig.port.reopen()
    again = ready(rig, protocol, Patience())
    assert [ticks / TICK_HZ for ticks in rig.engines[-1].costs] == [ENDLESS / TICK_HZ]
    run = again.run(1, 3)
    assert [ticks / run.tick_hz for ticks in run.samples] == [0.05] * 3
    assert rig.port.boots == 1


def test_samples_before_an_invoke_that_does_not_end_are_kept() -> None:
    rig = rig_of("bench", LivelyToy, cost=lambda n: ENDLESS if n == 5 else 50_000)
    with pytest.raises(RunInterrupted, match="after 4 of 9 samples") as caught:
        ready(rig, "bench", Patience()).run(1, 9)
    assert caught.value.run.samples == [50_000] * 4


def test_a_device_that_hears_nothing_in_an_invoke_is_given_up_in_the_same_time() -> None:
    rig = rig_of("bench", BusyToy, cost=lambda n: 600 * TICK_HZ if n == 3 else 50_000)
    session = ready(rig, "bench", Patience(request_s=2.0, invoke_s=30.0))
    with pytest.raises(RunInterrupted, match="an invoke has not ended after 30 s"):
        session.run(0, 9)
    assert rig.port.now() < 30 + 2 * 2.0 + 1.0


def test_a_device_that_replies_in_an_invoke_but_cannot_end_it_is_reset() -> None:
    class Stubborn(BenchFirmware):
        """It tells of an invoke, and goes on with it after an abort."""

        def _reply(self, message: m.Message) -> m.Message | None:
            reply = super()._reply(message)
            if isinstance(reply, m.RunStatus) and reply.state == m.RunState.ABORTED:
                return replace(reply, busy=1)
            return reply

    rig = toy_rig(
        firmware=lambda engine, boot: Stubborn(INFO, engine, boot=boot),
        toy=LivelyToy,
        cost=lambda n: ENDLESS,
    )
    session = ready(rig, "bench", Patience(request_s=2.0, invoke_s=5.0))
    with pytest.raises(RunInterrupted, match="an invoke has not ended after 5 s"):
        session.run(0, 1)
    rig.port.pause(1.0)
    assert rig.port.boots == 2


def test_the_device_s_own_account_of_an_invoke_counts() -> None:
    """It has been at it for 50 s of the 60 when the host first hears of it."""
    rig = rig_of("bench", LivelyToy, cost=lambda n: ENDLESS)
    first = ready(rig, "bench", Patience())
    watched = first._link  # type: ignore[attr-defined]
    watched.ask(m.StartRun(1, 0, 0, 1, 0), m.Running)
    rig.port.pause(50.0)
    status = watched.ask(m.GetRun(), m.RunStatus)
    assert status.busy / TICK_HZ == pytest.approx(50.0, abs=0.1)
    assert (status.state, status.done, status.warmup) == (m.RunState.MEASURING, 0, 0)


def test_a_device_that_should_reply_in_an_invoke_and_is_silent_is_given_up_early() -> None:
    def silent_in_run(message: m.Message) -> m.Message | None:
        return None if isinstance(message, m.Samples | m.RunStatus) else message

    rig = toy_rig(firmware=lambda e, b: Tampering(e, b, silent_in_run), toy=LivelyToy)
    session = ready(rig, "bench", Patience(request_s=3.0))
    began = rig.port.now()
    with pytest.raises(RunInterrupted, match="gave no sign of life for 3 s in a run, after 0 of 5 samples"):
        session.run(0, 5)
    assert rig.port.now() - began < 4.0


def test_a_model_that_takes_long_to_load_holds_up_nothing_else() -> None:
    rig = toy_rig(toy=LivelyToy, load_s=20.0)
    session = connect("bench", rig.port, Patience(request_s=1.0))
    session.select(ADDRESS)
    assert rig.port.now() > 20
    with pytest.raises(NoAnswer, match="did not answer Select within 5 s"):
        connect("bench", rig.port, Patience(slow_request_s=5.0)).select(ADDRESS)
    again = connect("bench", rig.port, Patience(request_s=1.0))
    assert again.identify().board == "toy"
    again.select(ADDRESS)
    assert again.run(0, 1).complete


def test_what_an_earlier_session_left_running_is_waited_for() -> None:
    class Occupied(BenchFirmware):
        """A device that cannot break an invoke off, and is at one for 30 s after its first start."""

        def _occupied(self) -> bool:
            return self._boot == 1 and self._engine.ticks() < 30 * TICK_HZ

        def _refuse_while_busy(self) -> None:
            if self._occupied():
                raise EngineError(m.ErrorCode.BUSY, "an invoke is under way")

        def _reply(self, message: m.Message) -> m.Message | None:
            reply = super()._reply(message)
            return replace(reply, busy=1) if isinstance(reply, m.RunStatus) and self._occupied() else reply

    rig = toy_rig(firmware=lambda engine, boot: Occupied(INFO, engine, boot=boot))
    session = ready(rig, "bench", Patience())
    assert rig.port.now() == pytest.approx(30, abs=1)
    assert session.run(0, 2).complete
    rig = toy_rig(firmware=lambda engine, boot: Occupied(INFO, engine, boot=boot))
    ready(rig, "bench", Patience(invoke_s=10.0)).close()
    assert rig.port.boots == 2


@pytest.mark.parametrize("baud", [9600, 19200])
def test_a_slow_line_makes_nothing_fail(baud: int) -> None:
    rig = toy_rig(baud=baud, latency_s=0.1)
    session = connect("bench", rig.port)
    session.select(ADDRESS)
    image = bytes(range(256)) * 108
    session.load(0, image)
    assert session.run(1, 20).complete
    assert session.output(0) == expected_output(image, bytes(20))
    assert rig.port.now() > INPUTS[0].bytes * 10 / baud


# ---- a host that stands still


@dataclass
class Clock:
    """As much of a port as a countdown needs."""

    time: float = 0.0

    def now(self) -> float:
        return self.time


def countdown(clock: Clock, seconds: float) -> Countdown:
    port: Port = clock  # type: ignore[assignment]
    return Countdown(port, seconds)


def test_a_patience_lasts_as_long_as_it_says() -> None:
    clock = Clock()
    patience = countdown(clock, 10.0)
    waits = 0
    while not patience.over:
        clock.time += patience.wait(0.3)
        waits += 1
    assert clock.time == pytest.approx(10.0)
    assert waits == 34


def test_time_in_which_the_host_stood_still_does_not_count_and_the_line_is_looked_at_again() -> None:
    clock = Clock()
    patience = countdown(clock, 10.0)
    clock.time += patience.wait() + 3600
    assert not patience.over
    while patience.wait() > LAST_LOOK_S:
        clock.time += LONGEST_WAIT_S
    clock.time += 3600
    assert not patience.over
    assert clock.time > 7200 + 8.0
    assert patience.wait() == LAST_LOOK_S
    clock.time += LAST_LOOK_S
    assert patience.over


def test_a_host_that_stands_still_between_two_waits_loses_little_patience() -> None:
    clock = Clock()
    patience = countdown(clock, 10.0)
    waited = 0.0
    for _ in range(5):
        clock.time += patience.wait()
        assert not patience.over
        clock.time += 60
        assert not patience.over
    while not patience.over:
        waited += patience.wait()
        clock.time += patience.wait()
    assert 7.5 - 5 * PUNCTUAL_S <= waited <= 7.5


def test_a_host_that_is_always_late_gives_up_all_the_same() -> None:
    clock = Clock()
    patience = countdown(clock, 10.0)
    waits = 0
    while not patience.over:
        clock.time += patience.wait() + 5.0
        waits += 1
    assert 10 < waits <= 21


class Stopped:
    """A port whose host is stopped for `seconds` once, in a read at or after `at`, and the board with it."""

    def __init__(self, port: Port, at: float, seconds: float) -> None:
        self._port = port
        self._at = at
        self._seconds = seconds
        self._stood = 0.0
        self.url = port.url

    def read(self, max_bytes: int, timeout: float) -> bytes:
        if not self._stood and self._port.now() >= self._at:
            self._stood = self._seconds
            return b""
        return self._port.read(max_bytes, timeout)

    def write(self, data: bytes) -> None:
        self._port.write(data)

    def close(self) -> None:
        self._port.close()

    def reset_buffers(self) -> None:
        self._port.reset_buffers()

    def reopen(self) -> None:
        self._port.reopen()

    def now(self) -> float:
        return self._port.now() + self._stood

    def pause(self, seconds: float) -> None:
        self._port.pause(seconds)


@pytest.mark.parametrize("protocol", FIRMWARES)
def test_a_host_and_board_that_are_stopped_for_minutes_go_on_wherever_it_happens(protocol: str) -> None:
    for step in range(30):
        rig = toy_rig(
            firmware=FIRMWARES[protocol],  # type: ignore[arg-type]
            toy=LivelyToy,
            cost=lambda n: 20_000,
            latency_s=0.02,
        )
        stopped = Stopped(rig.port, 0.05 * step, 600.0)
        session = connect(protocol, stopped, Patience(1.0, 1.0, 1.0, 1.0))
        session.select(ADDRESS)
        if "load" in session.features:
            session.load(0, b"\x01" * 27648)
        run = session.run(1, 20)
        assert [ticks / run.tick_hz for ticks in run.samples] == [0.02] * len(run.samples)
        assert run.complete
