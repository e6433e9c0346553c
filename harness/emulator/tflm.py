"""Real TFLite-Micro, in this process, from the `tflite-micro` wheel."""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import extras
from harness.errors import HarnessError

if TYPE_CHECKING:
    import numpy as np


class TflmError(Exception):
    """TFLite-Micro refused a model or an invoke; the text is what it printed."""


@dataclass(frozen=True)
class ArenaUse:
    """What the recording allocator reports, in bytes: head (activations), tail (persistent), sum."""

    used: int
    head: int
    tail: int


class Interpreter:
    """A model loaded into TFLite-Micro's recording interpreter.

    The figures are those of this 64-bit host: the head is the same on every machine, the tail holds
    pointers and so is larger than on a 32-bit chip.
    """

    def __init__(self, model: bytes, arena_bytes: int) -> None:
        """Load `model` and allocate its tensors in an arena of `arena_bytes`.

        Raises:
            TflmError: an operator is missing, the arena is too small, or the model is malformed.
            HarnessError: the wheel is not installed on this machine.
        """
        runtime = import_runtime()
        with _native_stderr() as printed:
            try:
                self._interpreter: Any = runtime.Interpreter.from_bytes(model, arena_size=arena_bytes)
                self._interpreter.print_allocations()
            except (RuntimeError, ValueError) as error:
                raise TflmError(_first_lines(printed.text()) or str(error)) from None
            self.arena = _parse_allocations(printed.text())

    def set_input(self, index: int, array: np.ndarray) -> None:
        """Copy `array`, of exactly the tensor's shape and type, into input `index`."""
        self._interpreter.set_input(array, index)

    def invoke(self) -> None:
        """Run the model once.

        Raises:
            TflmError: an operator failed; the text is what it printed.
        """
        with _native_stderr() as printed:  # about 10 us
            try:
                self._interpreter.invoke()
            except RuntimeError as error:
                raise TflmError(_first_lines(printed.text()) or str(error)) from None

    def reset(self) -> None:
        """Set variable tensors back to what they are before the first invoke."""
        self._interpreter.reset()

    def output(self, index: int) -> np.ndarray:
        """Return a copy of output `index` as the last invoke left it."""
        output: np.ndarray = self._interpreter.get_output(index)
        return output.copy()


def require_runtime(what: str = "an emulated board") -> None:
    """Raise HarnessError unless the `tflite-micro` wheel is installed; imports nothing.

    `what` (singular) is what needs it.
    """
    if extras.is_installed("tflite_micro"):
        return
    if sys.platform == "linux" and platform.machine() == "x86_64":
        raise extras.missing("tflite_micro", what)
    raise HarnessError(
        f"{what} needs the 'tflite-micro' wheel, which exists for Linux on x86-64 only "
        f"(this is {sys.platform} on {platform.machine()}); bench a board attached to this machine with "
        "--port, or run on Linux x86-64"
    )


def import_runtime(what: str = "an emulated board") -> Any:
    """Return the wheel's module; raises HarnessError if it is not installed on this machine."""
    require_runtime(what)
    from tflite_micro import runtime

    return runtime


class _Printed:
    def __init__(self, file: Any) -> None:
        self._file = file

    def text(self) -> str:
        self._file.seek(0)
        return str(self._file.read().decode("utf-8", "replace"))


@contextmanager
def _native_stderr() -> Iterator[_Printed]:
    """Collect what native code prints to standard error: TFLite-Micro has no other way to say why."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield _Printed(file)
        finally:
            os.dup2(saved, 2)
            os.close(saved)


_ALLOCATION = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


def _parse_allocations(text: str) -> ArenaUse:
    found = {name: int(size) for name, size in _ALLOCATION.findall(text)}
    return ArenaUse(used=found["total"], head=found["head"], tail=found["tail"])


def _first_lines(text: str, limit: int = 2) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines[:limit])
