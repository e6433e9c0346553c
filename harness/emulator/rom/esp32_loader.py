"""The serial loader in an ESP32's ROM, and the flasher stub that esptool puts into its RAM.

The stub is code for the chip, which cannot run here: whatever is uploaded and started is taken for it,
and from then on the stub's commands are answered.

Protocol: Espressif, esptool documentation, Serial Protocol.
"""

from __future__ import annotations

import hashlib
import struct
import time
import zlib
from collections.abc import Callable

from harness.chips.esp32 import Variant
from harness.emulator.engine import Line
from harness.emulator.flash_memory import FlashChip
from harness.emulator.rom import slip
from harness.emulator.rom.esp32_chip import Registers

SECTOR = 4096
GREETING = b"OHAI"
SYNC_VALUE = 0x20120707
SYNC_ANSWERS = 8
CHECKSUM_SEED = 0xEF

INVALID, FAILED, BAD_CHECKSUM, BAD_DEFLATE = 0x05, 0x06, 0x07, 0x0B
_READ_SLOW_BYTES = 64
_ROM_RAM_BLOCKS = 64 << 10


class _Refused(Exception):
    """A command that ends in an error status."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


class _Leave(Exception):
    """Leaves the loader: the chip boots from flash."""


class RomLoader:
    """One stay in the loader, from reset to reset."""

    def __init__(self, flash: FlashChip, line: Line, board: str, variant: Variant) -> None:
        self._flash = flash
        self._line = line
        self._chip_id = variant.chip_id
        self._chip = Registers(flash.size, board, variant)
        self._stub = False
        self._decoder = slip.SlipDecoder()
        self._packets: list[bytes] = []
        self._ram: dict[int, bytearray] = {}
        self._ram_at = 0
        self._at = 0
        self._end = 0
        self._erased_to = 0
        self._inflate = zlib.decompressobj()
        self._value = 0
        self._next: Callable[[], None] | None = None
        self._commands: dict[int, Callable[[bytes], bytes]] = {
            0x02: self._flash_begin,
            0x03: self._flash_data,
            0x04: self._flash_end,
            0x05: self._mem_begin,
            0x06: self._mem_end,
            0x07: self._mem_data,
            0x09: self._write_register,
            0x0A: self._read_register,
            0x0B: lambda data: b"",
            0x0D: lambda data: b"",
            0x0E: self._read_slow,
            0x0F: lambda data: b"",
            0x10: self._deflate_begin,
            0x11: self._deflate_data,
            0x12: self._flash_end,
            0x13: self._md5,
            0x14: self._security,
        }
        self._stub_commands: dict[int, Callable[[bytes], bytes]] = {
            0xD0: self._erase_all,
            0xD1: self._erase_region,
            0xD2: self._read_flash,
            0xD3: self._run,
        }

    def serve(self) -> None:
        """Answer until the chip is told to boot from flash."""
        try:
            while True:
                for packet in self._receive():
                    self._answer(packet)
        except _Leave:
            return

    def _receive(self) -> list[bytes]:
        if self._packets:
            packets, self._packets = self._packets, []
            return packets
        deadline = self._chip.resets_at
        wait = None if deadline is None else max(0.0, deadline - time.monotonic())
        data = self._line.read(wait)
        if not data and deadline is not None and time.monotonic() >= deadline:
            raise _Leave
        return self._decoder.feed(data)

    def _answer(self, packet: bytes) -> None:
        if len(packet) < 8 or packet[0] != 0:
            return
        _, command, size, given = struct.unpack_from("<BBHI", packet)
        data = packet[8:]
        if len(data) != size:
            return
        if command == 0x08:
            for _ in range(SYNC_ANSWERS):
                self._reply(command, b"", value=0 if self._stub else SYNC_VALUE)
            return
        known = self._commands | self._stub_commands if self._stub else self._commands
        if command not in known:
            self._reply(command, b"", status=INVALID)
            return
        if command in (0x03, 0x07, 0x11) and given & 0xFF != checksum(data[16:]):
            self._reply(command, b"", status=BAD_CHECKSUM)
            return
        try:
            self._value = 0
            answer = known[command](data)
            self._reply(command, answer, value=self._value)
        except _Refused as refused:
            self._reply(command, b"", status=refused.reason)
        except struct.error:
            self._reply(command, b"", status=INVALID)
        self._after(command)

    def _reply(self, command: int, data: bytes, value: int = 0, status: int = 0) -> None:
        state = bytes([1, status] if status else [0, 0]) + (b"" if self._stub else bytes(2))
        body = data + state
        self._line.write(slip.encode(struct.pack("<BBHI", 1, command, len(body), value) + body))

    def _after(self, command: int) -> None:
        """Do what follows a command once its answer is out."""
        action, self._next = self._next, None
        if action is not None:
            action()

    # ---- RAM, registers

    def _mem_begin(self, data: bytes) -> bytes:
        size, _, _, address = struct.unpack("<IIII", data)
        if size > _ROM_RAM_BLOCKS:
            raise _Refused(FAILED)
        self._ram[address] = bytearray()
        self._ram_at = address
        return b""

    def _mem_data(self, data: bytes) -> bytes:
        if self._ram_at not in self._ram or len(self._ram[self._ram_at]) + len(data) > 2 * _ROM_RAM_BLOCKS:
            raise _Refused(FAILED)
        self._ram[self._ram_at] += data[16:]
        return b""

    def _mem_end(self, data: bytes) -> bytes:
        stay, entry = struct.unpack("<II", data)
        if stay:
            return b""
        covered = any(start <= entry < start + len(code) for start, code in self._ram.items())
        if not covered:
            raise _Refused(FAILED)
        self._next = self._start_stub
        return b""

    def _start_stub(self) -> None:
        self._stub = True
        self._line.write(slip.encode(GREETING))

    def _write_register(self, data: bytes) -> bytes:
        for at in range(0, len(data), 16):
            address, value, mask, _ = struct.unpack_from("<IIII", data, at)
            self._chip.write(address, value, mask)
        return b""

    def _read_register(self, data: bytes) -> bytes:
        (address,) = struct.unpack("<I", data)
        self._value = self._chip.read(address)
        return b""

    def _security(self, data: bytes) -> bytes:
        return struct.pack("<IB7sII", 0, 0, bytes(7), self._chip_id, 0)

    # ---- flash

    def _flash_begin(self, data: bytes) -> bytes:
        size, _, _, address = struct.unpack_from("<IIII", data)
        self._begin(address, size)
        return b""

    def _deflate_begin(self, data: bytes) -> bytes:
        self._inflate = zlib.decompressobj()
        return self._flash_begin(data)

    def _begin(self, address: int, size: int) -> None:
        if address + size > self._flash.size:
            raise _Refused(FAILED)
        self._at, self._end, self._erased_to = address, address + size, address - address % SECTOR
        if not self._stub:
            # The ROM erases all of it at once, the stub sector by sector as it writes.
            self._erase_to(self._end)

    def _erase_to(self, end: int) -> None:
        end = min(-(-end // SECTOR) * SECTOR, self._flash.size)
        if end > self._erased_to:
            self._flash.erase(self._erased_to, end - self._erased_to)
            self._erased_to = end

    def _flash_data(self, data: bytes) -> bytes:
        self._write(data[16:])
        return b""

    def _deflate_data(self, data: bytes) -> bytes:
        try:
            # At most one byte more than flash holds is decompressed: that is enough to refuse it.
            self._write(self._inflate.decompress(data[16:], self._flash.size + 1))
        except zlib.error:
            raise _Refused(BAD_DEFLATE) from None
        return b""

    def _write(self, data: bytes) -> None:
        # The last block is padded beyond the announced size.
        data = data[: max(0, self._end - self._at)] if self._stub else data
        if self._at + len(data) > self._flash.size:
            raise _Refused(FAILED)
        self._erase_to(self._at + len(data))
        self._flash.program(self._at, data)
        self._at += len(data)

    def _flash_end(self, data: bytes) -> bytes:
        (run,) = struct.unpack("<I", data)
        if not run:
            # A reset of the core: the straps stay as they were sampled, so it ends in the ROM's loader.
            self._next = self._leave_stub
        elif not self._stub:
            self._next = self._leave
        return b""

    def _leave(self) -> None:
        raise _Leave

    def _leave_stub(self) -> None:
        self._stub = False

    def _md5(self, data: bytes) -> bytes:
        address, size, _, _ = struct.unpack("<IIII", data)
        if address + size > self._flash.size:
            raise _Refused(FAILED)
        digest = hashlib.md5(self._flash.read(address, size), usedforsecurity=False)
        return digest.digest() if self._stub else digest.hexdigest().encode()

    def _read_slow(self, data: bytes) -> bytes:
        address, size = struct.unpack("<II", data)
        if size > _READ_SLOW_BYTES:
            raise _Refused(FAILED)
        return self._flash.read(address, size).ljust(_READ_SLOW_BYTES, b"\0")

    def _erase_all(self, data: bytes) -> bytes:
        self._flash.erase(0, self._flash.size)
        return b""

    def _erase_region(self, data: bytes) -> bytes:
        address, size = struct.unpack("<II", data)
        if address % SECTOR or size % SECTOR or address + size > self._flash.size:
            raise _Refused(FAILED)
        self._flash.erase(address, size)
        return b""

    def _read_flash(self, data: bytes) -> bytes:
        address, size, block, window = struct.unpack("<IIII", data)
        self._next = lambda: self._stream(self._flash.read(address, size), block, window)
        return b""

    def _stream(self, data: bytes, block: int, window: int) -> None:
        """Send flash contents in packets, at most `window` of them beyond what the host has acknowledged."""
        sent = acknowledged = 0
        while acknowledged < len(data):
            while sent < len(data) and sent - acknowledged < block * window:
                self._line.write(slip.encode(data[sent : sent + block]))
                sent = min(sent + block, len(data))
            for packet in self._receive():
                if len(packet) == 4:
                    acknowledged = int.from_bytes(packet, "little")
        self._line.write(slip.encode(hashlib.md5(data, usedforsecurity=False).digest()))

    def _run(self, data: bytes) -> bytes:
        self._next = self._leave
        return b""


def checksum(data: bytes) -> int:
    """Return the XOR over all bytes, from the protocol's seed on."""
    # Folded in halves as one large number, which is about a hundred times as fast as byte by byte.
    size = 1 << max(0, len(data) - 1).bit_length()
    folded = int.from_bytes(data, "little")
    while size > 1:
        size //= 2
        folded = folded >> 8 * size ^ folded & (1 << 8 * size) - 1
    return folded ^ CHECKSUM_SEED
