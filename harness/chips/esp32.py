"""Espressif's ESP32 chips with a ROM loader that esptool speaks to, and images as ESP-IDF builds them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.boards import Profile
from harness.chips import espimage, filling, partitions
from harness.chips.espimage import NotAnImage
from harness.chips.family import (
    BuiltPart,
    Family,
    Finding,
    Piece,
    Trouble,
    damaged_hash,
    for_another,
    placed,
)
from harness.chips.partitions import BadTable, Partition
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

    def arrange(self, board: Profile, pieces: Sequence[Piece]) -> list[Piece]:
        """Put a merged image at the profile's place; parts where the partition table among them says.

        Without a table the profile's map counts, for parts that are told where to go.
        """
        tables = [piece for piece in pieces if piece.data.startswith(partitions.MAGIC)]
        if len(tables) > 1:
            raise HarnessError(f"{tables[0].name} and {tables[1].name}: two partition tables")
        layout = _Layout(board, _fitting(board, tables[0].name, tables[0].data) if tables else None)
        return [layout.place(piece, alone=len(pieces) == 1) for piece in pieces]

    def virtual_parts(self, board: Profile, protocol: str) -> list[BuiltPart]:
        variant = VARIANTS[board.chip.name]
        program = filling.program(board, protocol)
        descriptor = espimage.descriptor(
            PROJECT + protocol, filling.VERSION, hashlib.sha256(program).digest(), _IDF, _DATE, _TIME
        )
        app = espimage.build(
            variant.esptool,
            [(variant.drom, descriptor + filling.notice(board, protocol)), (variant.iram, program)],
            variant.iram,
            _flash_bytes(board),
        )
        about = espimage.boot_descriptor(_IDF, f"{_DATE} {_TIME}") + filling.notice(board, "boot")
        code = filling.filler("second-stage boot loader", 2048)
        loader = espimage.build(
            variant.esptool,
            [(variant.boot_dram, about), (variant.boot_iram, code)],
            variant.boot_iram,
            _flash_bytes(board),
        )
        table = partitions.build(_partitions(board))
        return [
            ("boot loader", board.flash.holding("boot_loader").offset, loader),
            ("partition table", board.flash.holding("partition_table").offset, table),
            ("application", board.flash.holding("firmware").offset, app),
        ]

    def build_hash(self, parts: list[BuiltPart]) -> str:
        """Return the SHA-256 that ends the application."""
        return parts[-1][2][-32:].hex()


ESP32 = Esp32()


def _flash_bytes(board: Profile) -> int:
    return max(memory.size_bytes for memory in board.memories if memory.kind == "flash")


def _partitions(board: Profile) -> list[Partition]:
    found = []
    for region in board.flash.regions:
        if "firmware" in region.holds:
            kind, subtype = partitions.APP, partitions.FACTORY
        elif "model" in region.holds or "data" in region.holds:
            kind = partitions.DATA
            subtype = partitions.DATA_SUBTYPES.get(region.name, partitions.DATA_UNDEFINED)
        else:
            continue
        found.append(Partition(region.name, kind, subtype, region.offset, region.size_bytes))
    return found


class _Layout:
    """Where the parts of an image go: by its partition table or, without one, by the board's profile."""

    def __init__(self, board: Profile, table: list[Partition] | None) -> None:
        self._board = board
        self._told = table is not None
        self._partitions = _partitions(board) if table is None else table

    def place(self, piece: Piece, alone: bool) -> Piece:
        """Return a piece with its address; raises HarnessError if it is not sound or cannot go there."""
        flash = self._board.flash
        if piece.data.startswith(partitions.MAGIC):
            return placed(piece, flash.holding("partition_table").offset)
        if not piece.data.startswith(bytes([espimage.MAGIC])):
            return self._data(piece)
        image = _sound(self._board, piece.name, piece.data)
        length = espimage.length(image)
        if piece.data[partitions.TABLE_AT :].startswith(partitions.MAGIC) and length <= partitions.TABLE_AT:
            if not alone:
                raise HarnessError(f"{piece.name}: a merged image, which is all of the firmware by itself")
            _check_flash(self._board, piece.name, image)
            _check_merged(self._board, piece)
            return placed(piece, flash.image_offset)
        if espimage.is_application(image):
            return self._application(piece, length)
        _check_flash(self._board, piece.name, image)
        loader = flash.holding("boot_loader")
        if length > loader.size_bytes:
            raise HarnessError(
                f"{piece.name}: a boot loader of {length} bytes reaches into the partition table"
            )
        return placed(piece, loader.offset, length)

    def _application(self, piece: Piece, length: int) -> Piece:
        if piece.address is None and not self._told:
            raise HarnessError(
                f"{piece.name}: an application alone: where it goes is in the partition table that it was "
                "built with. Give that too, with the boot loader (bootloader.bin partition-table.bin "
                f"{piece.name}, or the build's flasher_args.json), or one merged image (`idf.py merge-bin`)"
            )
        # The boot loader starts the factory application or, without one, the first of the others.
        found = sorted((p for p in self._partitions if p.type == partitions.APP), key=lambda p: p.subtype)
        at = piece.address
        for one in found:
            if at in (None, one.offset):
                if length > one.size:
                    raise HarnessError(
                        f"{piece.name}: {length} bytes, and '{one.name}' at {one.offset:#x} has {one.size}"
                    )
                return placed(piece, one.offset, length)
        where = "the partition table" if self._told else f"the flash map of {self._board.id}"
        places = " or ".join(f"{p.offset:#x} ({p.name})" for p in found) or "nowhere"
        raise HarnessError(
            f"{piece.name}: an application, which by {where} goes to {places}"
            + ("" if at is None else f", not to {at:#x}")
        )

    def _data(self, piece: Piece) -> Piece:
        """Place what a data partition takes: which application is started, or bytes of no known form."""
        at = piece.address
        for one in self._partitions if self._told else ():
            if one.type != partitions.DATA:
                continue
            if at is None and one.subtype == partitions.DATA_SUBTYPES["otadata"]:
                if len(piece.data) == one.size and partitions.is_selection(piece.data):
                    return placed(piece, one.offset)
            elif at is not None and one.offset <= at and at + len(piece.data) <= one.end:
                return piece
        chip = self._board.chip.name
        raise HarnessError(
            f"{piece.name}: no image for {chip}: neither boot loader, partition table, application nor all "
            "of these in one" + ("" if at is None else f", and at {at:#x} there is no partition for data")
        )


def _check_flash(board: Profile, name: str, loader: Any) -> None:
    """Raise HarnessError if a boot loader is for more flash than there is: its application would stop."""
    wanted, there = espimage.flash_bytes(loader), _flash_bytes(board)
    if wanted > there:
        raise HarnessError(
            f"{name}: built for {wanted >> 20} MiB of flash, and {board.id} has {there >> 20} MiB; build it "
            "for that (CONFIG_ESPTOOLPY_FLASHSIZE)"
        )


def _check_merged(board: Profile, piece: Piece) -> None:
    """Check the applications of a merged image: it need not fill each partition for one, but does one."""
    found = 0
    for part in _fitting(board, piece.name, piece.data[partitions.TABLE_AT :]):
        if part.type == partitions.APP and piece.data[part.offset : part.offset + 1] == bytes(
            [espimage.MAGIC]
        ):
            _sound(board, f"{piece.name}, application at {part.offset:#x}", piece.data[part.offset :])
            found += 1
    if not found:
        raise HarnessError(f"{piece.name}: no application where its partition table has places for one")


def _fitting(board: Profile, name: str, data: bytes) -> list[Partition]:
    """Return the partitions of a table; raises HarnessError if it is damaged, or for a larger flash."""
    try:
        found = partitions.read(data)
    except BadTable as error:
        raise HarnessError(f"{name}: its partition table is damaged: {error}; get the file again") from None
    for part in found:
        if part.end > _flash_bytes(board):
            raise HarnessError(
                f"{name}: its partition '{part.name}' ends at {part.end:#x}, and {board.id} has "
                f"{_flash_bytes(board) >> 20} MiB of flash, so its boot loader would start nothing"
            )
    return found


def _sound(board: Profile, name: str, data: bytes) -> Any:
    variant = VARIANTS[board.chip.name]
    try:
        image = espimage.read(variant.esptool, data)
    except NotAnImage as error:
        raise HarnessError(f"{name}: no image for {board.chip.name}: {error}") from None
    if image.chip_id != variant.chip_id:
        chip = espimage.chips().get(image.chip_id, f"chip with id {image.chip_id}")
        raise for_another(board, name, f"the {chip}")
    checksum = image.calculate_checksum()
    if checksum != image.checksum:
        raise HarnessError(
            f"{name}: its checksum is {checksum:#04x}, the file says {image.checksum:#04x}; it is damaged, "
            "get the file again"
        )
    if image.append_digest and image.stored_digest != image.calc_digest:
        raise damaged_hash(name)
    return image
