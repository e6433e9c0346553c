"""A session over MLPerf Tiny's serial API, with any firmware that speaks it.

The API tells no tensors and no RAM, takes one input, and times batches: one inference takes (T1 - T0) / N.
A sample here is such a batch (see `Session.batch`). The input is sent as the device's benchmark wants it, so
that the model runs on the tensor that was given (see `mlperf_benchmark`).

Nothing but text is sent to a device that has not said that it speaks bench: MLPerf Tiny's own device takes
the bytes of a frame for the begin of the next command.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from harness.errors import BoardError, HarnessError
from harness.wire.bench_client import BenchSession
from harness.wire.greeting import greet
from harness.wire.mlperf_benchmark import BENCHMARKS, Benchmark, Content, from_tensor
from harness.wire.patience import DEFAULT, Countdown, Patience
from harness.wire.port import Port, PortLost, SerialPort
from harness.wire.protocol import Protocol
from harness.wire.reconnect import RESTARTS, reconnect
from harness.wire.session import (
    VIRTUAL,
    DeviceRefused,
    DeviceReset,
    FlashModel,
    Identity,
    Incidents,
    InvokeOutlasts,
    LoadProgress,
    ModelInfo,
    NoAnswer,
    OnSample,
    Run,
    RunInterrupted,
    Session,
    TensorInfo,
)
from harness.wire.text_lines import TextLines

BYTES_A_COMMAND = 31
"""Input bytes in one `db` command, as MLPerf Tiny's runner sends them."""
DEVICE_BAUD = 115200
"""Speed of MLPerf Tiny's reference devices, but for ad01's, which has 921600."""
MOST_BATCHES = 10
READ_BYTES = 65536

_T = TypeVar("_T")
_READY = "m-ready"
_STARTED = "m-init-done"
_NAME = r"m-name-.+?-\[(.*)\]"
_COMPLAINT = re.compile(r"(?:e-\[)?(Input db has .*?|Supplied buffer size .*?)\]?")
"""What a device says of a buffer that its model does not take. The reference device runs all the same."""
_TICK_HZ = 1_000_000
_BAD_LINE = "a line that damages bytes needs a firmware that speaks bench"


class MlperfSession(Session):
    """A session of MLPerf Tiny's API; the constructor greets the device."""

    protocol = "mlperf-tiny"
    features = frozenset({"load"})

    def __init__(self, port: Port, patience: Patience = DEFAULT) -> None:
        self._port = port
        self._patience = patience
        self._lines = TextLines()
        self._inputs: Sequence[TensorInfo] = ()
        self._benchmark: Benchmark | None = None
        self._data: bytes | None = None
        """What was loaded, as it was sent."""
        self.incidents = Incidents(port)
        self.results: list[float] = []
        """The values of the first output after the last run, de-quantised by the device."""
        self._identity: Identity | None = None
        self._name = self._first_greet(Countdown(port, patience.first_sign_s))

    def identify(self) -> Identity:
        """As in Session; a firmware that speaks bench as well is identified by that."""
        if self._identity is None:
            self._identity = self._reconnecting(self._identify)
        return self._identity

    def _identify(self) -> Identity:
        answer = self._profile()
        if _first(r"m-speaks-\[(bench)\]", answer):
            told = self._identity_in_bench()
            if told is not None:
                return dataclasses.replace(told, tick_hz=_TICK_HZ, resolution_ticks=1)
        version = _first(r"m-profile-\[(.*)\]", answer) or ""
        virtual = VIRTUAL if self._name.endswith(VIRTUAL) else ""
        return Identity(
            board=self._name.removesuffix(VIRTUAL),
            firmware_name="MLPerf Tiny",
            firmware_version=version + virtual,
            build_hash=None,
            kernels=None,
            clock_hz=None,
            tick_hz=_TICK_HZ,
            resolution_ticks=1,
            engine=None,
            capabilities=frozenset(),
        )

    def _identity_in_bench(self) -> Identity | None:
        # It has answered once: from now on it has the time of any other request.
        patience = dataclasses.replace(self._patience, first_sign_s=self._patience.request_s)
        try:
            return BenchSession(self._port, patience).identify()
        except NoAnswer:
            return None
        finally:
            self._lines = TextLines()
            self._synchronise()

    def models(self) -> list[FlashModel]:
        """Return the one model that is compiled into the firmware, under MLPerf Tiny's name for it."""
        name = _first(r"m-model-\[(.*)\]", self._profile())
        return [FlashModel(0, 0, name)] if name and name != "none" else []

    def _profile(self) -> list[str]:
        """Ask which model there is, and note its benchmark. A device may have to load the model first."""
        answer = self._command("profile", seconds=self._patience.slow_request_s)
        name = _first(r"m-model-\[(.*)\]", answer)
        self._benchmark = next((one for one in BENCHMARKS if one.name == name), None)
        return answer

    def select(self, address: int) -> ModelInfo:
        """Do nothing: the firmware has one model, and the API does not describe its tensors."""
        return ModelInfo((), ())

    def told(self, inputs: Sequence[TensorInfo]) -> None:
        self._inputs = inputs

    def load(self, input_index: int, data: bytes, progress: LoadProgress | None = None) -> None:
        """As in Session; the MLPerf Tiny API takes only the first input.

        Raises HarnessError if the device's benchmark has an input of another length, or needs to know how the
        input is quantised and was not `told`.
        """
        if input_index != 0:
            raise HarnessError(
                f"MLPerf Tiny's API loads one input; input {input_index} needs a firmware that speaks bench"
            )
        self._reconnecting(self._profile)
        sent = self._as_the_device_takes_it(data)
        self._reconnecting(partial(self._send_tensor, sent, progress))
        self._data = sent

    def _as_the_device_takes_it(self, data: bytes) -> bytes:
        benchmark = self._benchmark
        if benchmark is None:
            return data
        if len(data) != benchmark.tensor_bytes:
            raise HarnessError(
                f"the board at {self._port.url} has a model for {benchmark.name}, whose input has "
                f"{benchmark.tensor_bytes} bytes, and this one has {len(data)}: not the same model"
            )
        scale, zero_point = 0.0, 0
        if benchmark.content is Content.FLOATS:
            if not self._inputs or not self._inputs[0].scale:
                raise HarnessError(f"{benchmark.name} takes real numbers, and this input is not quantised")
            scale, zero_point = self._inputs[0].scale, self._inputs[0].zero_point
        return from_tensor(benchmark.content, data, scale, zero_point)

    def batch(self, n: int) -> int:
        """As in Session; a run has at most ten batches, of equal size."""
        return -(-n // min(n, MOST_BATCHES))

    def run(
        self,
        warmup: int,
        n: int,
        *,
        outputs: bool = True,
        profile: bool = False,
        on_sample: OnSample | None = None,
    ) -> Run:
        """As in Session; at least `n` invokes are timed."""
        batch = self.batch(n)
        count = -(-n // batch)
        samples: list[int] = []
        first_incident = len(self.incidents)

        def result() -> Run:
            return Run(
                samples=samples,
                tick_hz=_TICK_HZ * batch,
                drift_ppm=None,
                incidents=self.incidents[first_incident:],
                complete=len(samples) == count,
            )

        try:
            if warmup:
                # On its own, so that one that does not end shows after the patience for one invoke.
                self._reconnecting(partial(self._infer, 1, 0, 0, count))
                warmup -= 1
            while len(samples) < count:
                before = 0 if samples else warmup
                samples.append(self._reconnecting(partial(self._infer, batch, before, len(samples), count)))
                if on_sample is not None:
                    on_sample(len(samples) - 1, samples[-1])
        except BoardError as error:
            raise RunInterrupted(str(error), result()) from error
        return result()

    def printed(self) -> list[float] | None:
        return None if self._prints_error else self.results

    def withheld(self) -> str:
        if self._prints_error:
            return (
                "for ad01 an MLPerf Tiny device prints one value, the reconstruction error "
                f"({self.results[0] if self.results else 'none came'}): its output cannot be compared"
            )
        return super().withheld()

    @property
    def _prints_error(self) -> bool:
        return self._benchmark is not None and self._benchmark.content is Content.FLOATS

    def abort(self) -> None:
        """Do nothing: the API cannot end a run, and a run here is over when `run` returns."""

    def reset(self) -> None:
        """Raise HarnessError: the API has no reset."""
        raise HarnessError("MLPerf Tiny's API has no reset: press the board's reset button")

    def close(self) -> None:
        self._port.close()

    # ---- the commands

    def _send_tensor(self, data: bytes, progress: LoadProgress | None) -> None:
        self._command(f"db load {len(data)}", expect=f"m-[Expecting {len(data)} bytes]")
        answer: list[str] = []
        for at in range(0, len(data), BYTES_A_COMMAND):
            part = data[at : at + BYTES_A_COMMAND]
            try:
                answer = self._command("db " + part.hex())
            except DeviceRefused as error:  # what was sent was right
                raise DeviceRefused(f"{error}; {_BAD_LINE}", error.code) from error
            if progress is not None:
                progress(at + len(part), len(data))
        if "m-load-done" not in answer:
            raise BoardError(
                f"the board at {self._port.url} did not confirm {len(data)} bytes of input; {_BAD_LINE}"
            )

    def _infer(self, n: int, warmup: int, done: int, count: int) -> int:
        """Return T1 - T0 in microseconds; `done` of `count` samples are there so far."""
        command = f"infer {n} {warmup}"
        invoke_s = self._patience.invoke_s
        try:
            answer = self._command(command, "m-infer-done", seconds=invoke_s * (n + warmup))
        except NoAnswer as error:
            self._break_off()
            raise InvokeOutlasts(invoke_s, self._port, done, count) from error
        laps = [int(lap) for lap in re.findall(r"^m-lap-us-(\d+)$", "\n".join(answer), re.MULTILINE)]
        if len(laps) != 2 or laps[1] < laps[0]:
            raise BoardError(
                f"the board at {self._port.url} answered '{command}' with {len(laps)} usable timestamps; "
                "two are due (a device in energy mode gives none)"
            )
        self._pass_on(answer)
        values = _first(r"m-results-\[(.*)\]", answer) or ""
        self.results = [float(value) for value in re.findall(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", values)]
        return laps[1] - laps[0]

    def _pass_on(self, answer: list[str]) -> None:
        """Tell what the device says of its buffer; raises BoardError if that is not what was loaded."""
        for complaint in filter(None, map(_COMPLAINT.fullmatch, answer)):
            said = f"the board at {self._port.url} says of its input: {complaint[1]}"
            if self._data is not None:
                raise BoardError(f"{said}; it did not run on what was loaded")
            self.incidents.note("input", said)

    def _break_off(self) -> None:
        """End an `infer` that does not end by itself, if the device reads the line while it invokes."""
        with contextlib.suppress(BoardError):  # the caller raises that the invoke has not ended
            self._port.write(b"\x00")
            self._settle()

    def _command(self, command: str, expect: str | None = None, seconds: float | None = None) -> list[str]:
        """Return the lines before `m-ready`; raises DeviceRefused, DeviceReset, NoAnswer.

        `seconds`: the patience for the answer, None: that for any command that does not invoke.
        """
        self._port.write(command.encode("ascii") + b"%")
        patience = Countdown(self._port, self._patience.request_s if seconds is None else seconds)
        name = command.split(" ")[0]
        got: list[str] = []
        while True:
            while (line := self._lines.next()) is not None:
                if line == _STARTED:
                    raise DeviceReset(f"the board at {self._port.url} was reset")
                if line.startswith("e-["):
                    self._settle()
                    raise DeviceRefused(f"the board refused '{name}': {line[3:-1]}", "ERROR")
                if line != _READY:
                    got.append(line)
                elif expect is None or any(expect in had for had in got):
                    return got
                elif complaints := list(filter(None, map(_COMPLAINT.fullmatch, got))):
                    raise DeviceRefused(f"the board refused '{name}': {complaints[0][1]}", "ERROR")
            if patience.over:
                raise NoAnswer(
                    f"the board at {self._port.url} did not answer '{name}' within {patience.seconds:g} s"
                )
            self._lines.feed(self._port.read(READ_BYTES, patience.wait()))

    def _settle(self) -> None:
        """Wait for the `m-ready` that follows an error."""
        self._wait_for(f"({_READY})", self._patience.request_s)

    # ---- greeting, and coming back

    def _first_greet(self, patience: Countdown) -> str:
        """As `_greet`, and at the reference devices' speed if nothing answers at the profile's."""
        try:
            return self._greet(patience)
        except NoAnswer:
            port = self._port
            # What ends the wait early has answered, or shows why nothing will.
            if not patience.over or not isinstance(port, SerialPort) or port.baud == DEVICE_BAUD:
                raise
            if port.url.startswith("socket://"):  # such a line has no speed
                raise
            tried, port.baud = port.baud, DEVICE_BAUD
            try:
                self._lines = TextLines()
                port.reopen()
                name = self._greet(Countdown(port, patience.seconds))
            except NoAnswer as error:
                port.baud = tried
                port.reopen()
                raise NoAnswer(f"{error}; tried at {tried} and at {DEVICE_BAUD} Bd") from None
            self.incidents.note("baud", f"{port.url} answers at {DEVICE_BAUD} Bd, not at {tried} Bd")
            return name

    def _greet(self, patience: Countdown) -> str:
        """Return the device's name; raises NoAnswer with what seems to be there instead."""
        name = greet(
            self._port,
            patience,
            self.protocol,
            "MLPerf Tiny's API",
            lambda: self._port.write(b"name%"),
            partial(self._hear, _NAME),
            lambda: self._lines.heard,
            self._patience.trouble,
        )
        self._synchronise()
        return name

    def _synchronise(self) -> None:
        """Skip answers to earlier questions: ask for a timestamp, which comes after them."""
        self._port.write(b"timestamp%")
        if self._wait_for(r"(m-lap-us-\d+)", self._patience.request_s) is None:
            raise NoAnswer(f"the board at {self._port.url} gave its name but no timestamp")
        self._settle()

    def _wait_for(self, pattern: str, seconds: float) -> str | None:
        patience = Countdown(self._port, seconds)
        found = self._hear(pattern, 0.0)
        while found is None and not patience.over:
            found = self._hear(pattern, patience.wait())
        return found

    def _hear(self, pattern: str, seconds: float) -> str | None:
        """Return the group of the first line that matches, or None; wait up to `seconds` for more bytes."""
        self._lines.feed(self._port.read(READ_BYTES, seconds))
        while (line := self._lines.next()) is not None:
            if match := re.fullmatch(pattern, line):
                return match.group(1)
        return None

    def _reconnecting(self, action: Callable[[], _T]) -> _T:
        """Do `action`, and again after a reset or a lost port; no action here depends on one before it."""
        restarts = 0
        while True:
            try:
                return action()
            except (DeviceReset, PortLost) as error:
                restarts += 1
                if restarts > RESTARTS:
                    raise
                self.incidents.note("reset" if isinstance(error, DeviceReset) else "port-lost", str(error))
                lost = isinstance(error, PortLost)
                reconnect(self._port, self._patience.slow_request_s, lost, self._take_up)
                text = f"the board at {self._port.url} answers again; the input was loaded again"
                self.incidents.note("reconnected", text)

    def _take_up(self, patience: Countdown) -> None:
        self._lines = TextLines()
        self._greet(patience)
        if self._data is not None:
            self._send_tensor(self._data, None)


def _first(pattern: str, lines: list[str]) -> str | None:
    for line in lines:
        if match := re.fullmatch(pattern, line):
            return match.group(1)
    return None


PROTOCOL = Protocol(
    name="mlperf-tiny",
    hint="it speaks MLPerf Tiny's text: use --protocol mlperf-tiny",
    connect=MlperfSession,
    probe=b"%name%",
    answers=lambda heard: len(re.findall(rb"m-name-[^\[\r\n]+-\[", heard)),
    sign=rb"m-ready|m-init-done|e-\[",
    firmware="harness.emulator.mlperf_firmware:boot",
)
