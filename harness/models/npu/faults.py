"""What the NPU would fault on, with the place in the command stream where it does."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import BoardError


class NpuFault(BoardError):
    """The NPU cannot execute what it was given.

    `operation` is the index of the operation in its command stream (-1: before the first one),
    `registers` the register values that took part, by name.
    """

    kind = "NPU fault"

    def __init__(self, reason: str, operation: int = -1, registers: Mapping[str, int] | None = None) -> None:
        self.reason = reason
        self.operation = operation
        self.registers = dict(registers or {})
        super().__init__(self._text())

    @property
    def where(self) -> str:
        """The place as the beginning of a sentence: "operation 3: ", or nothing."""
        return f"operation {self.operation}: " if self.operation >= 0 else ""

    def _text(self) -> str:
        shown = ", ".join(f"{name}={value:#x}" for name, value in self.registers.items())
        return f"{self.kind}: {self.where}{self.reason}" + (f" [{shown}]" if shown else "")

    def __reduce__(self) -> tuple[type[NpuFault], tuple[str, int, dict[str, int]]]:
        return type(self), (self.reason, self.operation, self.registers)

    def at(self, operation: int) -> NpuFault:
        """Return this fault placed at operation `operation`, unless it has a place already."""
        return self if self.operation >= 0 else type(self)(self.reason, operation, self.registers)


class NotModelled(NpuFault):
    """The model uses something of the NPU or around it that is not modelled here; a board may take it."""

    kind = "not modelled"
