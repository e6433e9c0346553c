"""Missing: what has to be written to the board, because nothing in this session proves that it is there.

Evidence is what the board says now: the build hash of the firmware that runs, and the SHA-256 that it takes
of its flash. What was on a board the last time is none. With a protocol that cannot tell, everything is
written again, which a boot loader that can compare (esptool's MD5) may find to be there already.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from harness.boards import Profile
from harness.errors import BoardError
from harness.firmware import manifest
from harness.firmware.image import Image
from harness.models.tflite import Model
from harness.runner.greet import Greeted
from harness.wire.session import DeviceRefused, Session

BY_BUILD, BY_ACCOUNT, BY_DIGEST = "its build hash", "its own account", "the SHA-256 of its flash"


@dataclass(frozen=True)
class Kept:
    """What a board holds already, and how that is known."""

    what: str
    known_by: str


@dataclass(frozen=True)
class Missing:
    """What a board lacks, as far as is known.

    Attributes:
        firmware, model: whether it is to be written.
        image: the firmware image that the board is proven to hold; None if none is.
        kept: what is there already.
    """

    firmware: bool
    model: bool
    image: Image | None
    kept: tuple[Kept, ...]


EVERYTHING = Missing(True, True, None, ())
"""What a board that does not answer lacks."""


def missing(board: Profile, protocol: str, greeted: Greeted, virtual: bool, model: Model) -> Missing:
    """Return what the board lacks, by what the firmware that answered says of itself and of its flash."""
    image = manifest.for_board(board, protocol, "virtual" if virtual else "hardware")
    kept = []
    proven = held_image(board, protocol, greeted, virtual)
    if proven is not None:
        kept.append(Kept(f"{protocol} firmware", BY_BUILD))
    elif image is None:
        # There is no image to compare it with: believe what it says of itself, and record no more than that.
        kept.append(Kept(f"{protocol} firmware", BY_ACCOUNT))
    held = holds(greeted.session, board, model) is not None
    if held:
        kept.append(Kept(_name(model), BY_DIGEST))
    return Missing(proven is None and image is not None, not held, proven, tuple(kept))


def held_image(board: Profile, protocol: str, greeted: Greeted, virtual: bool) -> Image | None:
    """Return the firmware image that a board is proven to hold, by its build hash; None if none is."""
    image = manifest.for_board(board, protocol, "virtual" if virtual else "hardware")
    told = "build" in greeted.session.features and greeted.identity.build_hash
    return image if image is not None and image.build is not None and told == image.build else None


def _name(model: Model) -> str:
    return model.name.rsplit("/", 1)[-1]


def holds(session: Session, board: Profile, model: Model, at: int | None = None) -> int | None:
    """Return the address in flash at which the device says that it has exactly `model`; None if nowhere.

    The device hashes as many bytes as the file has: how far the model in them reaches plays no part. `at`:
    look at this address alone.
    """
    if "digests" not in session.features:
        return None
    first = board.flash.model_region.offset
    listed = [entry.address for entry in session.models() if at in (None, entry.address)]
    for address in sorted(listed, key=lambda one: one != first):
        with suppress(DeviceRefused):  # that many bytes reach beyond its flash
            if session.digest(address, len(model.data)) == model.sha256:
                return address
    return None


def prove(
    greeted: Greeted, board: Profile, protocol: str, image: Image | None, model: Model, written: bool
) -> tuple[int, str | None]:
    """Return the address of `model` on the board about to run it, and what of that has to be believed.

    Args:
        image: the firmware image that was written, or is there by other evidence.
        written: whether this session wrote the model, or the boot loader found it there.

    Raises BoardError if another firmware answers than `image`, or the board does not hold the model.
    """
    session = greeted.session
    if "build" in session.features and image is not None and image.build is not None:
        found = greeted.identity.build_hash
        if found != image.build:
            raise BoardError(
                f"the firmware that answers is build {(found or 'unknown')[:12]}, and the one for "
                f"{board.id} is {image.build[:12]}: reset the board, or flash it again with `harness flash`"
            )
    if "digests" in session.features:
        address = holds(session, board, model)
        if address is None:
            names = ", ".join(f"{e.name or 'a model'} at {e.address:#x}" for e in session.models())
            raise BoardError(
                f"the board does not hold {_name(model)}: in its flash is {names or 'no model'}; flash the "
                "model first"
            )
        return address, None
    if not written:
        raise BoardError(f"{protocol} cannot tell which model {board.id} holds, and none was written")
    return (
        board.flash.model_region.offset,
        f"{protocol} cannot tell which model runs: taken to be the one that was just written and verified",
    )
