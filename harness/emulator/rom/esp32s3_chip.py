"""Registers of a virtual ESP32-S3 that a serial loader looks at: eFuses, SPI flash controller, watchdog.

Addresses: Espressif, ESP32-S3 Technical Reference Manual.
"""

from __future__ import annotations

import time
import zlib

from harness.firmware import virtual

_EFUSE_BLOCK1 = 0x60007044
_CHIP_REVISION_V0_2 = 2 << 18
_PSRAM_8MB_AP_3V3 = 1 << 3 | 1 << 7
_STRAPPING = 0x60004038
_DETECT = 0x40001000
_DETECT_MAGIC = 0x9
_SPI = 0x60002000
_SPI_CMD, _SPI_ADDR, _SPI_USER2, _SPI_W0 = _SPI, _SPI + 0x04, _SPI + 0x20, _SPI + 0x58
_SPI_START = 1 << 18
_WATCHDOG, _WATCHDOG_TIME = 0x60008098, 0x6000809C
_WATCHDOG_ON = 1 << 31
_SLOW_CLOCK_HZ = 136_000
_JEDEC, _SFDP, _SFDP_MAGIC, _GIGADEVICE = 0x9F, 0x5A, 0x50444653, 0xC8


class Chip:
    """The registers: those that mean something, and plain memory for all others."""

    def __init__(self, flash_bytes: int, board: str) -> None:
        self._flash_bytes = flash_bytes
        mac = virtual.MAC_PREFIX + bytes([zlib.crc32(board.encode()) & 0xFF])
        self._memory = {
            _EFUSE_BLOCK1: int.from_bytes(mac[2:], "big"),
            _EFUSE_BLOCK1 + 4: int.from_bytes(mac[:2], "big"),
            _EFUSE_BLOCK1 + 12: _CHIP_REVISION_V0_2,
            _EFUSE_BLOCK1 + 16: _PSRAM_8MB_AP_3V3,
            _STRAPPING: 0,
            _DETECT: _DETECT_MAGIC,
        }
        self.resets_at: float | None = None
        """When the watchdog is going to reset the chip, by the monotonic clock."""

    def read(self, address: int) -> int:
        """Return a register."""
        return self._memory.get(address, 0)

    def write(self, address: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Write the bits of a register that `mask` has."""
        value = self.read(address) & ~mask | value & mask
        self._memory[address] = value
        if address == _SPI_CMD and value & _SPI_START:
            self._memory[_SPI_CMD] = 0
            self._memory[_SPI_W0] = self._spi(self.read(_SPI_USER2) & 0xFF, self.read(_SPI_ADDR))
        elif address == _WATCHDOG:
            on = bool(value & _WATCHDOG_ON)
            self.resets_at = time.monotonic() + self.read(_WATCHDOG_TIME) / _SLOW_CLOCK_HZ if on else None

    def _spi(self, command: int, address: int) -> int:
        if command == _JEDEC:
            return _GIGADEVICE | 0x40 << 8 | (self._flash_bytes.bit_length() - 1) << 16
        if command == _SFDP:
            return _SFDP_MAGIC if address == 0 else _GIGADEVICE
        return 0  # a status register: ready, nothing protected
