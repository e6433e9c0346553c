"""The kernel libraries that boards have behind TFLite-Micro, by the names that profiles give them."""

from __future__ import annotations

from harness.models.esp_nn import ESP32S3
from harness.models.operator_memory import REFERENCE, Kernels

_ACCOUNTED: dict[str, Kernels] = {"ESP-NN": ESP32S3}


def is_accounted(name: str) -> bool:
    """Whether it is known what the kernels called `name` keep in the arena."""
    return name in _ACCOUNTED


def kernels(name: str) -> Kernels:
    """Return what the kernels called `name` keep in the arena: where that is not known, the reference's."""
    return _ACCOUNTED.get(name, REFERENCE)
