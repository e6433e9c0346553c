"""The boot ROM and second-stage boot loader of a virtual ESP32, with the words of the real ones.

Messages: ESP32-S3 ROM logs in espressif/esp-idf issues, and ESP-IDF's bootloader_support (esp_image_format,
flash_partitions, bootloader_utility).
"""

from __future__ import annotations

from typing import Any

from harness.boards import Profile
from harness.chips import espimage, partitions
from harness.chips.esp32 import PROJECT, VARIANTS
from harness.chips.espimage import NotAnImage
from harness.chips.partitions import BadTable, Partition
from harness.emulator.boot import App, Wiring
from harness.emulator.controls import Boot
from harness.emulator.engine import Line
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.rom.esp32_loader import RomLoader

_RETRY_S = 1.0
"""How often a ROM without a bootable image starts over; the real one's watchdog is a little quicker."""


class _Unbootable(Exception):
    """Nothing to boot; the message has been printed."""


class Esp32Rom:
    """ROM, serial loader and second-stage boot loader."""

    def __init__(self, profile: Profile, flash: BoardFlash, wiring: Wiring) -> None:
        self._profile = profile
        self._variant = VARIANTS[profile.chip.name]
        self._flash = flash
        self._wiring = wiring

    def boot(self, line: Line, how: Boot) -> App:
        if how is Boot.LOADER:
            self._print(line, f"rst:0x1 (POWERON),{self._variant.download}", "waiting for download")
            self._load(line)
        cause = "rst:0x1 (POWERON)"
        while True:
            self._print(line, f"{cause},{self._variant.flash_boot}")
            try:
                return self._start(line)
            except _Unbootable:
                cause = "rst:0x7 (TG0WDT_SYS_RST)"
            if self._wiring.lines:
                line.read(_RETRY_S)
            else:
                # Without DTR and RTS nobody could hold BOOT, so listen as if somebody did.
                self._load(line)

    def _load(self, line: Line) -> None:
        chip = self._flash.chip(self._profile.flash.image_offset)
        RomLoader(chip, line, self._profile.id, self._variant).serve()

    def _print(self, line: Line, *lines: str) -> None:
        line.write("\r\n".join((*self._variant.banner, *lines, "")).encode())

    def _start(self, line: Line) -> App:
        first = self._rom_image(line)
        _say(line, *(f"load:{part.addr:#010x},len:{len(part.data):#x}" for part in first.segments))
        _say(line, f"entry {first.entrypoint:#010x}", "I (24) boot: 2nd stage bootloader")
        table = self._partitions(line)
        app = next((p for p in table if p.type == partitions.APP), None)
        if app is None:
            _say(line, "E (81) boot: No bootable app partitions in the partition table")
            raise _Unbootable
        image = self._app_image(line, app)
        descriptor = espimage.descriptor_of(image)
        if descriptor is None or not descriptor.project.startswith(PROJECT):
            _say(line, "virtual board: this image is a program for the chip, which cannot run here")
            raise _Unbootable
        held = {p.name: p for p in table if p.type == partitions.DATA}
        wanted = [region for region in self._profile.flash.regions if "model" in region.holds]
        regions = tuple(
            region.name
            for region in wanted
            if region.name in held and held[region.name].offset == region.offset
        )
        for region in wanted:
            if region.name not in regions:
                _say(line, f"E (120) models: no partition '{region.name}' at {region.offset:#x}")
        return App(
            protocol=descriptor.project.removeprefix(PROJECT),
            version=descriptor.version,
            build_hash=image.calc_digest.hex() if image.append_digest else "",
            regions=regions,
        )

    def _rom_image(self, line: Line) -> Any:
        region = self._profile.flash.holding("boot_loader")
        data = self._flash.read(region.offset, region.size_bytes)
        try:
            image = espimage.read(self._variant.esptool, data)
        except NotAnImage:
            _say(line, f"invalid header: {int.from_bytes(data[:4], 'little'):#010x}")
            raise _Unbootable from None
        if (checksum := image.calculate_checksum()) != image.checksum:
            _say(line, f"csum err:{checksum:#04x}!={image.checksum:#04x}")
            raise _Unbootable
        if image.chip_id != self._variant.chip_id:
            _say(
                line,
                f"E (0) boot_comm: mismatch chip ID, expected {self._variant.chip_id}, found {image.chip_id}",
            )
            raise _Unbootable
        if image.append_digest and image.stored_digest != image.calc_digest:
            # The real ROM prints this and then boots the image anyway; here the image is known to be damaged.
            _say(
                line,
                "SHA-256 comparison failed:",
                f"Calculated: {image.calc_digest.hex()}",
                f"Expected: {image.stored_digest.hex()}",
            )
            raise _Unbootable
        return image

    def _partitions(self, line: Line) -> list[Partition]:
        region = self._profile.flash.holding("partition_table")
        try:
            return partitions.read(self._flash.read(region.offset, partitions.TABLE_BYTES))
        except BadTable as error:
            _say(
                line,
                f"E (65) flash_parts: partition {error.entry} invalid magic number {error.magic:#x}",
                "E (72) boot: Failed to verify partition table",
                "E (77) boot: load partition table error!",
            )
            raise _Unbootable from None

    def _app_image(self, line: Line, app: Partition) -> Any:
        data = self._flash.read(app.offset, app.size)
        try:
            image = espimage.read(self._variant.esptool, data)
        except NotAnImage as error:
            what = f"image at {app.offset:#x} has invalid magic byte (nothing flashed here?)"
            if data[0] == espimage.MAGIC:
                what = f"image at {app.offset:#x} is not whole: {error}"
            self._no_app(line, f"E (90) esp_image: {what}")
        if image.chip_id != self._variant.chip_id:
            what = f"mismatch chip ID, expected {self._variant.chip_id}, found {image.chip_id}"
            self._no_app(line, f"E (90) boot_comm: {what}")
        if (checksum := image.calculate_checksum()) != image.checksum:
            what = f"Calculated {checksum:#x} read {image.checksum:#x}"
            self._no_app(line, f"E (93) esp_image: Checksum failed. {what}")
        if image.append_digest and image.stored_digest != image.calc_digest:
            self._no_app(line, "E (95) esp_image: Image hash failed - image is corrupt")
        return image

    def _no_app(self, line: Line, message: str) -> None:
        _say(
            line,
            message,
            "E (98) boot: Factory app partition is not bootable",
            "E (103) boot: No bootable app partitions in the partition table",
        )
        raise _Unbootable


def _say(line: Line, *lines: str) -> None:
    line.write("".join(f"{text}\r\n" for text in lines).encode())


def rom(profile: Profile, flash: BoardFlash, wiring: Wiring) -> Esp32Rom:
    """Return the ROM of a board with a chip of the family."""
    return Esp32Rom(profile, flash, wiring)
