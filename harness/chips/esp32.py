"""Espressif's ESP32 chips with a ROM loader that esptool speaks to, and images as ESP-IDF builds them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from harness.boards import Profile
from harness.chips import espimage, filling
from harness.chips.espimage import BadTable, EspImage, NotAnImage, Partition, Segment
from harness.chips.family import (
    BuiltPart,
    Family,
    Finding,
    Kind,
    Trouble,
    damaged_hash,
    for_another,
)
from harness.errors import HarnessError

PROJECT = "harness-virtual-"
"""What a virtual application's name begins with, the protocol behind it."""
_IDF, _DATE, _TIME = "none (virtual board)", "Jan  1 2026", "00:00:00"


@dataclass(frozen=True)
class Variant:
    """What tells one chip of the family from another.

    Attributes:
        esptool: esptool's name of it (--chip).
        chip_id: in the header of its images.
        drom, iram: where an application's constants and code go; `drom` leaves room for the two headers.
        boot_dram, boot_iram: where the second-stage boot loader's data and code go.
        banner: what its ROM prints first, in two lines.
        download, flash_boot: how its ROM names the loader's boot mode, and that from flash.
        efuse_block1: address of the eFuse block with MAC address and revision.
        efuse_words: what is in that block besides the MAC address, by number of the word.
        spi: base of the registers of the SPI flash controller.
        watchdog: register that starts the RTC watchdog, with its time in the next; None if esptool cannot
            use it for a reset.
    """

    esptool: str
    chip_id: int
    drom: int
    iram: int
    boot_dram: int
    boot_iram: int
    banner: tuple[str, str]
    download: str
    flash_boot: str
    efuse_block1: int
    efuse_words: tuple[tuple[int, int], ...]
    spi: int
    watchdog: int | None = None


# Addresses: the technical reference manuals of the three chips, and esptool's targets. Words of the ROMs are
# from logs in issues: of espressif/esp-idf (ESP32-S3, and 12110 for the ESP32-C3), 31 of
# ludodefgh/esp32-blemesh2mqtt (ESP32-C3, download), 556 of esp-rs/espflash (ESP32-C6).
VARIANTS = {
    "Espressif ESP32-S3": Variant(
        esptool="esp32s3",
        chip_id=9,
        drom=0x3C000020,
        iram=0x40374000,
        boot_dram=0x3FCE2810,
        boot_iram=0x403C8700,
        banner=("ESP-ROM:esp32s3-20210327", "Build:Mar 27 2021"),
        download="boot:0x0 (DOWNLOAD(USB/UART0))",
        flash_boot="boot:0x8 (SPI_FAST_FLASH_BOOT)",
        efuse_block1=0x60007044,
        efuse_words=((3, 2 << 18), (4, 1 << 3 | 1 << 7)),  # revision 0.2; PSRAM of 8 MB by AP, 3.3 V
        spi=0x60002000,
        watchdog=0x60008098,
    ),
    "Espressif ESP32-C3": Variant(
        esptool="esp32c3",
        chip_id=5,
        drom=0x3C000020,
        iram=0x4037C000,
        boot_dram=0x3FCD5820,
        boot_iram=0x403CC700,
        banner=("ESP-ROM:esp32c3-api1-20210207", "Build:Feb  7 2021"),
        download="boot:0x5 (DOWNLOAD(USB/UART0/1))",
        flash_boot="boot:0x8 (SPI_FAST_FLASH_BOOT)",
        efuse_block1=0x60008844,
        efuse_words=((3, 4 << 18 | 1 << 27),),  # revision 0.4, 4 MB of flash in the package
        spi=0x60002000,
        watchdog=0x60008090,
    ),
    "Espressif ESP32-C6": Variant(
        esptool="esp32c6",
        chip_id=13,
        drom=0x42800020,
        iram=0x40800000,
        boot_dram=0x4086C410,
        boot_iram=0x4086E610,
        banner=("ESP-ROM:esp32c6-20220919", "Build:Sep 19 2022"),
        download="boot:0x4 (DOWNLOAD(USB/UART0/SDIO_FEI_FEO))",
        flash_boot="boot:0xc (SPI_FAST_FLASH_BOOT)",
        efuse_block1=0x600B0844,
        efuse_words=((3, 1 << 18 | 1 << 24), (4, 1)),  # revision 0.1, package with 4 MB of flash
        spi=0x60003000,
    ),
}
"""By the chip's name in a profile."""


# Words of the ROM: the logs above. Of ESP-IDF (espressif/esp-idf): components/esp_system/port/brownout.c at
# 0e313326, panic.c at 0473ddff, task_wdt/task_wdt.c; components/bootloader_support/src/esp_image_format.c at
# 002cd296; components/esp_psram/esp32s3/esp_psram_impl_octal.c at 0079f09c; components/heap/heap_caps.c. Of
# TFLite-Micro (tensorflow/tflite-micro at 90b983c2): arena_allocator/single_arena_buffer_allocator.cc.
_HANGS = (
    "its firmware hangs and is started again by a watchdog ('{}'): erase the flash (`esptool erase-flash`) "
    "and flash another"
)
_TROUBLES = (
    Trouble(
        rb"waiting for download|boot:0x\w+ \(DOWNLOAD[^\r\n]*",
        "it is in the ESP32's boot loader: reset it, or flash a firmware",
    ),
    Trouble(
        rb"invalid header: \S+|csum err:\S+|mismatch chip ID|SHA-256 comparison failed"
        rb"|load partition table error|No bootable app partitions|cannot run here"
        rb"|invalid magic byte[^\r\n]*",
        "no firmware boots on it ({}): flash one",
    ),
    Trouble(
        rb"[^\r\n]*Brownout detector was triggered|rst:0x\w+ \(BROWN_?OUT\w*\)",
        "its supply breaks down and it starts again ('{}'): use another, shorter cable, another USB port or "
        "a hub with a supply of its own, and take other devices off its pins",
        restarts=2,
        flashing_helps=False,
    ),
    Trouble(
        rb"[^\r\n]*(?:PSRAM ID read error|wrong PSRAM line mode|Failed to init external RAM)[^\r\n]*",
        "its firmware does not find the PSRAM ('{}'): flash one that was built for this board's "
        "(CONFIG_SPIRAM_MODE_OCT for octal PSRAM, as on the XIAO ESP32-S3; else CONFIG_SPIRAM_MODE_QUAD)",
        restarts=2,
    ),
    Trouble(
        rb"[^\r\n]*(?:Failed to resize buffer|AllocateTensors\(\) failed|Mem alloc fail)[^\r\n]*",
        "its firmware has too little memory for the model ('{}'): build it with a larger tensor arena "
        "(in PSRAM, if the board has some)",
        restarts=2,
    ),
    Trouble(
        rb"[^\r\n]*(?:Guru Meditation Error|stack overflow in task|abort\(\) was called|assert failed:)"
        rb"[^\r\n]*",
        "its firmware crashes and starts again ('{}'): erase the flash (`esptool erase-flash`) and flash it "
        "again; if it still does, put its tensor arena into PSRAM",
        restarts=2,
    ),
    Trouble(rb"[^\r\n]*Task watchdog got triggered[^\r\n]*", _HANGS, restarts=2),
    # Once is no trouble: esptool has a board reset itself by this watchdog.
    Trouble(rb"rst:0x\w+ \(\w*WDT\w*\)", _HANGS, restarts=2, least=2),
    Trouble(
        rb"rst:0x\w+ \([^\r\n]*",
        "it starts over and over ('{}'): try another cable and supply, then erase the flash "
        "(`esptool erase-flash`) and flash it again",
        restarts=3,
        least=3,
    ),
)


class Esp32(Family):
    """ESP32-S3, -C3 and -C6."""

    name = "esp32"
    chips = tuple(VARIANTS)
    rom = "harness.emulator.rom.esp32:rom"
    begins = rb"ESP-ROM:"
    troubles = _TROUBLES

    def findings(self, board: Profile) -> Iterator[Finding]:
        yield from super().findings(board)
        variant = VARIANTS.get(board.chip.name)
        named = board.flash.esptool.chip if board.flash.esptool else None
        if variant is not None and named not in (None, variant.esptool):
            yield ("flash", "esptool", "chip"), f"'{named}' is not the {board.chip.name}: {variant.esptool}"
        held = {use for region in board.flash.regions for use in region.holds}
        for use in ("boot_loader", "partition_table", "firmware"):
            if use not in held:
                yield ("flash", "region"), f"no region holds '{use}', which this family boots from"

    def recognise(self, data: bytes) -> str | None:
        chip = espimage.chip_of(data)
        return f"the {chip}" if chip else None

    def identify(self, board: Profile, name: str, data: bytes) -> Kind:
        if data.startswith(espimage.PARTITION_MAGIC):
            _table(name, data)
            return Kind(False, board.flash.holding("partition_table").offset, len(data))
        image = _sound(board, name, data)
        place = None
        if data[espimage.TABLE_AT : espimage.TABLE_AT + 2] == espimage.PARTITION_MAGIC:
            place = board.flash.image_offset
            for at in _applications(name, data):
                _sound(board, f"{name}, application at {at:#x}", data[at:])
        elif image.descriptor is not None:
            place = board.flash.holding("firmware").offset
        return Kind(filling.NOTICE in data, place, len(data))

    def virtual_parts(self, board: Profile, protocol: str) -> list[BuiltPart]:
        variant = VARIANTS[board.chip.name]
        program = filling.program(board, protocol)
        descriptor = espimage.descriptor(
            PROJECT + protocol, filling.VERSION, hashlib.sha256(program).digest(), _IDF, _DATE, _TIME
        )
        app = espimage.build(
            [
                Segment(variant.drom, descriptor + filling.notice(board, protocol)),
                Segment(variant.iram, program),
            ],
            variant.iram,
            variant.chip_id,
        )
        about = espimage.boot_descriptor(_IDF, f"{_DATE} {_TIME}") + filling.notice(board, "boot")
        loader = espimage.build(
            [
                Segment(variant.boot_dram, about),
                Segment(variant.boot_iram, filling.filler("second-stage boot loader", 2048)),
            ],
            variant.boot_iram,
            variant.chip_id,
        )
        table = espimage.partition_table(_partitions(board))
        return [
            ("boot loader", board.flash.holding("boot_loader").offset, loader),
            ("partition table", board.flash.holding("partition_table").offset, table),
            ("application", board.flash.holding("firmware").offset, app),
        ]

    def build_hash(self, parts: list[BuiltPart]) -> str:
        """Return the SHA-256 that ends the application."""
        return espimage.read(parts[-1][2]).sha256.hex()


ESP32 = Esp32()


def _partitions(board: Profile) -> list[Partition]:
    found = []
    for region in board.flash.regions:
        if "firmware" in region.holds:
            found.append(
                Partition(region.name, espimage.APP, espimage.FACTORY, region.offset, region.size_bytes)
            )
        elif "model" in region.holds or "data" in region.holds:
            subtype = espimage.DATA_SUBTYPES.get(region.name, espimage.DATA_UNDEFINED)
            found.append(Partition(region.name, espimage.DATA, subtype, region.offset, region.size_bytes))
    return found


def _applications(name: str, data: bytes) -> list[int]:
    """Return where a merged image has applications: it need not fill each partition for one."""
    return [
        part.offset
        for part in _table(name, data[espimage.TABLE_AT :])
        if part.type == espimage.APP and data[part.offset : part.offset + 1] == bytes([espimage.MAGIC])
    ]


def _table(name: str, data: bytes) -> list[Partition]:
    try:
        return espimage.read_table(data[: espimage.TABLE_BYTES])
    except BadTable as error:
        raise HarnessError(f"{name}: its partition table is damaged: {error}; get the file again") from None


def _sound(board: Profile, name: str, data: bytes) -> EspImage:
    try:
        image = espimage.read(data)
    except NotAnImage as error:
        raise HarnessError(f"{name}: no image for {board.chip.name}: {error}") from None
    if image.chip_id != VARIANTS[board.chip.name].chip_id:
        chip = espimage.CHIPS.get(image.chip_id, f"chip with id {image.chip_id}")
        raise for_another(board, name, f"the {chip}")
    if image.checksum != image.stored_checksum:
        raise HarnessError(
            f"{name}: its checksum is {image.checksum:#04x}, the file says {image.stored_checksum:#04x}; it "
            "is damaged, get the file again"
        )
    if image.stored_sha256 not in (None, image.sha256):
        raise damaged_hash(name)
    return image
