"""What an ESP32 chip says of itself, what of that keeps it from being written, and a line that spoils bytes.

The registers are esptool's (targets/esp32s3.py): eFuses from 0x60007000, those of block 1 from 0x60007044.
"""

from __future__ import annotations

import contextlib
import dataclasses
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.chips.esp32 import VARIANTS, Variant
from harness.emulator.controls import BoardReset
from harness.emulator.flash_memory import FlashChip
from harness.emulator.rom.esp32_loader import RomLoader
from harness.emulator.transport import SocketEndpoint
from harness.errors import BoardError
from harness.flash.method import FlashFile, Target, enter, no_progress
from tests.firmware import made
from tests.flash.rig import ESP

S3 = VARIANTS[ESP.chip.name]
MODEL = FlashFile("net.tflite", 0x400000, made.noise(5000), "model")
FIRMWARE = FlashFile("app.bin", 0x40000, made.application(), "firmware")
SECURE_DOWNLOAD = 1 << 2


def chip(*efuses: tuple[int, int]) -> Variant:
    """Return the ESP32-S3 with other eFuses: number of the word, from block 1 on, and its value."""
    return dataclasses.replace(S3, efuse_words=(*S3.efuse_words, *efuses))


class Spoiling(FlashChip):
    """Flash that takes one bit for another, as one does at the end of a bad cable."""

    def program(self, address: int, data: bytes) -> None:
        super().program(address, data[:-1] + bytes([data[-1] ^ 1]))


class Locked(RomLoader):
    """A loader in Secure Download Mode: it says so, and of its other commands only those for writing work."""

    def _security(self, data: bytes) -> bytes:
        return struct.pack("<IB7sII", SECURE_DOWNLOAD, 0, bytes(7), 9, 0)

    def _read_register(self, data: bytes) -> bytes:
        raise struct.error


class Wire:
    """The board's end of a socket, without a speed of its own, until it is cut."""

    def __init__(self) -> None:
        self._endpoint = SocketEndpoint("127.0.0.1", 0)
        self._cut = threading.Event()
        self.url = self._endpoint.url

    def read(self, timeout: float | None) -> bytes:
        """See Line.read."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._cut.is_set():
            data = self._endpoint.read(65536, 0.05)
            if data or (deadline is not None and time.monotonic() >= deadline):
                return data
        raise BoardReset

    def write(self, data: bytes) -> None:
        """See Line.write."""
        self._endpoint.write(data)

    def wake(self) -> None:
        """See Line.wake: what waits here comes back by itself."""

    def cut(self) -> None:
        """End what waits here."""
        self._cut.set()

    def close(self) -> None:
        """Close the socket."""
        self._endpoint.close()


@contextmanager
def loader(
    variant: Variant = S3, flash: FlashChip | None = None, kind: type[RomLoader] = RomLoader
) -> Iterator[Target]:
    """Yield how a chip in its loader is reached."""
    wire = Wire()
    chip = kind(flash or FlashChip(8 << 20), wire, ESP.id, variant)

    def serve() -> None:
        with contextlib.suppress(BoardReset):
            chip.serve()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Target(ESP, wire.url, options={"stub": False})
    finally:
        wire.cut()
        thread.join()
        wire.close()


def refused(variant: Variant, *files: FlashFile, kind: type[RomLoader] = RomLoader) -> str:
    """Return the line in which writing files ends; nothing was written."""
    flash = FlashChip(8 << 20)
    with (
        loader(variant, flash, kind) as target,
        pytest.raises(BoardError) as error,
        enter(target) as entered,
    ):
        entered.write(files, no_progress)
    assert all(flash.read(file.address, len(file.data)) == b"\xff" * len(file.data) for file in files)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_chip_names_its_memories_and_its_locks() -> None:
    with loader() as target, enter(target) as entered:
        assert entered.description == (
            "ESP32-S3 (QFN56) (revision v0.2), flash: 8 MiB, quad or less, PSRAM: 8 MiB, octal, secure boot "
            "off, flash encryption off, MAC 02:76:69:72:74:f9"
        )


@pytest.mark.parametrize(
    ("code", "said"), [(0, "PSRAM: none in its package"), (3, "PSRAM: 16 MiB, octal")], ids=["none", "16 MiB"]
)
def test_the_psram_is_the_one_that_the_efuse_has(code: int, said: str) -> None:
    with loader(chip((4, code << 3))) as target, enter(target) as entered:
        assert said in entered.description


def test_a_chip_with_less_psram_than_the_board_is_not_that_board_s() -> None:
    said = refused(chip((4, 2 << 3)), MODEL)
    assert said.endswith(
        "the chip has 2097152 bytes of PSRAM, xiao_esp32s3 8388608; is that the right board?"
    )


def test_a_chip_with_secure_boot_takes_models_alone() -> None:
    secure = chip((-3, 1 << 20))
    assert "secure boot is on (an eFuse): the chip starts only images signed with" in refused(
        secure, FIRMWARE
    )
    with loader(secure) as target, enter(target) as entered:
        assert "secure boot on" in entered.description
        assert [outcome.did for outcome in entered.write([MODEL], no_progress)] == ["written"]


def test_a_chip_that_encrypts_its_flash_takes_nothing() -> None:
    said = refused(chip((-4, 1 << 18)), MODEL)
    assert "flash encryption is on (an eFuse): the chip could not read what is written plainly" in said


def test_a_chip_in_secure_download_mode_takes_nothing() -> None:
    said = refused(S3, MODEL, kind=Locked)
    assert "the chip is in Secure Download Mode (an eFuse, which cannot be undone)" in said


def test_bytes_that_arrive_otherwise_are_said_with_their_usual_causes() -> None:
    with (
        loader(flash=Spoiling(8 << 20)) as target,
        pytest.raises(BoardError) as error,
        enter(target) as entered,
    ):
        entered.write([MODEL], no_progress)
    assert str(error.value) == (
        f"{target.port}: what is in flash is not what was sent (MD5). Usual causes: the cable or a hub, the "
        "supply, or an image for a flash mode or frequency that the board cannot take (build it for DIO and "
        "40 MHz); try a short cable at a port of the computer itself"
    )
