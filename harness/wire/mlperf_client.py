"""A session over MLPerf Tiny's serial API, with any firmware that speaks it.

The API tells no tensors and no RAM, takes one input, and times batches: one inference takes (T1 - T0) / N.
A sample here is such a batch (see `Session.batch`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from harness.errors import BoardError, HarnessError
from harness.wire.greeting import greet
from harness.wire.port import Port, PortLost
from harness.wire.reconnect import RESTARTS, come_back
from harness.wire.session import (
    VIRTUAL,
    DeviceRefused,
    DeviceReset,
    FlashModel,
    Identity,
    Incidents,
    ModelInfo,
    NoAnswer,
    OnSample,
    Progress,
    Run,
    RunInterrupted,
    Session,
)
from harness.wire.text_lines import Lines

BYTES_A_COMMAND = 31
"""Input bytes in one `db` command, as MLPerf Tiny's runner sends them."""
MOST_BATCHES = 10
ASK_AGAIN_S = 1.0

_T = TypeVar("_T")
_READY = "m-ready"
_STARTED = "m-init-done"
_NAME = r"m-name-[^-]+-\[(.*)\]"
_TICK_HZ = 1_000_000
_BAD_LINE = "a line that damages bytes needs a firmware that speaks bench"


class MlperfSession(Session):
    """A session of MLPerf Tiny's API; the constructor greets the device."""

    protocol = "mlperf-tiny"
    features = frozenset({"load"})

    def __init__(self, port: Port, *, timeout_s: float = 5.0, invoke_timeout_s: float = 30.0) -> None:
        self._port = port
        self._timeout = timeout_s
        self._invoke_timeout = invoke_timeout_s
        self._lines = Lines()
        self._data: bytes | None = None
        self.incidents = Incidents(port)
        self.results: list[float] = []
        """The values of the first output after the last run, de-quantised by the device."""
        self._name = self._greet()

    def identify(self) -> Identity:
        """See Session.identify."""
        answer = self._command("profile", self._timeout)
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

    def models(self) -> list[FlashModel]:
        """Return the one model that is compiled into the firmware, under MLPerf Tiny's name for it."""
        name = _first(r"m-model-\[(.*)\]", self._command("profile", self._timeout))
        return [FlashModel(0, 0, 0, name, None)] if name else []

    def select(self, address: int) -> ModelInfo:
        """Do nothing: the firmware has one model, and the API does not describe its tensors."""
        return ModelInfo((), ())

    def load(self, input_index: int, data: bytes, progress: Progress | None = None) -> None:
        """See Session.load. The API takes the first input alone."""
        if input_index != 0:
            raise HarnessError(
                f"MLPerf Tiny's API loads one input; input {input_index} needs a firmware that speaks bench"
            )
        self._survive(partial(self._send_tensor, data, progress))
        self._data = data

    def batch(self, n: int) -> int:
        """See Session.batch. A run has at most ten batches, of equal size."""
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
        """See Session.run. At least `n` invokes are timed."""
        batch = self.batch(n)
        count = -(-n // batch)
        samples: list[int] = []
        first_incident = len(self.incidents)
        patience = self._invoke_timeout

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
                # One alone tells how long the others may take.
                patience += 2 * self._survive(partial(self._infer, 1, 0, patience)) / 1e6 * (batch + warmup)
                warmup -= 1
            else:
                patience *= batch
            while len(samples) < count:
                before = 0 if samples else warmup
                samples.append(self._survive(partial(self._infer, batch, before, patience)))
                if on_sample is not None:
                    on_sample(len(samples) - 1, samples[-1])
        except BoardError as error:
            raise RunInterrupted(str(error), result()) from error
        return result()

    def abort(self) -> None:
        """Do nothing: the API cannot end a run, and a run here is over when `run` returns."""

    def reset(self) -> None:
        """Raise HarnessError: the API has no reset."""
        raise HarnessError("MLPerf Tiny's API has no reset: press the board's reset button")

    def close(self) -> None:
        """See Session.close."""
        self._port.close()

    # ---- the commands

    def _send_tensor(self, data: bytes, progress: Progress | None) -> None:
        self._command(f"db load {len(data)}", self._timeout, expect=f"m-[Expecting {len(data)} bytes]")
        answer: list[str] = []
        for at in range(0, len(data), BYTES_A_COMMAND):
            part = data[at : at + BYTES_A_COMMAND]
            try:
                answer = self._command("db " + part.hex(), self._timeout)
            except DeviceRefused as error:  # there is nothing wrong with what was sent
                raise DeviceRefused(f"{error}; {_BAD_LINE}", error.code) from error
            if progress is not None:
                progress(at + len(part), len(data))
        if "m-load-done" not in answer:
            raise BoardError(
                f"the board at {self._port.url} did not confirm {len(data)} bytes of input; {_BAD_LINE}"
            )

    def _infer(self, n: int, warmup: int, timeout: float) -> int:
        """Return T1 - T0 in microseconds."""
        command = f"infer {n} {warmup}"
        answer = self._command(command, timeout, expect="m-infer-done")
        laps = [int(lap) for lap in re.findall(r"^m-lap-us-(\d+)$", "\n".join(answer), re.MULTILINE)]
        if len(laps) != 2 or laps[1] < laps[0]:
            raise BoardError(
                f"the board at {self._port.url} answered '{command}' with {len(laps)} usable timestamps; "
                "two are due (a device in energy mode gives none)"
            )
        values = _first(r"m-results-\[(.*)\]", answer) or ""
        self.results = [float(value) for value in re.findall(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", values)]
        return laps[1] - laps[0]

    def _command(self, command: str, timeout: float, expect: str | None = None) -> list[str]:
        """Return the lines before `m-ready`; raises DeviceRefused, DeviceReset, NoAnswer."""
        self._port.write(command.encode("ascii") + b"%")
        return self._answer(command, self._port.now() + timeout, expect)

    def _answer(self, command: str, deadline: float, expect: str | None) -> list[str]:
        got: list[str] = []
        started = self._port.now()
        while True:
            while (line := self._lines.next()) is not None:
                if line == _STARTED:
                    raise DeviceReset(f"the board at {self._port.url} was reset")
                if line.startswith("e-["):
                    self._settle(deadline)
                    raise DeviceRefused(f"the board refused '{command.split(' ')[0]}': {line[3:-1]}", "ERROR")
                if line != _READY:
                    got.append(line)
                elif expect is None or any(expect in had for had in got):
                    return got
            if self._port.now() >= deadline:
                what = command.split(" ")[0]
                waited = deadline - started
                raise NoAnswer(f"the board at {self._port.url} did not answer '{what}' within {waited:g} s")
            self._lines.feed(self._port.read(4096, max(0.0, deadline - self._port.now())))

    def _settle(self, deadline: float) -> None:
        """After an error, wait for the `m-ready` that follows it."""
        self._wait_for(f"({_READY})", deadline)

    # ---- greeting, and coming back

    def _greet(self) -> str:
        """Return the device's name; raises NoAnswer with what seems to be there instead."""
        name = greet(
            self._port,
            self._timeout,
            "MLPerf Tiny's API",
            self._ask_name,
            partial(self._wait_for, _NAME),
            lambda: self._lines.heard,
        )
        # Answers to names asked twice may still come; that to a timestamp comes after them.
        self._port.write(b"timestamp%")
        if self._wait_for(r"(m-lap-us-\d+)", self._port.now() + self._timeout) is None:
            raise NoAnswer(f"the board at {self._port.url} gave its name but no timestamp")
        self._settle(self._port.now() + self._timeout)
        return name

    def _ask_name(self, deadline: float) -> str | None:
        name = None
        while name is None and self._port.now() < deadline:
            self._port.write(b"name%")
            name = self._wait_for(_NAME, min(self._port.now() + ASK_AGAIN_S, deadline))
        return name

    def _wait_for(self, pattern: str, deadline: float) -> str | None:
        while True:
            while (line := self._lines.next()) is not None:
                if match := re.fullmatch(pattern, line):
                    return match.group(1)
            if self._port.now() >= deadline:
                return None
            self._lines.feed(self._port.read(4096, max(0.0, deadline - self._port.now())))

    def _survive(self, action: Callable[[], _T]) -> _T:
        """Do `action`, again where the board was reset or the port away: every action here stands alone."""
        restarts = 0
        while True:
            try:
                return action()
            except (DeviceReset, PortLost) as error:
                restarts += 1
                if restarts > RESTARTS:
                    raise
                self.incidents.note("reset" if isinstance(error, DeviceReset) else "port-lost", str(error))
                come_back(self._port, isinstance(error, PortLost), self._take_up)
                text = f"the board at {self._port.url} answers again; the input was loaded again"
                self.incidents.note("reconnected", text)

    def _take_up(self, deadline: float) -> None:
        self._lines = Lines()
        self._greet()
        if self._data is not None:
            self._send_tensor(self._data, None)


def _first(pattern: str, lines: list[str]) -> str | None:
    for line in lines:
        if match := re.fullmatch(pattern, line):
            return match.group(1)
    return None


def connect(port: Port, *, timeout_s: float = 5.0) -> MlperfSession:
    """Greet the device on `port`; see harness.wire.session.connect."""
    return MlperfSession(port, timeout_s=timeout_s)
