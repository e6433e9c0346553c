"""Whatever bytes come, at either end of each protocol: no exception but one for people, no state lost, memory
bounded, and the next whole message understood."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.emulator.bench_firmware import BenchFirmware, Limits
from harness.emulator.sscma_firmware import FirstGeneration
from harness.emulator.sscma_firmware_2 import SecondGeneration
from harness.emulator.stock_firmware import SscmaFirmware
from harness.errors import HarnessError
from harness.wire import messages as m
from harness.wire.at_replies import Replies
from harness.wire.framing import Decoder, Text, encode
from harness.wire.patience import Patience
from harness.wire.port import PortLost
from harness.wire.protocol import PROTOCOLS, connect
from harness.wire.text_lines import LONGEST_LINE, TextLines
from tests.wire.toy import ADDRESS, INFO, ToyEngine

LIMITS = Limits(window=2048, max_block=512, sample_buffer=16)
SESSION = 0x11223344
NOISE_KEPT = 4096
LONGEST_CHUNK = 2048

CASES = pytest.mark.parametrize(
    "cases",
    [
        pytest.param(100, id="sample"),
        pytest.param(100_000, id="whole", marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)


def any_message(rng: random.Random) -> m.Message:
    """Return a request or stream message with fields that are small, wild or right."""
    kind = rng.choice([kind for kind in m.HOST_MESSAGES if kind is not m.Reset])
    fields: list[object] = []
    for code in kind.FIXED.format.lstrip("<"):
        top = 256 ** struct.calcsize(code) - 1
        fields.append(rng.choice([rng.randint(0, 5), ADDRESS % (top + 1), rng.randint(0, top)]))
    return kind(*fields, *([rng.randbytes(rng.randrange(20))] if kind.REST else []))


def harmed(rng: random.Random, line: bytes) -> bytes:
    """Return `line` with a byte or two lost, changed, doubled or made up."""
    out = bytearray(line)
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(out))
        kind = rng.randrange(4)
        if kind == 0:
            del out[at]
        elif kind == 1:
            out[at] ^= rng.randrange(1, 256)
        elif kind == 2:
            out.insert(at, out[at])
        else:
            out.insert(at, rng.randrange(256))
    return bytes(out)


_rng = random.Random(0)
FRAMES = [
    encode(m.pack(_rng.randrange(6), _rng.choice([SESSION, 0, 1]), any_message(_rng))) for _ in range(3000)
]
HARMED = [harmed(_rng, frame) for frame in FRAMES]
text_commands = st.sampled_from(
    [b"name%", b"profile%", b"db load 4%", b"db 0102%", b"db 0%", b"db xx%", b"db print%", b"infer 2 1%",
     b"infer -1%", b"results%", b"timestamp%", b"help%", b"%", b"\r\n%", b"db%", b"db load%",
     b"db load 99999999999%"]
)  # fmt: skip
line_bytes = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(FRAMES),
        st.sampled_from(HARMED),
        text_commands,
    ),
    max_size=6,
).map(b"".join)


def sized(cases: int):  # type: ignore[no-untyped-def]
    return settings(max_examples=cases, suppress_health_check=list(HealthCheck), database=None)


@CASES
@pytest.mark.parametrize("text", [False, True], ids=["host", "device"])
def test_the_frame_decoder(cases: int, text: bool) -> None:
    body = m.pack(1, SESSION, m.Identify())

    @sized(cases)
    @given(line_bytes)
    def check(data: bytes) -> None:
        decoder = Decoder(LONGEST_CHUNK, text=text)
        decoder.feed(data)
        assert decoder.buffered <= LONGEST_CHUNK + NOISE_KEPT
        bodies = [item for item in decoder.feed(encode(body)) if not isinstance(item, Text)]
        assert bodies[-1] == body

    check()


@CASES
def test_the_bench_device(cases: int) -> None:
    """Its state is the session: a greeting is understood after any noise, and noise does not end it."""
    engine = ToyEngine()
    device = BenchFirmware(INFO, engine, boot=1, limits=LIMITS, text=True)

    sessions = itertools.count(0x10000000)

    def ask(number: int, session: int, message: m.Message) -> list[m.Message]:
        device.receive(encode(m.pack(number, session, message)))
        device.step()
        bodies = Decoder(1 << 20).feed(device.take_output())
        return [m.unpack(body).message for body in bodies if isinstance(body, bytes)]

    @sized(cases)
    @given(line_bytes, st.integers(1, 50))
    def check(data: bytes, portion: int) -> None:
        for at in range(0, len(data), portion):
            device.receive(data[at : at + portion])
            device.step()
            assert device.buffered <= LONGEST_CHUNK + NOISE_KEPT + 8 * 16 + (1 << 16)
        device.take_output()
        # The next frame is understood, whatever came before it.
        session = next(sessions)
        welcome = ask(0, session, m.Hello(2, 2, 0, 4096))[-1]
        assert isinstance(welcome, m.Welcome)
        assert welcome.version == 2
        assert isinstance(ask(1, session, m.Select(ADDRESS))[-1], m.Selected)
        # Noise does not end a session: the next request carries on where the last one was.
        device.receive(b"" if _greets(data) else data)
        device.take_output()
        assert isinstance(ask(2, session, m.Identify())[-1], m.Identified)
        device.receive(data)
        device.take_output()
        device.receive(b"\0name%")
        assert device.take_output().endswith(b"m-name-dut-[toy]\r\nm-ready\r\n")

    check()


def _greets(data: bytes) -> bool:
    bodies = (body for body in Decoder(1 << 20).feed(data) if isinstance(body, bytes))
    return any(body[1] == m.Hello.TYPE for body in bodies)


@pytest.mark.parametrize("generation", [FirstGeneration, SecondGeneration])
@CASES
def test_the_at_device(cases: int, generation: type[SscmaFirmware]) -> None:
    engine = ToyEngine()
    device = generation(INFO, engine, boot=1)
    commands = st.sampled_from(
        [b"AT+ID?\r", b"AT+7@NAME?\r", b"AT+MODEL=1\r", b"AT+MODEL=x\r", b"AT+SENSOR=1,1,0\r",
         b"AT+SENSOR=\r", b"AT+INVOKE=2,0,0\r", b"AT+INVOKE=-1,0,1\r", b"AT+INVOKE=\r", b"AT+BREAK\r",
         b"AT+=\r", b"AT+?\r", b"AT+@\r"]
    )  # fmt: skip

    @sized(cases)
    @given(st.lists(st.one_of(commands, st.binary(max_size=60)), max_size=6).map(b"".join))
    def check(data: bytes) -> None:
        device.receive(data)
        device.step()
        assert device.buffered <= 4096 + (1 << 17)
        device.receive(b"\rAT+BREAK\rAT+9@ID?\r")
        while device.busy:
            device.step()
        replies = Replies().feed(device.take_output())
        assert [reply["code"] for reply in replies if reply["name"] == "9@ID?"] == [0]

    check()


replies = st.one_of(
    st.builds(
        lambda data: (
            b"\r" + json.dumps({"type": 1, "name": "INVOKE", "code": 0, "data": data}).encode() + b"\n"
        ),
        st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda s: st.lists(s, max_size=3)),
    ),
    st.sampled_from([b"\r{}\n", b"\r{\n", b"}\n", b"\r{" * 3, b"\r[1]\n", b"\r{{{{}\n", b'\r{"a": \xff}\n']),
)


@CASES
def test_the_at_reply_decoder(cases: int) -> None:
    good = b'\r{"type": 0, "name": "1@ID?", "code": 0, "data": "x"}\n'

    @sized(cases)
    @given(st.lists(st.one_of(replies, st.binary(max_size=60)), max_size=6).map(b"".join), st.integers(1, 40))
    def check(data: bytes, portion: int) -> None:
        decoder = Replies()
        for at in range(0, len(data), portion):
            decoder.feed(data[at : at + portion])
        assert decoder.buffered <= len(data) + 4096
        assert decoder.feed(good)[-1]["name"] == "1@ID?"

    check()


text_lines = st.sampled_from(
    [b"m-name-dut-[x]\r\n", b"m-ready\r\n", b"m-lap-us-1\r\n", b"e-[no]\r\n", b"m-load-done\r\n",
     b"m-[Expecting 4 bytes]\r\n", b"m-results-[1,x]\r\n", b"m-infer-done\r\n", b"m-init-done\r\n"]
)  # fmt: skip


@CASES
def test_the_text_line_decoder(cases: int) -> None:
    @sized(cases)
    @given(st.lists(text_lines | st.binary(max_size=60), max_size=6).map(b"".join), st.integers(1, 40))
    def check(data: bytes, portion: int) -> None:
        decoder = TextLines()
        decoder.feed(b"x" * 10_000)
        for at in range(0, len(data), portion):
            decoder.feed(data[at : at + portion])
            while decoder.next() is not None:
                pass
            assert decoder.buffered <= 2 * LONGEST_LINE
        decoder.feed(b"\nm-ready\r\n")  # noise costs the line that it stands in
        assert [decoder.next() for _ in range(3)][1:] == ["m-ready", None]

    check()


class NoisyPort:
    """A port that answers all it is told with bytes from a list, then goes away. Its time is made up."""

    url = "noise"

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self._time = 0.0

    def read(self, max_bytes: int, timeout: float) -> bytes:
        self._time += 0.01
        if self._answers:
            return self._answers.pop(0)
        if self._time > 20:
            raise PortLost("port noise went away")
        self._time += timeout
        return b""

    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass

    def reset_buffers(self) -> None:
        pass

    def reopen(self) -> None:
        raise PortLost("port noise went away")

    def now(self) -> float:
        return self._time

    def pause(self, seconds: float) -> None:
        self._time += seconds


host_bytes = st.one_of(
    line_bytes,
    replies,
    text_lines,
    st.sampled_from(
        [b'\r{"type": 0, "name": "%d@ID?", "code": 0, "data": "1"}\n' % tag for tag in range(1, 4)]
    ),
)  # fmt: skip


@CASES
@pytest.mark.parametrize("protocol", sorted(PROTOCOLS.names()))
def test_a_client(protocol: str, cases: int) -> None:
    """It may find no device, or give one up, but with an error for people; and it ends."""

    @sized(cases)
    @given(st.lists(host_bytes, max_size=12))
    def check(answers: list[bytes]) -> None:
        port = NoisyPort(answers)
        with contextlib.suppress(HarnessError):
            session = connect(protocol, port, Patience(first_sign_s=1.0))
            session.identify()
            session.models()
            session.select(0)
            session.run(1, 2)
        assert port.now() < 300

    check()


@CASES
def test_a_greeted_bench_client(cases: int) -> None:
    """Noise in the middle of a session is survived: what the device says next counts."""
    from tests.wire.rig import toy_rig

    rig = toy_rig(baud=None, latency_s=0.001)
    session = rig.session()
    session.identify()
    mine = session._link._token.to_bytes(4, "little")

    @sized(cases)
    @given(line_bytes)
    def check(data: bytes) -> None:
        rig.line.to_host.send(rig.port.now(), data.replace(mine, b""))
        assert session.memory() is not None

    check()
