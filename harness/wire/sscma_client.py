"""A session with the vendor's stock firmware (SSCMA-Micro) over its AT commands, of either generation.

The firmware runs a model from flash on camera frames: it takes no tensor, gives boxes and classes instead of
tensors, and reports no RAM. A sample is `perf[1]` of an event, in whole milliseconds.

Both generations have one queue of work, into which a run puts its next frame each time (in 1.0.x see
sscma/repl/executor.hpp, in 2.0.0 sscma/core/pipeline/ma_executor.hpp). So a query that is answered shows
that what was sent before it is over, and a run that is under way brings a frame between two such answers.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, TypeVar

from harness.errors import BoardError, HarnessError
from harness.wire.at_generations import COMMON, Generation, code_name, code_words, generation_of, is_count
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

REPLY, EVENT = 0, 1
READ_BYTES = 65536
ASK_AGAIN_S = 1.0
"""After so long without an answer a query is repeated, and the device asked whether a command is over."""
TURNS = 2
"""Answers, each to a query sent after the one before, that show that nothing sent before them is at work.

One is not enough: 1.0.x answers INVOKE from a second piece of work, behind a query that came meanwhile.
"""
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
        self._codes = COMMON
        self._going = False  # a run was started and has not been seen to end
        self._restarted = False  # the board has said that it boots, since this was last looked at
        self.incidents = Incidents(port)
        self._id = self._greet(Countdown(port, patience.first_sign_s))
        self._boots = self._boot_count()
        self._restarted = False
        self._spoken = self._listed()[0]
        self._codes = self._spoken.codes

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
        self._execute(f"MODEL={id}")
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
                    if len(frames) < n and not self._look_for_reset():
                        why = "events were lost or damaged; the missing samples are taken in a further run"
                        self.incidents.note("events-lost", why)
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
        self._restarted = False
        self._write("RST")
        before = self._boots

        away_s = self._patience.slow_request_s

        def greet_anew(patience: Countdown) -> None:
            self._take_up(patience)
            boots = self._boot_count()
            if boots == before and before is not None and not self._restarted:
                raise stayed_away(self._port, away_s)
            self._boots, self._restarted = boots, False

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
        tag, _ = self._execute(f"INVOKE={self._spoken.invoke(warmup + n)}")
        series = _Series(warmup, n, (tag, ""))  # some firmware sends events without a tag
        invoke = Countdown(self._port, self._patience.invoke_s)
        quiet = Countdown(self._port, ASK_AGAIN_S)
        turns, asked = 0, ""
        while not self._restarted:
            for event in self._take_events():
                if event["name"].rpartition("@")[0] not in series.names:
                    continue  # an event of an earlier run whose reply was lost
                invoke.renew()
                quiet.renew()
                turns, asked = 0, ""
                found = self._read_event(event)
                if found is not None and series.counts(found[0]):
                    take(found[1])
            if series.whole or turns == TURNS:
                self._going = False
                return
            if invoke.over:
                self._outlasts(series)
            if quiet.over or (turns and not asked):
                asked = self._send(f"{self._spoken.at_work or 'STAT'}?")
                quiet.renew()
            for reply in self._receive(min(invoke.wait(), quiet.wait())):
                if asked and _answers(reply, asked):
                    # Without an event between the answers, no run is under way: the missing events are lost.
                    turns, asked = (turns + 1 if self._says_idle(reply) else 0), ""
        self._going = False

    def _says_idle(self, reply: dict[str, Any]) -> bool:
        return self._spoken.at_work is None or reply.get("data") != 1

    def _outlasts(self, series: _Series) -> NoReturn:
        """Raise InvokeOutlasts after asking for the run's end; the board hears it when its frame ends."""
        with contextlib.suppress(BoardError):  # the caller raises that the invoke has not ended
            self.abort()
        raise InvokeOutlasts(self._patience.invoke_s, self._port, series.taken, series.n)

    def _take_events(self) -> list[dict[str, Any]]:
        events, self._events = self._events, []
        return events

    def _read_event(self, event: dict[str, Any]) -> tuple[int | None, _Perf] | None:
        """Return (running count, times of the frame), or None if the line damaged the event."""
        code = event.get("code")
        if isinstance(code, int) and code != 0:
            words = code_words(self._codes, code)
            raise BoardError(f"an inference failed on the board at {self._port.url}: {words}")
        data = event.get("data")
        perf = data.get("perf") if isinstance(data, dict) else None
        if code != 0 or not isinstance(perf, list) or len(perf) != 3 or not all(map(is_count, perf)):
            return None
        count = data.get("count") if isinstance(data, dict) else None
        return (count if is_count(count) else None), _Perf(*perf)

    def _camera_on(self) -> None:
        """Switch the camera on: the firmware invokes on its frames."""
        try:
            active = self._spoken.sensors(self._query("SENSOR", dict))
        except DeviceRefused:
            active = []  # 2.0.0 refuses if no sensor is chosen
        if not active or not active[0].on:
            known = self._spoken.sensors(self._query("SENSORS", object))
            if not known:
                raise BoardError(
                    f"the board at {self._port.url} has no camera, and the stock firmware needs one"
                )
            _, data = self._execute(f"SENSOR={known[0].id},1,{known[0].preset}")
            active = self._spoken.sensors(data) or known
        self._camera = active[0].words

    # ---- commands

    def _listed(self) -> tuple[Generation, object]:
        """Return the generation of the firmware, and its list of models as it gives it."""
        data = self._query("MODELS", object)
        generation = generation_of(data)
        if generation is None:
            raise BoardError(f"the board at {self._port.url} answered AT+MODELS? with {data!r:.60}")
        return generation, data

    def _model_list(self) -> list[tuple[int, int]]:
        """Return (id, address) of the models in flash, by address."""
        generation, data = self._listed()
        try:
            return generation.models(data)
        except ValueError as error:
            raise BoardError(f"the board at {self._port.url} {error}") from error

    def _query(self, name: str, kind: type[_T]) -> _T:
        return self._ask(f"{name}?", Countdown(self._port, self._patience.request_s), kind)

    def _execute(self, command: str) -> tuple[str, Any]:
        """Send a command with an effect; return its tag, and the data of the reply.

        It is sent again only once the device has shown that the first is over, and refused only if it is
        refused twice (see `_ask`). An event of the run that INVOKE starts does as its reply.
        """
        patience = Countdown(self._port, self._patience.slow_request_s)
        body = command.split("=")[0]
        refused = False
        while True:
            name = self._send(command, body)
            reply = self._outcome(name, patience)
            if reply is None:
                if patience.over:
                    raise self._silent(body, patience)
                continue
            code = reply.get("code")
            if code == 0 or reply in self._events:
                return name.split("@")[0], reply.get("data")
            if refused:
                raise self._refusal(body, code)
            refused = True

    def _outcome(self, name: str, patience: Countdown) -> dict[str, Any] | None:
        """Return the reply to the command `name`, or None once it is over without one, or patience is."""
        quiet = Countdown(self._port, ASK_AGAIN_S, within=patience)
        turns, asked = 0, ""
        while not patience.over and turns < TURNS:
            if quiet.over or (turns and not asked):
                asked = self._send("ID?")
                quiet.renew()
            for reply in self._receive(quiet.wait()):
                if _answers(reply, name):
                    return reply
                if asked and _answers(reply, asked):
                    turns, asked = turns + 1, ""
            for event in self._events:
                if event["name"] == name:
                    return event
        return None

    def _ask(self, command: str, patience: Countdown, kind: type[_T]) -> _T:
        """Send a query, again if need be, and return the data of its reply; raises DeviceRefused, NoAnswer.

        Neither commands nor replies have a checksum: a refusal, or data that is no `kind`, may be what the
        line made of something else, and counts when it comes twice.
        """
        before = False
        while True:
            name = self._send(command)
            reply = self._await(name, Countdown(self._port, ASK_AGAIN_S, within=patience))
            if reply is not None:
                code, data = reply.get("code"), reply.get("data")
                if code == 0 and isinstance(data, kind):
                    return data
                if before and code == 0:
                    raise BoardError(f"the board at {self._port.url} answered AT+{command} with {data!r:.60}")
                if before:
                    raise self._refusal(command, code)
                before = True
            elif patience.over:
                raise self._silent(command, patience)

    def _send(self, command: str, body: str | None = None) -> str:
        """Send a command under a new tag; return the name of the reply to it (`body`: without arguments)."""
        self._tag += 1
        self._write(f"{self._tag}@{command}")
        return f"{self._tag}@{body or command}"

    def _refusal(self, body: str, code: object) -> DeviceRefused:
        words = code_words(self._codes, code)
        return DeviceRefused(f"the board refused AT+{body}: {words}", code_name(self._codes, code))

    def _silent(self, body: str, patience: Countdown) -> NoAnswer:
        return NoAnswer(
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
            if isinstance(name, str) and name.startswith("INIT@"):
                self._restarted = True  # 1.0.x says so as an event or a reply, 2.0.0 as a reply
            elif reply.get("type") == EVENT and name != "AT":
                if isinstance(name, str) and name.split("@")[-1] == "INVOKE":
                    self._events.append(reply)
            else:
                others.append(reply)
        return others

    # ---- greeting, and coming back

    def _greet(self, patience: Countdown) -> str:
        """Return the device's id; raises NoAnswer with what seems to be there instead."""
        self._refused = False
        return greet(
            self._port,
            patience,
            self.protocol,
            "the stock firmware's AT commands",
            self._say_hello,
            self._hear_id,
            lambda: self._replies.heard,
            self._patience.trouble,
        )

    def _say_hello(self) -> None:
        # The return ends whatever stands in the device's command buffer: a line must begin with AT+.
        self._port.write(b"\r")
        self._write(_GREETING)

    def _hear_id(self, seconds: float) -> str | None:
        """Return the device's id if it has arrived; wait up to `seconds` for more bytes."""
        for reply in self._receive(seconds):
            if _answers(reply, _GREETING):
                code, data = reply.get("code"), reply.get("data")
                if code == 0 and isinstance(data, str):
                    return data
                if code != 0 and self._refused:
                    raise self._refusal("ID?", code)
                self._refused = code != 0
        return None

    def _boot_count(self) -> int | None:
        count = self._query("STAT", dict).get("boot_count")
        return count if is_count(count) else None

    def _look_for_reset(self) -> bool:
        """Return whether the board has been reset since the last call; if so, select the model again."""
        boots = self._boot_count()
        if not self._restarted and (boots is None or boots == self._boots):
            return False
        self._boots, self._restarted = boots, False
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

    @property
    def whole(self) -> bool:
        """Whether all times are there."""
        return self.taken == self.n

    def counts(self, count: int | None) -> bool:
        """Return whether the event with this running number, from 1 (None: it has none), is a timed one."""
        self._seen += 1
        due = (self._seen if count is None else count) > self._warmup and not self.whole
        self.taken += due
        return due


class _Perf(NamedTuple):
    """The times of one frame, in whole milliseconds."""

    pre_ms: int
    invoke_ms: int
    post_ms: int


def _answers(reply: dict[str, Any], name: str) -> bool:
    """Say whether `reply` is that to the tagged command `name`, or says that it was not understood.

    The latter is a log in 1.0.x and an event in 2.0.0.
    """
    if reply.get("type") == REPLY:
        return reply.get("name") == name
    told = reply.get("name") == "AT" and reply.get("code") != 0
    return told and re.search(rf"(?<!\d){re.escape(name)}(?![A-Z?])", str(reply.get("data"))) is not None


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
