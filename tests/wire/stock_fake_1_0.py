"""Stock firmware 1.0.x on a made-up board, from Seeed-Studio/SSCMA-Micro at ff48a1c and nothing else.

Where: sscma/main_task.hpp (commands), repl/server.hpp (their arguments), callback/invoke.hpp, sensor.hpp,
model.hpp, core/data/el_data_models.cpp (which models are found), porting/himax/we2 (addresses, boot count).
"""

from __future__ import annotations

from collections.abc import Callable

from tests.wire.stock_line import Chip, Work, parts

STEP = 4096
REGION = 0x400000
IMAGE = "/9j/" + "A" * 16380
REGISTERED, AVAILABLE, LOCKED = 0, 1, 2


class FirstFake(Chip):
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
        self.models = self._seek()
        self.model = self.stored_model
        self.loaded = False
        self.sensor, self.state, self.camera, self.preset = 1, REGISTERED, False, 0
        self.task = 0
        self.is_invoke = 0

        def sensor_hook() -> Work:
            yield from self._set_sensor("INIT@SENSOR", 1, True, 0, event=True)

        self.put(sensor_hook)
        self.put(lambda: self._tell("INIT@STAT?", self._stat()))

    def _seek(self) -> list[tuple[int, int, int, int]]:
        """(id, type, address, size), the one found last first; packed ones before plain ones."""
        found: list[tuple[int, int, int, int]] = []
        at = 0
        while at < len(self.flash):
            head = self.flash[at : at + 8]
            size = int.from_bytes(head[4:7], "big")
            if head[:3] == b"TFL" and head[3] >> 4 and head[3] & 15 and size:
                found.insert(0, (head[3] >> 4, head[3] & 15, REGION + at, size))
                at += size
            at += STEP
        used = {one[0] for one in found}
        for at in range(0, len(self.flash), STEP):
            if self.flash[at + 4 : at + 8] == b"TFL3":
                id = next(id for id in range(1, 99) if id not in used)
                used.add(id)
                found.insert(0, (id, 0, REGION + at, 0))
        return found

    # ---- commands

    def command(self, line: str) -> None:
        name, target, given = parts(line)
        numbers = [int(text) for text in given if text.lstrip("-").isdigit()]
        wanted = {"MODEL": 1, "SENSOR": 3, "INVOKE": 3, "BREAK": 0, "RST": 0}.get(target)
        queries: dict[str, Callable[[], str]] = {
            "ID?": lambda: '"9f3c00a1"',
            "NAME?": lambda: '"Grove Vision AI V2"',
            "VER?": lambda: '{"at_api": "v0", "software": "2024.03.21", "hardware": "2"}',
            "STAT?": self._stat,
            "MODELS?": lambda: "[" + ", ".join(map(_model, self.models)) + "]",
            "MODEL?": lambda: _model(self._info(self.model)),
            "SENSORS?": lambda: f"[{self._sensor(True)}]",
            "SENSOR?": lambda: self._sensor(False),
            "INVOKE?": lambda: str(self.is_invoke),
        }
        if target in queries:
            self.put(lambda: self._tell(name, queries[target]()))
        elif wanted is None:
            self._log(f"Unknown command: {line}")
        elif len(numbers) < wanted:
            self._log(f"Command {name} got wrong arguements.")
        elif target == "RST":
            self.put(self._reboot)
        elif target == "BREAK":
            self.put(lambda: self._break(name))
        elif target == "MODEL":
            self.put(lambda: self._set_model(name, numbers[0]), "MODEL")
        elif target == "SENSOR":
            self.put(lambda: self._set_sensor(name, numbers[0], bool(numbers[1]), numbers[2]), "SENSOR")
        else:
            if not self.loaded:  # done by the listener, and told without a tag
                for _ in self._set_model("MODEL", self.model):
                    pass
            self.put(lambda: self._invoke(name, *numbers[:3]), "INVOKE")

    def _reboot(self) -> Work:
        self.restart()
        yield 0.0

    def _break(self, name: str) -> Work:
        self.task += 1
        yield from self._tell(name, "81990")

    def _set_model(self, name: str, id: int) -> Work:
        self.task += 1
        one = self._info(id)
        code = 0 if one[0] else 5
        if not code:
            yield 0.4
            self.loaded, self.model, self.stored_model = True, id, id
        self._reply(0, name, code, '{"model": ' + _model(one) + "}")

    def _set_sensor(self, name: str, id: int, on: bool, preset: int, event: bool = False) -> Work:
        self.task += not event
        code = 0 if id == 1 else 5
        if not code:
            self.state, self.camera = LOCKED, False
            if on:
                yield self.camera_s
                self.camera_starts += not event
                code = 4 if event and self.camera_fails else 0
            if code:
                self.sensor = 0
            else:
                self.sensor, self.state, self.camera, self.preset = 1, AVAILABLE, on, preset
        self._reply(int(event), name, code, '{"sensor": ' + self._sensor(False) + "}")

    def _invoke(self, name: str, n: int, differed: int, only_results: int) -> Work:
        self.task += 1
        self.is_invoke = 1
        one = self._info(self.model)
        code = 0 if self.sensor and self.state == AVAILABLE else 4
        code = code or (0 if one[0] else 5) or (0 if self.loaded else 9)
        code = code or (0 if one[1] or self.recognised else 5)
        if code:
            self.is_invoke = 0
            self._reply(0, name, code, self._all(one))
            return
        task = self.task

        def loop() -> Work:
            self._reply(0, name, 0, self._all(one))
            yield from self._frame(name, n, not only_results or self.images, task, 1)

        self.put(loop)
        yield 0.0

    def _frame(self, name: str, n: int, image: bool, task: int, count: int) -> Work:
        if 0 <= n < count or task != self.task:
            self.is_invoke = 0  # even if another run has begun meanwhile
            return
        if not self.next_frame():
            yield 0.0
            return
        if not self.camera:
            self.is_invoke = 0
            self._reply(1, name, 9, f'{{"count": {count}}}')
            return
        cost = self.costs(self.frames - 1)
        yield 0.007 + cost / 1000 + 0.002
        shown = f'{{"count": {count}, "perf": [7, {cost}, 2], "boxes": [], "resolution": [240, 240]'
        if image:
            shown += f', "image": "{IMAGE}", "rotate": 0'
        if self.frames != self.loses:
            self._reply(1, name, 0, shown + "}")
        self.put(lambda: self._frame(name, n, image, task, count + 1))

    # ---- what it says

    def _tell(self, name: str, data: str) -> Work:
        self._reply(0, name, 0, data)
        yield 0.0

    def _reply(self, type: int, name: str, code: int, data: str) -> None:
        self.send(
            f'\r{{"type": {type}, "name": "{name}", "code": {code}, "data": {data}}}\n'.encode("latin-1")
        )

    def _log(self, text: str) -> None:
        clean = "".join(char if char.isprintable() and char not in '"\\' else "?" for char in text)
        self._reply(2, "AT", 5, f'"{clean}"')

    def _stat(self) -> str:
        return '{"boot_count": 0, "is_ready": 1}'

    def _info(self, id: int) -> tuple[int, int, int, int]:
        return next((one for one in self.models if one[0] == id), (0, 0, 0, 0))

    def _all(self, one: tuple[int, int, int, int]) -> str:
        algorithm = '{"type": 4, "categroy": 3, "input_from": 1}'
        return f'{{"model": {_model(one)}, "algorithm": {algorithm}, "sensor": {self._sensor(False)}}}'

    def _sensor(self, every: bool) -> str:
        id = 1 if every else self.sensor
        if not id:
            return '{"id": 0, "type": 0, "state": 0, "opt_id": -1, "opt_detail": "Unknown", "opts": {}}'
        opts = ', "opts": {"0": "240x240 Auto", "1": "480x480 Auto", "2": "640x480 Auto"}' if every else ""
        detail = ("240x240 Auto", "480x480 Auto", "640x480 Auto")[self.preset]
        shown = f'"opt_id": {self.preset}, "opt_detail": "{detail}"{opts}'
        return f'{{"id": 1, "type": 1, "state": {self.state}, {shown}}}'


def _model(one: tuple[int, int, int, int]) -> str:
    return '{{"id": {}, "type": {}, "address": {}, "size": {}}}'.format(*one)
