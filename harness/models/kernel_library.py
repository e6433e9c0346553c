"""What a board's kernel library keeps in the arena, by the name that its profile gives the library."""

from __future__ import annotations

from harness.models.cmsis_nn import CORTEX_M55
from harness.models.esp_nn import ESP32S3
from harness.models.operator_memory import Kernels

# By the library's name, and how the name of the core begins that it was built for.
_LIBRARIES: dict[tuple[str, str], Kernels] = {
    ("ESP-NN", "Xtensa LX7"): ESP32S3,
    ("CMSIS-NN", "Arm Cortex-M55"): CORTEX_M55,
}


def library(name: str, core: str) -> Kernels | None:
    """Return the kernels called `name` for a core, None if what they keep is not accounted for."""
    return next((k for (n, c), k in _LIBRARIES.items() if n == name and core.startswith(c)), None)
