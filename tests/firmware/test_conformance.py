"""What firmware/PROTOCOL.md asks of a device, asked of every implementation of it."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import random
import zlib
from pathlib import Path

import pytest

from harness.wire import messages as m
from harness.wire.bench_client import BenchSession
from harness.wire.framing import encode
from harness.wire.patience import Patience
from harness.wire.session import DeviceRefused, RunInterrupted
from tests.firmware.devices import Device, settle
from tests.firmware.raw import RawHost
from tests.firmware.selftest import asking_to
from tests.wire.test_vectors import message

pytestmark = pytest.mark.interop

VECTORS = json.loads(
    (Path(__file__).resolve().parents[1] / "vectors/bench-v2.json").read_text(encoding="utf-8")
)
HOST_TYPES = {kind.__name__ for kind in m.HOST_MESSAGES}
LONG = 1 << 20
"""Invokes of a run that is not to end by itself."""


def waits_for_a_run(device: Device) -> list[m.Message]:
    """Return the requests that are refused while a run or an invoke is under way."""
    return [
        m.Select(device.address),
        m.StartRun(2, 0, 0, 1, 0),
        m.GetOutput(0, 0, 0, 1),
        m.Digest(device.address, 1),
    ]


def tensors(device: Device, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(size) for size in device.input_bytes]


def measure(session: BenchSession, device: Device, seed: int, n: int = 5) -> list[int]:
    """Load, run and read back; the outputs must be those of the inputs. Returns the samples."""
    session.select(device.address)
    given = tensors(device, seed)
    for index, data in enumerate(given):
        session.load(index, data)
    run = session.run(1, n)
    assert [session.output(k) for k in range(len(device.expected(*given)))] == device.expected(*given)
    assert len(run.samples) == n
    return run.samples


def raw(device: Device) -> RawHost:
    host = RawHost(device.port())
    host.greet()
    return host


def selected(device: Device) -> RawHost:
    host = raw(device)
    host.ask(m.Select(device.address), m.Selected)
    return host


def filled(host: RawHost, data: bytes, transfer: int = 1) -> None:
    """Load `data` into the begin of input 0 by hand; `transfer` counts what was opened in the session."""
    host.say(m.Open(transfer, m.REPLACE, 0, 0, 0, len(data), len(data), zlib.crc32(data)), 2 * transfer - 1)
    host.say(m.Data(transfer, 0, 0, data), 2 * transfer)
    host.hear(m.Ack)
    assert host.hear(m.Ack)[1].status == m.TransferStatus.COMPLETE


# ---- whole runs


def test_a_model_is_found_run_and_read_back(device: Device) -> None:
    with device.session() as session:
        identity = session.identify()
        assert identity.tick_hz > 0
        assert identity.board
        assert identity.engine
        [found] = session.models()
        assert found.address == device.address
        assert session.digest(device.address, len(device.model.data)) == device.model.sha256
        info = session.select(device.address)
        graph = device.model.subgraphs[0]
        for got, index in zip((*info.inputs, *info.outputs), (*graph.inputs, *graph.outputs), strict=True):
            tensor = graph.tensors[index]
            assert (got.name, got.type, got.shape, got.bytes) == (
                tensor.name,
                tensor.type,
                tensor.shape,
                tensor.bytes,
            )
            if tensor.quantization:
                assert got.scale == tensor.quantization.scales[0]
                assert got.zero_point == tensor.quantization.zero_points[0]
        assert all(ticks >= 0 for ticks in measure(session, device, 1, n=40))
        memory = session.memory()
        assert memory is not None
        assert memory.arena_used is not None
        assert memory.arena_size is not None
        assert 0 < memory.arena_used <= memory.arena_size
        assert session.incidents == []


def test_each_run_works_on_the_inputs_that_were_loaded_last(device: Device) -> None:
    with device.session() as session:
        for seed in range(3):
            measure(session, device, seed)
        given = tensors(device, 3)
        session.load(0, given[0])
        assert session.run(0, 2).complete  # the other inputs keep what they held
        assert session.output(0) == device.expected(given[0], *tensors(device, 2)[1:])[0]


def test_a_profile_names_operators_and_their_time(device: Device) -> None:
    with device.session() as session:
        session.select(device.address)
        session.run(0, 2, profile=True)
        layers = session.layers()
        assert layers
        assert all(label for label, _ in layers)
        operators = session.identify().operators
        assert operators is None or all(operators)


@pytest.mark.parametrize(
    "faults",
    [
        "flip=1/1000",
        "drop=1/1000",
        "dup=1/1000",
        "insert=1/1000",
        "burst=1/10000:64",
        "flip=1e-4,drop=1e-4,dup=1e-4,insert=1e-4,burst=1e-5",
    ],
    ids=["flips", "drops", "duplicates", "insertions", "bursts", "everything"],
)
def test_every_tensor_and_sample_arrives_over_a_bad_line(device: Device, faults: str) -> None:
    session = device.session(faults + ",seed=5")
    for seed in range(2 if not device.simulated else 10):
        measure(session, device, seed)


def test_a_reset_gives_another_boot_and_a_blank_device(device: Device) -> None:
    with device.session() as session:
        measure(session, device, 1)
        session.reset()
        measure(session, device, 2)


def test_what_was_said_to_a_device_is_answered_before_the_next_test_begins(device: Device) -> None:
    """The tests' own ground: answers to greetings that were sent again while a device booted."""
    port = device.port()
    for _ in range(20):
        port.write(encode(m.pack(1, 0x0DD, m.Hello(2, 2, 0, 65536))))
    settle(port)
    host = RawHost(port)
    host.greet()


# ---- what is in flash


def test_a_digest_is_that_of_the_bytes_in_flash(device: Device) -> None:
    host = raw(device)
    data = device.model.data
    for start, length in ((0, len(data)), (0, 1), (1, 63), (64, 64), (3, 120), (len(data) - 1, 1)):
        part = data[start : start + length]
        assert host.ask(m.Digest(device.address + start, length), m.Digested) == m.Digested(
            device.address + start, length, hashlib.sha256(part).digest()
        )


def test_a_digest_is_of_flash_for_models_alone(device: Device) -> None:
    host = raw(device)
    first, end = device.flash
    host.ask(m.Digest(first, 1), m.Digested)
    host.ask(m.Digest(end - 1, 1), m.Digested)
    last = min(4096, end - first)
    block = host.ask(m.Digest(end - last, last), m.Digested)
    assert (block.address, block.length) == (end - last, last)
    for address, length in (
        *((first, 0), (end, 0), (end, 1), (end - 1, 2), (first - 1, 1), (first - 1, 2)),
        *((0, 1), (0, 0xFFFFFFFF), (first, 0xFFFFFFFF), (0xFFFFFFFF, 1), (0xFFFFFFFF, 2)),
    ):
        if address >= 0:
            assert host.refused(m.Digest(address, length)) == m.ErrorCode.BAD_ARGUMENT, (address, length)


# ---- golden vectors


@pytest.mark.parametrize("portion", [1, 7, 10_000])
def test_each_message_of_the_vectors_is_understood_byte_by_byte(device: Device, portion: int) -> None:
    """Without a session each gets NO_SESSION with its own number and session; a greeting gets a WELCOME."""
    port = device.port()
    host = RawHost(port)
    for vector in VECTORS["messages"]:
        if vector["message"] not in HOST_TYPES:
            continue
        line = bytes.fromhex(vector["line"])
        if vector["message"] == "Hello":
            # With no version in common the session stays as it is: none.
            line = encode(m.pack(vector["number"], vector["session"], m.Hello(7, 9, 0, 4096)))
        host.session = vector["session"]
        for at in range(0, len(line), portion):
            port.write(line[at : at + portion])
        if vector["message"] == "Hello":
            number, welcome = host.hear(m.Welcome)
            assert (welcome.version, welcome.oldest, welcome.newest) == (0, m.OLDEST_VERSION, m.VERSION)
        else:
            number, refusal = host.hear(m.Refusal)
            assert refusal.code == m.ErrorCode.NO_SESSION, vector["name"]
            assert refusal.detail == welcome.boot
        assert number == vector["number"]


@pytest.mark.parametrize("vector", VECTORS["streams"], ids=lambda vector: vector["name"])
def test_the_decoder_finds_what_a_line_holds(device: Device, vector: dict) -> None:
    host = RawHost(device.port(), session=0x77777777)
    # Sound frames of a session that the device does not know are answered one by one.
    host.port.write(bytes.fromhex(vector["line"]))
    for body in vector["bodies"]:
        _, _, number, session = m.HEADER.unpack_from(bytes.fromhex(body))
        host.session = session
        heard, refusal = host.hear(m.Refusal)
        assert (heard, refusal.code) == (number, m.ErrorCode.NO_SESSION)
    host.hear_nothing()


def test_stream_messages_are_answered_as_the_vectors_say(device: Device) -> None:
    if device.input_bytes[-1] < VECTORS["transfer"]["input_bytes"]:
        pytest.skip("the model has no input as small as the vectors'")
    host = selected(device)
    host.say(m.Hello(2, 2, 0, 65536))  # the same session again: nothing changes
    largest = host.hear(m.Welcome)[1].max_block
    last = len(device.input_bytes) - 1
    size = device.input_bytes[last]
    running = False
    for step in VECTORS["transfer"]["steps"]:
        fields = dict(step["fields"])
        if step["message"] == "Open":
            # The vectors' device has one input of 16 bytes and takes blocks of 4.
            fields["input"] = last if fields["input"] == 0 else 200
            if fields["start"] + fields["length"] > VECTORS["transfer"]["input_bytes"]:
                fields["start"] = size - fields["length"] + 1
            if fields["block"] > VECTORS["transfer"]["max_block"]:
                fields["block"] = largest + 1
        if step["during_run"] != running:
            running = step["during_run"]
            if running:
                host.ask(m.StartRun(1, 0, LONG, 1, 0), m.Running)
            else:
                host.ask(m.Abort(), m.Aborted)
                host.hear(m.Samples)
        host.say(message(step["message"], fields), step["number"])
        number, ack = host.hear(m.Ack)
        assert (number, ack) == (step["ack_number"], message("Ack", step["ack"])), step["name"]


# ---- sessions and requests


def test_a_greeting_settles_on_the_newest_common_version(device: Device) -> None:
    host = RawHost(device.port())
    for oldest, newest, common in [(2, 2, 2), (2, 9, 2), (0, 2, 2), (3, 9, 0), (0, 1, 0), (4, 2, 0)]:
        host.say(m.Hello(oldest, newest, 0, 4096), number=9)
        number, welcome = host.hear(m.Welcome)
        assert (number, welcome.version) == (9, common)
        assert welcome.window >= 100
        assert welcome.max_block > 0
        assert welcome.sample_buffer > 0


def test_a_new_session_gives_up_a_run_but_keeps_model_and_inputs(device: Device) -> None:
    host = selected(device)
    data = tensors(device, 4)[0][:100]
    filled(host, data)
    host.ask(m.StartRun(1, 0, LONG, 1, 0), m.Running)
    host.greet(session=0x55)
    assert host.ask(m.GetRun(), m.RunStatus).state == m.RunState.IDLE
    host.say(m.Probe(), 1)
    number, ack = host.hear(m.Ack)
    assert (number, ack.status) == (1, m.TransferStatus.NONE)
    host.ask(m.StartRun(1, 0, 0, 1, 1), m.Running)
    host.hear(m.Samples)
    whole = data + bytes(device.input_bytes[0] - len(data))
    expected = device.expected(whole, *(bytes(size) for size in device.input_bytes[1:]))
    assert host.ask(m.GetOutput(0, 0, 0, 4096), m.Output).data == expected[0]


def test_the_old_session_is_refused_once_another_has_begun(device: Device) -> None:
    host = raw(device)
    host.greet(session=0x66)
    for session in (0x1A2B3C4D, 0):
        host.session = session
        host.say(m.Identify(), 1)
        assert host.hear(m.Refusal)[1].code == m.ErrorCode.NO_SESSION


def test_a_request_is_carried_out_once_however_often_it_arrives(device: Device) -> None:
    host = selected(device)
    host.ask(m.StartRun(1, 0, 0, 1, 1), m.Running)
    host.hear(m.Samples)
    host.say(m.StartRun(1, 0, 0, 1, 1), host.number)
    assert host.hear(m.Running)[0] == host.number
    assert host.ask(m.GetRun(), m.RunStatus).state == m.RunState.DONE
    first = host.ask(m.GetClock(), m.Clock)
    host.say(m.GetClock(), host.number)
    assert host.hear(m.Clock) == (host.number, first)
    output = host.ask(m.GetOutput(0, 0, 0, 4096), m.Output)
    host.say(m.GetOutput(0, 0, 0, 4096), host.number)
    assert host.hear(m.Output) == (host.number, output)
    host.say(m.Identify(), host.number - 1)
    host.hear_nothing()
    host.say(m.Identify(), host.number + 2)
    number, refusal = host.hear(m.Refusal)
    assert number == host.number + 2
    assert (refusal.code, refusal.detail) == (m.ErrorCode.SEQUENCE, host.number)
    host.ask(m.Identify(), m.Identified)


def test_request_numbers_go_round(device: Device) -> None:
    if device.name != "core":
        pytest.skip("65536 requests take their time")
    host = RawHost(device.port(baud=None))  # type: ignore[call-arg]
    host.greet()
    for first in range(1, 0x10000 + 100, 1024):
        numbers = [number & 0xFFFF for number in range(first, first + 1024)]
        host.port.write(b"".join(encode(m.pack(n, host.session, m.Abort())) for n in numbers))
        assert [host.hear(m.Aborted)[0] for _ in numbers] == numbers


def test_what_is_no_request_of_this_version_is_told_apart(device: Device) -> None:
    host = raw(device)

    def refusal(kind: int, payload: bytes) -> tuple[int, int]:
        host.number += 1
        host.say_body(m.HEADER.pack(0xBE, kind, host.number, host.session) + payload)
        number, got = host.hear(m.Refusal)
        assert number == host.number
        return got.code, got.detail

    for kind in (0x00, 0x10, 0x1F):
        assert refusal(kind, b"") == (m.ErrorCode.UNKNOWN_TYPE, kind)
    for kind in HOST_TYPES - {"Data", "Open", "Probe", "SamplesAck"}:
        sound = m.BY_TYPE[getattr(m, kind).TYPE].FIXED.size
        for payload in (bytes(sound + 1), bytes(sound - 1)) if sound else (bytes(1),):
            code = getattr(m, kind).TYPE
            assert refusal(code, payload) == (m.ErrorCode.BAD_MESSAGE, code), (kind, len(payload))
    for kind in (0x20, 0x21, 0x23, 0x24, 0x3F, 0x41, 0x60, 0x61, 0x7F, 0xFF):
        host.say_body(m.HEADER.pack(0xBE, kind, 1, host.session) + bytes(3))
    host.say_body(m.HEADER.pack(0xBE, 0x02, 1, host.session)[:7])
    host.hear_nothing()
    host.ask(m.Identify(), m.Identified)


# ---- what can be refused


def test_errors_before_a_model_is_selected(device: Device) -> None:
    host = raw(device)
    assert host.refused(m.GetTensor(0, 0)) == m.ErrorCode.NO_MODEL
    assert host.refused(m.StartRun(1, 0, 0, 1, 0)) == m.ErrorCode.NO_MODEL
    assert host.refused(m.GetOutput(0, 0, 0, 1)) == m.ErrorCode.NO_RUN
    for address in (0, device.address + 1, device.address + 4096, 0xFFFFFFFF):
        assert host.refused(m.Select(address)) == m.ErrorCode.NO_MODEL
    empty = host.ask(m.GetModel(1), m.FlashEntry)
    assert (empty.total, empty.address, empty.name) == (1, 0, "")
    assert host.ask(m.GetLayer(0), m.LayerTime) == m.LayerTime(0, 0, 0, "")
    host.say(m.Open(1, 0, 0, 0, 0, 1, 1, 0), 1)
    assert host.hear(m.Ack)[1].status == m.TransferStatus.BAD_INPUT


def test_errors_of_arguments_and_order(device: Device) -> None:
    host = selected(device)
    assert host.refused(m.GetTensor(0, len(device.input_bytes))) == m.ErrorCode.BAD_ARGUMENT
    assert host.refused(m.GetTensor(1, 200)) == m.ErrorCode.BAD_ARGUMENT
    assert host.refused(m.StartRun(0, 0, 0, 1, 0)) == m.ErrorCode.BAD_ARGUMENT
    assert host.refused(m.StartRun(1, 0, 0, 0, 0)) == m.ErrorCode.BAD_ARGUMENT
    assert host.refused(m.GetOutput(0, 0, 0, 1)) == m.ErrorCode.NO_RUN
    host.ask(m.StartRun(1, 0, 0, 1, 0), m.Running)
    host.hear(m.Samples)
    assert host.refused(m.GetOutput(0, 0, 0, 1)) == m.ErrorCode.BAD_ARGUMENT
    host.ask(m.StartRun(2, 0, 0, 1, 1), m.Running)
    host.hear(m.Samples)
    assert host.refused(m.GetOutput(200, 0, 0, 1)) == m.ErrorCode.BAD_ARGUMENT
    whole = host.ask(m.GetOutput(0, 0, 0, 4096), m.Output)
    part = host.ask(m.GetOutput(0, 0, 1, 3), m.Output)
    assert (part.data, part.crc, part.total) == (whole.data[1:4], zlib.crc32(whole.data), len(whole.data))
    assert host.ask(m.GetOutput(0, 0, 0xFFFFFFFF, 3), m.Output).data == b""
    assert host.refused(m.Select(1)) == m.ErrorCode.NO_MODEL  # and now none is selected
    assert host.refused(m.GetTensor(0, 0)) == m.ErrorCode.NO_MODEL


def test_no_output_frame_is_longer_than_the_host_takes(device: Device) -> None:
    host = selected(device)
    host.ask(m.StartRun(1, 0, 0, 1, 1), m.Running)
    host.hear(m.Samples)
    whole = host.ask(m.GetOutput(0, 0, 0, 4096), m.Output)
    for most in (40, 33, 8):
        host.say(m.Hello(2, 2, 0, most))
        host.hear(m.Welcome)
        part = host.ask(m.GetOutput(0, 0, 0, 4096), m.Output)
        assert part == dataclasses.replace(whole, data=whole.data[: max(0, most - 31)])


def test_errors_during_a_run(device: Device) -> None:
    host = selected(device)
    host.ask(m.StartRun(1, 0, LONG, 1, 1), m.Running)
    for request in waits_for_a_run(device):
        assert host.refused(request) == m.ErrorCode.BUSY
    status = host.ask(m.GetRun(), m.RunStatus)
    assert (status.run, status.state, status.done) == (1, m.RunState.WARMING, 0)
    host.ask(m.Abort(), m.Aborted)


def test_a_failed_invoke_ends_the_run_with_its_reason(device: Device) -> None:
    if not device.selftest:
        pytest.skip("needs an engine that fails when told to")
    with device.session() as session:
        session.select(device.address)
        session.load(0, asking_to("f").ljust(device.input_bytes[0], b"\0"))
        for warmup in (0, 3):
            with pytest.raises(RunInterrupted, match="asked the selftest engine to fail") as caught:
                session.run(warmup, 10)
            assert caught.value.run.samples == []
        measure(session, device, 1)


def test_an_input_that_does_not_fit_is_refused_and_the_session_goes_on(device: Device) -> None:
    with device.session() as session:
        session.select(device.address)
        with pytest.raises(DeviceRefused, match="does not fit the input"):
            session.load(0, bytes(device.input_bytes[0] + 1))
        with pytest.raises(DeviceRefused, match="no such input"):
            session.load(9, b"abc")
        measure(session, device, 1)


def test_select_gives_up_a_transfer_whose_input_is_gone(device: Device) -> None:
    host = selected(device)
    host.say(m.Open(1, 0, 0, 0, 0, 64, 32, 0), 1)
    host.say(m.Data(1, 0, 0, bytes(32)), 2)
    assert [host.hear(m.Ack)[1].status for _ in range(2)] == [m.TransferStatus.RECEIVING] * 2
    host.ask(m.Select(device.address), m.Selected)
    host.say(m.Data(1, 0, 32, bytes(32)), 3)
    _, ack = host.hear(m.Ack)
    assert (ack.status, ack.base) == (m.TransferStatus.BAD_INPUT, 32)
    host.say(m.Open(2, m.REPLACE, 0, 0, 0, 64, 64, zlib.crc32(bytes(64))), 4)
    host.say(m.Data(2, 0, 0, bytes(64)), 5)
    assert host.hear(m.Ack)[1].status == m.TransferStatus.RECEIVING
    assert host.hear(m.Ack)[1].status == m.TransferStatus.COMPLETE


def test_a_block_that_begins_where_the_range_ends_is_none(device: Device) -> None:
    host = selected(device)
    host.say(m.Open(1, 0, 0, 0, 0, 64, 32, 0), 1)
    host.say(m.Data(1, 0, 64, b""), 2)
    host.say(m.Data(1, 0, 0xFFFFFFE0, bytes(32)), 3)
    for _ in range(3):
        _, ack = host.hear(m.Ack)
        assert (ack.base, ack.mask) == (0, 0)


# ---- runs and samples


def waiting(device: Device, host: RawHost, seconds: float) -> None:
    """Make each invoke take so long, where the engine can be told to."""
    if device.selftest:
        tick_hz = host.ask(m.Identify(), m.Identified).tick_hz
        filled(host, asking_to("w", int(seconds * tick_hz)))


def test_abort_ends_a_run_and_its_samples_remain(device: Device) -> None:
    host = selected(device)
    waiting(device, host, 0.01)
    host.ask(m.StartRun(7, 0, 0, LONG, 0), m.Running)
    taken = 0
    while taken < 5:
        _, samples = host.hear(m.Samples)
        taken = samples.first + len(samples.ticks) // 8
    host.number += 1
    host.say(m.Abort(), host.number)
    aborted: m.Aborted | None = None
    ended = False
    while aborted is None or not ended:
        _, got = host.hear(m.Message)  # type: ignore[type-abstract]
        if isinstance(got, m.Aborted):
            aborted = got
        else:
            assert isinstance(got, m.Samples)
            ended = got.state == m.RunState.ABORTED
            taken = got.first + len(got.ticks) // 8
    assert (aborted.run, aborted.done) == (7, taken)
    status = host.ask(m.GetRun(), m.RunStatus)
    assert (status.state, status.done) == (m.RunState.ABORTED, taken)
    host.say(m.SamplesAck(7, m.RESEND, 0))
    assert host.hear(m.Samples)[1].first == 0


def test_samples_are_kept_until_acknowledged_and_the_device_waits_for_room(device: Device) -> None:
    host = RawHost(device.port())
    room = host.greet().sample_buffer
    if not device.selftest:
        pytest.skip(f"{room} samples of a real model take their time")
    host.ask(m.Select(device.address), m.Selected)
    n = room + 10
    host.ask(m.StartRun(3, 0, 0, n, 0), m.Running)
    got: list[bytes] = []

    def take(until: int) -> m.Samples:
        while True:
            _, samples = host.hear(m.Samples, patience_s=30)
            assert samples.first == len(got)
            assert len(samples.ticks) <= 32 * 8
            got.extend(samples.ticks[at : at + 8] for at in range(0, len(samples.ticks), 8))
            if len(got) >= until:
                return samples

    last = take(room)
    assert len(got) == room, "the device took more samples than it can keep"
    assert last.state == m.RunState.MEASURING
    host.hear_nothing()
    host.say(m.SamplesAck(99, m.RESEND, 0))  # another run: ignored
    host.say(m.SamplesAck(3, 0, n + 1))  # more than there are: ignored
    host.hear_nothing()
    host.say(m.SamplesAck(3, m.RESEND, room - 1))
    _, again = host.hear(m.Samples)
    assert (again.first, again.ticks) == (room - 1, got[room - 1])
    host.say(m.SamplesAck(3, 0, room))
    assert take(n).state == m.RunState.DONE
    host.say(m.SamplesAck(3, m.RESEND, n))
    _, empty = host.hear(m.Samples)
    assert (empty.first, empty.ticks, empty.state) == (n, b"", m.RunState.DONE)
    status = host.ask(m.GetRun(), m.RunStatus)
    assert (status.done, status.state) == (n, m.RunState.DONE)


def test_a_sample_is_the_time_of_one_invoke(device: Device) -> None:
    if not device.selftest:
        pytest.skip("needs an engine that takes as long as it is told to")
    host = selected(device)
    tick_hz = host.ask(m.Identify(), m.Identified).tick_hz
    waiting(device, host, 0.03)
    host.ask(m.StartRun(1, 0, 1, 3, 0), m.Running)
    ticks: list[int] = []
    while len(ticks) < 3:
        data = host.hear(m.Samples)[1].ticks
        ticks += [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    for sample in ticks:
        assert 0.03 * tick_hz <= sample


# ---- invokes that take long

LONG_ENOUGH_S = 60.0
"""For a host or device that is starved by others; nothing takes so long."""
REAL_S = 0.3
"""Of an invoke on a device without virtual time, which computes all the while."""


def needs(device: Device, letter: str = "w") -> None:
    """Skip unless the engine takes as long as it is told to, and is as stubborn."""
    if not device.selftest:
        pytest.skip("needs an engine that takes as long as it is told to")
    if letter == "s" and device.alive:
        pytest.skip("no invoke is too stubborn for it")


def taking(device: Device, host: RawHost, seconds: float, operators: int, letter: str = "w") -> float:
    """Make each invoke take so long, in so many operators ("s": stubborn ones); return the tick rate."""
    needs(device, letter)
    tick_hz = host.ask(m.Identify(), m.Identified).tick_hz
    filled(host, asking_to(letter, int(seconds / operators * tick_hz), operators))
    return tick_hz


def anything(host: RawHost, patience_s: float = LONG_ENOUGH_S) -> m.Message:
    return host.hear(m.Message, patience_s)[1]  # type: ignore[type-abstract]


def in_an_invoke(host: RawHost) -> m.RunStatus:
    """Return what the device says of its run once an invoke is under way."""
    until = host.port.now() + LONG_ENOUGH_S
    while host.port.now() < until:
        status = host.ask(m.GetRun(), m.RunStatus)
        if status.busy:
            return status
    raise AssertionError("no invoke is under way")


def test_a_device_tells_how_far_an_invoke_is(device: Device) -> None:
    host = selected(device)
    tick_hz = taking(device, host, 0xFFFF / 40, 0xFFFF)
    host.ask(m.StartRun(1, 0, 3, 1, 0), m.Running)
    told = [in_an_invoke(host)]
    until = host.port.now() + LONG_ENOUGH_S
    while len(told) < 12 and host.port.now() < until:
        host.port.pause(0.02)
        status = host.ask(m.GetRun(), m.RunStatus)
        if device.alive or status.operator > told[-1].operator:
            told.append(status)
    assert len(told) == 12
    for status in told:
        assert (status.run, status.state, status.done, status.warmup) == (1, m.RunState.WARMING, 0, 3)
        assert status.operators == (0 if device.alive else 0xFFFF)
        assert status.busy >= status.operator / 40 * tick_hz * 0.99
    assert all(earlier.busy < later.busy for earlier, later in itertools.pairwise(told))
    aborts(host)


def test_a_device_that_says_it_is_alive_replies_within_a_second_in_an_invoke(device: Device) -> None:
    host = RawHost(device.port())
    said = m.Capability(host.greet().capabilities)
    assert (m.Capability.ALIVE in said) == device.alive
    if not (device.alive and device.simulated):
        pytest.skip("does not say so, or how long it takes is this computer's doing")
    host.ask(m.Select(device.address), m.Selected)
    taking(device, host, 1000.0, 1)
    host.ask(m.StartRun(1, 0, 0, 1, 0), m.Running)
    for _ in range(10):
        before = host.port.now()
        in_an_invoke(host)
        assert host.port.now() - before <= 1.0
        host.port.pause(3.7)
    aborts(host)


def test_an_invoke_of_90_s_in_virtual_time(device: Device) -> None:
    if not device.simulated:
        pytest.skip("takes 90 s where time is not virtual")
    an_invoke_of_90_s(device)


@pytest.mark.soak
def test_an_invoke_of_90_s(device: Device) -> None:
    an_invoke_of_90_s(device)


def an_invoke_of_90_s(device: Device) -> None:
    host = selected(device)
    tick_hz = taking(device, host, 90.0, 45)
    host.ask(m.StartRun(1, 0, 0, 1, 0), m.Running)
    told: list[m.RunStatus] = []
    while True:
        host.number += 1
        host.say(m.GetRun(), host.number)
        got = anything(host)
        if isinstance(got, m.Samples):
            break
        assert isinstance(got, m.RunStatus)
        told.append(got)
        host.port.pause(2.0)
    assert (got.state, got.first) == (m.RunState.DONE, 0)
    assert 90.0 * 0.999 * tick_hz <= int.from_bytes(got.ticks, "little")
    within = [status for status in told if status.busy]
    assert len(within) >= 10
    for earlier, later in itertools.pairwise(within):
        assert earlier.busy < later.busy
        assert earlier.operator <= later.operator
    operators = 0 if device.alive else 45
    for status in within:
        assert (status.state, status.done, status.operators) == (m.RunState.MEASURING, 0, operators)
    assert within[-1].busy > 60.0 * tick_hz


def test_in_an_invoke_a_device_answers_what_it_answers_in_a_run(device: Device) -> None:
    host = selected(device)
    taking(device, host, 1000.0, 1000 if device.simulated else 40_000)
    host.ask(m.StartRun(1, 0, 1, 1, 0), m.Running)
    in_an_invoke(host)
    for request in waits_for_a_run(device):
        assert host.refused(request) == m.ErrorCode.BUSY
    assert host.ask(m.Identify(), m.Identified).tick_hz
    first, second = (host.ask(m.GetClock(), m.Clock).ticks for _ in range(2))
    assert first < second
    assert host.ask(m.GetTensor(0, 0), m.TensorDescription).size == device.input_bytes[0]
    assert host.ask(m.GetModel(0), m.FlashEntry).address == device.address
    assert host.ask(m.GetMemory(), m.MemoryFigures).arena_used
    assert host.ask(m.GetLayer(0), m.LayerTime).total == 0
    host.say(m.Open(2, m.REPLACE, 0, 0, 0, 1, 1, 0), 3)
    assert host.hear(m.Ack)[1].status == m.TransferStatus.BUSY
    assert text(host, b"name%").startswith(b"m-name-dut-[")
    assert text(host, b"infer%") == b"e-[a run is under way]\r\nm-ready\r\n"
    host.say(m.Hello(2, 2, 0, 65536))  # the session goes on
    host.hear(m.Welcome)
    assert host.ask(m.GetRun(), m.RunStatus).state == m.RunState.WARMING
    aborts(host)
    filled(host, bytes(16), 3)
    host.ask(m.StartRun(2, 0, 0, 1, 0), m.Running)
    assert host.hear(m.Samples)[1].state == m.RunState.DONE


def aborts(host: RawHost) -> m.Samples:
    """End the run; return the frame that tells of it, which must be in keeping with the reply."""
    aborted = host.ask(m.Abort(), m.Aborted)
    while True:
        samples = anything(host)
        assert isinstance(samples, m.Samples)
        if samples.state == m.RunState.ABORTED:
            break
    assert samples.first + len(samples.ticks) // 8 == aborted.done
    status = host.ask(m.GetRun(), m.RunStatus)
    assert (status.state, status.done, status.busy) == (m.RunState.ABORTED, aborted.done, 0)
    return samples


def test_abort_waits_for_an_invoke_that_cannot_be_broken_off(device: Device) -> None:
    host = selected(device)
    seconds = 50.0 if device.simulated else REAL_S
    taking(device, host, seconds, 25, "s")
    host.ask(m.StartRun(1, 0, 0, LONG, 0), m.Running)
    in_an_invoke(host)
    before = host.port.now()
    done = host.ask(m.Abort(), m.Aborted).done
    if device.simulated:
        status = host.ask(m.GetRun(), m.RunStatus)
        assert (status.state, status.operators) == (m.RunState.MEASURING, 25)
        assert host.refused(m.StartRun(2, 0, 0, 1, 0)) == m.ErrorCode.BUSY
    ended = host.hear(m.Samples, LONG_ENOUGH_S)[1]
    while ended.state != m.RunState.ABORTED:
        ended = host.hear(m.Samples, LONG_ENOUGH_S)[1]
    assert ended.first + len(ended.ticks) // 8 == done, "the invoke that was under way brings no sample"
    assert not device.simulated or host.port.now() - before > seconds / 2
    host.ask(m.StartRun(2, 0, 0, 1, 0), m.Running)
    assert host.hear(m.Samples, LONG_ENOUGH_S)[1].state == m.RunState.DONE


@pytest.mark.parametrize("letter", ["w", "s"])
def test_reset_works_in_an_invoke(device: Device, letter: str) -> None:
    host = RawHost(device.port())
    boot = host.greet().boot
    host.ask(m.Select(device.address), m.Selected)
    taking(device, host, 1000.0, 1000 if device.simulated else 40_000, letter)
    host.ask(m.StartRun(1, 0, 0, 1, 0), m.Running)
    in_an_invoke(host)
    host.ask(m.Reset(), m.Resetting)
    session = BenchSession(host.port)
    measure(session, device, 1)
    again = RawHost(host.port)
    assert again.greet().boot != boot


@pytest.mark.parametrize("letter", ["w", "s"])
def test_a_host_gives_up_on_an_invoke_that_does_not_end_and_the_device_is_usable(
    device: Device, letter: str
) -> None:
    """An engine that can break off is aborted, one that cannot is reset with all of the device."""
    needs(device, letter)
    patience = Patience(invoke_s=60.0) if device.simulated else Patience(request_s=4.0, invoke_s=1.0)
    host = RawHost(device.port())
    boot = host.greet().boot
    tick_hz = host.ask(m.Identify(), m.Identified).tick_hz
    session = BenchSession(host.port, patience)
    session.select(device.address)
    session.load(0, asking_to(letter, int(0.03 * tick_hz), 0xFFFF).ljust(device.input_bytes[0], b"\0"))
    before = host.port.now()
    with pytest.raises(RunInterrupted, match=f"not ended after {patience.invoke_s:g} s") as gave_up:
        session.run(0, 3)
    took = host.port.now() - before
    assert gave_up.value.run.samples == []
    assert took >= patience.invoke_s
    if device.simulated:
        assert took < patience.invoke_s + patience.request_s + 3.0
    measure(session, device, 1)
    assert (host.greet().boot == boot) == (letter == "w")


def test_another_session_gives_up_a_run_in_an_invoke(device: Device) -> None:
    host = selected(device)
    taking(device, host, 1000.0, 1000 if device.simulated else 40_000)
    host.ask(m.StartRun(1, 0, 0, LONG, 0), m.Running)
    in_an_invoke(host)
    host.greet(session=0x77)
    status = host.ask(m.GetRun(), m.RunStatus)
    assert (status.run, status.state) == (0, m.RunState.IDLE)
    while status.busy:
        status = host.ask(m.GetRun(), m.RunStatus)
    host.ask(m.Select(device.address), m.Selected)
    host.ask(m.StartRun(1, 0, 0, 1, 0), m.Running)
    assert host.hear(m.Samples)[1].state == m.RunState.DONE


def test_an_invoke_that_cannot_be_broken_off_outlives_its_session(device: Device) -> None:
    host = selected(device)
    taking(device, host, 50.0 if device.simulated else REAL_S, 25, "s")
    host.ask(m.StartRun(1, 0, 0, LONG, 0), m.Running)
    in_an_invoke(host)
    host.greet(session=0x78)
    status = host.ask(m.GetRun(), m.RunStatus)
    assert (status.run, status.state, status.done) == (0, m.RunState.IDLE, 0)
    if device.simulated:
        assert status.busy
        for request in waits_for_a_run(device):
            assert host.refused(request) == m.ErrorCode.BUSY
    while status.busy:
        status = host.ask(m.GetRun(), m.RunStatus)
    assert (status.run, status.operator, status.operators) == (0, 0, 0)
    host.ask(m.Select(device.address), m.Selected)


def test_a_failed_invoke_of_a_session_that_is_gone_is_not_told_to_the_next(device: Device) -> None:
    host = selected(device)
    taking(device, host, 1000.0, 1000 if device.simulated else 40_000)
    host.ask(m.StartRun(1, 0, 0, LONG, 0), m.Running)
    in_an_invoke(host)
    host.greet(session=0x79)  # the engine breaks off, which is a failure of its own kind
    status = host.ask(m.GetRun(), m.RunStatus)
    while status.busy:
        status = host.ask(m.GetRun(), m.RunStatus)
    assert status == m.RunStatus(0, m.RunState.IDLE, 0, 0, 0, 0, 0, 0, "")
    host.hear_nothing()


def test_the_clock_runs_on(device: Device) -> None:
    host = raw(device)
    identity = host.ask(m.Identify(), m.Identified)
    first = host.ask(m.GetClock(), m.Clock).ticks
    before = host.port.now()
    host.hear_nothing()
    second = host.ask(m.GetClock(), m.Clock).ticks
    passed = (second - first) / identity.tick_hz
    assert 0.05 < passed < 10 * (host.port.now() - before)


# ---- text


def text(host: RawHost, command: bytes, answer: bytes = b"m-ready\r\n") -> bytes:
    """Send a text command and return what comes up to m-ready."""
    said = b""
    host.port.write(command)
    until = host.port.now() + 10
    while not said.endswith(answer) and host.port.now() < until:
        said += host.port.read(4096, until - host.port.now())
    return said


def test_the_transcript_of_a_runner_of_mlperf_tiny(device: Device) -> None:
    host = selected(device)
    host.hear_nothing()  # the boot text has gone by
    ready = b"m-ready\r\n"
    image = tensors(device, 6)[0]
    # The virtual board has a model with the tensors of ic01: the runner sends pixels, 128 above the tensor.
    model, sent = (b"other", image) if device.selftest else (b"ic01", bytes(byte ^ 0x80 for byte in image))
    size = len(image)
    for command, due in [
        (
            b"profile%",
            b"m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\nm-model-[%s]\r\nm-speaks-[bench]\r\n" % model
            + ready,
        ),
        (
            b"db load 4%",
            b"e-[Command 'db load' takes %d bytes for %s, not 4]\r\n" % (size, model) + ready,
        ),
        (b"db 01ff%", ready),
        (b"infer 1 0%", b"e-[Input db has 0 bytes, expected %d]\r\n" % size + ready),
        (b"db load %d%%" % size, b"m-[Expecting %d bytes]\r\n" % size + ready),
        (b"db 01ffAb00%", ready),
        (b"infer 1 0%", b"e-[Input db has 4 bytes, expected %d]\r\n" % size + ready),
        (b"db%", b"e-[Command 'db' requires a subcommand]\r\n" + ready),
        (b"db load%", b"e-[Command 'db load' requires the # of bytes]\r\n" + ready),
        (b"db load 0%", b"e-[Command 'db load' must be >0 bytes]\r\n" + ready),
        (b"db 123%", b"e-[Insufficent number of hex digits]\r\n" + ready),
        (b"db 12g4%", b"e-[Invalid hex digit 'g4']\r\n" + ready),
        (b"infer 0%", b"e-[Inference iterations must be >0]\r\n" + ready),
        (b"infer -3%", b"e-[Inference iterations must be >0]\r\n" + ready),
        (b"infer x%", b"e-[Inference iterations must be >0]\r\n" + ready),
        (b"infer 1 -1%", b"e-[Inference warmup must be >=0]\r\n" + ready),
        (b"frobnicate 7%", b"e-[Unknown command: frobnicate]\r\n" + ready),
        (b"\r\n   %", ready),
    ]:
        assert text(host, command) == due, command
    assert text(host, b"%%name%", b"]\r\n" + ready).startswith(ready + ready + b"m-name-dut-[")
    host.port.write(b"\0")  # ends a chunk of text
    assert text(host, b"db load %d%%" % size) == b"m-[Expecting %d bytes]\r\n" % size + ready
    for at in range(0, size, 36):
        done = b"m-load-done\r\n" if at + 36 >= size else b""
        assert text(host, b"db " + sent[at : at + 36].hex().encode() + b"%") == done + ready
    assert text(host, b"db 77%") == ready
    shown = [sent[at : at + 8].hex("-") for at in range(0, size, 8)]
    assert text(host, b"db print%") == "".join(f"m-buffer-{line}\r\n" for line in shown).encode() + ready
    lines = text(host, b"infer 3 2%").split(b"\r\n")
    assert lines[:3] == [b"m-warmup-start-2", b"m-warmup-done", b"m-infer-start-3"]
    first, last = (int(line.removeprefix(b"m-lap-us-")) for line in lines[3:5])
    assert first <= last
    others = [bytes(size) for size in device.input_bytes[1:]]
    output = device.model.subgraphs[0].tensors[device.model.subgraphs[0].outputs[0]]
    assert output.quantization
    scale, zero = output.quantization.scales[0], output.quantization.zero_points[0]
    values = [
        f"{(byte - (256 if byte > 127 else 0) - zero) * scale:.3f}"
        for byte in device.expected(image, *others)[0]
    ]
    results = b"m-results-[" + ",".join(values).encode() + b"]"
    assert lines[5:] == [b"m-infer-done", results, b"m-ready", b""]
    assert text(host, b"results%") == results + b"\r\n" + ready
    stamp = text(host, b"timestamp%")
    assert int(stamp[len(b"m-lap-us-") :].split(b"\r")[0]) >= last or not device.selftest
    usage = text(host, b"help%")
    for name in (b"name", b"profile", b"timestamp", b"db load", b"db print", b"infer", b"results"):
        assert b"\n" + name in usage


def test_text_works_on_the_model_and_the_inputs_of_the_session(device: Device) -> None:
    host = selected(device)
    host.hear_nothing()
    ready = b"m-ready\r\n"
    size = device.input_bytes[0]
    filled(host, b"\x05" * 8)
    assert text(host, b"db load %d%%" % size) == b"m-[Expecting %d bytes]\r\n" % size + ready
    assert text(host, b"db abcd%") == ready
    host.ask(m.StartRun(1, 0, 0, 1, 1), m.Running)
    host.hear(m.Samples)
    begin = b"\xab\xcd" if device.selftest else b"\x2b\x4d"  # pixels: less 128
    image = begin + b"\x05" * 6
    given = [image + bytes(size - 8), *(bytes(size) for size in device.input_bytes[1:])]
    assert host.ask(m.GetOutput(0, 0, 0, 4096), m.Output).data == device.expected(*given)[0]
    for at in range(2, size, 36):
        text(host, b"db " + bytes(min(36, size - at)).hex().encode() + b"%")
    assert text(host, b"infer 1 0%").endswith(ready)
    assert host.refused(m.GetOutput(0, 0, 0, 1)) == m.ErrorCode.NO_RUN
    host.ask(m.StartRun(2, 0, LONG, 1, 0), m.Running)
    for command in (b"db 01%", b"infer 1 0%", b"results%"):
        assert text(host, command) == b"e-[a run is under way]\r\n" + ready
    host.ask(m.Abort(), m.Aborted)


def test_text_takes_the_first_model_where_none_is_selected(device: Device) -> None:
    host = raw(device)
    host.hear_nothing()
    assert text(host, b"db 00%") == b"m-ready\r\n"
    host.ask(m.StartRun(1, 0, 0, 1, 1), m.Running)
    host.hear(m.Samples)


@pytest.mark.parametrize("letter", ["w", "s"])
def test_a_greeting_gets_through_while_a_long_inference_goes_on(device: Device, letter: str) -> None:
    host = selected(device)
    host.hear_nothing()
    seconds = 50.0 if device.simulated else REAL_S
    taking(device, host, seconds, 25, letter)
    host.port.write(b"infer 100000 0%")
    host.port.pause(seconds / 5)
    before = host.port.now()
    host.greet(session=0x80)
    assert not device.simulated or host.port.now() - before < seconds / 10
    status = host.ask(m.GetRun(), m.RunStatus)
    assert status.run == 0
    while status.busy:
        if device.simulated:
            assert host.refused(m.Select(device.address)) == m.ErrorCode.BUSY
        status = host.ask(m.GetRun(), m.RunStatus)
    host.ask(m.Select(device.address), m.Selected)
    host.ask(m.StartRun(1, 0, 0, 1, 1), m.Running)
    host.hear(m.Samples)


# ---- noise


def test_a_partial_frame_is_dropped_after_silence(device: Device) -> None:
    if not device.simulated:
        pytest.skip("more than two seconds of silence, which cost nothing in virtual time alone")
    host = raw(device)
    whole = encode(m.pack(1, host.session, m.Identify()))
    host.port.write(b"inf")
    host.port.pause(2.5)
    host.port.write(b"name%")
    assert text(host, b"").startswith(b"m-name-dut-[")
    host.port.write(whole[1:])  # its first delimiter lost: the chunk is whole all the same
    host.hear(m.Identified)


def test_a_chunk_longer_than_any_frame_costs_nothing_but_itself(device: Device) -> None:
    host = RawHost(device.port())
    welcome = host.greet()
    rng = random.Random(1)
    for _ in range(3):
        noise = bytes(rng.randrange(1, 256) for _ in range(min(welcome.window, 2 * welcome.max_block)))
        host.port.write(noise + b"\0")
        host.ask(m.GetClock(), m.Clock)


def damaged(rng: random.Random, line: bytes) -> bytes:
    out = bytearray(line)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(out))
        out[at : at + rng.randrange(2)] = rng.randbytes(rng.randrange(3))
    return bytes(out)


@pytest.mark.parametrize("seed", range(4))
def test_no_bytes_keep_a_device_from_the_next_greeting(device: Device, seed: int) -> None:
    """Frames of random content, sound and damaged, text and noise; then a whole run must go as ever."""
    rng = random.Random(seed)
    host = selected(device)
    for _ in range(400 if device.simulated else 100):
        kind = rng.choice([kind for kind in m.HOST_MESSAGES if kind is not m.Reset])
        payload = bytearray(rng.choice((bytes, rng.randbytes))(kind.FIXED.size))
        if kind.REST:
            payload += rng.randbytes(rng.randrange(40))
        for at in range(len(payload)):
            if rng.random() < 0.2:
                payload[at] = rng.choice((0, 1, 2, 0x7F, 0xFF))
        if kind is m.StartRun:
            payload[4:12] = bytes([rng.randrange(3), 0, 0, 0, rng.randrange(20), 0, 0, 0])
        number = rng.choice((host.number + 1, host.number, rng.randrange(1 << 16)))
        session = rng.choice((host.session, host.session, host.session, rng.randrange(1 << 32)))
        host.port.write(
            damaged(rng, encode(m.HEADER.pack(0xBE, kind.TYPE, number & 0xFFFF, session) + payload))
        )
        if kind is not m.Hello and rng.random() < 0.5:
            host.number += 1
        if rng.random() < 0.1:
            host.port.write(rng.randbytes(rng.randrange(60)))
            host.port.write(rng.choice((b"\0", b"name%", b"db 0%", b"db load 7%", b"results%")))
        if rng.random() < 0.2:
            host.port.read(65536, 0.01)
    host.port.write(b"\0")
    host.port.read(65536, 0.2)
    session = BenchSession(host.port)
    measure(session, device, seed)
