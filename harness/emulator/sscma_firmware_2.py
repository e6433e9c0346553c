"""The AT commands of the vendor's stock firmware as 2.0.0 speaks them.

Written from Seeed-Studio/SSCMA-Micro at 60e2ede: sscma/server/at/ma_server_at.cpp, callback/*.hpp,
codec/ma_codec_json.cpp; and from the devices' own part, porting/himax/we2/ma_device.cpp and
ma_camera_himax.cpp in Seeed-Studio/sscma-example-we2 at 461496f.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from harness.emulator.engine import DeviceInfo, Engine
from harness.emulator.stock_firmware import (
    EINVAL,
    EPERM,
    EVENT,
    OK,
    PRESETS,
    REPLY,
    SscmaFirmware,
    picture,
)

FAILED, ENOENT = -1, 10
_PRESETS = ("Default", *PRESETS)
_CAMERA = 0
_SIZE = 0x20021C3F
"""`size` of a model: the device leaves the field as it was in memory, which is any number."""
_CORE = 0x3A000000
"""Where the core sees flash, whose models the list shows by their addresses there."""
_MODELS = 0x400000


class SecondGeneration(SscmaFirmware):
    """Version 2.0.0."""

    arguments = {"BREAK": 0, "RST": 0, "MODEL": 1, "SENSOR": 3, "INVOKE": 2}  # noqa: RUF012
    failed = FAILED
    no_model = ENOENT

    def __init__(self, info: DeviceInfo, engine: Engine, *, boot: int) -> None:
        super().__init__(info, engine, boot=boot)
        self._preset = 1
        data: dict[str, Callable[[], object]] = {
            "ID": lambda: str(int(self._id, 16)),
            "NAME": lambda: info.board,
            "VER": lambda: {"at_api": "v0", "software": info.firmware_version, "hardware": "HX6538"},
            "STAT": lambda: {"boot_count": boot, "is_ready": 1},
            "MODELS": lambda: {"models": [self._entry(id + 1) for id in range(len(engine.models()))]},
            "SENSORS": lambda: {"sensors": [self._all_presets()]},
            "SENSOR": self._sensors,
            "INFO": lambda: {"info": ""},
            "ALGO": lambda: {"algorithm": 0},
            "TSCORE": lambda: 25,
            "TIOU": lambda: 45,
        }
        self._answer(data)
        self.queries["MODEL?"] = self._say_current
        # What is told at a boot, too, has the type of a reply.
        self._say(REPLY, "INIT@SENSOR", OK, self._sensors())
        if self._model:
            self._load("INIT@MODEL", self._model)
        else:
            self._say_model("INIT@MODEL", ENOENT, 1)
        self._say(REPLY, "INIT@ALGORITHM", OK, {"algorithm": 0})

    def _say_current(self, name: str) -> None:
        models = [self._entry(self._model)] if self._model else []
        self._say(REPLY, name, OK if models else ENOENT, {"models": models} if models else {})

    def _say_model(self, name: str, code: int, id: int) -> None:
        entry = self._entry(id) if code == OK else dict.fromkeys(("id", "type", "size", "name", "address"), 0)
        self._say(REPLY, name, code, {"model": entry} if self._model else {})

    def _switch(self, name: str, id: int, on: bool, preset: int) -> None:
        if id != _CAMERA:
            self._say(REPLY, name, ENOENT, {})
            return
        self._camera_on = on and preset < len(_PRESETS)
        if self._camera_on:
            self._preset = preset or len(_PRESETS) - 1  # the default is one of the others
        self._say(REPLY, name, EINVAL if on and not self._camera_on else OK, self._sensors())

    def _start(self, name: str, values: list[int]) -> None:
        run = self._run
        code = EPERM if not self._camera_on else ENOENT if not self._model else OK
        entry = self._entry(self._model) if code == OK else {"id": 0, "type": 0, "size": 0}
        config = {"tscore": 25, "tiou": 45}
        algorithm = {"type": 4, "category": 0, "input_from": 1, "config": config}
        reply = self._sensors() | {"models": [entry], "algorithm": algorithm}
        if code != OK or self._work.model is not None:
            self._begin(name, run, values, code, reply)
            return

        def loaded() -> None:
            failed = self._work.model is None
            self._begin(name, run, values, FAILED if failed else OK, reply)

        self._queue.appendleft(loaded)
        self._work.load(self._engine.models()[self._model - 1].address, lambda _: None)

    def _begin(self, name: str, run: int, values: list[int], code: int, reply: dict[str, object]) -> None:
        self._say(REPLY, name, code, reply)
        if code == OK:
            self._queue.append(lambda: self._frame(name, run, values[0], not values[1]))

    def _results(self, pre_ms: int, invoke_ms: int, post_ms: int, images: bool) -> dict[str, object]:
        return {
            **({"image": picture()} if images else {}),
            "classes": self._classes(),
            "perf": [pre_ms, invoke_ms, post_ms],
            "rotation": 0,
            "width": 240,
            "height": 240,
        }

    def _complain(self, text: str) -> None:
        text = text.replace("Unknown command: AT+", "Unknown command: ")
        self._say(EVENT, "AT", EINVAL, text.replace("Unknown", "Uknown").removesuffix("."))

    def _say(self, type: int, name: str, code: int, data: object) -> None:
        text = json.dumps({"type": type, "name": name, "code": code, "data": data}, separators=(",", ":"))
        self._out += b"\r" + text.encode("ascii") + b"\n"

    def _entry(self, id: int) -> dict[str, int]:
        address = self._engine.models()[id - 1].address
        return {"id": id, "type": 0, "size": _SIZE, "name": _CORE + _MODELS, "address": _CORE + address}

    def _sensors(self) -> dict[str, object]:
        preset = {"id": self._preset, "description": _PRESETS[self._preset]}
        return {"sensors": [self._camera() | {"current_preset": preset}]}

    def _all_presets(self) -> dict[str, object]:
        presets = [{"id": i, "description": name} for i, name in enumerate(_PRESETS)]
        return self._camera() | {"presets": presets, "current_preset_index": self._preset}

    def _camera(self) -> dict[str, object]:
        return {"id": _CAMERA, "type": "Camera", "initialized": self._camera_on}
