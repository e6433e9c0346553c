"""MLPerf Tiny's serial API as its devices answer it: one text command in, its whole answer out.

The wording of the answers is that of MLPerf Tiny's own device code (mlcommons/tiny at 1afd2c9,
benchmark/api/internally_implemented.cpp), which its runner matches by regular expression. Two things that the
reference device lets pass, to run on what was there before, are refused here: a length that is not the
model's, and an `infer` on an input of which a part is missing. A firmware that also speaks bench has
`MlperfText` beside it; `MlperfFirmware` speaks nothing else.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from harness.emulator.engine import DeviceInfo, Engine, EngineError, Invoked, Loaded
from harness.emulator.firmware import Firmware
from harness.emulator.work import Then, Work
from harness.wire.framing import DELIMITER, TEXT_LIMIT, Decoder, Text
from harness.wire.messages import ErrorCode
from harness.wire.mlperf_benchmark import (
    OTHER,
    Benchmark,
    Content,
    benchmark_of,
    reconstruction_error,
    to_tensor,
)
from harness.wire.session import VIRTUAL

PROFILE = "ULPMark for tinyML Firmware V0.0.1"
MOST_WAITING = 6
"""Most commands kept while one is under way, as in a device's buffer; further ones are lost."""

_READY = "m-ready\r\n"
_HELP = (
    "\r\n"
    "name              device name\r\n"
    "profile           firmware profile and model\r\n"
    "timestamp         microseconds since start\r\n"
    "db load N         expect N bytes of input\r\n"
    "db HH..           append bytes in hex\r\n"
    "db print          show the input buffer\r\n"
    "infer N [W=10]    run N inferences after W warm-ups\r\n"
    "results           show the outputs again\r\n"
)
_HEX = "0123456789abcdefABCDEF"


class TextDevice(Protocol):
    """The device that text commands work on, beside whatever else it speaks."""

    def text_refuses(self) -> None:
        """Raise EngineError while the model is not to be touched."""

    def text_select(self, address: int, then: Then) -> None:
        """Begin to load the model at a flash address."""

    def text_infers(self) -> None:
        """Take note that the outputs of an earlier run are about to be lost."""


class MlperfText:
    """The text interface to the model at hand."""

    def __init__(
        self, info: DeviceInfo, engine: Engine, work: Work, device: TextDevice, speaks: str | None = None
    ) -> None:
        """`speaks`: another protocol on the same port, which `profile` tells of."""
        self._info = info
        self._engine = engine
        self._work = work
        self._device = device
        self._speaks = speaks
        self._model: Loaded | None = None
        """The model that the next four are of."""
        self._benchmark: Benchmark | None = None
        self._asked = False
        """Whether there has been a `db load`, so that `infer` waits for all of it."""
        self._size = 0
        """Bytes that it asked for; 0: its length was refused."""
        self._buffer = bytearray()
        # The API has no version, so the name must say that this board's times are not measured.
        virtual = VIRTUAL if info.firmware_version.endswith(VIRTUAL) else ""
        self._name = info.board + virtual
        # How far the device's clock is ahead: invokes here do not take the time that they report.
        self._ahead = 0
        self._waiting: deque[str] = deque()
        self._going = False
        self._out = bytearray(b"m-init-done\r\n" + _READY.encode())

    def take_output(self) -> bytes:
        """Return what is due on the line, and forget it."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def give_way(self, data: bytes) -> bytes:
        """End the command that is under way if a 00 comes; return what is left of the bytes."""
        if not self._going or DELIMITER not in data:
            return data
        self._waiting.clear()
        self._work.cancel()
        self._finish("e-[ended by a 00 on the line]\r\n")
        return data[data.index(DELIMITER) :]

    def command(self, text: str) -> None:
        """Carry out a command (without its terminator) once those before it are done."""
        if self._going:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(text)
            return
        words = [word for word in text.split(" ") if word]
        try:
            if words and words[0] in ("db", "infer", "results", "profile"):
                self._with_model(words)
            else:
                self._say(self._answer(words) + _READY)
        except EngineError as error:
            self._fail(error)

    def _with_model(self, words: list[str]) -> None:
        """Carry out a command that needs a model: the first in flash, if none is selected."""
        if words[0] == "profile" and (self._work.model is not None or not self._engine.models()):
            self._say(self._profile() + _READY)
            return
        self._device.text_refuses()
        if self._work.model is not None:
            self._carry_out(words)
            return
        models = self._engine.models()
        if not models:
            raise EngineError(ErrorCode.NO_MODEL, "no model in flash")
        self._going = True
        self._device.text_select(models[0].address, partial(self._loaded, words))

    def _loaded(self, words: list[str], outcome: Loaded | Invoked | EngineError) -> None:
        if words[0] == "profile":
            self._finish(self._profile())
        elif isinstance(outcome, EngineError):
            self._fail(outcome)
        else:
            self._carry_out(words)

    def _carry_out(self, words: list[str]) -> None:
        self._look_at_model()
        if words[0] == "infer":
            self._infer(words[1:])
        else:
            self._finish(self._db(words[1:]) if words[0] == "db" else self._results())

    def _look_at_model(self) -> None:
        """Begin anew if another model has been selected."""
        if self._model is self._work.model:
            return
        self._model = self._work.model
        self._benchmark = benchmark_of(self._model.inputs, self._model.outputs) if self._model else None
        self._asked, self._size, self._buffer = False, 0, bytearray()

    def _profile(self) -> str:
        self._look_at_model()
        name = self._benchmark.name if self._benchmark else OTHER if self._model else "none"
        also = f"m-speaks-[{self._speaks}]\r\n" if self._speaks else ""
        return f"m-profile-[{PROFILE}]\r\nm-model-[{name}]\r\n{also}"

    @property
    def _due(self) -> int:
        """Bytes that `db load` takes."""
        if self._benchmark is not None:
            return self._benchmark.db_bytes
        return len(self._work.inputs[0]) if self._work.inputs else 0

    def _finish(self, lines: str) -> None:
        """Say the last lines of an answer, and go on to the next command."""
        self._going = False
        self._say(lines + _READY)
        while self._waiting and not self._going:
            self.command(self._waiting.popleft())

    def _fail(self, error: EngineError) -> None:
        self._finish(f"e-[{error.text}]\r\n")

    def _say(self, lines: str) -> None:
        self._out += lines.encode("ascii", "replace")

    def _answer(self, words: list[str]) -> str:
        match words:
            case []:
                return ""
            case ["name", *_]:
                return f"m-name-dut-[{self._name}]\r\n"
            case ["timestamp", *_]:
                return self._lap(self._now())
            case ["help", *_]:
                return PROFILE + "\r\n" + _HELP
        return f"e-[Unknown command: {words[0]}]\r\n"

    def _now(self) -> int:
        return self._engine.ticks() + self._ahead

    def _lap(self, ticks: int) -> str:
        return f"m-lap-us-{ticks * 1_000_000 // self._info.tick_hz}\r\n"

    def _db(self, rest: list[str]) -> str:
        match rest:
            case []:
                return "e-[Command 'db' requires a subcommand]\r\n"
            case ["load"]:
                return "e-[Command 'db load' requires the # of bytes]\r\n"
            case ["load", count, *_]:
                return self._expect(_leading_number(count))
            case ["print", *_]:
                return self._print()
        answer = self._append(rest[0])
        if self._work.inputs and self._model is not None:
            content = self._benchmark.content if self._benchmark else Content.TENSOR
            given = self._model.inputs[0]
            loaded = to_tensor(content, bytes(self._buffer), given.scale, given.zero_point)
            self._work.inputs[0][: len(loaded)] = loaded
        return answer

    def _expect(self, size: int) -> str:
        if size <= 0:
            return "e-[Command 'db load' must be >0 bytes]\r\n"
        self._asked, self._size = True, 0
        self._buffer.clear()
        if size != self._due:
            name = self._benchmark.name if self._benchmark else OTHER
            return f"e-[Command 'db load' takes {self._due} bytes for {name}, not {size}]\r\n"
        self._size = size
        return f"m-[Expecting {size} bytes]\r\n"

    def _append(self, digits: str) -> str:
        if len(digits) % 2:
            return "e-[Insufficent number of hex digits]\r\n"
        for at in range(0, len(digits), 2):
            pair = digits[at : at + 2]
            if pair[0] not in _HEX or pair[1] not in _HEX:
                return f"e-[Invalid hex digit '{pair}']\r\n"
            if len(self._buffer) < self._size:
                self._buffer.append(int(pair, 16))
                if len(self._buffer) == self._size:
                    return "m-load-done\r\n"
        return ""

    def _print(self) -> str:
        shown = bytes(self._buffer).ljust(self._size, b"\x00")
        return "".join("m-buffer-" + shown[at : at + 8].hex("-") + "\r\n" for at in range(0, len(shown), 8))

    def _infer(self, rest: list[str]) -> None:
        n = _leading_number(rest[0]) if rest else 1
        warmup = _leading_number(rest[1]) if len(rest) > 1 else 10
        if n <= 0:
            self._finish("e-[Inference iterations must be >0]\r\n")
        elif warmup < 0:
            self._finish("e-[Inference warmup must be >=0]\r\n")
        elif self._asked and len(self._buffer) != self._due:
            self._finish(f"e-[Input db has {len(self._buffer)} bytes, expected {self._due}]\r\n")
        else:
            self._going = True
            self._device.text_infers()
            self._say(f"m-warmup-start-{warmup}\r\n")
            self._invoke(_Inferring(warmup, n))

    def _invoke(self, inferring: _Inferring) -> None:
        """Begin the next inference; the timed ones begin after the warm-up."""
        if inferring.warmup == 0 and inferring.start is None:
            inferring.start = self._now()
            self._say(f"m-warmup-done\r\nm-infer-start-{inferring.left}\r\n{self._lap(inferring.start)}")
        self._work.invoke(False, partial(self._invoked, inferring))

    def _invoked(self, inferring: _Inferring, outcome: Loaded | Invoked | EngineError) -> None:
        if isinstance(outcome, EngineError):
            self._fail(outcome)
            return
        if inferring.warmup:
            inferring.warmup -= 1
        elif isinstance(outcome, Invoked):
            inferring.left -= 1
            inferring.ticks += outcome.ticks
        if inferring.left:
            self._invoke(inferring)
            return
        assert inferring.start is not None
        end = inferring.start + inferring.ticks
        self._ahead = end - self._engine.ticks()
        self._finish(self._lap(end) + "m-infer-done\r\n" + self._results())

    def _results(self) -> str:
        model = self._work.model
        if model is None or not model.outputs:
            return "m-results-[]\r\n"
        spec = model.outputs[0]
        if self._benchmark is not None and self._benchmark.content is Content.FLOATS:
            given = model.inputs[0]
            values = [
                reconstruction_error(
                    bytes(self._buffer),
                    bytes(self._work.inputs[0]),
                    self._work.outputs[0],
                    (given.scale, spec.scale),
                    (given.zero_point, spec.zero_point),
                )
            ]
        else:
            values = dequantised(self._work.outputs[0], spec.type, spec.scale, spec.zero_point)
        return "m-results-[" + ",".join(f"{value:0.3f}" for value in values) + "]\r\n"


@dataclass
class _Inferring:
    """An `infer` under way: inferences still to do, when the timed ones began, ticks of those done."""

    warmup: int
    left: int
    start: int | None = None
    ticks: int = 0


class MlperfFirmware(Firmware):
    """One boot of a firmware that speaks MLPerf Tiny's text alone."""

    def __init__(self, info: DeviceInfo, engine: Engine) -> None:
        super().__init__()
        self._work = Work(engine)
        self._text = MlperfText(info, engine, self._work, self)
        self._decoder = Decoder(TEXT_LIMIT, text=True)
        self._out += self._text.take_output()

    @property
    def busy(self) -> bool:
        return self._work.ready

    @property
    def buffered(self) -> int:
        return self._decoder.buffered + len(self._out)

    def receive(self, data: bytes) -> None:
        for item in self._decoder.feed(self._text.give_way(data)):
            if isinstance(item, Text):
                self._text.command(item.command)
        self._out += self._text.take_output()

    def step(self) -> None:
        self._work.poll()
        self._out += self._text.take_output()

    def text_refuses(self) -> None:
        """Refuse nothing: commands come one after the other."""

    def text_select(self, address: int, then: Then) -> None:
        self._work.load(address, then)

    def text_infers(self) -> None:
        """Do nothing: no other protocol here gives outputs."""


_FORMATS = {"int8": "b", "uint8": "B", "int16": "h", "int32": "i", "float32": "f"}


def dequantised(data: bytes, type: str, scale: float, zero_point: int) -> list[float]:
    """Return an output tensor as real numbers: (q - zero point) * scale, or as it is if scale is 0."""
    code = _FORMATS.get(type)
    if code is None:
        return []
    values = struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data)
    if not scale:
        return [float(value) for value in values]
    return [(value - zero_point) * scale for value in values]


def _leading_number(text: str) -> int:
    """Read a decimal number as C's atoi does: digits up to the first other character, else 0."""
    sign = -1 if text.startswith("-") else 1
    digits = ""
    for char in text[1:] if text[:1] in ("-", "+") else text:
        if not char.isdigit():
            break
        digits += char
    return sign * int(digits) if digits else 0


def boot(info: DeviceInfo, engine: Engine, boots: int) -> MlperfFirmware:
    """Return the firmware as it runs after a boot."""
    return MlperfFirmware(info, engine)
