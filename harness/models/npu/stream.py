"""Decode the register command stream into named commands.

A word's bits 0-9 are the command, bits 14-15 the payload size (0: none, 1: one 32-bit word follows) and
bits 16-31 the parameter (`command_no_payload_t` and `command_with_payload_t` in ethos-u-vela's register
definitions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from harness.models.npu.faults import NpuFault

_PREFIXES = ("NPU_SET_", "NPU_OP_")


@dataclass(frozen=True)
class Command:
    """One command: its first word's index in the stream, its name without prefix, and its value.

    `value` is the 16-bit parameter of a command without payload; with one it is the payload with the
    parameter above it (bits 32-47), as addresses are laid out.
    """

    word: int
    name: str
    is_operation: bool
    has_payload: bool
    value: int

    @property
    def parameter(self) -> int:
        """The 16 bits of the command word itself."""
        return self.value >> 32 if self.has_payload else self.value

    @property
    def payload(self) -> int:
        """The 32-bit payload, 0 if there is none."""
        return self.value & 0xFFFFFFFF if self.has_payload else 0


@cache
def _names(has_payload: bool) -> dict[int, tuple[str, bool]]:
    from ethosu.vela.ethos_u55_regs.ethos_u55_regs import cmd0, cmd1

    table: dict[int, tuple[str, bool]] = {}
    for member in cmd1 if has_payload else cmd0:
        for prefix in _PREFIXES:
            if member.name.startswith(prefix):
                table[member.value] = (member.name.removeprefix(prefix), prefix == "NPU_OP_")
    return table


def decode(words: Sequence[int]) -> list[Command]:
    """Decode a command stream up to and including its STOP.

    Raises NpuFault on an unknown command, a stream that ends inside a command, one without STOP.
    """
    commands: list[Command] = []
    plain, loaded = _names(False), _names(True)
    position = 0
    while position < len(words):
        word = int(words[position])
        size = word >> 14 & 3
        code = word & 0x3FF
        known = (plain, loaded)[size].get(code) if size < 2 else None
        if known is None or word & 0x3C00:
            raise NpuFault(f"unknown command {word:#010x} at word {position} of the stream")
        value = word >> 16
        if size:
            if position + 1 >= len(words):
                raise NpuFault(f"the stream ends inside {known[0]} at word {position}")
            value = value << 32 | int(words[position + 1])
        commands.append(Command(position, known[0], known[1], bool(size), value))
        position += 1 + size
        if known == ("STOP", True):
            return commands
    raise NpuFault(f"the command stream has no STOP in its {len(words)} words")
