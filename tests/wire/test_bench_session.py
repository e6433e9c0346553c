import dataclasses
import hashlib
import random
import struct

import pytest

from harness.emulator.bench_firmware import BenchFirmware, Limits
from harness.errors import BoardError, HarnessError
from harness.wire import messages as m
from harness.wire.framing import encode
from harness.wire.protocol import PROTOCOLS, connect
from harness.wire.session import DeviceRefused, RunInterrupted
from tests.wire.rig import BusyToy, Rig, toy_rig
from tests.wire.tampering import Tampering
from tests.wire.toy import ADDRESS, FLASH, INFO, INPUTS, TICK_HZ, expected_output

SMALL = Limits(window=2048, max_block=512, sample_buffer=8)


def image(seed: int) -> bytes:
    return random.Random(seed).randbytes(INPUTS[0].bytes)


def test_a_session_tells_all_that_a_board_says_of_itself() -> None:
    session = toy_rig().session()
    identity = session.identify()
    assert (identity.board, identity.firmware_version, identity.tick_hz) == ("toy", "1.2.3", TICK_HZ)
    assert identity.operators == ("CONV_2D", "SOFTMAX")
    assert identity.capabilities == {"memory", "profile", "operators", "mlperf_text"}
    [model] = session.models()
    assert (model.address, model.name) == (ADDRESS, "toy")
    info = session.select(ADDRESS)
    assert [(t.name, t.type, t.shape, t.bytes, t.zero_point) for t in info.inputs] == [
        (t.name, t.type, t.shape, t.bytes, t.zero_point) for t in INPUTS
    ]


def test_a_board_proves_what_its_flash_holds() -> None:
    session = toy_rig().session()
    assert session.digest(ADDRESS + 5, 3000) == hashlib.sha256(FLASH[5:3005]).hexdigest()
    for address, length in ((ADDRESS, 0), (ADDRESS, len(FLASH) + 1), (ADDRESS - 1, 2), (0, 10)):
        with pytest.raises(DeviceRefused, match=r"not all in flash.*BAD_ARGUMENT"):
            session.digest(address, length)
    assert session.identify().board == "toy"


def test_what_was_proven_is_proven_again_when_a_board_comes_back() -> None:
    def boot(engine: BusyToy, boot: int) -> BenchFirmware:
        if boot > 1:
            engine.flash = bytes(len(FLASH))
        return BenchFirmware(INFO, engine, boot=boot)

    rig = toy_rig("reset@4000", firmware=boot, cost=lambda n: 20_000)
    session = rig.session()
    session.digest(ADDRESS, 1000)
    session.select(ADDRESS)
    with pytest.raises(
        RunInterrupted, match="came back with something else in its flash at 0x400000"
    ) as caught:
        session.run(0, 1000)
    assert 0 < len(caught.value.run.samples) < 1000


def test_another_board_that_comes_back_in_place_of_the_first_is_not_taken_for_it() -> None:
    def boot(engine: BusyToy, boot: int) -> BenchFirmware:
        info = INFO if boot == 1 else dataclasses.replace(INFO, build_hash="another")
        return BenchFirmware(info, engine, boot=boot)

    session = toy_rig("reset@4000", firmware=boot, cost=lambda n: 20_000).session()
    session.identify()
    session.select(ADDRESS)
    with pytest.raises(RunInterrupted, match="another board or firmware has come back at simulated"):
        session.run(0, 1000)


@pytest.mark.parametrize("limits", [None, SMALL, Limits(window=100, max_block=64, sample_buffer=1)])
def test_tensors_go_in_and_samples_outputs_and_figures_come_out(limits: Limits | None) -> None:
    rig = toy_rig(limits=limits)
    session = rig.session()
    session.select(ADDRESS)
    seen: list[tuple[int, int]] = []
    steps: list[tuple[int, int]] = []
    session.load(0, image(1), lambda done, total: steps.append((done, total)))
    session.load(1, b"e" * 20)
    run = session.run(3, 50, profile=True, on_sample=lambda index, ticks: seen.append((index, ticks)))
    assert run.samples == rig.engines[0].costs[3:]
    assert seen == list(enumerate(run.samples))
    assert len(run.samples) == 50
    assert run.complete
    assert run.incidents == []
    assert session.output(0) == expected_output(image(1), b"e" * 20)
    assert session.layers() == [("CONV_2D", 700), ("SOFTMAX", 300)]
    memory = session.memory()
    assert memory is not None
    assert (memory.arena_used, memory.heap_free) == (1000, None)
    assert steps[-1] == (27648, 27648)
    assert steps == sorted(steps)


def test_a_later_tensor_for_an_input_takes_the_place_of_an_earlier_one() -> None:
    rig = toy_rig()
    session = rig.session()
    session.select(ADDRESS)
    session.load_all([(0, image(1)), (1, b"a" * 20), (0, image(2)), (1, b"b" * 20)])
    session.run(0, 1)
    assert session.output(0) == expected_output(image(2), b"b" * 20)


FAULTS = {
    "flips": "flip=1/1000",
    "drops": "drop=1/1000",
    "duplicates": "dup=1/1000",
    "insertions": "insert=1/1000",
    "bursts": "burst=1/10000:64",
    "stalls": "stall=1/50000:1",
    "everything": "flip=1e-4,drop=1e-4,dup=1e-4,insert=1e-4,burst=1e-5,stall=1e-5:1",
}


def stream_over(rig: Rig, tensors: int) -> int:
    """Load, run and read back tensor after tensor; every one and every sample must be exact."""
    session = rig.session()
    session.select(ADDRESS)
    extra = random.Random(0).randbytes(20)
    session.load(1, extra)
    for number in range(tensors):
        data = image(number)
        session.load(0, data)
        run = session.run(1, 3)
        engine = rig.engines[-1]
        assert run.samples == engine.costs[4 * number + 1 :]
        assert len(engine.costs) == 4 * (number + 1)
        assert session.output(0) == expected_output(data, extra), f"tensor {number}"
    return session.retransmissions


@pytest.mark.parametrize("kind", FAULTS)
def test_every_tensor_and_sample_arrives_once_and_exact_over_a_line_with(kind: str) -> None:
    rig = toy_rig(FAULTS[kind] + ",seed=7")
    stream_over(rig, 25)
    assert rig.line.to_device.damage.counts, "the line did no harm: nothing was shown"


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", FAULTS)
def test_ten_thousand_tensors_over_a_line_with(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    rig = toy_rig(FAULTS[kind] + ",seed=1")
    again = stream_over(rig, 10_000)
    goodput = 10_000 * INPUTS[0].bytes / rig.port.now()
    with capsys.disabled():
        harm = dict(rig.line.to_device.damage.counts)
        print(
            f"\n{kind}: 10000 tensors exact; goodput {goodput / 92160:.1%} of the line, runs and outputs "
            f"included; {again} frames sent again; harm done {harm}"
        )


@pytest.mark.parametrize("event", ["reset", "vanish"])
def test_a_run_survives_it_wherever_it_happens(event: str) -> None:
    happened = set()
    for at in range(200, 30_000, 463):
        rig = toy_rig(f"{event}@{at}", cost=lambda n: 20_000 + n)
        session = rig.session()
        session.identify()
        session.select(ADDRESS)
        session.load(0, image(at))
        run = session.run(1, 40)
        before, after = ([], *(engine.costs[1:] for engine in rig.engines))[-2:]
        kept = 40 - len(after)
        assert run.samples == before[:kept] + after
        assert run.complete
        assert len(rig.engines) == 1 or event == "reset"
        assert session.output(0) == expected_output(image(at), bytes(20))
        happened |= {incident.kind for incident in session.incidents}
    assert happened >= ({"reset"} if event == "reset" else {"port-lost", "reconnected"})


def test_samples_that_arrived_before_a_reset_are_kept_and_the_record_says_so() -> None:
    rig = toy_rig("reset@31000", cost=lambda n: 20_000 + n)
    session = rig.session()
    session.select(ADDRESS)
    session.load(0, image(3))
    run = session.run(2, 100)
    first, second = (engine.costs[2:] for engine in rig.engines)
    assert 0 < len(second) < 100
    assert run.samples == first[: 100 - len(second)] + second
    [incident] = run.incidents
    assert incident.kind == "reset"
    assert incident.at_s > 0


def test_a_board_that_resets_whenever_the_model_runs_is_given_up() -> None:
    def crash(engine: object, boot: int) -> BenchFirmware:
        class Crashing(BenchFirmware):
            def step(self) -> None:
                self.reset_asked = self._invoke_due
                if not self.reset_asked:
                    super().step()

        return Crashing(INFO, engine, boot=boot)  # type: ignore[arg-type]

    rig = toy_rig(firmware=crash)
    session = rig.session()
    session.select(ADDRESS)
    with pytest.raises(RunInterrupted, match="resets whenever the model runs") as caught:
        session.run(0, 10)
    assert caught.value.run.samples == []
    assert rig.port.now() < 30


def test_a_port_that_stays_away_ends_the_run_and_keeps_the_samples() -> None:
    rig = toy_rig("vanish@31000:1000", cost=lambda n: 20_000)
    session = rig.session()
    session.select(ADDRESS)
    session.load(0, image(3))
    with pytest.raises(RunInterrupted, match="did not come back") as caught:
        session.run(0, 1000)
    run = caught.value.run
    assert 0 < len(run.samples) < 1000
    assert not run.complete
    assert [incident.kind for incident in run.incidents] == ["port-lost"]


def test_a_failed_invoke_is_told_with_its_reason_and_what_came_before_it() -> None:
    rig = toy_rig(fail_at=7)
    session = rig.session()
    session.select(ADDRESS)
    with pytest.raises(RunInterrupted, match=r"node 3 \(CONV_2D\) failed to invoke") as caught:
        session.run(2, 10)
    assert caught.value.run.samples == rig.engines[0].costs[2:7]
    session.load(0, image(1))  # the session goes on


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda s: s.select(0x123), "no model at 0x123"),
        (lambda s: s.load(7, b"abc"), "no such input"),
        (lambda s: s.load(1, b"x" * 21), "does not fit the input"),
        (lambda s: s.output(0), "no run has brought outputs"),
    ],
)
def test_a_refusal_is_one_clear_line_and_the_session_goes_on(action, words: str) -> None:  # type: ignore[no-untyped-def]
    session = toy_rig().session()
    session.select(ADDRESS)
    with pytest.raises(DeviceRefused, match=words) as caught:
        action(session)
    assert "\n" not in str(caught.value)
    session.select(ADDRESS)
    session.load(0, image(1))
    session.run(0, 1)
    assert session.output(0) == expected_output(image(1), bytes(20))


def test_an_output_that_was_not_asked_for_is_refused() -> None:
    session = toy_rig().session()
    session.select(ADDRESS)
    session.run(0, 1, outputs=False)
    with pytest.raises(DeviceRefused, match="not asked for"):
        session.output(0)


def test_abort_from_a_callback_leaves_the_board_idle() -> None:
    rig = toy_rig(cost=lambda n: 50_000)
    session = rig.session()
    session.select(ADDRESS)

    class Enough(Exception):
        pass

    def stop(index: int, ticks: int) -> None:
        if index == 5:
            raise Enough

    with pytest.raises(Enough):
        session.run(0, 1000, on_sample=stop)
    session.abort()
    assert not rig.port.firmware.busy
    assert session.run(0, 3).samples == [50_000] * 3


def test_reset_boots_the_board_anew() -> None:
    rig = toy_rig()
    session = rig.session()
    session.select(ADDRESS)
    session.reset()
    assert rig.port.boots == 2
    session.select(ADDRESS)
    session.load(0, image(1))
    assert len(session.run(0, 2).samples) == 2


@pytest.mark.parametrize("ppm", [-300, 0, 45, 2000])
def test_drift_of_the_device_clock_is_found(ppm: int) -> None:
    rig = toy_rig(clock_rate=1 + ppm / 1e6, cost=lambda n: 500_000)
    session = rig.session()
    session.select(ADDRESS)
    run = session.run(0, 120)
    assert run.drift_ppm is not None
    assert run.drift_uncertainty_ppm is not None
    assert run.drift_uncertainty_ppm < 250
    assert abs(run.drift_ppm - ppm) <= run.drift_uncertainty_ppm


def test_drift_is_not_told_after_a_run_too_short_to_tell() -> None:
    session = toy_rig(clock_rate=1.0005).session()
    session.select(ADDRESS)
    assert session.run(0, 5).drift_ppm is None


def test_a_clock_that_is_far_off_is_told_even_after_a_short_run() -> None:
    session = toy_rig(clock_rate=2 / 3, cost=lambda n: 20_000).session()
    session.select(ADDRESS)
    run = session.run(0, 5)
    assert run.drift_ppm is not None
    assert run.drift_uncertainty_ppm is not None
    assert abs(run.drift_ppm + 1e6 / 3) <= run.drift_uncertainty_ppm


# ---- devices that do not do as they should


def changing(**fields: object):  # type: ignore[no-untyped-def]
    """Return a firmware that changes these fields wherever a message has them all."""

    def change(message: m.Message) -> m.Message:
        if set(fields) <= set(vars(message)):
            return dataclasses.replace(message, **fields)  # type: ignore[type-var]
        return message

    return lambda engine, boot: Tampering(engine, boot, change)


def too_many_samples(message: m.Message) -> m.Message:
    if isinstance(message, m.Samples) and message.state == m.RunState.DONE:
        return dataclasses.replace(message, ticks=message.ticks + struct.pack("<Q", 1))
    return message


def too_few_samples(message: m.Message) -> m.Message:
    if isinstance(message, m.Samples) and message.state == m.RunState.DONE:
        return dataclasses.replace(message, ticks=message.ticks[:16])
    return message


def wrong_reply(message: m.Message) -> m.Message:
    return m.Clock(1) if isinstance(message, m.Identified) else message


def silent_after_greeting(message: m.Message) -> m.Message | None:
    return message if isinstance(message, m.Welcome) else None


def silent_in_run(message: m.Message) -> m.Message | None:
    return None if isinstance(message, m.Samples | m.RunStatus) else message


def no_acks(message: m.Message) -> m.Message | None:
    return None if isinstance(message, m.Ack) else message


def acks_of_nothing(message: m.Message) -> m.Message:
    return dataclasses.replace(message, base=0, mask=0, status=1) if isinstance(message, m.Ack) else message


@pytest.mark.parametrize(
    ("firmware", "words", "within_s"),
    [
        (changing(version=0, oldest=3, newest=4), "3 to 4, this harness 2 to 2: update the harness", 1),
        (changing(version=0, oldest=1, newest=1), "update the firmware", 1),
        (changing(version=9, oldest=1, newest=9), "update the harness", 1),
        (changing(window=0), "a window of 0 bytes", 1),
        (changing(max_block=0), "blocks of 0", 1),
        (changing(sample_buffer=0), "room for 0 samples", 1),
        (changing(size=0xFFFFFFFF), "4294967295 bytes in input 0", 1),
        (changing(rank=9), "tensor of 9 dimensions", 1),
        (changing(rank=0), "27648 bytes with shape ()", 1),
        (changing(type=200), "unknown type 200", 1),
        (changing(total=0xFFFF, address=1), "65535 models in flash", 1),
        (changing(tick_hz=0), "a tick rate of 0 Hz", 1),
        (changing(total=0xFFFFFFFF, crc=1), "4294967295 bytes in output 0", 3),
        (changing(crc=1), "another checksum", 3),
        (lambda e, b: Tampering(e, b, too_many_samples), "sample 6 of a run of 5", 3),
        (lambda e, b: Tampering(e, b, too_few_samples), "ended the run (DONE) after 2 of 5 samples", 3),
        (lambda e, b: Tampering(e, b, wrong_reply), "Clock in reply to Identify", 1),
        (lambda e, b: Tampering(e, b, silent_after_greeting), "did not answer Identify within 10 s", 10.5),
        (lambda e, b: Tampering(e, b, silent_in_run), "an invoke has not ended after 60 s", 85),
        (lambda e, b: Tampering(e, b, no_acks), "took no more tensor data for 10 s", 11.5),
        (lambda e, b: Tampering(e, b, acks_of_nothing), "took no more tensor data for 10 s", 11.5),
    ],
)  # fmt: skip
def test_a_device_that_does_not_keep_the_protocol_is_told_in_one_line_in_time(
    firmware,  # type: ignore[no-untyped-def]
    words: str,
    within_s: float,
) -> None:
    rig = toy_rig(firmware=firmware)
    with pytest.raises(BoardError) as caught:
        use_all(rig)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert rig.port.now() < within_s


def use_all(rig: Rig) -> None:
    session = rig.session()
    session.identify()
    session.models()
    session.select(ADDRESS)
    session.load(0, image(1))
    session.run(0, 5)
    session.output(0)


@pytest.mark.parametrize(("session", "is_ours"), [(0x77, False), (None, True)])
def test_a_message_that_fits_no_layout_is_told_if_it_is_of_our_session(
    session: int | None, is_ours: bool
) -> None:
    rig = toy_rig()
    ours = rig.session()
    token = ours._link._token if session is None else session
    rig.line.to_host.send(rig.port.now(), encode(m.HEADER.pack(0xBE, 0x55, 1, token) + b"from the future"))
    if is_ours:
        with pytest.raises(BoardError, match=r"a message that does not fit version 2 \(unknown message type"):
            ours.identify()
    else:
        assert ours.identify().board == "toy"


def test_an_unknown_protocol_is_named_with_the_nearest() -> None:
    with pytest.raises(HarnessError, match="did you mean 'bench'"):
        connect("bensh", toy_rig().port)
    assert set(PROTOCOLS.names()) == {"bench", "mlperf-tiny", "sscma"}


def test_a_session_leaves_text_and_other_sessions_alone() -> None:
    rig = toy_rig()
    first = rig.session()
    first.select(ADDRESS)
    rig.port.write(b"name%")
    assert first.identify().board == "toy"
    second = rig.session()
    second.select(ADDRESS)
    # The board knows one session at a time; the first one takes it back, and says so.
    assert first.identify().board == "toy"
    assert [incident.kind for incident in first.incidents] == ["reset"]
