"""What an ESP32 chip says of itself in its loader, and what of that keeps it from being written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from esptool.cmds import detect_flash_size
from esptool.util import flash_size_bytes

from harness.boards import Profile
from harness.chips import filling
from harness.errors import BoardError
from harness.flash.method import FlashFile

_PSRAM = {1: (8, "octal"), 2: (2, "quad"), 3: (16, "octal"), 4: (4, "")}
"""PSRAM in an ESP32-S3's package, by its eFuse: MiB and lines (ESP32-S3 Series Datasheet, Comparison)."""
_MIB = 1 << 20


@dataclass(frozen=True)
class EspChip:
    """A chip's own account.

    Attributes:
        name: with package and revision.
        flash_bytes, octal_flash: its flash; 0 if that does not say how large it is.
        psram_bytes, psram: the PSRAM in its package, in bytes and in words; 0 and "" if there is none.
        secure_boot: whether it starts signed images alone.
        encrypted: whether it reads its flash encrypted.
    """

    name: str
    mac: str
    flash_bytes: int
    octal_flash: bool
    psram_bytes: int
    psram: str
    secure_boot: bool
    encrypted: bool

    @property
    def virtual(self) -> bool:
        """Whether it is a virtual board's."""
        return bytes.fromhex(self.mac.replace(":", "")).startswith(filling.MAC_PREFIX)

    def __str__(self) -> str:
        """Return it in a line."""
        flash = f"{self.flash_bytes // _MIB} MiB" if self.flash_bytes else "unknown size"
        return ", ".join(
            (
                self.name,
                f"flash: {flash}, {'octal' if self.octal_flash else 'quad or less'}",
                f"PSRAM: {self.psram or 'none in its package'}",
                f"secure boot {'on' if self.secure_boot else 'off'}",
                f"flash encryption {'on' if self.encrypted else 'off'}",
                f"MAC {self.mac}",
            )
        )


def refuse_secure_download(esp: Any, port: str) -> None:
    """Raise BoardError if a chip just connected to lets nothing of it be read."""
    if esp.secure_download_mode:
        raise BoardError(
            f"{port}: the chip is in Secure Download Mode (an eFuse, which cannot be undone): nothing in its "
            "flash can be verified, so nothing was written; take another board"
        )


def read(esp: Any) -> EspChip:
    """Return what a chip says; its flash has been attached."""
    size, lines = _PSRAM.get(esp.get_psram_cap(), (0, "")) if hasattr(esp, "get_psram_cap") else (0, "")
    return EspChip(
        name=str(esp.get_chip_description()),
        mac=":".join(f"{byte:02x}" for byte in esp.read_mac()),
        flash_bytes=flash_size_bytes(detect_flash_size(esp) or "0") or 0,
        octal_flash=bool(getattr(esp, "flash_type", lambda: 0)()),
        psram_bytes=size * _MIB,
        psram=f"{size} MiB, {lines}".rstrip(", ") if size else "",
        secure_boot=bool(esp.get_secure_boot_enabled()),
        encrypted=bool(esp.get_flash_encryption_enabled()),
    )


def check(board: Profile, chip: EspChip, port: str) -> None:
    """Raise BoardError if a chip has less memory than the board's profile says."""
    for kind, found in (("flash", chip.flash_bytes), ("psram", chip.psram_bytes)):
        if found and found < wanted(board, kind):
            what = {"psram": "PSRAM"}.get(kind, kind)
            raise BoardError(
                f"{port}: the chip has {found} bytes of {what}, {board.id} {wanted(board, kind)}; is that "
                "the right board?"
            )


def wanted(board: Profile, kind: str) -> int:
    """Return how many bytes the largest memory of a kind has by the profile."""
    return max((memory.size_bytes for memory in board.memories if memory.kind == kind), default=0)


def check_files(chip: EspChip, files: Sequence[FlashFile], port: str) -> None:
    """Raise BoardError if a chip would not run, or not read, what is to be written."""
    if chip.encrypted:
        raise BoardError(
            f"{port}: flash encryption is on (an eFuse): the chip could not read what is written plainly, so "
            "nothing was written; take another board"
        )
    if chip.secure_boot and any(file.use == "firmware" for file in files):
        raise BoardError(
            f"{port}: secure boot is on (an eFuse): the chip starts only images signed with its key, "
            "so nothing was written; take another board, or flash models alone (--firmware none)"
        )
