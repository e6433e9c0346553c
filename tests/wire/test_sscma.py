import json

import pytest

from harness.emulator.firmware import Firmware
from harness.emulator.sscma_firmware import FirstGeneration
from harness.errors import BoardError, HarnessError
from harness.wire.at_replies import LONGEST_REPLY, Replies
from harness.wire.protocol import connect
from harness.wire.session import DeviceRefused, RunInterrupted, Session
from tests.wire.rig import BusyToy, Rig, toy_rig
from tests.wire.tampering import Talker
from tests.wire.toy import ADDRESS, INFO


def stock(engine: BusyToy, boot: int) -> FirstGeneration:
    return FirstGeneration(INFO, engine, boot=boot)


def stock_rig(faults: str = "", **engine: object) -> Rig:
    engine.setdefault("cost", lambda n: 50_000 + 1000 * n)
    return toy_rig(faults, firmware=stock, **engine)  # type: ignore[arg-type]


def stock_session(rig: Rig) -> Session:
    return connect("sscma", rig.port)


class Chatty(Firmware):
    """The stock firmware on a busy console: log lines, stray events and half replies around all it says."""

    def __init__(self, engine: BusyToy, boot: int) -> None:
        super().__init__()
        self._inner = stock(engine, boot)

    @property
    def busy(self) -> bool:
        return self._inner.busy

    @property
    def buffered(self) -> int:
        return self._inner.buffered

    def receive(self, data: bytes) -> None:
        self._inner.receive(data)
        self._pass_on()

    def step(self) -> None:
        self._inner.step()
        self._pass_on()

    def _pass_on(self) -> None:
        said = self._inner.take_output()
        if said:
            sample = json.dumps({"type": 1, "name": "SAMPLE", "code": 0, "data": {"image": "A" * 9000}})
            noise = b'I (1234) wifi: }\n\r{"type": 0, "na' + b"\r\n[E] heap {low}\n\xff\x00"
            self._out += noise + b"\r" + sample.encode() + b"\n" + said + noise


def test_the_board_tells_who_it_is_and_what_is_in_its_flash() -> None:
    session = stock_session(stock_rig())
    identity = session.identify()
    assert (identity.board, identity.firmware_name, identity.firmware_version) == (
        "toy",
        "SSCMA-Micro",
        "1.2.3",
    )
    assert len(identity.device_id or "") == 8
    assert identity.tick_hz == 1000
    [model] = session.models()
    assert model.address == ADDRESS
    session.select(ADDRESS)
    with pytest.raises(DeviceRefused, match="no model at 0x1; in its flash: 0x400000"):
        session.select(1)


@pytest.mark.parametrize("firmware", [stock, Chatty])
def test_samples_are_whole_milliseconds_of_the_invokes_after_the_warm_up(firmware) -> None:  # type: ignore[no-untyped-def]
    rig = toy_rig(firmware=firmware, cost=lambda n: 50_000 + 1000 * n)
    session = stock_session(rig)
    session.select(ADDRESS)
    seen: list[tuple[int, int]] = []
    run = session.run(2, 10, on_sample=lambda index, ticks: seen.append((index, ticks)))
    assert run.samples == [52 + n for n in range(10)]
    assert seen == list(enumerate(run.samples))
    assert (run.tick_hz, run.drift_ppm, run.complete) == (1000, None, True)
    assert [session.memory(), session.output(0), session.layers()] == [None] * 3


def test_an_image_in_the_event_does_not_matter() -> None:
    rig = stock_rig()
    rig.port.write(b"AT+SENSOR=1,1,0\rAT+INVOKE=1,0,0\r")
    replies: list[dict] = []
    decoder = Replies()
    while not any((reply["type"], reply["name"]) == (1, "INVOKE") for reply in replies):
        replies += decoder.feed(rig.port.read(4096, 1.0))
    assert len(replies[-1]["data"]["image"]) > 1000
    assert replies[-1]["data"]["perf"][1] == 50


def test_tensors_are_refused_with_the_reason() -> None:
    session = stock_session(stock_rig())
    with pytest.raises(HarnessError, match="takes no tensors"):
        session.load(0, b"x")
    assert "load" not in session.features


@pytest.mark.parametrize(
    "faults",
    [
        "drop=2e-4",
        "flip=2e-4",
        "insert=2e-4",
        "burst=2e-5",
        "stall=1e-4:1",
        "drop=1e-3,flip=1e-3",
    ],
)
def test_a_run_comes_to_its_end_over_a_bad_line(faults: str) -> None:
    """Replies have no checksum, so a changed digit can pass for a sample; but none is missing."""
    for seed in range(6):
        session = stock_session(stock_rig(f"{faults},seed={seed}"))
        session.select(ADDRESS)
        run = session.run(1, 40)
        assert len(run.samples) == 40
        if faults.startswith("stall"):
            assert run.samples == [51 + n for n in range(40)]


@pytest.mark.parametrize("event", ["reset", "vanish"])
def test_a_run_survives_it_wherever_it_happens(event: str) -> None:
    kinds = set()
    for at in range(1400, 7000, 517):
        rig = stock_rig(f"{event}@{at}")
        session = stock_session(rig)
        session.select(ADDRESS)
        run = session.run(1, 60)
        assert len(run.samples) == 60
        assert run.complete
        kinds |= {incident.kind for incident in session.incidents}
    assert kinds >= ({"reset"} if event == "reset" else {"port-lost", "reconnected"})


def test_reset_boots_the_board_anew() -> None:
    rig = stock_rig()
    session = stock_session(rig)
    session.reset()
    assert rig.port.boots == 2
    session.select(ADDRESS)
    assert len(session.run(0, 3).samples) == 3


def test_a_failed_inference_is_told_and_samples_are_kept() -> None:
    session = stock_session(stock_rig(fail_at=5))
    session.select(ADDRESS)
    with pytest.raises(RunInterrupted, match="an inference failed on the board") as caught:
        session.run(2, 10)
    assert caught.value.run.samples == [52, 53, 54]


def test_leaving_in_mid_run_leaves_the_board_idle() -> None:
    rig = stock_rig()
    session = stock_session(rig)
    session.select(ADDRESS)

    class Enough(Exception):
        pass

    def stop(index: int, ticks: int) -> None:
        if index == 5:
            raise Enough

    with pytest.raises(Enough), session:
        session.run(0, 1000, on_sample=stop)
    rig.port.pause(1.0)
    assert not rig.port.firmware.busy
    assert rig.engines[0].invokes < 20


def test_events_of_a_run_whose_reply_was_lost_do_for_the_reply() -> None:
    """INVOKE must not be sent again while the run that it started goes on."""
    rig = toy_rig(firmware=LosesFirstReply, cost=lambda n: 50_000 + 1000 * n)
    session = stock_session(rig)
    session.select(ADDRESS)
    run = session.run(1, 30)
    assert run.samples == [51 + n for n in range(30)]
    assert (run.incidents, rig.engines[0].invokes) == ([], 31)


class LosesFirstReply(Chatty):
    """The stock firmware behind a line that eats the reply to the first INVOKE."""

    lost = False

    def _pass_on(self) -> None:
        said = self._inner.take_output()
        if not self.lost and b'"type": 0' in said and b'@INVOKE"' in said:
            self.lost, said = True, b""
        self._out += said


def test_a_board_that_falls_silent_in_a_run_is_told_in_time() -> None:
    class Dumb(FirstGeneration):
        dumb = False

        def receive(self, data: bytes) -> None:
            self.dumb = self.dumb or b"INVOKE=" in data
            if not self.dumb:
                super().receive(data)

    rig = toy_rig(firmware=lambda engine, boot: Dumb(INFO, engine, boot=boot))
    session = stock_session(rig)
    session.select(ADDRESS)
    started = rig.port.now()
    with pytest.raises(RunInterrupted):
        session.run(0, 3)
    assert rig.port.now() - started < 35


@pytest.mark.parametrize(("code", "name"), [(7, "EBUSY"), (99, "error 99")])
def test_an_error_code_is_named(code: int, name: str) -> None:
    refusals = [{"type": 0, "name": f"{tag}@ID?", "code": code, "data": ""} for tag in (0, 0)]
    words = b"".join(b"\r" + json.dumps(refusal).encode() + b"\n" for refusal in refusals)
    with pytest.raises(DeviceRefused, match=f"refused AT.ID.: {name}"):
        stock_session(toy_rig(firmware=lambda e, b: Talker(words)))


def test_a_device_of_another_protocol_is_told() -> None:
    with pytest.raises(BoardError, match="use --protocol bench"):
        stock_session(toy_rig())


def test_replies_are_found_among_noise_and_memory_is_bounded() -> None:
    decoder = Replies()
    for _ in range(40):
        decoder.feed(b"\r{" + b"x" * 60_000)
        assert decoder.buffered <= LONGEST_REPLY + 65_536 + 4096
    assert decoder.feed(b'}\n\r{"type": 0}\n') == [{"type": 0}]


def test_the_stock_firmware_answers_as_its_specification_shows() -> None:
    rig = stock_rig()
    rig.port.write(
        b"AT+10@ID?\rAT+NOSUCH?\rAT+MODEL=9\rAT+MODEL=1\r" + b"AT+" + b"x" * 5000 + b"\rAT+VER?\r\n"
    )
    said, until = b"", 1.0
    while rig.port.now() < until:
        said += rig.port.read(65536, until - rig.port.now())
    found = Replies().feed(said)
    assert [(r["type"], r["name"], r["code"]) for r in found] == [
        (1, "INIT@SENSOR", 0), (0, "INIT@STAT?", 0), (2, "AT", 5), (0, "10@ID?", 0),
        (0, "MODEL", 5), (0, "MODEL", 0), (0, "VER?", 0)
    ]  # fmt: skip
    assert found[5]["data"]["model"]["address"] == ADDRESS
