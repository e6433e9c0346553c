"""The host's side of the `bench` protocol: one thread of control, every wait bounded and named."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from harness.errors import BoardError
from harness.wire import messages as m
from harness.wire.bench_link import BenchLink
from harness.wire.clock import ClockCheck, Reading
from harness.wire.framing import Decoder, encode
from harness.wire.patience import DEFAULT, Countdown, Patience
from harness.wire.port import Port
from harness.wire.protocol import Protocol
from harness.wire.reconnect import RESTARTS, stayed_away
from harness.wire.run_view import NotOfThisRun, RunView
from harness.wire.run_watch import RunWatch
from harness.wire.session import (
    DeviceRefused,
    DeviceReset,
    FlashModel,
    Identity,
    InvokeOutlasts,
    LoadProgress,
    ModelInfo,
    NoAnswer,
    OnSample,
    RamUse,
    Run,
    RunInterrupted,
    Session,
    TensorInfo,
)
from harness.wire.tensor_stream import TensorStream

LARGEST_TENSOR = 64 * 1024 * 1024
LARGEST_COUNT = 4096
"""A count of models, tensors or operators above this is taken for noise with a good checksum."""
LONGEST_NAMES = 65536
OUTPUT_PART = 4096
CLOCK_READINGS = 3
BUSY_POLL_S = 0.5

_T = TypeVar("_T")
_M = TypeVar("_M", bound=m.Message)


class BenchSession(Session):
    """A session of the `bench` protocol; the constructor greets the device."""

    protocol = "bench"
    features = frozenset(
        {
            "tensors",
            "load",
            "memory",
            "outputs",
            "layers",
            "clock",
            "flash-models",
            "digests",
            "build",
            "board-id",
        }
    )

    def __init__(self, port: Port, patience: Patience = DEFAULT) -> None:
        self._watch: RunWatch | None = None
        self._run_id = 0
        self._address: int | None = None
        self._loaded: dict[int, bytes] = {}
        self._identity: Identity | None = None
        self._proven: dict[tuple[int, int], bytes] = {}
        self._link = BenchLink(port, patience, self._on_stream)
        self.incidents = self._link.incidents
        self._tensors = TensorStream(self._link)

    @property
    def retransmissions(self) -> int:
        """Blocks and requests that were sent more than once."""
        return self._link.retransmissions

    @property
    def block(self) -> int:
        """Block size in bytes that suits what the line has lost so far."""
        return self._tensors.block

    # ---- the interface

    def identify(self) -> Identity:
        self._identity = self._again(self._identify)
        return self._identity

    def models(self) -> list[FlashModel]:
        return self._again(self._models)

    def digest(self, address: int, length: int) -> str | None:
        ask = partial(self._ask_slowly, m.Digest(address, length), m.Digested)
        got = self._again(partial(self._when_free, ask))
        if (got.address, got.length) != (address, length):
            raise self._link.protocol_error(
                f"the digest of {got.length} bytes at 0x{got.address:x}, not asked for"
            )
        self._proven[address, length] = got.sha256
        return got.sha256.hex()

    def select(self, address: int) -> ModelInfo:
        self._loaded.clear()
        self._address = None
        info = self._again(partial(self._when_free, partial(self._select, address)))
        self._address = address
        return info

    def load(self, input_index: int, data: bytes, progress: LoadProgress | None = None) -> None:
        self.load_all([(input_index, data)], progress)

    def load_all(self, tensors: Iterable[tuple[int, bytes]], progress: LoadProgress | None = None) -> None:
        """Load tensors one right after another, with no pause of the line between them.

        `tensors` yields (input index, bytes) and is read as the line has room; a later tensor for the same
        input takes the place of an earlier one. `progress` counts the bytes of one tensor at a time.
        """
        unfinished: dict[int, tuple[int, bytes]] = {}
        try:
            self._again(partial(self._tensors.send, iter(tensors), unfinished, self._loaded, progress))
        except BoardError:
            self._tensors.abandon()
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
        """As in Session; samples that a reset of the board lost are taken in a new run."""
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
                    self._run_id = self._run_id % 0xFFFF + 1
                    view = RunView(self._run_id, n - len(samples), take)
                    start = m.StartRun(view.id, flags, warmup, view.n, mask)
                    self._run_once(start, view, check, tick_hz)
                    break
                except DeviceReset as error:
                    resets = resets + 1 if len(samples) == had else 1
                    had = len(samples)
                    if resets > RESTARTS:
                        raise BoardError(f"the board resets whenever the model runs: {error}") from error
                    self._restore(str(error))
                    if had == n:
                        break
            self._check_end(view, len(samples), n)
        except BoardError as error:
            raise RunInterrupted(str(error), result()) from error
        self._watch = None
        return result()

    def _run_once(self, start: m.StartRun, view: RunView, check: ClockCheck, tick_hz: int) -> None:
        """Start a run and follow it to its end."""
        check.start(self.clock_readings())
        self._watch = watch = RunWatch(self._link, view, tick_hz)
        # The reply may get lost on the way from a device that then hears nothing until an invoke has ended.
        patience = self._link.patience
        slow = None if self._link.alive else patience.request_s + patience.invoke_s
        self._link.ask(start, m.Running, seconds=slow)
        try:
            watch.follow()
        except InvokeOutlasts:
            self._break_off()
            raise
        check.end(self.clock_readings())

    def _break_off(self) -> None:
        """End an invoke that does not end, so that the board is usable again: if need be by a reset."""
        link = self._link
        ended = Countdown(link.port, link.patience.request_s)
        with contextlib.suppress(BoardError):  # the caller raises that the invoke has not ended
            try:
                link.ask(m.Abort(), m.Aborted, seconds=ended.seconds)
                while link.ask(m.GetRun(), m.RunStatus).busy and not ended.over:
                    link.port.pause(ended.wait(BUSY_POLL_S))
                if not ended.over:
                    self._watch = None
                    return
            except NoAnswer:
                pass
            link.ask(m.Reset(), m.Resetting)

    def _check_end(self, view: RunView, done: int, n: int) -> None:
        """Raise BoardError if a run came to another end than its last sample."""
        if view.state == m.RunState.FAILED:
            why = self._link.ask(m.GetRun(), m.RunStatus).text
            raise BoardError(f"the model failed to run on the board: {why or 'invoke failed'}")
        if done < n:
            ended = f"ended the run ({view.state.name}) after {done} of {n} samples"
            raise BoardError(f"the board at {self._link.port.url} {ended}")

    def memory(self) -> RamUse | None:
        if not self._link.device.capabilities & m.Capability.MEMORY:
            return None
        got = self._link.ask(m.GetMemory(), m.MemoryFigures)

        def figure(value: int) -> int | None:
            return None if value == m.NOT_REPORTED else value

        return RamUse(
            arena_used=figure(got.arena_used),
            arena_head=figure(got.arena_head),
            arena_tail=figure(got.arena_tail),
            arena_size=figure(got.arena_size),
            heap_free=figure(got.heap_free),
            stack_high_water=figure(got.stack_high_water),
        )

    def output(self, index: int) -> bytes | None:
        whole = bytearray()
        total = 1
        crc = 0
        while len(whole) < total:
            part = min(self._tensors.block, OUTPUT_PART)
            got = self._link.ask(m.GetOutput(index, 0, len(whole), part), m.Output, reply_bytes=part)
            total, crc = self._link.plausible(got.total, LARGEST_TENSOR, f"bytes in output {index}"), got.crc
            if got.offset != len(whole) or len(got.data) > part or not got.data:
                raise self._link.protocol_error(f"bytes of output {index} that it was not asked for")
            whole += got.data
        if zlib.crc32(whole) != crc:
            raise BoardError(f"output {index} arrived with another checksum than the board gives it")
        return bytes(whole)

    def layers(self) -> list[tuple[str, int]] | None:
        if not self._link.device.capabilities & m.Capability.PROFILE:
            return None
        found: list[tuple[str, int]] = []
        total = 1
        while len(found) < total:
            got = self._link.ask(m.GetLayer(len(found)), m.LayerTime)
            total = self._link.plausible(got.total, LARGEST_COUNT, "operators")
            if total:
                found.append((got.label, got.ticks))
        return found

    def abort(self) -> None:
        self._ask_slowly(m.Abort(), m.Aborted)
        self._watch = None

    def reset(self) -> None:
        boot = self._link.device.boot
        with contextlib.suppress(DeviceReset):  # raised if it resets before its reply is out
            self._link.ask(m.Reset(), m.Resetting)
        away = Countdown(self._link.port, self._link.patience.slow_request_s)
        while self._link.device.boot == boot:
            if away.over:
                raise stayed_away(self._link.port, away.seconds)
            self._link.regreet()
        self._tensors.forget()
        self._address = None
        self._loaded.clear()

    def close(self) -> None:
        try:
            if self._watch is not None:
                self._link.tell(m.Abort())
        except BoardError:
            pass  # the line is gone, and the device with it
        finally:
            self._link.port.close()

    # ---- requests

    def _identify(self) -> Identity:
        got = self._link.ask(m.Identify(), m.Identified)
        if got.tick_hz == 0:
            raise self._link.protocol_error("a tick rate of 0 Hz")
        capabilities = m.Capability(self._link.device.capabilities)
        return Identity(
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

    def _models(self) -> list[FlashModel]:
        found: list[FlashModel] = []
        total = 1
        while len(found) < total:
            entry = self._link.ask(m.GetModel(len(found)), m.FlashEntry)
            total = self._link.plausible(entry.total, LARGEST_COUNT, "models in flash")
            if total:
                found.append(FlashModel(len(found), entry.address, entry.name))
        return found

    def _select(self, address: int) -> ModelInfo:
        got = self._ask_slowly(m.Select(address), m.Selected)
        return ModelInfo(
            tuple(self._tensor(m.TensorKind.INPUT, i) for i in range(got.inputs)),
            tuple(self._tensor(m.TensorKind.OUTPUT, i) for i in range(got.outputs)),
        )

    def _tensor(self, kind: m.TensorKind, index: int) -> TensorInfo:
        got = self._link.ask(m.GetTensor(kind, index), m.TensorDescription)
        what = f"{kind.name.lower()} {index}"
        if got.type not in m.TENSOR_TYPES:
            raise self._link.protocol_error(f"{what} of the unknown type {got.type}")
        self._link.plausible(got.size, LARGEST_TENSOR, f"bytes in {what}")
        try:
            shape = m.unpack_dimensions(got.dimensions, got.rank)
        except m.Malformed as error:
            raise self._link.protocol_error(f"{what}: {error}") from error
        kind_name = m.TENSOR_TYPES[got.type]
        if math.prod(shape) * m.TENSOR_TYPE_BYTES[kind_name] != got.size:
            raise self._link.protocol_error(f"{what} of {got.size} bytes with shape {shape} of {kind_name}")
        return TensorInfo(got.name, kind_name, shape, got.size, got.scale, got.zero_point)

    def _operators(self) -> tuple[str, ...]:
        names = b""
        total = 1
        while len(names) < total:
            got = self._link.ask(m.GetOperators(len(names)), m.OperatorNames)
            total = self._link.plausible(got.total, LONGEST_NAMES, "bytes of operator names")
            if not got.data or got.offset != len(names):
                raise self._link.protocol_error("operator names that it was not asked for")
            names += got.data
        return tuple(names.decode("ascii", "replace").split("\n"))

    def clock_readings(self) -> list[Reading]:
        readings = []
        for _ in range(CLOCK_READINGS):
            before = self._link.port.now()
            ticks = self._link.ask(m.GetClock(), m.Clock).ticks
            half = (self._link.port.now() - before) / 2
            readings.append(Reading(before + half, half, ticks))
        return readings

    # ---- the run

    def _ask_slowly(self, request: m.Message, reply: type[_M]) -> _M:
        """Ask for something that may take the device a long time."""
        return self._link.ask(request, reply, seconds=self._link.patience.slow_request_s)

    def _when_free(self, action: Callable[[], _T]) -> _T:
        """Do `action`; if an earlier session's invoke is still running, wait for it or end it first."""
        try:
            return action()
        except DeviceRefused as error:
            if error.code != m.ErrorCode.BUSY.name:
                raise
        link = self._link
        patience = Countdown(link.port, link.patience.invoke_s)
        while link.ask(m.GetRun(), m.RunStatus).busy:
            if patience.over:
                self.reset()
                break
            link.port.pause(patience.wait(BUSY_POLL_S))
        return action()

    def _on_stream(self, number: int, message: m.Message) -> None:
        if isinstance(message, m.Ack):
            self._tensors.on_ack(number, message)
        elif self._watch is not None:
            try:
                self._watch.take(message)
            except NotOfThisRun as error:
                raise self._link.protocol_error(str(error)) from error

    def _again(self, action: Callable[[], _T]) -> _T:
        """Do `action`, and do it once more after a reset of the board."""
        for _ in range(RESTARTS):
            try:
                return action()
            except DeviceReset as error:
                self._restore(str(error))
        return action()

    def _prove_again(self) -> None:
        """Raise BoardError if what came back under the port's name is not what went away."""
        before = self._identity
        if before is not None and self._identify() != before:
            raise BoardError(f"another board or firmware has come back at {self._link.port.url}")
        for (address, length), digest in self._proven.items():
            if self._ask_slowly(m.Digest(address, length), m.Digested).sha256 != digest:
                raise BoardError(
                    f"the board at {self._link.port.url} came back with something else in its flash at "
                    f"0x{address:x}"
                )

    def _restore(self, reason: str) -> None:
        """After a reset: greet, select and load as before."""
        self._link.incidents.note("reset", f"{reason}; model and inputs were set up again")
        self._watch = None
        for attempt in range(RESTARTS):
            try:
                self._link.regreet()
                self._tensors.forget()
                self._prove_again()
                if self._address is not None:
                    self._select(self._address)
                    self._tensors.send(iter(sorted(self._loaded.items())), {}, {}, None)
                return
            except DeviceReset:
                if attempt == RESTARTS - 1:
                    raise


def _answers(heard: bytes) -> int:
    """Return how many frames from a device are in what was heard."""
    frames = Decoder(4096).feed(b"\x00" + heard + b"\x00")
    return sum(isinstance(body, bytes) and bool(body[1] & m.FROM_DEVICE) for body in frames)


PROTOCOL = Protocol(
    name="bench",
    hint="it speaks the bench protocol: use --protocol bench",
    connect=BenchSession,
    # It offers no version, so it does not begin a session.
    probe=encode(m.pack(0, 1, m.Hello(0, 0, 0, 512))) + b"\r\n",
    answers=_answers,
    firmware="harness.emulator.bench_firmware:boot",
)
