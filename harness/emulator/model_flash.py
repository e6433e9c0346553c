"""The flash of a virtual board that may hold models, as its firmware sees it."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Sequence

from harness.boards import Profile
from harness.boards.profile import Region
from harness.emulator.engine import EngineError, ModelEntry
from harness.emulator.flash_memory import BoardFlash
from harness.wire.messages import ErrorCode

LONGEST_NAME = 64
_DESCRIPTION = 3
"""Number of the field in the root table of a model file (TensorFlow Lite's schema.fbs)."""


class ModelFlash:
    """The flash regions that may hold models; they do not change while a firmware runs."""

    def __init__(self, profile: Profile, flash: BoardFlash, regions: Collection[str] | None = None) -> None:
        """`regions` names the flash regions to look into; None: all that may hold a model."""
        self._flash = flash
        self._block = profile.flash.block_bytes
        self._regions = [
            region
            for region in profile.flash.regions
            if "model" in region.holds and (regions is None or region.name in regions)
        ]
        self._entries: list[ModelEntry] | None = None

    def models(self) -> Sequence[ModelEntry]:
        """Return the blocks that begin as a model does, by address."""
        if self._entries is None:
            self._entries = [entry for region in self._regions for entry in self._scan(region)]
        return self._entries

    def read(self, address: int, length: int) -> bytes:
        if length == 0 or not any(_covers(region, address, length) for region in self._regions):
            text = f"{length} bytes at {address:#x} are not all in flash for models"
            raise EngineError(ErrorCode.BAD_ARGUMENT, text, address)
        return self._flash.read_by_core(address, length)

    def end_of(self, address: int) -> int:
        """Return the end of the region that a model is in: the end of the model itself is not known.

        Raises EngineError if nothing begins as a model does there.
        """
        for region in self._regions:
            aligned = (address - region.offset) % self._block == 0
            if _covers(region, address, 8) and aligned and self._begins(address, region.end):
                return region.end
        raise EngineError(ErrorCode.NO_MODEL, f"no model at {address:#x}", address)

    def _scan(self, region: Region) -> Iterator[ModelEntry]:
        for address in range(region.offset, region.end - 7, self._block):
            if self._begins(address, region.end):
                yield ModelEntry(address, self._name(address, region.end))

    def _begins(self, address: int, end: int) -> bool:
        root, identifier = struct.unpack("<I4s", self._flash.read_by_core(address, 8))
        return identifier == b"TFL3" and root <= end - address - 4

    def _name(self, address: int, end: int) -> str:
        """Return the description in the model's root table; empty if it cannot be read."""

        def number(at: int, layout: str) -> int:
            size = struct.calcsize(layout)
            if not address <= at <= end - size:
                raise ValueError(f"{at:#x} is outside of flash for models")
            return int(struct.unpack(layout, self._flash.read_by_core(at, size))[0])

        try:
            table = address + number(address, "<I")
            fields = table - number(table, "<i")
            slot = 4 + 2 * _DESCRIPTION
            offset = number(fields + slot, "<H") if number(fields, "<H") > slot else 0
            if not offset:
                return ""
            text = table + offset + number(table + offset, "<I")
            length = min(number(text, "<I"), LONGEST_NAME, end - text - 4)
            return self._flash.read_by_core(text + 4, length).decode("utf-8", "replace")
        except ValueError:
            return ""


def _covers(region: Region, address: int, length: int) -> bool:
    return region.offset <= address and address + length <= region.end
