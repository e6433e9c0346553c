"""A firmware that speaks the AT commands of the vendor's stock firmware (SSCMA-Micro).

It has a camera that shows the same picture for ever, runs the selected model on it, and reports times in
whole milliseconds, as the stock firmware does.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Callable

from harness import extras
from harness.emulator.engine import DeviceInfo, Engine, EngineError, Invoked, Loaded
from harness.emulator.firmware import Firmware
from harness.emulator.mlperf_firmware import dequantised
from harness.emulator.work import Work

LONGEST_COMMAND = 4095
OK, EINVAL, EBUSY, EUNKNOWN = 0, 5, 7, 10
REPLY, EVENT, LOG = 0, 1, 2
_CLASSIFIER = 4
"""Algorithm type of a classifier in the stock firmware's numbering."""
_ALGORITHM = {"type": _CLASSIFIER, "categroy": 3, "input_from": 1}
_OPTIONS = {"0": "240x240 Auto", "1": "480x480 Auto", "2": "640x480 Auto"}
_CAMERA_ON, _CAMERA_OFF = 2, 1


class SscmaFirmware(Firmware):
    """One boot of the firmware. `boot` is how often the board has started."""

    def __init__(self, info: DeviceInfo, engine: Engine, *, boot: int) -> None:
        super().__init__()
        self._info = info
        self._engine = engine
        self._work = Work(engine)
        self._boot = boot
        self._id = hashlib.sha256(info.board.encode()).hexdigest()[:8]
        self._pending = bytearray()
        self._model: int | None = None
        self._camera_state = _CAMERA_OFF
        self._camera_option = "0"
        self._left = 0  # inferences still to do; -1: for ever
        self._count = 0
        self._starting = False
        self._show_image = False
        self._invoke_name = "INVOKE"
        self._queries: dict[str, Callable[[], object]] = {
            "ID": lambda: self._id,
            "NAME": lambda: self._info.board,
            "VER": lambda: {"at_api": "v0", "software": self._info.firmware_version, "hardware": "1"},
            "STAT": self._status,
            "MODELS": lambda: [self._model_entry(id) for id in range(1, len(self._engine.models()) + 1)],
            "MODEL": lambda: self._model_entry(self._model) if self._model else {},
            "ALGOS": lambda: [_ALGORITHM],
            "SENSORS": lambda: [self._sensor() | {"opts": _OPTIONS}],
            "SENSOR": self._sensor,
            "INFO": lambda: {"crc16_maxim": 0, "info": ""},
            "INVOKE": lambda: int(self._left != 0 or self._work.going),
            "SAMPLE": lambda: 0,
        }
        self._out += f"{info.board}: {info.firmware_name} {info.firmware_version}\r\n".encode(
            "ascii", "replace"
        )
        if engine.models():
            self._model = 1
        self._say(REPLY, "INIT@STAT?", OK, self._status())

    @property
    def busy(self) -> bool:
        return self._invoke_due or self._work.ready

    @property
    def _invoke_due(self) -> bool:
        return self._left != 0 and not self._starting and not self._work.going

    @property
    def buffered(self) -> int:
        return len(self._pending) + len(self._out)

    def receive(self, data: bytes) -> None:
        *lines, rest = data.replace(b"\n", b"\r").split(b"\r")
        for line in lines:
            self._pending += line
            command, self._pending = bytes(self._pending), bytearray()
            if command and len(command) <= LONGEST_COMMAND:
                self._on_command(command.decode("latin-1"))
        self._pending += rest
        if len(self._pending) > LONGEST_COMMAND:
            # A command that is too long is not run: one extra byte is kept to recognise it.
            del self._pending[LONGEST_COMMAND + 1 :]

    def step(self) -> None:
        if self._invoke_due:
            self._left -= self._left > 0
            self._work.invoke(False, self._invoked)
        self._work.poll()

    def _invoked(self, outcome: Loaded | Invoked | EngineError) -> None:
        if isinstance(outcome, EngineError):
            self._left = 0
            self._say(EVENT, self._invoke_name, EUNKNOWN, {"count": self._count})
            self._out += f"{outcome.text}\r\n".encode("ascii", "replace")
            return
        ticks = outcome.ticks if isinstance(outcome, Invoked) else 0
        data: dict[str, object] = {
            "count": self._count,
            "perf": [8, round(ticks * 1000 / self._info.tick_hz), 1],
            "classes": self._classes(),
        }
        if self._show_image:
            data["image"] = _picture()
        self._count += 1
        self._say(EVENT, self._invoke_name, OK, data)

    # ---- commands

    def _on_command(self, line: str) -> None:
        at = line.find("AT+")
        if at < 0:
            return
        body = line[at + 3 :]
        command, equals, arguments = body.partition("=")
        name = command.rpartition("@")[2]
        if name.endswith("?") and not equals and name[:-1] in self._queries:
            self._say(REPLY, command, OK, self._queries[name[:-1]]())
        elif name == "BREAK":
            self._stop()
            self._say(REPLY, command, OK, self._engine.ticks() * 1000 // self._info.tick_hz)
        elif name == "RST":
            self._stop()
            self.reset_asked = True
        elif equals and name in ("MODEL", "SENSOR", "INVOKE"):
            self._execute(command, name, arguments.split(","))
        else:
            self._say(LOG, "AT", EINVAL, f"Unknown command: {command}")

    def _execute(self, command: str, name: str, arguments: list[str]) -> None:
        try:
            numbers = [int(argument.strip('"')) for argument in arguments]
        except ValueError:
            self._say(REPLY, command, EINVAL, {})
            return
        if name != "INVOKE":
            self._stop()
        if name == "MODEL":
            code = self._choose_model(numbers[0])
            shown = {"model": self._model_entry(numbers[0])} if code == OK else {}
            self._say(REPLY, command, code, shown)
        elif name == "SENSOR":
            on = len(numbers) > 1 and numbers[1] == 1
            self._camera_state = _CAMERA_ON if on else _CAMERA_OFF
            if len(numbers) > 2 and str(numbers[2]) in _OPTIONS:
                self._camera_option = str(numbers[2])
            self._say(REPLY, command, OK, {"sensor": self._sensor()})
        else:
            self._start(command, numbers)

    def _choose_model(self, id: int) -> int:
        if not 1 <= id <= len(self._engine.models()):
            return EINVAL
        self._model = id
        return OK

    def _start(self, command: str, numbers: list[int]) -> None:
        """Begin a series of inferences, after loading the model if need be."""
        self._left = 0
        if self._model is None or self._camera_state != _CAMERA_ON:
            self._say(REPLY, command, EBUSY if self._model else EINVAL, {})
            return
        self._invoke_name = command
        self._left, self._count = max(numbers[0], -1), 0
        self._show_image = len(numbers) < 3 or numbers[2] != 1
        address = self._engine.models()[self._model - 1].address
        if self._work.model is not None and self._work.address == address:
            self._started()
        elif not self._starting:  # else the same command came again while the model was loading
            self._starting = True
            self._work.load(address, self._loaded)

    def _loaded(self, outcome: Loaded | Invoked | EngineError) -> None:
        self._starting = False
        if isinstance(outcome, EngineError):
            self._left = 0
            self._out += f"{outcome.text}\r\n".encode("ascii", "replace")
            self._say(REPLY, self._invoke_name, EUNKNOWN, {})
            return
        for place, data in enumerate(self._work.inputs):
            picture = bytes(range(256)) * (len(data) // 256 + 1)
            self._work.inputs[place][:] = picture[: len(data)]
        self._started()

    def _started(self) -> None:
        assert self._model is not None
        reply = {
            "model": self._model_entry(self._model),
            "algorithm": _ALGORITHM | {"config": {"tscore": 60}},
            "sensor": self._sensor(),
        }
        self._say(REPLY, self._invoke_name, OK, reply)

    def _stop(self) -> None:
        """End what is under way, at once."""
        self._left, self._starting = 0, False
        self._work.cancel()

    # ---- what it shows

    def _status(self) -> object:
        return {"boot_count": self._boot, "is_ready": 1}

    def _model_entry(self, id: int) -> dict[str, int]:
        entry = self._engine.models()[id - 1]
        # As on the stock firmware, the size of a model that is found by its own header is 0.
        return {"id": id, "type": _CLASSIFIER, "address": entry.address, "size": 0}

    def _sensor(self) -> dict[str, object]:
        option = self._camera_option
        return {
            "id": 1,
            "type": 1,
            "state": self._camera_state,
            "opt_id": int(option),
            "opt_detail": _OPTIONS[option],
        }

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

    def _say(self, type: int, name: str, code: int, data: object) -> None:
        text = json.dumps({"type": type, "name": name, "code": code, "data": data})
        self._out += b"\r" + text.encode("ascii") + b"\n"


def _picture() -> str:
    """Return what the camera sees as a base64 JPEG."""
    extras.need("PIL", "the camera of an emulated board")
    from PIL import Image

    out = io.BytesIO()
    Image.linear_gradient("L").resize((240, 240)).save(out, "JPEG")
    return base64.b64encode(out.getvalue()).decode("ascii")


def boot(info: DeviceInfo, engine: Engine, boots: int) -> SscmaFirmware:
    """Return the firmware as it runs after a boot; it tells how often the board has."""
    return SscmaFirmware(info, engine, boot=boots)
