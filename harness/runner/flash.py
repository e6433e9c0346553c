"""Flash: bring firmware and model onto the board, as far as it does not hold them already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.boards import Profile
from harness.errors import HarnessError
from harness.firmware import manifest, virtual
from harness.firmware.manifest import RunsOn
from harness.flash.checks import check, refuse_virtual
from harness.flash.method import Outcome, Region, enter
from harness.models.tflite import Model
from harness.runner.reach import Reach
from harness.wire.session import Identity, Session

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Flashed:
    """What the flash step did on a board; `kept` names what it held already."""

    board: str
    outcomes: tuple[Outcome, ...]
    kept: tuple[str, ...]

    @property
    def wrote(self) -> bool:
        """Whether any byte of flash was written."""
        return any(outcome.did == "written" for outcome in self.outcomes)


def firmware_regions(board: Profile, protocol: str, runs_on: RunsOn) -> list[Region]:
    """Return the firmware image for a board as regions.

    Raises HarnessError where there is none, with how to get one, or where it is damaged.
    """
    image = manifest.find(board.id, protocol, runs_on)
    if image is None and runs_on == "virtual" and protocol in board.protocols.supported:
        # A board of the user's own: no manifest lists it, and its virtual image needs the profile alone.
        return [
            Region(name, offset, data, "firmware") for name, offset, data in virtual.build(board, protocol)
        ]
    if image is None:
        raise HarnessError(no_image(board, protocol, runs_on))
    return [
        Region(part.name, part.offset, data, "firmware") for part, data in manifest.contents(image, board)
    ]


def no_image(board: Profile, protocol: str, runs_on: RunsOn) -> str:
    """Return that there is no firmware image, and how one is got."""
    if runs_on == "virtual":
        return f"{board.id}: there is no virtual firmware that speaks {protocol} (`harness firmware list`)"
    how = (
        "download the vendor's"
        if protocol == "sscma"
        else "build one (firmware/ports, or your own to firmware/PROTOCOL.md)"
    )
    only = (
        " (the shipped one runs on the virtual board only)"
        if manifest.find(board.id, protocol, "virtual")
        else ""
    )
    return (
        f"{board.id}: no {protocol} firmware for the hardware{only}; {how}, then "
        f"`harness firmware add FILE --board {board.id} --protocol {protocol}`"
    )


def model_region(board: Profile, model: Model) -> Region:
    """Return a model as a region, at the profile's place for models."""
    name = model.name.rsplit("/", 1)[-1]
    return Region(name, board.flash.model_region.offset, model.data, "model")


def missing(
    board: Profile, protocol: str, session: Session, identity: Identity, virtual: bool, model: Model
) -> tuple[bool, bool]:
    """Say whether firmware and model are to be flashed, by what the running firmware reports."""
    image = manifest.find(board.id, protocol, "virtual" if virtual else "hardware")
    # A firmware that cannot say what build it is, is taken to be the one that it should be.
    says = "build" in session.features
    outdated = says and image is not None and image.build is not None and identity.build_hash != image.build
    return outdated, held_at(session, model) is None


def held_at(session: Session, model: Model) -> int | None:
    """Return the flash address at which the device holds exactly `model`; None where it does not say so.

    A firmware that gives no digests is believed to hold it (see `trust`).
    """
    import hashlib

    for entry in session.models():
        if "flash-models" not in session.features:
            return entry.address
        if "digests" not in session.features:
            return entry.address
        if session.digest(entry.address, len(model.data)) == hashlib.sha256(model.data).hexdigest():
            return entry.address
    return None


def trust(session: Session) -> str | None:
    """Return what has to be believed about the model on the device; None where it was checked."""
    if "flash-models" not in session.features:
        return f"{session.protocol} does not tell which model is built into the firmware: not checked"
    if "digests" not in session.features:
        return f"{session.protocol} gives no digest of the model in flash: not checked"
    return None


def flash(
    reach: Reach,
    regions: Sequence[Region],
    protocol: str | None,
    progress: Progress,
    options: dict[str, object] | None = None,
) -> tuple[list[Outcome], bool]:
    """Write regions, and the firmware that speaks `protocol` before them (None: leave the firmware).

    Returns what became of each, and whether the board is a virtual one by its boot loader's account.

    Raises:
        HarnessError: a region that the board cannot take, or no firmware for it: before a byte is sent.
        BoardError: the boot loader does not answer, or refuses.
    """
    board = reach.board
    check(board, regions)
    if reach.emulated and protocol is not None:
        check(board, [*firmware_regions(board, protocol, "virtual"), *regions])
    with enter(reach.target(options)) as loader:
        first = (
            firmware_regions(board, protocol, "virtual" if loader.virtual else "hardware") if protocol else []
        )
        every = [*first, *regions]
        check(board, every)
        if not loader.virtual:
            refuse_virtual(board, every)
        return loader.write(every, progress), loader.virtual
