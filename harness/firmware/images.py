"""What the bytes of a firmware image are: for which chip, sound or not, for hardware or virtual boards."""

from __future__ import annotations

from collections.abc import Sequence

from harness.boards import Profile
from harness.chips import container, filling
from harness.chips.family import FAMILIES, Piece, family_of, for_another
from harness.errors import HarnessError


def arrange(board: Profile, pieces: Sequence[Piece]) -> list[Piece]:
    """Return the pieces of a firmware image with their addresses, without what follows their last bytes.

    Raises HarnessError if one is no firmware, cut short, damaged, for another chip than the board's, or does
    not go where it is to go.
    """
    family = family_of(board)
    for piece in pieces:
        if is_model(piece.data):
            raise HarnessError(f"{piece.name}: a TFLite model, not a firmware image; flash it with --model")
        if family.recognise(piece.data) is not None:
            continue
        for other in FAMILIES.names():
            if chip := FAMILIES.get(other).recognise(piece.data):
                raise for_another(board, piece.name, chip)
    return family.arrange(board, pieces)


def is_model(data: bytes) -> bool:
    """Return whether bytes begin as a TFLite model does."""
    return data[4:8] == b"TFL3"


def is_virtual(data: bytes) -> bool:
    """Return whether bytes are, or hold, an image that runs on virtual boards alone."""
    return data.startswith(container.MAGIC) or filling.NOTICE in data
