"""A session with the vendor's stock firmware (SSCMA-Micro) over its AT commands.

The firmware runs a model from flash on camera frames: it takes no tensor, gives boxes and classes instead of
tensors, and reports no RAM. A sample is `perf[1]` of an event, in whole milliseconds.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, TypeVar

from harness.errors import BoardError, HarnessError
from harness.wire.at_replies import Replies
from harness.wire.greeting import greet
from harness.wire.patience import DEFAULT, Countdown, Patience
from harness.wire.port import Port, PortLost
from harness.wire.protocol import Protocol
from harness.wire.reconnect import RESTARTS, reconnect, stayed_away
from harness.wire.session import (
    DeviceRefused,
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
)

CODES = (
    "OK", "AGAIN", "ELOG", "ETIMEDOUT", "EIO", "EINVAL", "ENOMEM", "EBUSY", "ENOTSUP", "EPERM", "EUNKNOWN",
)  # fmt: skip
REPLY, EVENT, LOG = 0, 1, 2
READ_BYTES = 65536
ASK_AGAIN_S = 1.0
DO_AGAIN_S = 5.0
"""The same for a command with an effect: it must not be repeated while the first still runs."""
TICK_HZ = 1000
_GREETING = "0@ID?"

_T = TypeVar("_T")


class SscmaSession(Session):
    """A session with the stock firmware; the constructor greets the device."""

    protocol = "sscma"
    features = frozenset({"flash-models", "board-id"})

    def __init__(self, port: Port, patience: Patience = DEFAULT) -> None:
        self._port = port
        self._patience = patience
        self._replies = Replies()
        self._events: list[dict[str, Any]] = []
        self._tag = 0
        self._address: int | None = None
        self._boots: int | None = None
        self._camera: str | None = None
        self._going = False  # a run was started and has not been seen to end
        self.incidents = Incidents(port)
        self._id = self._greet(Countdown(port, patience.first_sign_s))
        self._boots = self._boot_count()

    def identify(self) -> Identity:
        version = self._query("VER", dict)
        return Identity(
            board=self._query("NAME", str),
            firmware_name="SSCMA-Micro",
            firmware_version=str(version.get("software", "")),
            build_hash=None,
            kernels=None,
            clock_hz=None,
            tick_hz=TICK_HZ,
            resolution_ticks=1,
            engine=None,
            capabilities=frozenset(),
            device_id=self._id,
        )

    def models(self) -> list[FlashModel]:
        return [
            FlashModel(index, address, f"model {id}")
            for index, (id, address) in enumerate(self._model_list())
        ]

    def select(self, address: int) -> ModelInfo:
        """As in Session; this firmware does not describe tensors."""
        models = self._model_list()
        id = next((id for id, there in models if there == address), None)
        if id is None:
            known = ", ".join(f"0x{there:x}" for _, there in models) or "none"
            raise DeviceRefused(
                f"the board at {self._port.url} has no model at 0x{address:x}; in its flash: {known}",
                "NO_MODEL",
            )
        self._execute(f"MODEL={id}", self._patience.slow_request_s)
        self._address = address
        return ModelInfo((), ())

    def load(self, input_index: int, data: bytes, progress: LoadProgress | None = None) -> None:
        """Raise HarnessError: the firmware takes no tensors."""
        raise HarnessError(
            "the stock firmware takes no tensors (its models run on camera frames); for tensors flash the "
            "bench firmware"
        )

    def run(
        self,
        warmup: int,
        n: int,
        *,
        outputs: bool = True,
        profile: bool = False,
        on_sample: OnSample | None = None,
    ) -> Run:
        """As in Session; the model runs on what the camera sees."""
        frames: list[_Perf] = []
        first_incident = len(self.incidents)

        def result() -> Run:
            return Run(
                samples=[frame.invoke_ms for frame in frames],
                tick_hz=TICK_HZ,
                drift_ppm=None,
                incidents=self.incidents[first_incident:],
                complete=len(frames) == n,
                pre_ms=[frame.pre_ms for frame in frames],
                post_ms=[frame.post_ms for frame in frames],
                camera=self._camera,
                resolution_ms=1000 / TICK_HZ,
            )

        def take(frame: _Perf) -> None:
            frames.append(frame)
            if on_sample is not None:
                on_sample(len(frames) - 1, frame.invoke_ms)

        had, fruitless, why = 0, 0, ""
        try:
            while len(frames) < n:
                try:
                    self._camera_on()
                    self._invoke(warmup, n - len(frames), take)
                    if len(frames) < n:
                        why = "events were lost or damaged; the missing samples are taken in a further run"
                        self.incidents.note("events-lost", why)
                        self._look_for_reset()
                except DeviceRefused as error:
                    why = str(error)
                    if not self._look_for_reset():
                        raise
                except PortLost as error:
                    why = str(error)
                    self.incidents.note("port-lost", why)
                    reconnect(self._port, self._patience.slow_request_s, True, self._take_up)
                    self.incidents.note("reconnected", f"port {self._port.url} came back")
                    self._look_for_reset()
                fruitless = fruitless + 1 if len(frames) == had else 0
                had = len(frames)
                if fruitless > RESTARTS:
                    raise BoardError(f"the board at {self._port.url} brings no samples: {why}")
        except BoardError as error:
            raise RunInterrupted(str(error), result()) from error
        return result()

    def abort(self) -> None:
        self._going = False
        self._write("BREAK")

    def reset(self) -> None:
        self._write("RST")
        before = self._boots

        away_s = self._patience.slow_request_s

        def greet_anew(patience: Countdown) -> None:
            self._take_up(patience)
            boots = self._boot_count()
            if boots == before and before is not None:
                raise stayed_away(self._port, away_s)
            self._boots = boots

        reconnect(self._port, away_s, False, greet_anew)
        self._address = None

    def close(self) -> None:
        try:
            if self._going:
                self.abort()
        except BoardError:
            pass  # the line is gone, and the device with it
        finally:
            self._port.close()

    # ---- the run

    def _invoke(self, warmup: int, n: int, take: Callable[[_Perf], None]) -> None:
        """Start warmup + n inferences and take the times of the last n, as far as their events come."""
        self._events.clear()
        self._going = True
        self._execute(f"INVOKE={warmup + n},0,1", self._patience.slow_request_s)
        series = _Series(warmup, n, (str(self._tag), ""))  # some firmware sends events without a tag
        invoke = Countdown(self._port, self._patience.invoke_s)
        quiet = Countdown(self._port, ASK_AGAIN_S)
        while True:
            for event in self._take_events():
                if event["name"].rpartition("@")[0] not in series.names:
                    continue  # an event of an earlier run whose reply was lost
                invoke.renew()
                quiet.renew()
                found = self._read_event(event)
                if found is not None and series.counts(found[0]):
                    take(found[1])
            if series.whole:
                self._going = False
                return
            if invoke.over:
                self._outlasts(series)
            if quiet.over:
                if not self._at_work(invoke, series) and not self._events:
                    self._going = False
                    return
                quiet.renew()
            self._receive(min(invoke.wait(), quiet.wait()))

    def _at_work(self, invoke: Countdown, series: _Series) -> bool:
        """Return whether the device still invokes: if it has stopped, the missing events are lost."""
        try:
            return self._ask("INVOKE?", invoke, int) != 0
        except NoAnswer:
            if self._events:
                return True
            self._outlasts(series)

    def _outlasts(self, series: _Series) -> NoReturn:
        """Raise InvokeOutlasts after ending the run, so that the board is usable again if it can be."""
        with contextlib.suppress(BoardError):  # the caller raises that the invoke has not ended
            self._execute("BREAK", self._patience.request_s)
            self._going = False
        raise InvokeOutlasts(self._patience.invoke_s, self._port, series.taken, series.n)

    def _take_events(self) -> list[dict[str, Any]]:
        events, self._events = self._events, []
        return events

    def _read_event(self, event: dict[str, Any]) -> tuple[int | None, _Perf] | None:
        """Return (running count, times of the frame), or None if the line damaged the event."""
        code = event.get("code")
        if _is_count(code) and code != 0:
            raise BoardError(f"an inference failed on the board at {self._port.url}: {_code_name(code)}")
        data = event.get("data")
        perf = data.get("perf") if isinstance(data, dict) else None
        if code != 0 or not isinstance(perf, list) or len(perf) != 3 or not all(map(_is_count, perf)):
            return None
        count = data.get("count") if isinstance(data, dict) else None
        return (count if _is_count(count) else None), _Perf(*perf)

    def _camera_on(self) -> None:
        """Switch the camera on: the firmware invokes on its frames."""
        sensor = self._query("SENSOR", dict)
        if sensor.get("state") == 2:
            self._camera = _camera_name(sensor)
            return
        sensors = self._query("SENSORS", list)
        if not sensors or not isinstance(sensors[0], dict):
            raise BoardError(f"the board at {self._port.url} has no camera, and the stock firmware needs one")
        chosen = sensors[0]
        self._execute(f"SENSOR={chosen.get('id', 1)},1,{chosen.get('opt_id', 0)}", self._patience.request_s)
        self._camera = _camera_name(chosen)

    # ---- commands

    def _model_list(self) -> list[tuple[int, int]]:
        """Return (id, address) of the models in flash."""
        found = []
        for entry in self._query("MODELS", list):
            values = [entry.get(key) if isinstance(entry, dict) else None for key in ("id", "address")]
            if not all(_is_count(value) for value in values):
                raise BoardError(f"the board at {self._port.url} lists a model without id or address")
            id, address = (int(value or 0) for value in values)
            found.append((id, address))
        return found

    def _query(self, name: str, kind: type[_T]) -> _T:
        return self._ask(f"{name}?", Countdown(self._port, self._patience.request_s), kind)

    def _execute(self, command: str, seconds: float) -> None:
        self._ask(command, Countdown(self._port, seconds), object, DO_AGAIN_S)

    def _ask(self, command: str, patience: Countdown, kind: type[_T], again_s: float = ASK_AGAIN_S) -> _T:
        """Send a command, again if need be, and return the data of its reply; raises DeviceRefused, NoAnswer.

        Neither commands nor replies have a checksum: a refusal, or data that is no `kind`, may be what the
        line made of something else, and counts when it comes twice.
        """
        body = command.split("=")[0]
        before = False
        while True:
            self._tag += 1
            self._write(f"{self._tag}@{command}")
            reply = self._await(f"{self._tag}@{body}", Countdown(self._port, again_s, within=patience))
            if reply is not None:
                code, data = reply.get("code"), reply.get("data")
                if code == 0 and isinstance(data, kind):
                    return data
                if before and code == 0:
                    raise BoardError(f"the board at {self._port.url} answered AT+{body} with {data!r:.60}")
                if before:
                    raise DeviceRefused(f"the board refused AT+{body}: {_code_name(code)}", _code_name(code))
                before = True
            elif patience.over:
                raise NoAnswer(
                    f"the board at {self._port.url} did not answer AT+{body} within {patience.seconds:g} s"
                )

    def _await(self, name: str, patience: Countdown) -> dict[str, Any] | None:
        """Return the reply to the tagged command `name`, or None if it does not come in time."""
        while not patience.over:
            for reply in self._receive(patience.wait()):
                if _answers(reply, name):
                    return reply
        return None

    def _write(self, command: str) -> None:
        self._port.write(f"AT+{command}\r".encode("ascii"))

    def _receive(self, timeout: float) -> list[dict[str, Any]]:
        """Return the replies that have arrived; events are kept until they are asked for."""
        others = []
        for reply in self._replies.feed(self._port.read(READ_BYTES, timeout)):
            name = reply.get("name")
            if reply.get("type") == EVENT:
                if isinstance(name, str) and name.split("@")[-1] == "INVOKE":
                    self._events.append(reply)
            else:
                others.append(reply)
        return others

    # ---- greeting, and coming back

    def _greet(self, patience: Countdown) -> str:
        """Return the device's id; raises NoAnswer with what seems to be there instead."""
        self._refused = False
        self._port.write(b"\r")  # ends whatever stands in the device's command buffer
        return greet(
            self._port,
            patience,
            self.protocol,
            "the stock firmware's AT commands",
            lambda: self._write(_GREETING),
            self._hear_id,
            lambda: self._replies.heard,
        )

    def _hear_id(self, seconds: float) -> str | None:
        """Return the device's id if it has arrived; wait up to `seconds` for more bytes."""
        for reply in self._receive(seconds):
            if _answers(reply, _GREETING):
                code, data = reply.get("code"), reply.get("data")
                if code == 0 and isinstance(data, str):
                    return data
                if code != 0 and self._refused:
                    raise DeviceRefused(f"the board refused AT+ID?: {_code_name(code)}", _code_name(code))
                self._refused = code != 0
        return None

    def _boot_count(self) -> int | None:
        count = self._query("STAT", dict).get("boot_count")
        return count if _is_count(count) else None

    def _look_for_reset(self) -> bool:
        """Return whether the board has been reset since the last call; if so, select the model again."""
        boots = self._boot_count()
        if boots is None or boots == self._boots:
            return False
        self._boots = boots
        self.incidents.note("reset", f"the board at {self._port.url} was reset; the model was selected again")
        if self._address is not None:
            self.select(self._address)
        return True

    def _take_up(self, patience: Countdown) -> None:
        self._replies = Replies()
        self._id = self._greet(patience)


class _Series:
    """The events of one INVOKE: `taken` of `n` times, after those of the warm-up; `names` are its tags."""

    def __init__(self, warmup: int, n: int, names: tuple[str, ...]) -> None:
        self._warmup = warmup
        self.n = n
        self.names = names
        self.taken = 0
        self._seen = 0
        self._first: int | None = None

    @property
    def whole(self) -> bool:
        """Whether all times are there."""
        return self.taken == self.n

    def counts(self, count: int | None) -> bool:
        """Return whether the event with this running number (None: it has none) counts as a timed one."""
        count = self._seen if count is None else count
        self._seen += 1
        self._first = count if self._first is None else self._first
        due = count - self._first >= self._warmup and not self.whole
        self.taken += due
        return due


class _Perf(NamedTuple):
    """The times of one frame, in whole milliseconds."""

    pre_ms: int
    invoke_ms: int
    post_ms: int


def _camera_name(sensor: dict[str, Any]) -> str:
    return f"sensor {sensor.get('id', 1)}, {sensor.get('opt_detail') or 'preset unknown'}"


def _answers(reply: dict[str, Any], name: str) -> bool:
    """Say whether `reply` is that to the tagged command `name`, or a log line that it was not understood."""
    if reply.get("type") == REPLY:
        return reply.get("name") == name
    return reply.get("type") == LOG and reply.get("code") != 0 and name in str(reply.get("data"))


def _code_name(code: object) -> str:
    if isinstance(code, int) and 0 <= code < len(CODES):
        return CODES[code]
    return f"error {code}"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


PROTOCOL = Protocol(
    name="sscma",
    hint="it speaks the vendor's AT commands: use --protocol sscma, or flash the bench firmware",
    connect=SscmaSession,
    probe=b"AT+ID?\r\n",
    answers=lambda heard: len(re.findall(rb'"name"\s*:\s*"ID\?"', heard)),
    sign=rb'\{\s*"type"\s*:',
    firmware="harness.emulator.sscma_firmware:boot",
    image="download the vendor's",
    stock="it takes no tensors, and gives neither outputs nor RAM",
)
