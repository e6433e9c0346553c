"""What can be wrong with a virtual board itself, written as one word: `silent` or `clock=1.02,name=other`.

What can be wrong with its line is in `harness.emulator.faults`; `harness emulate --help` shows both.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.emulator.engine import DeviceInfo, EngineError
from harness.emulator.engine_process import ProcessEngine
from harness.errors import HarnessError, nearest
from harness.wire.messages import ErrorCode

_PLAIN = ("silent", "boot-loop", "invoke")
_VALUED = ("clock", "name", "version")
PANIC = b"\r\nBrownout detector was triggered\r\n\r\n"
BETWEEN_BOOTS_S = 0.3


@dataclass(frozen=True)
class Troubles:
    """The default is a board that is well.

    Attributes:
        silent: its firmware says nothing and hears nothing.
        boot_loop: it resets whenever its firmware starts, with a panic on the console.
        invoke: every invoke fails.
        clock: how many times as fast as it says its clock runs.
        name: the board that its firmware says it is; None = the one it is.
        version: the version that its firmware says it is, under another build hash; None = the shipped one.
    """

    silent: bool = False
    boot_loop: bool = False
    invoke: bool = False
    clock: float = 1.0
    name: str | None = None
    version: str | None = None

    def told(self, info: DeviceInfo) -> DeviceInfo:
        """Return what the firmware says of itself and its board."""
        if self.version is not None:
            build = hashlib.sha256(self.version.encode()).hexdigest()
            info = replace(info, firmware_version=self.version, build_hash=build)
        return info if self.name is None else replace(info, board=self.name)


def parse_troubles(spec: str) -> Troubles:
    """Read a list of troubles; raises HarnessError that names the part that is wrong."""
    given: dict[str, bool | float | str] = {}
    for part in filter(None, (word.strip() for word in spec.split(","))):
        name, sign, value = part.partition("=")
        if name not in (*_PLAIN, *_VALUED):
            raise HarnessError(f"--trouble: unknown trouble '{name}'{nearest(name, (*_PLAIN, *_VALUED))}")
        if bool(sign and value) != (name in _VALUED):
            wanted = f"{name}=..." if name in _VALUED else name
            raise HarnessError(f"--trouble: '{part}' should be written {wanted}")
        given[name.replace("-", "_")] = (
            _factor(part, value) if name == "clock" else value if name in _VALUED else True
        )
    return Troubles(**given)  # type: ignore[arg-type]


def _factor(part: str, text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0.1 <= factor <= 10:
        raise HarnessError(f"--trouble: '{part}': a clock runs 0.1 to 10 times as fast as it should")
    return factor


class FailingEngine(ProcessEngine):
    """An engine that takes models and cannot run them."""

    def begin_invoke(self, inputs: Sequence[bytes], profile: bool) -> None:
        raise EngineError(ErrorCode.INVOKE_FAILED, "node 3 (CONV_2D) failed to invoke")
