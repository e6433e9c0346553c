"""A firmware that speaks the `bench` protocol, as a state machine: bytes in, bytes out, work for the engine.

It answers MLPerf Tiny's text commands on the same port. What it does here on a host is what
firmware/PROTOCOL.md asks of a device; an engine stands in for flash memory and TFLite-Micro.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib
from dataclasses import dataclass
from functools import partial

from harness.emulator.engine import DeviceInfo, Engine, EngineError, Invoked, Loaded
from harness.emulator.firmware import Firmware
from harness.emulator.mlperf_firmware import MlperfText
from harness.emulator.receiver import Receiver
from harness.emulator.run_progress import SAMPLES_PER_FRAME, RunProgress
from harness.emulator.work import Then, Work
from harness.wire import messages as m
from harness.wire.framing import Decoder, Text, body_limit, encode, encoded_size
from harness.wire.session import RamUse, TensorInfo

SAMPLE_BATCH_S = 0.02
SILENCE_S = 2.0
"""An unfinished frame is dropped when the line has been silent so long."""


@dataclass(frozen=True)
class Limits:
    """What the device's buffers allow; the defaults suit a virtual board with room to spare."""

    window: int = 131072
    """Line bytes of tensor data that may be under way: the receive buffer less what is kept for requests."""
    max_block: int = 32768
    sample_buffer: int = 1024
    """Samples kept until the host has acknowledged them."""


class BenchFirmware(Firmware):
    """One boot of the firmware. `boot` is a number that differs from the last boot's."""

    def __init__(
        self,
        info: DeviceInfo,
        engine: Engine,
        *,
        boot: int,
        limits: Limits | None = None,
        text: bool = False,
    ) -> None:
        """`text`: whether the firmware speaks MLPerf Tiny's text as well."""
        super().__init__()
        self._info = info
        self._engine = engine
        self._boot = boot
        self._limits = limits or Limits()
        self._work = Work(engine)
        self._text = MlperfText(info, engine, self._work, self, "bench") if text else None
        longest = encoded_size(m.DATA_OVERHEAD + self._limits.max_block)
        self._decoder = Decoder(longest, text=self._text is not None)
        self._last_receive = 0
        self._session = 0
        self._max_frame = 0
        self._last_number = 0
        self._last_reply = b""
        self._receiver = self._new_receiver()
        self._run = RunProgress()
        self._pass_on_text()

    # ---- driving it

    @property
    def busy(self) -> bool:
        return self._invoke_due or self._work.ready

    @property
    def _invoke_due(self) -> bool:
        run = self._run
        room = run.state == m.RunState.WARMING or run.kept < self._limits.sample_buffer
        return run.going and room and not self._work.going

    @property
    def buffered(self) -> int:
        return self._decoder.buffered + 8 * self._run.kept + len(self._out)

    def receive(self, data: bytes) -> None:
        now = self._engine.ticks()
        if now - self._last_receive > SILENCE_S * self._info.tick_hz:
            self._decoder.drop_partial()
        self._last_receive = now
        if self._text is not None:
            data = self._text.give_way(data)
        for item in self._decoder.feed(data):
            if not isinstance(item, Text):
                self._on_body(item)
            elif self._text is not None:
                self._text.command(item.command)
                self._pass_on_text()

    def step(self) -> None:
        if self._invoke_due:
            self._work.invoke(self._run.profile and not self._run.warmup, self._on_invoked)
        self._work.poll()
        self._pass_on_text()

    def _on_invoked(self, outcome: Loaded | Invoked | EngineError) -> None:
        run = self._run
        if isinstance(outcome, EngineError):
            run.state, run.error, run.text = m.RunState.FAILED, outcome.code, outcome.text
        elif run.state == m.RunState.WARMING:
            run.warmup -= 1
            if run.warmup == 0:
                run.state = m.RunState.MEASURING
        elif isinstance(outcome, Invoked):
            run.ticks.append(outcome.ticks)
            if run.done == run.n:
                run.state = m.RunState.DONE
        if not run.going or self._batch_due():
            self._send_samples()

    def _pass_on_text(self) -> None:
        if self._text is not None:
            self._out += self._text.take_output()

    # ---- frames in

    def _on_body(self, body: bytes) -> None:
        if len(body) < m.HEADER.size:
            return
        _, kind, number, session = m.HEADER.unpack_from(body)
        message: m.Message | EngineError
        try:
            message = m.unpack(body).message
        except m.Malformed as error:
            known = kind in m.BY_TYPE
            code = m.ErrorCode.BAD_MESSAGE if known else m.ErrorCode.UNKNOWN_TYPE
            message = EngineError(code, str(error), kind)
        if isinstance(message, m.Hello):
            self._on_hello(number, session, message)
        elif session != self._session or self._session == 0:
            refusal = m.Refusal(m.ErrorCode.NO_SESSION, 0, self._boot, "greet the device first")
            self._send(number, session, refusal)
        elif isinstance(message, m.Open | m.Data | m.Probe):
            self._on_stream(number, message)
        elif isinstance(message, m.SamplesAck):
            self._on_samples_ack(message)
        elif kind < m.FIRST_STREAM_TYPE:
            self._on_request(number, message)

    def _on_hello(self, number: int, session: int, hello: m.Hello) -> None:
        common = min(hello.newest, m.VERSION)
        if common < max(hello.oldest, m.OLDEST_VERSION):
            common = 0
        if common and session:
            self._max_frame = hello.max_frame
        if common and session and session != self._session:
            self._session, self._last_number, self._last_reply = session, 0, b""
            self._work.cancel()
            self._receiver = self._new_receiver()
            self._run = RunProgress()
        capabilities = m.Capability.MEMORY | m.Capability.PROFILE
        if self._info.operators:
            capabilities |= m.Capability.OPERATORS
        if self._text is not None:
            capabilities |= m.Capability.MLPERF_TEXT
        if self._engine.alive:
            capabilities |= m.Capability.ALIVE
        self._send(
            number,
            session,
            m.Welcome(
                common,
                m.OLDEST_VERSION,
                m.VERSION,
                0,
                self._boot,
                self._limits.window,
                self._limits.max_block,
                self._limits.sample_buffer,
                capabilities,
            ),
        )

    def _on_stream(self, number: int, message: m.Open | m.Data | m.Probe) -> None:
        if isinstance(message, m.Open):
            self._receiver.on_open(number, message, self._run.going)
        elif isinstance(message, m.Data):
            self._receiver.on_data(number, message)
        else:
            self._receiver.on_probe(number)
        highest, ack = self._receiver.ack()
        self._send(highest, self._session, ack)

    def _on_samples_ack(self, ack: m.SamplesAck) -> None:
        if self._run.acknowledge(ack):
            self._send_samples()

    def _on_request(self, number: int, message: m.Message | EngineError) -> None:
        if number == self._last_number:
            self._out += self._last_reply
            return
        if number != (self._last_number + 1) & 0xFFFF:
            if m.newer(number, self._last_number):
                text = f"request {self._last_number + 1} expected"
                self._send(number, self._session, m.Refusal(m.ErrorCode.SEQUENCE, 0, self._last_number, text))
            return
        self._last_number, self._last_reply = number, b""
        reply: m.Message | None
        try:
            if isinstance(message, EngineError):
                raise message
            reply = self._reply(message)
        except EngineError as error:
            reply = _refusal(error)
        if reply is not None:
            self._answer(number, reply)
        if isinstance(message, m.Abort) and self._run.end_untold:
            self._run.end_untold = False
            self._send_samples()

    def _answer(self, number: int, reply: m.Message) -> None:
        """Send a reply, unless the host has gone on to another request meanwhile."""
        if number == self._last_number:
            self._last_reply = encode(m.pack(number, self._session, reply))
            self._out += self._last_reply

    # ---- requests

    def _reply(self, message: m.Message) -> m.Message | None:
        """Carry out a request; None: the reply comes later."""
        match message:
            case m.Select(address):
                self._refuse_while_busy()
                self.text_select(address, partial(self._selected, self._last_number))
                return None
            case m.Digest(address, length):
                self._refuse_while_busy()
                data = self._engine.read(address, length)
                return m.Digested(address, length, hashlib.sha256(data).digest())
            case m.StartRun():
                return self._start(message)
            case m.Abort():
                self._work.cancel()
                if self._run.going:
                    self._run.state, self._run.end_untold = m.RunState.ABORTED, True
                return m.Aborted(self._run.id, 0, self._run.done)
            case m.Reset():
                self._work.cancel()
                self.reset_asked = True
                return m.Resetting()
        return self._answer_to(message)

    def _answer_to(self, question: m.Message) -> m.Message:
        """Answer a request that changes nothing; raises EngineError for what is no request."""
        match question:
            case m.Identify():
                return m.Identified(*(getattr(self._info, name) for name in m.Identified.__match_args__))
            case m.GetModel(index):
                return self._flash_entry(index)
            case m.GetTensor(kind, index):
                return self._tensor(kind, index)
            case m.GetRun():
                return self._status()
            case m.GetOutput(index, _, offset, length):
                return self._output(index, offset, length)
            case m.GetMemory():
                return self._memory()
            case m.GetLayer(index):
                layers = self._work.layers
                label, ticks = layers[index] if index < len(layers) else ("", 0)
                return m.LayerTime(len(layers), index, ticks, label)
            case m.GetOperators(offset):
                names = "\n".join(self._info.operators).encode("ascii")
                return m.OperatorNames(len(names), offset, names[offset : offset + 200])
            case m.GetClock():
                return m.Clock(self._engine.ticks() & 0xFFFFFFFFFFFFFFFF)
        raise EngineError(m.ErrorCode.UNKNOWN_TYPE, "not a request")

    def _flash_entry(self, index: int) -> m.Message:
        models = self._engine.models()
        if index >= len(models):
            return m.FlashEntry(len(models), index, 0, "")
        entry = models[index]
        return m.FlashEntry(len(models), index, entry.address, entry.name)

    def _selected(self, number: int, outcome: Loaded | Invoked | EngineError) -> None:
        if isinstance(outcome, Loaded):
            self._answer(number, m.Selected(len(outcome.inputs), len(outcome.outputs)))
        elif isinstance(outcome, EngineError):
            self._answer(number, _refusal(outcome))

    def _status(self) -> m.Message:
        run = self._run
        busy = self._work.ticks if self._work.model else 0  # else it is being loaded, not run
        return m.RunStatus(run.id, run.state, run.error, run.done, run.warmup, busy, 0, 0, run.text)

    def _tensor(self, kind: int, index: int) -> m.Message:
        model = self._model()
        specs: tuple[TensorInfo, ...] = model.outputs if kind == m.TensorKind.OUTPUT else model.inputs
        if index >= len(specs):
            raise EngineError(m.ErrorCode.BAD_ARGUMENT, f"tensor {index} of {len(specs)}")
        spec = specs[index]
        return m.TensorDescription(
            kind,
            index,
            m.TENSOR_TYPE_CODES[spec.type],
            len(spec.shape),
            spec.bytes,
            spec.scale,
            spec.zero_point,
            m.pack_dimensions(spec.shape),
            spec.name,
        )

    def _start(self, start: m.StartRun) -> m.Message:
        self._refuse_while_busy()
        self._model()
        if start.run == 0 or start.n == 0:
            raise EngineError(m.ErrorCode.BAD_ARGUMENT, "run and n must be above 0")
        state = m.RunState.WARMING if start.warmup else m.RunState.MEASURING
        profile = bool(start.flags & m.PROFILE)
        self._run = RunProgress(start.run, state, start.warmup, start.n, profile, start.outputs)
        self._run.last_sent = self._engine.ticks()
        return m.Running(start.run)

    def _output(self, index: int, offset: int, length: int) -> m.Message:
        self._refuse_while_busy()
        if self._run.done == 0:
            raise EngineError(m.ErrorCode.NO_RUN, "no run has brought outputs")
        count = len(self._work.outputs)
        if index >= count:
            raise EngineError(m.ErrorCode.BAD_ARGUMENT, f"output {index} of {count}")
        if not self._run.outputs >> index & 1:
            raise EngineError(m.ErrorCode.BAD_ARGUMENT, f"output {index} was not asked for with the run")
        whole = self._work.outputs[index]
        length = min(length, self._limits.max_block, body_limit(self._max_frame) - m.MAX_OUTPUT_OVERHEAD)
        part = whole[offset : offset + max(length, 0)]
        return m.Output(index, 0, offset, len(whole), zlib.crc32(whole), part)

    def _memory(self) -> m.Message:
        use = self._work.model.memory if self._work.model else RamUse()
        figures = (
            use.arena_used,
            use.arena_head,
            use.arena_tail,
            use.arena_size,
            use.heap_free,
            use.stack_high_water,
        )
        return m.MemoryFigures(*(m.NOT_REPORTED if figure is None else figure for figure in figures))

    def _refuse_while_busy(self) -> None:
        if self._run.going or self._work.going:
            raise EngineError(m.ErrorCode.BUSY, "a run is under way")

    def _model(self) -> Loaded:
        """Return the selected model; raises EngineError without one."""
        if self._work.model is None:
            raise EngineError(m.ErrorCode.NO_MODEL, "no model is selected")
        return self._work.model

    # ---- what text commands do (see TextDevice)

    def text_refuses(self) -> None:
        self._refuse_while_busy()

    def text_select(self, address: int, then: Then) -> None:
        self._receiver.lose_input()
        self._run = RunProgress()
        self._work.load(address, then)

    def text_infers(self) -> None:
        self._run = RunProgress()

    # ---- tensors and samples

    def _new_receiver(self) -> Receiver:
        return Receiver(self._limits.max_block, self._input_size, self._write_input, self._read_input)

    def _input_size(self, index: int) -> int | None:
        return len(self._work.inputs[index]) if index < len(self._work.inputs) else None

    def _write_input(self, index: int, offset: int, data: bytes) -> None:
        self._work.inputs[index][offset : offset + len(data)] = data

    def _read_input(self, index: int, offset: int, length: int) -> memoryview:
        return memoryview(self._work.inputs[index])[offset : offset + length]

    def _batch_due(self) -> bool:
        run = self._run
        waited = self._engine.ticks() - run.last_sent
        return run.unsent >= SAMPLES_PER_FRAME or (
            run.unsent > 0 and waited >= SAMPLE_BATCH_S * self._info.tick_hz
        )

    def _send_samples(self) -> None:
        self._run.last_sent = self._engine.ticks()
        for frame in self._run.frames():
            self._send(0, self._session, frame)

    def _send(self, number: int, session: int, message: m.Message) -> None:
        self._out += encode(m.pack(number, session, message))


def _refusal(error: EngineError) -> m.Refusal:
    return m.Refusal(error.code, 0, error.detail & 0xFFFFFFFF, error.text)


def boot(info: DeviceInfo, engine: Engine, boots: int) -> BenchFirmware:
    """Return the firmware as it runs after a boot."""
    return BenchFirmware(info, engine, boot=secrets.randbits(32), text=True)
