"""Flashing: bytes onto a board through the boot loader that it has."""
