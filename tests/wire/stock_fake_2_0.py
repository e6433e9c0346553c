"""Stock firmware 2.0.0 on a made-up board, from Seeed-Studio/SSCMA-Micro at 60e2ede and nothing else.

Where: sscma/server/at/ma_server_at.cpp (commands, their arguments), callback/invoke.hpp, sensor.hpp,
model.hpp, codec/ma_codec_json.cpp (what is written); and porting/himax/we2/ma_device.cpp and
ma_camera_himax.cpp in Seeed-Studio/sscma-example-we2 (models, their addresses, presets).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.wire.stock_line import Chip, Work, parts

STEP = 4096
SEEN_AT = 0x3A400000
PICTURE = "/9j/" + "Q" * 16380
PRESETS = ("Default", "240x240 Small", "416x416 Small", "480x480 Small", "640x480 Small")
RESPONSE, EVENT = 0, 1
OK, EINVAL, EPERM, ENOENT = 0, 5, 9, 10


class SecondFake(Chip):
    """`flash`: what is in the region for models; `costs(n)`: ms of the n-th frame of all, from 0."""

    def __init__(
        self,
        flash: bytes,
        costs: Callable[[int], int],
        *,
        camera_s: float = 0.3,
        camera_fails_at_boot: bool = False,
        recognised: bool = True,
        noisy: bool = False,
        portion: int = 1 << 16,
        resets_before: int | None = None,
        loses: int | None = None,
        images: bool = False,
    ) -> None:
        self.flash = flash
        self.costs = costs
        self.camera_s = camera_s
        self.camera_fails = camera_fails_at_boot
        self.recognised = recognised
        self.images = images
        self.camera_starts = 0
        self.stored_model = 1
        super().__init__(noisy=noisy, portion=portion, resets_before=resets_before, loses=loses)

    def boot(self) -> None:
        found = [at for at in range(0, len(self.flash), STEP) if self.flash[at + 4 : at + 8] == b"TFL3"]
        # Nobody sets "size"; "name" is where the region begins.
        self.models = [
            {"id": i + 1, "type": 0, "size": 537001984 + i, "name": SEEN_AT, "address": SEEN_AT + at}
            for i, at in enumerate(found)
        ]
        self.model = self.task = self.sensor = 0
        self.on, self.preset = False, 0

        def start() -> Work:
            yield from self._configure("INIT@SENSOR", 0, 1, 1, by_event=True)
            yield from self._choose("INIT@MODEL", self.stored_model)
            self._write(RESPONSE, OK, "INIT@ALGORITHM", {"algorithm": 0})

        self.put(start)

    # ---- commands

    def command(self, line: str) -> None:
        name, target, given = parts(line)
        wanted = {"MODEL": 1, "SENSOR": 3, "INVOKE": 2, "BREAK": 0, "RST": 0}.get(target)
        numbers = [int(text) for text in given if text.lstrip("-").isdigit()][: wanted or 0]
        if target in ("ID?", "NAME?", "VER?", "STAT?", "MODELS?", "MODEL?", "SENSORS?", "SENSOR?"):
            self.put(lambda: self._query(name, target))
        elif wanted is None:
            self._write(EVENT, EINVAL, "AT", f"Uknown command: {name or line}")
        elif len(numbers) < wanted:
            self._write(EVENT, EINVAL, "AT", f"Command {name} got wrong arguments")
        elif target == "RST":
            self.put(self._reboot)
        elif target == "BREAK":
            self.put(lambda: self._break(name))
        elif target == "MODEL":
            self.put(lambda: self._choose(name, numbers[0]), "MODEL")
        elif target == "SENSOR":
            self.put(lambda: self._configure(name, *numbers), "SENSOR")
        else:
            self.put(lambda: self._invoke(name, *numbers), "INVOKE")

    def _query(self, name: str, target: str) -> Work:
        code, data = OK, {
            "ID?": "1592053881131701",
            "NAME?": "Grove Vision AI V2",
            "VER?": {"at_api": "v0", "software": "2025.02.11", "hardware": "HX6538"},
            "STAT?": {"boot_count": 7, "is_ready": 1},
            "MODELS?": {"models": self.models},
            "SENSORS?": {"sensors": [self._camera() | self._presets()]},
        }.get(target)  # fmt: skip
        if target == "MODEL?":
            data = {"models": [one for one in self.models if one["id"] == self.model]}
            code = OK if data["models"] else ENOENT
        elif target == "SENSOR?":
            code, data = (OK, self._now()) if self.sensor is not None else (ENOENT, {})
        self._write(RESPONSE, code, name, data)
        yield 0.0

    def _reboot(self) -> Work:
        self.restart()
        yield 0.0

    def _break(self, name: str) -> Work:
        self.task += 1
        self._write(RESPONSE, OK, name, 81990)
        yield 0.0

    def _choose(self, name: str, id: int) -> Work:
        self.task += 1
        one = next((one for one in self.models if one["id"] == id), None)
        if one is not None:
            yield 0.4
            self.model = self.stored_model = id
        nothing = dict.fromkeys(("id", "type", "size", "name", "address"), 0)
        self._write(*(RESPONSE, OK if one else ENOENT, name), {"model": one or nothing} if self.model else {})

    def _configure(self, name: str, id: int, on: int, preset: int, by_event: bool = False) -> Work:
        self.task += 1
        code = OK if id == 0 else ENOENT
        if not code:
            self.on = False
            if on:
                yield self.camera_s
                self.camera_starts += not by_event
                code = EINVAL if preset >= len(PRESETS) else 4 if by_event and self.camera_fails else OK
                self.on = not code
                self.preset = (preset or 3) if self.on else self.preset
        self._write(RESPONSE, code, name, self._now() if id == 0 else {})

    def _invoke(self, name: str, n: int, only_results: int) -> Work:
        self.task += 1
        task = self.task
        one = next((one for one in self.models if one["id"] == self.model), None)
        code = (OK if self.on else EPERM) or (OK if one else ENOENT)
        if not code:
            yield 0.4
            code = OK if self.recognised else 8
        config = {"tscore": 25, "tiou": 45}
        algorithm = {"type": 0, "category": 0, "input_from": 1, "config": config}
        self._write(RESPONSE, code, name, self._now() | {"models": [one or {}], "algorithm": algorithm})
        if not code:
            self.put(lambda: self._frame(name, n, not only_results or self.images, task, 1))

    def _frame(self, name: str, n: int, image: bool, task: int, count: int) -> Work:
        if 0 <= n < count or task != self.task:
            return
        if not self.next_frame():
            yield 0.0
            return
        cost = self.costs(self.frames - 1)
        yield 0.007 + cost / 1000 + 0.002
        data: dict[str, Any] = {"count": count} | ({"image": PICTURE} if image else {})
        data |= {"boxes": [[12.5, 3.25, 40, 40, 71, 0]], "perf": [7, cost, 2]}
        data |= {"rotation": 0, "width": 240, "height": 240}
        if self.frames != self.loses:
            self._write(EVENT, OK, name, data)
        self.put(lambda: self._frame(name, n, image, task, count + 1))

    # ---- what it says

    def _write(self, type: int, code: int, name: str, data: object) -> None:
        reply = {"type": type, "name": name, "code": code, "data": data}
        self.send(b"\r" + json.dumps(reply, separators=(",", ":")).encode() + b"\n")

    def _camera(self) -> dict[str, Any]:
        return {"id": 0, "type": "Camera", "initialized": self.on}

    def _presets(self) -> dict[str, Any]:
        presets = [{"id": i, "description": text} for i, text in enumerate(PRESETS)]
        return {"presets": presets, "current_preset_index": self.preset}

    def _now(self) -> dict[str, Any]:
        preset = {"id": self.preset, "description": PRESETS[self.preset]}
        return {"sensors": [self._camera() | {"current_preset": preset}]}
