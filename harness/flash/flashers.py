"""The flashing methods of this package."""

from __future__ import annotations

from harness.flash.method import Flasher, Option

_BAUD = Option("baud", "Line speed while flashing [the boot loader's].", default=None, number=True)
ESPTOOL = Flasher(
    "esptool",
    "harness.flash.esptool:enter",
    (
        Option("stub", "Run esptool's flasher stub.", default=True),
        Option("compress", "Send compressed.", default=True),
        _BAUD,
    ),
)
XMODEM = Flasher(
    "xmodem",
    "harness.flash.xmodem:enter",
    (Option("block", "Block size in bytes.", default="1024", choices=("1024", "128")), _BAUD),
    port="harness.flash.xmodem_silence:SilentPort",
)
UF2 = Flasher("uf2", "harness.flash.uf2:enter")
