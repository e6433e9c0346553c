"""Decode the register command stream into named commands.

A word's bits 0-9 are the command, bits 14-15 the payload size (0: none, 1: one 32-bit word follows) and
bits 16-31 the parameter (`command_no_payload_t` and `command_with_payload_t` in ethos-u-vela's register
definitions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.models.npu.faults import NpuFault

# The commands of the Ethos-U55 and the numbers they have in its register definitions.
_OPERATIONS = """
STOP:0x0 IRQ:0x1 CONV:0x2 DEPTHWISE:0x3 POOL:0x5 ELEMENTWISE:0x6 DMA_START:0x10 DMA_WAIT:0x11
KERNEL_WAIT:0x12 PMU_MASK:0x13
"""
_PLAIN_SETTINGS = """
IFM_PAD_TOP:0x100 IFM_PAD_LEFT:0x101 IFM_PAD_RIGHT:0x102 IFM_PAD_BOTTOM:0x103 IFM_DEPTH_M1:0x104
IFM_PRECISION:0x105 IFM_UPSCALE:0x107 IFM_ZERO_POINT:0x109 IFM_WIDTH0_M1:0x10a IFM_HEIGHT0_M1:0x10b
IFM_HEIGHT1_M1:0x10c IFM_IB_END:0x10d IFM_REGION:0x10f OFM_WIDTH_M1:0x111 OFM_HEIGHT_M1:0x112
OFM_DEPTH_M1:0x113 OFM_PRECISION:0x114 OFM_BLK_WIDTH_M1:0x115 OFM_BLK_HEIGHT_M1:0x116 OFM_BLK_DEPTH_M1:0x117
OFM_ZERO_POINT:0x118 OFM_WIDTH0_M1:0x11a OFM_HEIGHT0_M1:0x11b OFM_HEIGHT1_M1:0x11c OFM_REGION:0x11f
KERNEL_WIDTH_M1:0x120 KERNEL_HEIGHT_M1:0x121 KERNEL_STRIDE:0x122 PARALLEL_MODE:0x123 ACC_FORMAT:0x124
ACTIVATION:0x125 ACTIVATION_MIN:0x126 ACTIVATION_MAX:0x127 WEIGHT_REGION:0x128 SCALE_REGION:0x129
AB_START:0x12d BLOCKDEP:0x12f DMA0_SRC_REGION:0x130 DMA0_DST_REGION:0x131 DMA0_SIZE0:0x132 DMA0_SIZE1:0x133
IFM2_BROADCAST:0x180 IFM2_SCALAR:0x181 IFM2_PRECISION:0x185 IFM2_ZERO_POINT:0x189 IFM2_WIDTH0_M1:0x18a
IFM2_HEIGHT0_M1:0x18b IFM2_HEIGHT1_M1:0x18c IFM2_IB_START:0x18d IFM2_REGION:0x18f
"""
_LOADED_SETTINGS = """
IFM_BASE0:0x0 IFM_BASE1:0x1 IFM_BASE2:0x2 IFM_BASE3:0x3 IFM_STRIDE_X:0x4 IFM_STRIDE_Y:0x5 IFM_STRIDE_C:0x6
OFM_BASE0:0x10 OFM_BASE1:0x11 OFM_BASE2:0x12 OFM_BASE3:0x13 OFM_STRIDE_X:0x14 OFM_STRIDE_Y:0x15
OFM_STRIDE_C:0x16 WEIGHT_BASE:0x20 WEIGHT_LENGTH:0x21 SCALE_BASE:0x22 SCALE_LENGTH:0x23 OFM_SCALE:0x24
OPA_SCALE:0x25 OPB_SCALE:0x26 DMA0_SRC:0x30 DMA0_DST:0x31 DMA0_LEN:0x32 DMA0_SKIP0:0x33 DMA0_SKIP1:0x34
IFM2_BASE0:0x80 IFM2_BASE1:0x81 IFM2_BASE2:0x82 IFM2_BASE3:0x83 IFM2_STRIDE_X:0x84 IFM2_STRIDE_Y:0x85
IFM2_STRIDE_C:0x86 WEIGHT1_BASE:0x90 WEIGHT1_LENGTH:0x91 SCALE1_BASE:0x92 SCALE1_LENGTH:0x93
"""


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


def _numbered(names: str, is_operation: bool) -> dict[int, tuple[str, bool]]:
    """Return (name, whether an operation) of commands by their numbers."""
    pairs = (word.split(":") for word in names.split())
    return {int(number, 16): (name, is_operation) for name, number in pairs}


_PLAIN = _numbered(_OPERATIONS, True) | _numbered(_PLAIN_SETTINGS, False)
_LOADED = _numbered(_LOADED_SETTINGS, False)


def decode(words: Sequence[int]) -> list[Command]:
    """Decode a command stream up to and including its STOP.

    Raises NpuFault on an unknown command, a stream that ends inside a command, one without STOP.
    """
    commands: list[Command] = []
    position = 0
    while position < len(words):
        word = int(words[position])
        size = word >> 14 & 3
        code = word & 0x3FF
        known = (_PLAIN, _LOADED)[size].get(code) if size < 2 else None
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
