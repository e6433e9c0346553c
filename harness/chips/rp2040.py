"""Raspberry Pi's RP2040: a boot ROM that runs a checked second stage from flash, or shows a drive.

RP2040 Datasheet, 2.8.1 (Processor Controlled Boot Sequence): the first 252 bytes of flash are the second
stage, and a CRC-32 of them follows; an image whose CRC is wrong is not run.
"""

from __future__ import annotations

from harness.boards import Profile
from harness.chips import container, filling
from harness.chips.family import BuiltPart, Family
from harness.chips.himax import sound_container
from harness.errors import HarnessError

CHIP = "Raspberry Pi RP2040"
SOC = "RP2040"
SECOND_STAGE_BYTES = 256


class Rp2040(Family):
    """The RP2040."""

    name = "rp2040"
    chips = (CHIP,)
    rom = "harness.emulator.rom.rp2040:rom"

    def recognise(self, data: bytes) -> str | None:
        return f"the {SOC}" if boots(data) else None

    def length(self, board: Profile, name: str, data: bytes) -> int:
        if not boots(data):
            raise HarnessError(
                f"{name}: no image for {board.chip.name}: its first {SECOND_STAGE_BYTES} bytes do not end in "
                "their CRC-32, so the boot ROM would not run it"
            )
        rest = data[SECOND_STAGE_BYTES:]
        if not rest.startswith(container.MAGIC):
            return len(data)
        return SECOND_STAGE_BYTES + sound_container(name, rest).length

    def virtual_parts(self, board: Profile, protocol: str) -> list[BuiltPart]:
        code = filling.filler("second stage", SECOND_STAGE_BYTES - 4)
        payload = filling.notice(board, protocol) + filling.program(board, protocol)
        image = container.build(SOC, protocol, filling.VERSION, payload)
        return [("firmware", board.flash.image_offset, code + crc(code).to_bytes(4, "little") + image)]

    def build_hash(self, parts: list[BuiltPart]) -> str:
        """Return the SHA-256 in the container's header."""
        return container.read(parts[-1][2][SECOND_STAGE_BYTES:]).sha256.hex()


RP2040 = Rp2040()


def boots(data: bytes) -> bool:
    """Return whether the boot ROM would run the second stage in flash."""
    stage = data[:SECOND_STAGE_BYTES]
    return len(stage) == SECOND_STAGE_BYTES and crc(stage[:-4]) == int.from_bytes(stage[-4:], "little")


def crc(data: bytes) -> int:
    """Return the boot ROM's CRC-32: polynomial 0x04C11DB7, from all ones, neither reflected nor inverted."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value
