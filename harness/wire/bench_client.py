"""The host's side of the `bench` protocol: one thread of control, every wait bounded and named."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import secrets
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from harness.errors import BoardError
from harness.wire import messages as m
from harness.wire.clock import ClockCheck, Reading
from harness.wire.framing import Decoder, encode, encoded_size
from harness.wire.hints import ASKING, what_answers
from harness.wire.pace import SMALLEST_BLOCK, AnswerTime, BlockSize
from harness.wire.port import Port, PortError, PortLost
from harness.wire.sender import Sender, TransferRefused
from harness.wire.session import (
    DeviceRefused,
    FlashModel,
    Identity,
    Incident,
    Memory,
    ModelInfo,
    NoAnswer,
    OnSample,
    Progress,
    Run,
    RunInterrupted,
    Session,
    TensorInfo,
)

READ_BYTES = 65536
HOST_MAX_FRAME = 65536
"""Line bytes of the longest frame that this client takes."""
LARGEST_TENSOR = 64 * 1024 * 1024
LARGEST_COUNT = 4096
"""More models, tensors or operators than this is no answer but noise with a good checksum."""
LARGEST_BLOCK = 32768
LEAST_IN_FLIGHT = 8192
"""Line bytes that may be under way at least, however small the blocks are."""
OUTPUT_PART = 4096
SLOWEST_LINE = 11520
"""Bytes a second of the slowest line that replies are waited for on: 115200 baud."""
RECONNECT_S = 15.0
REOPEN_EVERY_S = 0.1
CLOCK_READINGS = 3
RESTARTS = 3
"""Resets in a row, without a sample between them, after which a run is given up."""
LONGEST_POLL_S = 8.0
SHARE_TO_ASK = 0.2
"""Part of the greeting's time-out that goes into finding out what else is there."""

_REFUSALS = {
    m.TransferStatus.DIGEST: "the tensor arrived with another checksum than it was sent with",
    m.TransferStatus.BAD_INPUT: "the selected model has no such input",
    m.TransferStatus.BAD_RANGE: "the data does not fit the input, or the block the device's buffer",
    m.TransferStatus.BUSY: "a run is under way",
}


_R = TypeVar("_R", bound=m.Message)


class DeviceReset(BoardError):
    """The device has been reset since it was greeted: what it was told is gone."""


@dataclass
class _RunView:
    """What the host knows of the run that is under way."""

    id: int
    n: int
    on_ticks: Callable[[int], None]
    state: m.RunState = m.RunState.WARMING
    next: int = 0
    asked_again: bool = False

    @property
    def over(self) -> bool:
        return self.state in (m.RunState.DONE, m.RunState.ABORTED, m.RunState.FAILED)


class BenchSession(Session):
    """A session of the `bench` protocol; the constructor greets the device."""

    protocol = "bench"
    features = frozenset(
        {"tensors", "load", "memory", "outputs", "layers", "clock", "flash-models", "board-id"}
    )

    def __init__(self, port: Port, *, timeout_s: float = 5.0, invoke_timeout_s: float = 30.0) -> None:
        self._port = port
        self._timeout = timeout_s
        self._invoke_timeout = invoke_timeout_s
        self._token = secrets.randbits(32) | 1
        self._decoder = Decoder(HOST_MAX_FRAME)
        self._number = 0
        self._awaited: int | None = None
        self._reply: m.Message | None = None
        self._welcome: m.Welcome | None = None
        self._view: _RunView | None = None
        self._run_id = 0
        self._address: int | None = None
        self._loaded: dict[int, bytes] = {}
        self._identity: Identity | None = None
        self._answer_time = AnswerTime()
        self._ack_time = AnswerTime(0.5)
        self._started = port.now()
        self.incidents: list[Incident] = []
        self.retransmissions = 0
        """Blocks and requests that were sent more than once."""
        self._device = self._greet(self._started + timeout_s)
        self._sender = Sender(self._device.window)
        self._block = BlockSize(self._device.max_block)

    # ---- the interface

    def identify(self) -> Identity:
        """See Session.identify."""
        got = self._ask(m.Identify(), m.Identified)
        if got.tick_hz == 0:
            raise self._absurd("a tick rate of 0 Hz")
        capabilities = m.Capability(self._device.capabilities)
        self._identity = Identity(
            board=got.board,
            firmware_name=got.firmware_name,
            firmware_version=got.firmware_version,
            build_hash=got.build_hash or None,
            kernels=got.kernels or None,
            clock_hz=got.clock_hz,
            tick_hz=got.tick_hz,
            resolution_ticks=got.resolution_ticks,
            engine=got.engine or None,
            capabilities=frozenset(
                (flag.name or "").lower() for flag in m.Capability if flag in capabilities
            ),
            operators=self._operators() if m.Capability.OPERATORS in capabilities else None,
        )
        return self._identity

    def models(self) -> list[FlashModel]:
        """See Session.models."""
        found: list[FlashModel] = []
        total = 1
        while len(found) < total:
            entry = self._ask(m.GetModel(len(found)), m.FlashEntry)
            total = self._plausible(entry.total, LARGEST_COUNT, "models in flash")
            if total:
                digest = entry.sha256.hex() if any(entry.sha256) else None
                found.append(FlashModel(len(found), entry.address, entry.size, entry.name, digest))
        return found

    def select(self, address: int) -> ModelInfo:
        """See Session.select."""
        self._loaded.clear()
        self._address = None
        got = self._ask(m.Select(address), m.Selected, timeout=self._invoke_timeout)
        self._address = address
        return ModelInfo(
            tuple(self._tensor(m.TensorKind.INPUT, i) for i in range(got.inputs)),
            tuple(self._tensor(m.TensorKind.OUTPUT, i) for i in range(got.outputs)),
        )

    def load(self, input_index: int, data: bytes, progress: Progress | None = None) -> None:
        """See Session.load."""
        self.load_all([(input_index, data)], progress)

    def load_all(self, tensors: Iterable[tuple[int, bytes]], progress: Progress | None = None) -> None:
        """Load tensors one right after another, with no pause of the line between them.

        `tensors` yields (input index, bytes) and is read as the line has room; a later tensor for the same
        input takes the place of an earlier one. `progress` counts the bytes of one tensor at a time.
        """
        feed = iter(tensors)
        unfinished: dict[int, tuple[int, bytes]] = {}
        resets = 0
        while True:
            try:
                self._stream(feed, unfinished, progress)
                return
            except DeviceReset as error:
                resets += 1
                if resets > RESTARTS:
                    raise
                self._restore(str(error))
            except BoardError:
                self._sender.abandon()
                raise

    def run(
        self,
        warmup: int,
        n: int,
        *,
        outputs: bool = True,
        profile: bool = False,
        on_sample: OnSample | None = None,
    ) -> Run:
        """See Session.run. After a reset of the board the samples that are missing are taken in a new run."""
        samples: list[int] = []
        first_incident = len(self.incidents)
        check = ClockCheck()
        tick_hz = (self._identity or self.identify()).tick_hz

        def take(ticks: int) -> None:
            samples.append(ticks)
            if on_sample is not None:
                on_sample(len(samples) - 1, ticks)

        def result() -> Run:
            return Run(
                samples=samples,
                tick_hz=tick_hz,
                drift_ppm=check.drift_ppm(tick_hz),
                incidents=self.incidents[first_incident:],
                drift_uncertainty_ppm=check.uncertainty_ppm(),
                complete=len(samples) == n,
            )

        flags = m.PROFILE if profile else 0
        mask = 0xFFFFFFFF if outputs else 0
        resets, had = 0, 0
        try:
            while True:
                try:
                    check.start(self._clock_readings())
                    self._run_id = self._run_id % 0xFFFF + 1
                    self._view = view = _RunView(self._run_id, n - len(samples), take)
                    self._ask(m.StartRun(view.id, flags, warmup, view.n, mask), m.Running)
                    self._follow(view)
                    check.end(self._clock_readings())
                    break
                except DeviceReset as error:
                    resets = resets + 1 if len(samples) == had else 1
                    had = len(samples)
                    if resets > RESTARTS:
                        raise BoardError(f"the board resets whenever the model runs: {error}") from error
                    self._restore(str(error))
                    if had == n:
                        break
            if view.state == m.RunState.FAILED:
                why = self._ask(m.GetRun(), m.RunStatus).text
                raise BoardError(f"the model failed to run on the board: {why or 'invoke failed'}")
        except BoardError as error:
            raise RunInterrupted(str(error), result()) from error
        self._view = None
        return result()

    def memory(self) -> Memory | None:
        """See Session.memory."""
        if not self._device.capabilities & m.Capability.MEMORY:
            return None
        got = self._ask(m.GetMemory(), m.MemoryFigures)

        def figure(value: int) -> int | None:
            return None if value == m.NOT_REPORTED else value

        return Memory(
            arena_used=figure(got.arena_used),
            arena_head=figure(got.arena_head),
            arena_tail=figure(got.arena_tail),
            arena_size=figure(got.arena_size),
            heap_free=figure(got.heap_free),
            stack_high_water=figure(got.stack_high_water),
        )

    def output(self, index: int) -> bytes | None:
        """See Session.output."""
        whole = bytearray()
        total = 1
        crc = 0
        while len(whole) < total:
            part = min(self._block.size, OUTPUT_PART)
            got = self._ask(m.GetOutput(index, 0, len(whole), part), m.Output, reply_bytes=part)
            total, crc = self._plausible(got.total, LARGEST_TENSOR, f"bytes in output {index}"), got.crc
            if got.offset != len(whole) or len(got.data) > part or not got.data:
                raise self._absurd(f"bytes of output {index} that it was not asked for")
            whole += got.data
        if zlib.crc32(whole) != crc:
            raise BoardError(f"output {index} arrived with another checksum than the board gives it")
        return bytes(whole)

    def layers(self) -> list[tuple[str, int]] | None:
        """See Session.layers."""
        if not self._device.capabilities & m.Capability.PROFILE:
            return None
        found: list[tuple[str, int]] = []
        total = 1
        while len(found) < total:
            got = self._ask(m.GetLayer(len(found)), m.LayerTime)
            total = self._plausible(got.total, LARGEST_COUNT, "operators")
            if total:
                found.append((got.label, got.ticks))
        return found

    def abort(self) -> None:
        """See Session.abort."""
        self._ask(m.Abort(), m.Aborted, timeout=self._invoke_timeout)
        self._view = None

    def reset(self) -> None:
        """See Session.reset."""
        boot = self._device.boot
        with contextlib.suppress(DeviceReset):  # raised if it resets before its reply is out
            self._ask(m.Reset(), m.Resetting)
        deadline = self._port.now() + RECONNECT_S
        while self._device.boot == boot:
            self._device = self._reconnect(deadline, reopen=False)
        self._forget_device_state()
        self._address = None
        self._loaded.clear()

    def close(self) -> None:
        """See Session.close."""
        try:
            if self._view is not None:
                self._write(m.Abort(), self._next_number())
        except BoardError:
            pass  # the line is gone, and the device with it
        finally:
            self._port.close()

    # ---- requests

    def _ask(
        self, request: m.Message, reply: type[_R], timeout: float | None = None, reply_bytes: int = 0
    ) -> _R:
        """Send a request until its reply is there; a device carries it out once, however often it arrives.

        Raises DeviceRefused, NoAnswer, DeviceReset.
        """
        number = self._next_number()
        self._awaited, self._reply = number, None
        patience = self._timeout if timeout is None else timeout
        first = self._port.now()
        deadline = first + patience
        sent = 0
        while self._reply is None:
            try:
                self._write(request, number)
                sent += 1
                again = self._port.now() + self._answer_time.wait + reply_bytes / SLOWEST_LINE
                while self._reply is None and self._port.now() < min(again, deadline):
                    self._receive(min(again, deadline) - self._port.now())
            except PortLost as error:
                self._survive(error)
                deadline = self._port.now() + patience
                continue
            if self._reply is None:
                if self._port.now() >= deadline:
                    raise NoAnswer(
                        f"the board at {self._port.url} did not answer {type(request).__name__} "
                        f"within {patience:g} s"
                    )
                self._answer_time.silent()
        self.retransmissions += sent - 1
        if sent == 1 and not reply_bytes and timeout is None:
            self._answer_time.answered(self._port.now() - first)
        else:
            self._answer_time.heard()
        self._awaited = None
        got = self._reply
        if isinstance(got, m.Refusal):
            code = m.ErrorCode(got.code).name if got.code in set(m.ErrorCode) else f"error {got.code}"
            text = got.text or "no reason given"
            raise DeviceRefused(
                f"the board refused {type(request).__name__}: {text} ({code})", code, got.detail
            )
        if not isinstance(got, reply):
            raise self._absurd(f"{type(got).__name__} in reply to {type(request).__name__}")
        return got

    def _tensor(self, kind: m.TensorKind, index: int) -> TensorInfo:
        got = self._ask(m.GetTensor(kind, index), m.TensorDescription)
        what = f"{kind.name.lower()} {index}"
        if got.type not in m.TENSOR_TYPES:
            raise self._absurd(f"{what} of the unknown type {got.type}")
        self._plausible(got.size, LARGEST_TENSOR, f"bytes in {what}")
        try:
            shape = m.unpack_dimensions(got.dimensions, got.rank)
        except m.Malformed as error:
            raise self._absurd(f"{what}: {error}") from error
        kind_name = m.TENSOR_TYPES[got.type]
        if math.prod(shape) * m.TENSOR_TYPE_BYTES[kind_name] != got.size:
            raise self._absurd(f"{what} of {got.size} bytes with shape {shape} of {kind_name}")
        return TensorInfo(got.name, kind_name, shape, got.size, got.scale, got.zero_point)

    def _operators(self) -> tuple[str, ...]:
        names = b""
        total = 1
        while len(names) < total:
            got = self._ask(m.GetOperators(len(names)), m.OperatorNames)
            total = self._plausible(got.total, READ_BYTES, "bytes of operator names")
            if not got.data or got.offset != len(names):
                raise self._absurd("operator names that it was not asked for")
            names += got.data
        return tuple(names.decode("ascii", "replace").split("\n"))

    def _clock_readings(self) -> list[Reading]:
        readings = []
        for _ in range(CLOCK_READINGS):
            before = self._port.now()
            ticks = self._ask(m.GetClock(), m.Clock).ticks
            half = (self._port.now() - before) / 2
            readings.append(Reading(before + half, half, ticks))
        return readings

    # ---- tensors

    def _stream(
        self,
        feed: Iterator[tuple[int, bytes]],
        unfinished: dict[int, tuple[int, bytes]],
        progress: Progress | None,
    ) -> None:
        """Send `unfinished` and then what `feed` yields; what has arrived leaves `unfinished`."""
        sender = self._sender
        lost_before = sender.lost
        for key, (index, data) in unfinished.items():
            sender.add(key, index, 0, data, self._block.size)
        key = max(unfinished, default=0)
        more = True
        arrived = (0, 0)
        now = self._port.now()
        deadline, probe_at = now + self._timeout, now + self._ack_time.wait
        timed: tuple[int, float] | None = None
        while True:
            while more and len(unfinished) < 2:
                item = next(feed, None)
                if item is None:
                    more = False
                elif item[1]:
                    key += 1
                    unfinished[key] = item
                    sender.add(key, item[0], 0, item[1], self._block.size)
            if sender.idle:
                self.retransmissions += sender.lost - lost_before
                return
            try:
                sender.limit = max(4 * self._block.size, LEAST_IN_FLIGHT)
                while (out := sender.next()) is not None:
                    number, message = out
                    self._write(message, number)
                    if timed is None:
                        timed = number, self._port.now()
                heard = self._receive(max(0.0, min(probe_at, deadline) - self._port.now()))
            except PortLost as error:
                self._survive(error)
                heard, timed = False, None
                probe_at = self._port.now()
                deadline = probe_at + self._timeout
            except TransferRefused as refused:
                raise self._refused(refused, unfinished) from refused
            now = self._port.now()
            if heard:
                if timed is not None and not m.newer(timed[0], sender.acknowledged):
                    self._ack_time.answered(now - timed[1])
                    timed = None
                self._ack_time.heard()
                probe_at = now + self._ack_time.wait
                for block, there in sender.outcomes:
                    self._block.seen(block, there)
                sender.outcomes.clear()
                for done in sender.finished:
                    index, data = unfinished.pop(done)
                    self._loaded[index] = data
                    if progress is not None:
                        progress(len(data), len(data))
                sender.finished.clear()
                if sender.idle:
                    continue
                if (latest := sender.arrived()) != arrived:
                    arrived = latest
                    deadline = now + self._timeout
                    if progress is not None and arrived[1]:
                        progress(arrived[1], len(unfinished[arrived[0]][1]))
                if self._block.size * 2 < sender.block:
                    sender.restart(self._block.size)
            if now >= deadline:
                raise NoAnswer(
                    f"the board at {self._port.url} took no more tensor data for {self._timeout:g} s"
                )
            if now >= probe_at:
                number, message = sender.probe()
                self._write(message, number)
                timed = None
                self._ack_time.silent()
                probe_at = now + self._ack_time.wait

    def _refused(self, refused: TransferRefused, unfinished: dict[int, tuple[int, bytes]]) -> BoardError:
        index, data = next(iter(unfinished.values()))
        why = _REFUSALS[refused.status]
        return DeviceRefused(
            f"the board refused {len(data)} bytes for input {index}: {why} ({refused.status.name})",
            refused.status.name,
        )

    # ---- the run

    def _follow(self, view: _RunView) -> None:
        """Take samples until the run is over. The device is asked again where it falls silent."""
        now = self._port.now()
        wait = self._answer_time.wait
        deadline, poll_at = now + self._invoke_timeout, now + wait
        while not view.over:
            try:
                before = view.next
                if self._receive(max(0.0, min(poll_at, deadline) - self._port.now())):
                    now = self._port.now()
                    wait = max(self._answer_time.wait, 0.1)
                    deadline, poll_at = now + self._invoke_timeout, now + wait
                    if view.next > before:
                        self._write(m.SamplesAck(view.id, 0, view.next))
                now = self._port.now()
                if now >= deadline:
                    raise NoAnswer(
                        f"the board at {self._port.url} gave no sign of life for {self._invoke_timeout:g} s "
                        f"in a run, after {view.next} of {view.n} samples"
                    )
                if now >= poll_at or view.asked_again:
                    view.asked_again = False
                    self._write(m.SamplesAck(view.id, m.RESEND, view.next))
                    wait = min(wait * 2, LONGEST_POLL_S)
                    poll_at = now + wait
            except PortLost as error:
                self._survive(error)
                deadline = self._port.now() + self._invoke_timeout
                poll_at = self._port.now()

    def _on_samples(self, samples: m.Samples) -> None:
        view = self._view
        if view is None or samples.run != view.id or view.over:
            return
        count, beyond = divmod(len(samples.ticks), 8)
        if beyond:
            raise self._absurd("a part of a sample")
        if samples.first + count > view.n:
            raise self._absurd(f"sample {samples.first + count} of a run of {view.n}")
        if samples.first > view.next:
            view.asked_again = True
            return
        fresh = struct.unpack(f"<{count}Q", samples.ticks)[view.next - samples.first :]
        for ticks in fresh:
            view.next += 1
            view.on_ticks(ticks)
        if samples.first + count == view.next and samples.state in set(m.RunState):
            view.state = m.RunState(samples.state)

    # ---- the line

    def _receive(self, timeout: float) -> bool:
        """Take what the device says within `timeout` seconds; return whether it said anything to us."""
        data = self._port.read(READ_BYTES, timeout)
        heard = False
        for body in self._decoder.feed(data) if data else ():
            assert isinstance(body, bytes)
            try:
                envelope = m.unpack(body)
            except m.Malformed as error:
                raise self._absurd(f"a message that does not fit version {m.VERSION} ({error})") from error
            if envelope.session == self._token:
                heard = True
                self._dispatch(envelope.number, envelope.message)
        return heard

    def _dispatch(self, number: int, message: m.Message) -> None:
        if isinstance(message, m.Ack):
            self._sender.on_ack(number, message)
        elif isinstance(message, m.Samples):
            self._on_samples(message)
        elif isinstance(message, m.Welcome):
            self._welcome = message
        elif isinstance(message, m.Refusal) and message.code == m.ErrorCode.NO_SESSION:
            if self._welcome is not None:
                raise DeviceReset(f"the board at {self._port.url} was reset")
        elif number == self._awaited:
            self._reply = message

    def _write(self, message: m.Message, number: int = 0) -> None:
        self._port.write(encode(m.pack(number, self._token, message)))

    def _next_number(self) -> int:
        self._number = (self._number + 1) & 0xFFFF
        return self._number

    # ---- greeting, and coming back

    def _greet(self, deadline: float) -> m.Welcome:
        """Greet until the device answers; raises NoAnswer with what seems to be there instead."""
        started = self._port.now()
        patience = deadline - started
        ask_at = deadline - SHARE_TO_ASK * patience
        welcome = self._hello(ask_at)
        if welcome is None:
            self._port.write(ASKING)
            while welcome is None and self._port.now() < deadline:
                self._receive(deadline - self._port.now())
                welcome = self._welcome
        if welcome is None:
            hint = what_answers(self._decoder.take_noise())
            raise NoAnswer(
                f"no board that speaks the bench protocol at {self._port.url} within {patience:.3g} s; {hint}"
            )
        return self._checked(welcome)

    def _hello(self, deadline: float) -> m.Welcome | None:
        self._welcome = None
        wait = self._answer_time.wait
        while self._welcome is None and self._port.now() < deadline:
            self._write(m.Hello(m.OLDEST_VERSION, m.VERSION, 0, HOST_MAX_FRAME))
            again = min(self._port.now() + wait, deadline)
            while self._welcome is None and self._port.now() < again:
                self._receive(again - self._port.now())
            wait = min(wait * 2, 1.0)
        return self._welcome

    def _checked(self, welcome: m.Welcome) -> m.Welcome:
        if not m.OLDEST_VERSION <= welcome.version <= m.VERSION:
            which = "firmware" if welcome.newest < m.OLDEST_VERSION else "harness"
            raise NoAnswer(
                f"the board at {self._port.url} speaks bench protocol {welcome.oldest} to {welcome.newest}, "
                f"this harness {m.OLDEST_VERSION} to {m.VERSION}: update the {which}"
            )
        least = encoded_size(m.DATA_OVERHEAD + min(welcome.max_block, SMALLEST_BLOCK))
        if welcome.max_block == 0 or welcome.window < least:
            raise self._absurd(f"a window of {welcome.window} bytes for blocks of {welcome.max_block}")
        if welcome.sample_buffer == 0:
            raise self._absurd("room for 0 samples")
        room = welcome.window - encoded_size(m.DATA_OVERHEAD)
        return dataclasses.replace(
            welcome, max_block=min(welcome.max_block, room - room // 128, LARGEST_BLOCK)
        )

    def _survive(self, error: PortLost) -> None:
        """Wait for a port that went away; raises PortLost where it stays away, DeviceReset after a reboot."""
        self._note("port-lost", str(error))
        boot = self._device.boot
        self._device = self._reconnect(self._port.now() + RECONNECT_S, reopen=True)
        if self._device.boot != boot:
            self._forget_device_state()
            raise DeviceReset(f"the board at {self._port.url} went away and came back reset")
        self._note("reconnected", f"port {self._port.url} came back; the board had kept its state")

    def _restore(self, reason: str) -> None:
        """After a reset: greet, select and load as before."""
        self._note("reset", f"{reason}; model and inputs were set up again")
        self._view = None
        self._device = self._reconnect(self._port.now() + RECONNECT_S, reopen=False)
        self._forget_device_state()
        loaded, address = dict(self._loaded), self._address
        if address is not None:
            self.select(address)
            self.load_all(sorted(loaded.items()))

    def _forget_device_state(self) -> None:
        self._number = 0
        self._sender = Sender(self._device.window)

    def _reconnect(self, deadline: float, reopen: bool) -> m.Welcome:
        while True:
            try:
                if reopen:
                    self._port.reopen()
                    self._decoder.drop_partial()
                    reopen = False
                welcome = self._hello(min(deadline, self._port.now() + 2.0))
                if welcome is not None:
                    return self._checked(welcome)
            except PortLost:
                reopen = True
            except PortError as error:
                if self._port.now() >= deadline:
                    raise PortLost(f"port {self._port.url} did not come back: {error}") from error
            if self._port.now() >= deadline:
                raise PortLost(f"the board at {self._port.url} did not come back within {RECONNECT_S:g} s")
            if reopen:
                self._port.pause(REOPEN_EVERY_S)

    def _note(self, kind: str, text: str) -> None:
        self.incidents.append(Incident(kind, text, self._port.now() - self._started))

    def _plausible(self, count: int, most: int, what: str) -> int:
        if count > most:
            raise self._absurd(f"{count} {what} (at most {most} make sense)")
        return count

    def _absurd(self, what: str) -> BoardError:
        return BoardError(
            f"the board at {self._port.url} reports {what}: its firmware does not keep the protocol"
        )


def connect(port: Port, *, timeout_s: float = 5.0) -> BenchSession:
    """Greet the device on `port`; see harness.wire.session.connect."""
    return BenchSession(port, timeout_s=timeout_s)
