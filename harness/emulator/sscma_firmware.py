"""The AT commands of the vendor's stock firmware as 1.0.x speaks them, and the choice of the generation.

Written from Seeed-Studio/SSCMA-Micro at ff48a1c: sscma/main_task.hpp, repl/server.hpp and executor.hpp,
callback/*.hpp, core/data/el_data_models.cpp.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from harness.emulator.engine import DeviceInfo, Engine
from harness.emulator.sscma_firmware_2 import SecondGeneration
from harness.emulator.stock_firmware import (
    EFAILED,
    EINVAL,
    EIO,
    EPERM,
    EVENT,
    LOG,
    OK,
    PRESETS,
    REPLY,
    SscmaFirmware,
    picture,
)

_ALGORITHM = {"type": 4, "categroy": 3, "input_from": 1}
"""A classifier, in the stock firmware's numbering and spelling."""
_STANDING_STILL = ("grove_vision_ai_we2",)
"""Boards whose boot count is not kept (porting/himax/we2/boards/*/board.h)."""


class FirstGeneration(SscmaFirmware):
    """Version 1.0.x."""

    arguments = {"BREAK": 0, "RST": 0, "MODEL": 1, "SENSOR": 3, "INVOKE": 3}  # noqa: RUF012
    failed = EFAILED

    def __init__(self, info: DeviceInfo, engine: Engine, *, boot: int) -> None:
        super().__init__(info, engine, boot=boot)
        self._state = 1
        self._going: int | None = None
        data: dict[str, Callable[[], object]] = {
            "ID": lambda: self._id,
            "NAME": lambda: info.board,
            "VER": lambda: {"at_api": "v0", "software": info.firmware_version, "hardware": "1"},
            "STAT": self._status,
            "MODELS": lambda: [self._entry(id) for id in range(len(engine.models()), 0, -1)],
            "MODEL": lambda: self._entry(self._model),
            "ALGOS": lambda: [_ALGORITHM],
            "ALGO": lambda: _ALGORITHM,
            "SENSORS": lambda: [self._sensor() | {"opts": {str(i): name for i, name in enumerate(PRESETS)}}],
            "SENSOR": self._sensor,
            "INFO": lambda: {"crc16_maxim": 0, "info": ""},
            "INVOKE": lambda: int(self._going == self._run),
            "SAMPLE": lambda: 0,
        }
        self._answer(data)
        self._say(EVENT, "INIT@SENSOR", OK, {"sensor": self._sensor()})
        self._say(REPLY, "INIT@STAT?", OK, self._status())

    def _accept(self, name: str, target: str, values: list[int]) -> None:
        if target == "INVOKE" and self._work.model is None and not self._work.going:
            self._queue.append(lambda: self._load("MODEL", self._model))
        super()._accept(name, target, values)

    def _say_model(self, name: str, code: int, id: int) -> None:
        self._say(REPLY, name, code, {"model": self._entry(id)})

    def _switch(self, name: str, id: int, on: bool, preset: int) -> None:
        code = OK if id == 1 else EINVAL
        if code == OK and on and preset >= len(PRESETS):
            code, self._state = EINVAL, 2  # it stays locked
        elif code == OK:
            # "Available" is what it is called when it is switched off, too.
            self._camera_on, self._state = on, 1
            self._preset = preset if on else self._preset
        self._say(REPLY, name, code, {"sensor": self._sensor()})

    def _start(self, name: str, values: list[int]) -> None:
        run = self._run
        code = EIO if self._state != 1 else EINVAL if not self._model else OK
        code = EPERM if code == OK and self._work.model is None else code
        reply = {"model": self._entry(self._model), "algorithm": _ALGORITHM, "sensor": self._sensor()}
        if code != OK:
            self._say(REPLY, name, code, reply)
            return
        self._going = run

        def begin() -> None:
            self._say(REPLY, name, OK, reply | {"algorithm": _ALGORITHM | {"config": {"tscore": 60}}})
            # Its first frame follows at once; the reply is on the line by then.
            self._queue.appendleft(lambda: self._frame(name, run, values[0], not values[2]))

        self._queue.append(begin)

    def _frame(self, name: str, run: int, n: int, images: bool, count: int = 1) -> None:
        if 0 <= n < count and run == self._going:
            self._going = None
        super()._frame(name, run, n, images, count)

    def _results(self, pre_ms: int, invoke_ms: int, post_ms: int, images: bool) -> dict[str, object]:
        found = {
            "perf": [pre_ms, invoke_ms, post_ms],
            "classes": self._classes(),
            "resolution": [240, 240],
        }
        return found | ({"image": picture(), "rotate": 0} if images else {})

    def _complain(self, text: str) -> None:
        self._say(LOG, "AT", EINVAL, text)

    def _say(self, type: int, name: str, code: int, data: object) -> None:
        text = json.dumps({"type": type, "name": name, "code": code, "data": data})
        self._out += b"\r" + text.encode("ascii") + b"\n"

    def _status(self) -> object:
        return {"boot_count": 0 if self._info.board in _STANDING_STILL else self._boot, "is_ready": 1}

    def _entry(self, id: int) -> dict[str, int]:
        models = self._engine.models()
        if not 1 <= id <= len(models):
            return {"id": 0, "type": 0, "address": 0, "size": 0}
        # A model that is found by its own header has no type and no size.
        return {"id": id, "type": 0, "address": models[id - 1].address, "size": 0}

    def _sensor(self) -> dict[str, object]:
        detail = PRESETS[self._preset]
        return {"id": 1, "type": 1, "state": self._state, "opt_id": self._preset, "opt_detail": detail}


def boot(info: DeviceInfo, engine: Engine, boots: int) -> SscmaFirmware:
    """Return the firmware as it runs after a boot; it tells how often the board has."""
    made = {"1.0": FirstGeneration, "2.0": SecondGeneration}[info.stock_generation]
    return made(info, engine, boot=boots)
