"""What the two generations of the stock firmware say differently, and which of them a board runs.

Read from Seeed-Studio/SSCMA-Micro at ff48a1c (1.0.x) and 60e2ede (2.0.0). Both call themselves by a date in
`VER?`, so the shape of what `MODELS?` brings tells them apart: a list, or an object with a list in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MODELS_AT = 0x400000
"""Where the flash region for models begins in the vendor's builds of 2.0.0, whose list has core addresses."""
AVAILABLE = 1
"""State of a sensor of 1.0.x that is switched on (core/el_types.h); 0 is registered, 2 locked."""

Codes = dict[int, tuple[str, str]]
"""Error codes: the name of each, and what it means, as a clause."""
COMMON: Codes = {
    1: ("AGAIN", "it is not ready yet"),
    2: ("ELOG", "something does not fit together in the firmware"),
    3: ("ETIMEDOUT", "it took the firmware too long"),
    4: ("EIO", "the camera or the flash memory did not work"),
    5: ("EINVAL", "the firmware knows no such command, model or value"),
    6: ("ENOMEM", "the model does not fit into the firmware's memory"),
    7: ("EBUSY", "the firmware is at something else"),
    8: ("ENOTSUP", "the firmware cannot run this kind of model, or has no driver for this camera"),
    9: ("EPERM", "a model has to be loaded or the camera switched on first"),
}


@dataclass(frozen=True)
class Sensor:
    """A camera: `detail` is the preset in the firmware's words, `on` whether it brings frames."""

    id: int
    on: bool
    preset: int
    detail: str | None

    @property
    def words(self) -> str:
        """The camera as a record shows it."""
        return f"sensor {self.id}, {self.detail or f'preset {self.preset}'}"


@dataclass(frozen=True)
class Generation:
    """A generation of the stock firmware.

    Attributes:
        name: "1.0" or "2.0".
        models: returns (id, flash address) of each model in what `MODELS?` brings, by address; raises
            ValueError for a list that cannot be read.
        sensors: returns the cameras in what `SENSORS?`, `SENSOR?` or `SENSOR=` brings.
        invoke: the arguments of `INVOKE=` for so many frames, each told without an image.
        at_work: the query whose answer is 1 only if a run is under way; None if there is none.
    """

    name: str
    models: Callable[[Any], list[tuple[int, int]]]
    sensors: Callable[[Any], list[Sensor]]
    invoke: Callable[[int], str]
    at_work: str | None
    codes: Codes


def code_name(codes: Codes, code: object) -> str:
    """Return the name of an error code, or "error N" if it has none."""
    return codes[code][0] if isinstance(code, int) and code in codes else f"error {code}"


def code_words(codes: Codes, code: object) -> str:
    """Return name and meaning of an error code."""
    name = code_name(codes, code)
    return f"{name} ({codes[code][1]})" if isinstance(code, int) and code in codes else name


def generation_of(models: object) -> Generation | None:
    """Return the generation whose `MODELS?` brings this; None if none does."""
    if isinstance(models, list):
        return FIRST
    return SECOND if isinstance(models, dict) and isinstance(models.get("models"), list) else None


def is_count(value: object) -> bool:
    """Say whether `value` is a whole number from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _first_models(data: Any) -> list[tuple[int, int]]:
    return _by_address((entry, _number(entry, "address")) for entry in data)


def _second_models(data: Any) -> list[tuple[int, int]]:
    """The devices fill in as "address" where the core sees the model, as "name" where the region begins.

    (porting/himax/we2/ma_device.cpp in sscma-example-we2, espressif/esp32s3/ma_device.cpp in -esp32.)
    """
    found = []
    for entry in data["models"]:
        address, region = _number(entry, "address"), entry.get("name")
        inside = is_count(region) and 0 < region <= address
        found.append((entry, address - region + MODELS_AT if inside else address))
    return _by_address(found)


def _by_address(found: Any) -> list[tuple[int, int]]:
    return sorted(((_number(entry, "id"), address) for entry, address in found), key=lambda one: one[1])


def _number(entry: Any, key: str) -> int:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, int) or not is_count(value):
        raise ValueError(f"lists a model without {key}")
    return value


def _first_sensors(data: Any) -> list[Sensor]:
    entries = [data.get("sensor", data)] if isinstance(data, dict) else data
    return [
        Sensor(
            entry["id"],
            entry.get("state") == AVAILABLE,
            _preset(entry.get("opt_id")),
            entry.get("opt_detail"),
        )
        for entry in _entries(entries)
        if entry["id"] and entry.get("type") == 1  # id 0: no sensor is chosen
    ]


def _second_sensors(data: Any) -> list[Sensor]:
    found = []
    for entry in _entries(data.get("sensors") if isinstance(data, dict) else None):
        if entry.get("type") != "Camera":
            continue
        now = entry.get("current_preset")
        now = now if isinstance(now, dict) else {"id": entry.get("current_preset_index")}
        preset = _preset(now.get("id"))
        found.append(Sensor(entry["id"], entry.get("initialized") is True, preset, now.get("description")))
    return found


def _entries(entries: Any) -> list[dict[str, Any]]:
    found = entries if isinstance(entries, list) else []
    return [entry for entry in found if isinstance(entry, dict) and is_count(entry.get("id"))]


def _preset(value: Any) -> int:
    return value if is_count(value) else 0


FIRST = Generation(
    name="1.0",
    models=_first_models,
    sensors=_first_sensors,
    invoke=lambda n: f"{n},0,1",
    at_work="INVOKE",
    codes={**COMMON, 10: ("EUNKNOWN", "the firmware gives no reason")},
)
SECOND = Generation(
    name="2.0",
    models=_second_models,
    sensors=_second_sensors,
    invoke=lambda n: f"{n},1",
    at_work=None,
    codes={
        **COMMON,
        -1: ("FAILED", "the firmware gives no reason"),
        10: ("ENOENT", "the firmware has no such model or sensor"),
        11: ("EEXIST", "the firmware has this already"),
        12: ("OVERFLOW", "something is too large for the firmware"),
    },
)
