"""Registers of a virtual ESP32 that a serial loader looks at: eFuses, SPI flash controller, watchdog."""

from __future__ import annotations

import time
import zlib

from harness.chips import filling
from harness.chips.esp32 import Variant

_DETECT = 0x40001000
_DETECT_MAGIC = 0x9
_ADDR, _USER2, _W0 = 0x04, 0x20, 0x58
"""Registers of the SPI flash controller, from its base, where its command register is."""
_SPI_START = 1 << 18
_TIME, _LOCK = 0x04, 0x18
"""Registers of the RTC watchdog, from the one that switches it on."""
_WATCHDOG_ON = 1 << 31
_KEY = 0x50D83AA1
"""What has to be in the lock before the others can be written."""
_SLOW_CLOCK_HZ = 136_000
_JEDEC, _SFDP, _SFDP_MAGIC, _GIGADEVICE = 0x9F, 0x5A, 0x50444653, 0xC8


class Registers:
    """The registers: those that mean something, and plain memory for all others."""

    def __init__(self, flash_bytes: int, board: str, variant: Variant) -> None:
        self._flash_bytes = flash_bytes
        self._variant = variant
        mac = filling.MAC_PREFIX + bytes([zlib.crc32(board.encode()) & 0xFF])
        self._memory = {
            variant.efuse_block1: int.from_bytes(mac[2:], "big"),
            variant.efuse_block1 + 4: int.from_bytes(mac[:2], "big"),
            **{variant.efuse_block1 + 4 * word: value for word, value in variant.efuse_words},
            _DETECT: _DETECT_MAGIC,
        }
        self.resets_at: float | None = None
        """When the watchdog is going to reset the chip, by the monotonic clock."""

    def read(self, address: int) -> int:
        """Return a register."""
        return self._memory.get(address, 0)

    def write(self, address: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Write the bits of a register that `mask` has."""
        spi, watchdog = self._variant.spi, self._variant.watchdog
        if (
            watchdog is not None
            and address in (watchdog, watchdog + _TIME)
            and self.read(watchdog + _LOCK) != _KEY
        ):
            return
        value = self.read(address) & ~mask | value & mask
        self._memory[address] = value
        if address == spi and value & _SPI_START:
            self._memory[spi] = 0
            self._memory[spi + _W0] = self._spi(self.read(spi + _USER2) & 0xFF, self.read(spi + _ADDR))
        elif watchdog is not None and address == watchdog + _LOCK and value != _KEY:
            self._start_watchdog(watchdog)

    def _start_watchdog(self, watchdog: int) -> None:
        """Let the watchdog's time run, if it is switched on.

        On the chip it runs from that moment on. Here it waits until its registers are locked again, as they
        are in the next command, which over RFC 2217 comes 0.2 s later. The time of the first stage counts
        twice (ESP-IDF, wdt_hal, by EFUSE_WDT_DELAY_SEL).
        """
        on = self.read(watchdog) & _WATCHDOG_ON
        self.resets_at = time.monotonic() + 2 * self.read(watchdog + _TIME) / _SLOW_CLOCK_HZ if on else None

    def _spi(self, command: int, address: int) -> int:
        if command == _JEDEC:
            return _GIGADEVICE | 0x40 << 8 | (self._flash_bytes.bit_length() - 1) << 16
        if command == _SFDP:
            return _SFDP_MAGIC if address == 0 else _GIGADEVICE
        return 0  # a status register: ready, nothing protected
