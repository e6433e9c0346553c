"""MLPerf Tiny's serial API as its devices answer it: one text command in, its whole answer out.

The wording of the answers is that of MLPerf Tiny's own device code (benchmark/api of mlcommons/tiny), which
its runner matches by regular expression.
"""

from __future__ import annotations

import struct
from typing import Protocol

from harness.emulator.engine import DeviceInfo, Engine, EngineError
from harness.wire.session import VIRTUAL

PROFILE = "ULPMark for tinyML Firmware V0.0.1"
MAX_BUFFER = 1 << 20
"""Bytes that `db load` can ask for."""

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

    def text_needs_model(self) -> None:
        """Select the first model in flash where none is; raises EngineError without one, or during a run."""

    def text_loads(self, data: bytes) -> None:
        """Put `data` into the begin of the first input."""

    def text_infers(self) -> None:
        """Ready the inputs; outputs of an earlier run are about to go."""


class MlperfText:
    """The text interface to an engine's current model; `model` is MLPerf Tiny's name for it (vww01)."""

    def __init__(self, info: DeviceInfo, engine: Engine, model: str) -> None:
        self._info = info
        self._engine = engine
        self._model = model
        self._size = 0
        self._buffer = bytearray()
        # The API has no version; the name must tell that no time of this board is measured.
        virtual = VIRTUAL if info.firmware_version.endswith(VIRTUAL) else ""
        self._name = info.board + virtual
        # What the device's clock is ahead by, as invokes here do not take the time that they report.
        self._ahead = 0

    def banner(self) -> bytes:
        """Return what the device prints when it starts."""
        return b"m-init-done\r\n" + _READY.encode()

    def command(self, text: str, device: TextDevice) -> bytes:
        """Return the answer to a command (given without its terminator), `m-ready` included."""
        words = [word for word in text.split(" ") if word]
        try:
            lines = self._answer(words, device) if words else ""
        except EngineError as error:
            lines = f"e-[{error.text}]\r\n"
        return (lines + _READY).encode("ascii", "replace")

    def _answer(self, words: list[str], device: TextDevice) -> str:
        if words[0] in ("db", "infer", "results"):
            device.text_needs_model()
        match words:
            case ["name", *_]:
                return f"m-name-dut-[{self._name}]\r\n"
            case ["profile", *_]:
                return f"m-profile-[{PROFILE}]\r\nm-model-[{self._model}]\r\n"
            case ["timestamp", *_]:
                return self._timestamp()
            case ["help", *_]:
                return PROFILE + "\r\n" + _HELP
            case ["db", *rest]:
                return self._db(rest, device)
            case ["infer", *rest]:
                return self._infer(rest, device)
            case ["results", *_]:
                return self._results()
        return f"e-[Unknown command: {words[0]}]\r\n"

    def _timestamp(self) -> str:
        return self._lap(self._engine.ticks() + self._ahead)

    def _lap(self, ticks: int) -> str:
        return f"m-lap-us-{ticks * 1_000_000 // self._info.tick_hz}\r\n"

    def _db(self, rest: list[str], device: TextDevice) -> str:
        match rest:
            case []:
                return "e-[Command 'db' requires a subcommand]\r\n"
            case ["load"]:
                return "e-[Command 'db load' requires the # of bytes]\r\n"
            case ["load", count, *_]:
                size = _leading_number(count)
                if size <= 0:
                    return "e-[Command 'db load' must be >0 bytes]\r\n"
                if size > MAX_BUFFER:
                    return f"e-[Command 'db load' takes at most {MAX_BUFFER} bytes]\r\n"
                self._size = size
                self._buffer.clear()
                return f"m-[Expecting {size} bytes]\r\n"
            case ["print", *_]:
                return self._print()
        answer = self._append(rest[0])
        device.text_loads(bytes(self._buffer))
        return answer

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

    def _infer(self, rest: list[str], device: TextDevice) -> str:
        n = _leading_number(rest[0]) if rest else 1
        warmup = _leading_number(rest[1]) if len(rest) > 1 else 10
        if n <= 0:
            return "e-[Inference iterations must be >0]\r\n"
        if warmup < 0:
            return "e-[Inference warmup must be >=0]\r\n"
        device.text_infers()
        out = f"m-warmup-start-{warmup}\r\n"
        for _ in range(warmup):
            self._engine.invoke()
        out += f"m-warmup-done\r\nm-infer-start-{n}\r\n"
        start = self._engine.ticks() + self._ahead
        end = start + sum(self._engine.invoke() for _ in range(n))
        self._ahead = end - self._engine.ticks()
        return out + self._lap(start) + self._lap(end) + "m-infer-done\r\n" + self._results()

    def _results(self) -> str:
        spec = self._engine.outputs()[0]
        values = dequantised(self._engine.read_output(0), spec.type, spec.scale, spec.zero_point)
        return "m-results-[" + ",".join(f"{value:0.3f}" for value in values) + "]\r\n"


_FORMATS = {"int8": "b", "uint8": "B", "int16": "h", "int32": "i", "float32": "f"}


def dequantised(data: bytes, type: str, scale: float, zero_point: int) -> list[float]:
    """Return an output tensor as real numbers: (q - zero point) * scale, or as it is where scale is 0."""
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
