"""The C core over bad lines, through resets and hangs, in virtual time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from harness.models import tflite
from harness.wire import messages as m
from harness.wire.bench_client import BenchSession
from harness.wire.framing import encode
from harness.wire.mlperf_client import MlperfSession
from harness.wire.patience import Patience
from harness.wire.session import RunInterrupted
from tests.firmware.devices import CoreDevice, PosixDevice
from tests.firmware.raw import RawHost
from tests.firmware.selftest import TICK_HZ, asking_to
from tests.firmware.test_conformance import filled, text

pytestmark = pytest.mark.interop

FAULTS = {
    "flips": "flip=1/1000",
    "drops": "drop=1/1000",
    "duplicates": "dup=1/1000",
    "insertions": "insert=1/1000",
    "bursts": "burst=1/10000:64",
    "stalls": "stall=1/50000:1",
    "everything": "flip=1e-4,drop=1e-4,dup=1e-4,insert=1e-4,burst=1e-5,stall=1e-5:1",
}


def image(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def stream(device: CoreDevice, faults: str, tensors: int) -> BenchSession:
    """Load, run and read back tensor after tensor over one line; every output must be exact."""
    session = device.session(faults)
    session.select(device.address)
    extra = image(0, device.input_bytes[1])
    session.load(1, extra)
    for number in range(tensors):
        data = image(number, device.input_bytes[0])
        session.load(0, data)
        assert len(session.run(1, 3).samples) == 3
        assert [session.output(0)] == device.expected(data, extra), f"tensor {number}"
    return session


@pytest.mark.parametrize("kind", FAULTS)
def test_every_tensor_arrives_exact_over_a_line_with(
    kind: str, checked: Path, two_inputs: tflite.Model
) -> None:
    with CoreDevice(checked, two_inputs) as device:
        assert stream(device, FAULTS[kind] + ",seed=7", 40).retransmissions


@pytest.mark.soak
@pytest.mark.parametrize("kind", FAULTS)
def test_two_thousand_tensors_over_a_line_with(kind: str, checked: Path, two_inputs: tflite.Model) -> None:
    with CoreDevice(checked, two_inputs) as device:
        stream(device, FAULTS[kind] + ",seed=1", 2000)


@pytest.mark.parametrize("event", ["reset", "vanish"])
def test_a_run_survives_it_wherever_it_happens(event: str, checked: Path, two_inputs: tflite.Model) -> None:
    happened = set()
    with CoreDevice(checked, two_inputs) as device:
        slow = asking_to("w", TICK_HZ // 50).ljust(device.input_bytes[0], b"x")
        for at in range(200, 6000, 293):
            session = device.session(f"{event}@{at}")
            session.identify()
            session.select(device.address)
            session.load(0, slow)
            run = session.run(1, 40)
            assert run.complete
            assert len(run.samples) == 40
            assert all(ticks >= TICK_HZ // 50 for ticks in run.samples)
            assert [session.output(0)] == device.expected(slow, bytes(device.input_bytes[1]))
            happened |= {incident.kind for incident in session.incidents}
    assert happened >= ({"reset"} if event == "reset" else {"port-lost", "reconnected"})


def test_what_arrives_during_a_long_invoke_is_no_silence_of_the_line(
    checked: Path, two_inputs: tflite.Model
) -> None:
    """Abort goes out while an invoke of three seconds is under way, and is heard when it ends."""
    with CoreDevice(checked, two_inputs) as device:
        session = device.session()
        session.select(device.address)
        session.load(0, asking_to("w", 3 * TICK_HZ).ljust(device.input_bytes[0], b"\0"))

        class Enough(Exception):
            pass

        def stop(index: int, ticks: int) -> None:
            if index == 0:
                raise Enough

        with pytest.raises(Enough):
            session.run(0, 1000, on_sample=stop)
        session.abort()
        session.load(0, bytes(device.input_bytes[0]))
        assert len(session.run(0, 3).samples) == 3


def test_what_arrives_during_long_inferences_in_text_is_no_silence_of_the_line(
    checked: Path, two_inputs: tflite.Model
) -> None:
    """A frame that began while an operator of three seconds ran is whole when the rest comes."""
    slow = asking_to("w", 3 * TICK_HZ)
    with CoreDevice(checked, two_inputs) as device:
        host = RawHost(device.port())
        host.greet()
        host.ask(m.Select(device.address), m.Selected)
        filled(host, slow)
        frame = encode(m.pack(host.number + 1, host.session, m.Identify()))
        host.port.write(b"infer 1 0%")
        host.port.pause(0.5)
        host.port.write(frame[:5])
        host.port.pause(2.7)
        host.port.write(frame[5:])
        host.number += 1
        assert host.hear(m.Identified)[0] == host.number


def test_only_silence_that_a_look_has_shown_drops_what_came_in_part(
    checked: Path, two_inputs: tflite.Model
) -> None:
    """In an invoke of operators of five seconds the line is looked at every five seconds."""
    with CoreDevice(checked, two_inputs) as device:
        host = RawHost(device.port())
        host.greet()
        host.ask(m.Select(device.address), m.Selected)
        filled(host, asking_to("s", 5 * TICK_HZ, 20))
        began = host.port.now()
        host.ask(m.StartRun(1, 0, 0, 1, 0), m.Running)

        def at(seconds: float, said: bytes) -> None:
            host.port.pause(began + seconds - host.port.now())
            host.port.write(said)

        at(1.0, b"na")
        at(9.0, b"me%")  # heard at 5 s and 10 s: nobody knows when they came
        assert b"m-name-dut-[" in text(host, b"")
        at(16.0, b"pro")
        at(26.0, b"name%")  # at 25 s nothing had come since 20 s
        assert b"m-name-dut-[" in text(host, b"")


def test_time_that_goes_to_the_line_in_an_invoke_is_no_part_of_the_sample(
    checked: Path, two_inputs: tflite.Model
) -> None:
    """Virtual time goes by with each look at the clock, of which requests have their share."""

    def sample(requests: int) -> tuple[int, int]:
        """Return the sample, and how long all took."""
        with CoreDevice(checked, two_inputs) as device:
            host = RawHost(device.port(baud=None))
            host.greet()
            host.ask(m.Select(device.address), m.Selected)
            filled(host, asking_to("w", TICK_HZ // 10, 20))
            began = host.ask(m.GetClock(), m.Clock).ticks
            host.ask(m.StartRun(1, 0, 0, 1, 0), m.Running)
            for _ in range(requests):
                host.say(m.GetClock(), host.number)  # answered again, be it during the invoke
                host.say(m.GetRun(), host.number + 1)
                host.number += 1
            while True:
                _, got = host.hear(m.Message)  # type: ignore[type-abstract]
                if isinstance(got, m.Samples):
                    break
            ended = host.ask(m.GetClock(), m.Clock).ticks
            return int.from_bytes(got.ticks, "little"), ended - began

    quiet, quiet_all = sample(0)
    busy, busy_all = sample(200)
    assert busy_all > quiet_all + 1000
    assert quiet <= busy <= quiet + 20 * 10


def test_the_core_says_that_all_is_well_between_any_two_invokes(
    checked: Path, two_inputs: tflite.Model
) -> None:
    with CoreDevice(checked, two_inputs) as device:
        session = device.session()
        session.select(device.address)
        before = device.process.alive
        session.run(10, 90)
        assert device.process.alive >= before + 100
        before = device.process.alive
        device_port = device.port()
        device_port.write(b"infer 30 20%")
        device_port.read(4096, 2.0)
        device_port.pause(1.0)
        assert device.process.alive >= 50


def test_a_watchdog_resets_a_device_that_hangs(checked: Path, two_inputs: tflite.Model) -> None:
    with PosixDevice(checked, two_inputs, "--watchdog", "1") as device, device.session() as session:
        session.select(device.address)
        session.load(0, asking_to("h").ljust(device.input_bytes[0], b"\0"))
        with pytest.raises(RunInterrupted, match="resets whenever the model runs"):
            session.run(0, 1)
        assert {incident.kind for incident in session.incidents} == {"reset"}


def test_an_inference_of_90_s_in_text_is_waited_for(checked: Path, two_inputs: tflite.Model) -> None:
    with CoreDevice(checked, two_inputs) as device:
        session = MlperfSession(device.port(), Patience(invoke_s=120.0))
        session.select(device.address)
        session.load(0, asking_to("w", 2 * TICK_HZ, 45).ljust(device.input_bytes[0], b"\0"))
        run = session.run(0, 1)
        assert run.complete
        assert run.samples[0] >= 90 * run.tick_hz


@pytest.mark.parametrize("letter", ["w", "s"])
def test_an_inference_in_text_that_does_not_end_is_given_up(
    letter: str, checked: Path, two_inputs: tflite.Model
) -> None:
    """One that can be broken off leaves the device usable at once, another answers greetings all the same."""
    with CoreDevice(checked, two_inputs) as device:
        port = device.port()
        session = MlperfSession(port, Patience(invoke_s=20.0))
        session.select(device.address)
        session.load(0, asking_to(letter, TICK_HZ, 0xFFFF).ljust(device.input_bytes[0], b"\0"))
        with pytest.raises(RunInterrupted, match="an invoke has not ended after 20 s"):
            session.run(0, 1)
        after = BenchSession(port)
        if letter == "s":
            after.reset()
        after.select(device.address)
        assert after.run(0, 3).complete
