"""What both generations of the vendor's stock firmware (SSCMA-Micro) share: lines, and one queue of work.

It has a camera that shows the same picture for ever, runs the selected model on it, and reports times in
whole milliseconds.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import re
from abc import abstractmethod
from collections import deque
from collections.abc import Callable

from harness import extras
from harness.emulator.engine import DeviceInfo, Engine, EngineError, Invoked, Loaded
from harness.emulator.firmware import Firmware
from harness.emulator.mlperf_firmware import dequantised
from harness.emulator.work import Work

LONGEST_COMMAND = 4095
OK, EIO, EINVAL, EPERM, EFAILED = 0, 4, 5, 9, 10
REPLY, EVENT, LOG = 0, 1, 2
PRESETS = ("240x240 Auto", "480x480 Auto", "640x480 Auto")
_ARGUMENT = re.compile(r"\"([^\"]*)\"|'([^']*)'|(-?[0-9a-fA-F]+)")


class SscmaFirmware(Firmware):
    """One boot of the firmware: commands and frames are pieces of work in one queue.

    `boot` is how often the board has started.
    """

    arguments: dict[str, int]
    """How many arguments each command with an effect takes."""
    failed: int
    """Code of what fails without a reason."""

    def __init__(self, info: DeviceInfo, engine: Engine, *, boot: int) -> None:
        super().__init__()
        self._info = info
        self._engine = engine
        self._work = Work(engine)
        self._boot = boot
        self._id = hashlib.sha256(info.board.encode()).hexdigest()[:8]
        self._line = bytearray()
        self._queue: deque[Callable[[], None]] = deque()
        self._run = 0  # number of the run that may go on; a frame of another one is the last of its run
        self._model = 1 if engine.models() else 0
        self._camera_on = True
        self._preset = 0
        self.queries: dict[str, Callable[[str], None]] = {}
        self._out += f"{info.board}: {info.firmware_name} {info.firmware_version}\r\n".encode(
            "ascii", "replace"
        )

    @property
    def busy(self) -> bool:
        return self._work.ready or bool(self._queue and not self._work.going)

    @property
    def buffered(self) -> int:
        return len(self._line) + len(self._out)

    def receive(self, data: bytes) -> None:
        *lines, rest = data.replace(b"\n", b"\r").split(b"\r")
        for line in lines:
            self._line += line
            command, self._line = bytes(self._line), bytearray()
            if command and len(command) <= LONGEST_COMMAND:
                self._on_line("".join(filter(str.isprintable, command.decode("latin-1"))))
        self._line += rest
        # A command that is too long is not run: one extra byte is kept to recognise it.
        del self._line[LONGEST_COMMAND + 1 :]

    def step(self) -> None:
        if self._queue and not self._work.going:
            self._queue.popleft()()
        self._work.poll()

    def _answer(self, queries: dict[str, Callable[[], object]]) -> None:
        """Take queries that are never refused, and what they bring."""

        def reply(name: str) -> None:
            self._say(REPLY, name, OK, queries[name.rpartition("@")[2][:-1]]())

        self.queries |= dict.fromkeys((f"{query}?" for query in queries), reply)

    # ---- commands

    def _on_line(self, line: str) -> None:
        head, _, tail = line.partition("=")
        name = head.upper()
        if not name.startswith("AT+"):
            self._complain(f"Unknown command: {line}")
            return
        name = name[3:]
        target = name.rpartition("@")[2]
        if target in self.queries:
            self._queue.append(lambda: self.queries[target](name))
        elif target in self.arguments:
            found = ["".join(match) for match in _ARGUMENT.findall(tail)][: self.arguments[target]]
            if len(found) < self.arguments[target]:
                self._complain(f"Command {name} got wrong arguements.")
                return
            self._accept(name, target, [_whole(text) for text in found])
        else:
            self._complain(f"Unknown command: {line}")

    def _accept(self, name: str, target: str, values: list[int]) -> None:
        """Put a command with an effect into the queue."""
        self._queue.append(lambda: self._do(name, target, values))

    def _do(self, name: str, target: str, values: list[int]) -> None:
        if target == "RST":
            self.reset_asked = True
            return
        self._run += 1  # ends the run that is under way before its next frame
        if target == "BREAK":
            self._say(REPLY, name, OK, self._engine.ticks() * 1000 // self._info.tick_hz)
        elif target == "MODEL":
            self._load(name, values[0])
        elif target == "SENSOR":
            self._switch(name, values[0], bool(values[1]), values[2])
        else:
            self._start(name, values)

    def _load(self, name: str, id: int) -> None:
        models = self._engine.models()
        if not 1 <= id <= len(models):
            self._say_model(name, self.no_model, id)
            return

        def loaded(outcome: Loaded | Invoked | EngineError) -> None:
            refused = isinstance(outcome, EngineError)
            if isinstance(outcome, EngineError):
                self._out += f"{outcome.text}\r\n".encode("ascii", "replace")
            else:
                self._model = id
                for place, data in enumerate(self._work.inputs):
                    picture = bytes(range(256)) * (len(data) // 256 + 1)
                    self._work.inputs[place][:] = picture[: len(data)]
            self._say_model(name, self.failed if refused else OK, id)

        self._work.load(models[id - 1].address, loaded)

    no_model = EINVAL

    def _frame(self, name: str, run: int, n: int, images: bool, count: int = 1) -> None:
        """Invoke once, and put the next frame into the queue; counts begin at 1."""
        if 0 <= n < count or run != self._run:
            return
        if not self._camera_on:
            self._say(EVENT, name, EPERM, {"count": count})
            return

        def invoked(outcome: Loaded | Invoked | EngineError) -> None:
            if not isinstance(outcome, Invoked):
                self._say(EVENT, name, self.failed, {"count": count})
                if isinstance(outcome, EngineError):
                    self._out += f"{outcome.text}\r\n".encode("ascii", "replace")
                return
            invoke_ms = round(outcome.ticks * 1000 / self._info.tick_hz)
            self._say(EVENT, name, OK, {"count": count, **self._results(8, invoke_ms, 1, images)})
            self._queue.append(lambda: self._frame(name, run, n, images, count + 1))

        self._work.invoke(False, invoked)

    # ---- what a generation says in its own way

    @abstractmethod
    def _say_model(self, name: str, code: int, id: int) -> None:
        """Reply to MODEL."""

    @abstractmethod
    def _switch(self, name: str, id: int, on: bool, preset: int) -> None:
        """Switch the camera, and reply."""

    @abstractmethod
    def _start(self, name: str, values: list[int]) -> None:
        """Begin a run if it can, and reply."""

    @abstractmethod
    def _results(self, pre_ms: int, invoke_ms: int, post_ms: int, images: bool) -> dict[str, object]:
        """Return what an event shows besides its count."""

    @abstractmethod
    def _complain(self, text: str) -> None:
        """Say that a line was not understood."""

    @abstractmethod
    def _say(self, type: int, name: str, code: int, data: object) -> None:
        """Write a message."""

    def _classes(self) -> list[list[int]]:
        """Return [[score in percent, class]] of the best class in the first output."""
        model = self._work.model
        if model is None or not model.outputs:
            return []
        spec = model.outputs[0]
        values = dequantised(self._work.outputs[0], spec.type, spec.scale, spec.zero_point)
        known = [value for value in values if math.isfinite(value)]
        if not known:
            return []
        best = max(range(len(values)), key=lambda i: values[i] if math.isfinite(values[i]) else -math.inf)
        return [[max(0, min(100, round(100 * values[best]))), best]]


def picture() -> str:
    """Return what the camera sees as a base64 JPEG."""
    extras.need("PIL", "the camera of an emulated board")
    from PIL import Image

    out = io.BytesIO()
    Image.linear_gradient("L").resize((240, 240)).save(out, "JPEG")
    return base64.b64encode(out.getvalue()).decode("ascii")


def _whole(text: str) -> int:
    """As atoi does: what does not begin with a number is 0."""
    match = re.match(r"-?\d+", text)
    return int(match[0]) if match else 0
