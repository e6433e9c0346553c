"""What the bytes of a firmware image are: for which chip, sound or not, for hardware or virtual boards."""

from __future__ import annotations

from harness.boards import Profile
from harness.chips import container, filling
from harness.chips.family import FAMILIES, Kind, family_of, for_another
from harness.errors import HarnessError


def identify(board: Profile, name: str, data: bytes) -> Kind:
    """Return what an image is; messages call it `name`.

    Raises HarnessError if it is no firmware, cut short, damaged, or for another chip than the board's.
    """
    if is_model(data):
        raise HarnessError(f"{name}: a TFLite model, not a firmware image; flash it with --model")
    family = family_of(board)
    if family.recognise(data) is None:
        for other in FAMILIES.names():
            if chip := FAMILIES.get(other).recognise(data):
                raise for_another(board, name, chip)
    return family.identify(board, name, data)


def is_model(data: bytes) -> bool:
    """Return whether bytes begin as a TFLite model does."""
    return data[4:8] == b"TFL3"


def is_virtual(data: bytes) -> bool:
    """Return whether bytes are, or hold, an image that runs on virtual boards alone."""
    return data.startswith(container.MAGIC) or filling.NOTICE in data
