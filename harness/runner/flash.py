"""Flash: write what is missing through the board's boot loader, and have it verified."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from harness.boards import Profile
from harness.errors import HarnessError
from harness.firmware import manifest, vendors
from harness.firmware.image import Image, RunsOn
from harness.flash.checks import check, refuse_virtual
from harness.flash.method import FlashFile, Outcome, Progress, enter
from harness.models.tflite import Model
from harness.runner.attached import AUTO, EMULATED, everything
from harness.runner.missing import Kept
from harness.runner.reach import Reach, port_kind
from harness.wire.protocol import PROTOCOLS


@dataclass(frozen=True)
class Flashed:
    """What the flash step did on a board, and what the board held already."""

    board: str
    outcomes: tuple[Outcome, ...]
    kept: tuple[Kept, ...] = ()
    loader: str = ""
    """What the boot loader said of itself and its chip."""

    @property
    def written(self) -> tuple[Outcome, ...]:
        """The files that were written."""
        return tuple(outcome for outcome in self.outcomes if outcome.did == "written")

    @property
    def there(self) -> tuple[Kept, ...]:
        """What was not written: by what the firmware said, or by what the boot loader found."""
        same = (Kept(o.file, o.verified) for o in self.outcomes if o.did == "same")
        return (*self.kept, *same)


@dataclass(frozen=True)
class Written:
    """What a boot loader did.

    Attributes:
        outcomes: what became of each file.
        virtual: whether the board is a virtual one, by its boot loader's account.
        image: the firmware image that was written; None if the firmware was left alone.
        loader: what it said of itself and its chip.
    """

    outcomes: tuple[Outcome, ...]
    virtual: bool
    image: Image | None
    loader: str


def firmware_image(board: Profile, protocol: str, runs_on: RunsOn) -> Image:
    """Return the firmware image for a board; raises HarnessError if there is none, with how to get one."""
    image = manifest.for_board(board, protocol, runs_on)
    if image is None:
        raise HarnessError(no_image(board, protocol, runs_on))
    return image


def no_image(board: Profile, protocol: str, runs_on: RunsOn) -> str:
    """Return that there is no firmware image, and how one is got."""
    if runs_on == "virtual":
        return f"{board.id}: there is no virtual firmware that speaks {protocol} (`harness firmware list`)"
    how = PROTOCOLS.get(protocol).image
    listed = vendors.listing(board.id)
    if listed is not None and listed.protocol == protocol:
        how = f"{how} (`harness firmware fetch --board {board.id}`), or another"
    only = (
        " (the shipped one runs on the virtual board only)"
        if manifest.find(board.id, protocol, "virtual")
        else ""
    )
    return (
        f"{board.id}: no {protocol} firmware for the hardware{only}; {how}, then "
        f"`harness firmware add FILE --board {board.id} --protocol {protocol}`"
    )


def refuse_without_image(board: Profile, protocol: str, port: str | None) -> None:
    """Raise HarnessError if a real board is to be flashed and no image for it is there.

    That comes before anybody plugs the board in or looks for it. What is behind a pty, a socket or a drive
    may be a virtual board, which its boot loader tells.
    """
    if port is None or manifest.for_board(board, protocol, "hardware") is not None:
        return
    away = port == AUTO and not any(board.id in item.boards for item in everything())
    if away or (port not in (AUTO, EMULATED) and port_kind(os.path.realpath(port)) == "serial"):
        raise HarnessError(no_image(board, protocol, "hardware"))


def model_file(board: Profile, model: Model) -> FlashFile:
    """Return a model as a file to flash, at the profile's place for models."""
    name = model.name.rsplit("/", 1)[-1]
    return FlashFile(name, board.flash.model_region.offset, model.data, "model")


def flash(
    reach: Reach,
    files: Sequence[FlashFile],
    protocol: str | None,
    progress: Progress,
    options: dict[str, object] | None = None,
) -> Written:
    """Write files, and the firmware that speaks `protocol` before them (None: leave the firmware).

    Raises:
        HarnessError: a file that the board cannot take, or no firmware for it: before a byte is sent.
        BoardError: the boot loader does not answer, or refuses.
    """
    board = reach.board
    check(board, files)
    if reach.emulated and protocol is not None:
        check(board, [*_firmware(board, firmware_image(board, protocol, "virtual")), *files])
    with enter(reach.target(options)) as loader:
        image = (
            firmware_image(board, protocol, "virtual" if loader.virtual else "hardware") if protocol else None
        )
        every = [*(_firmware(board, image) if image else ()), *files]
        check(board, every)
        if not loader.virtual:
            refuse_virtual(board, every)
        return Written(tuple(loader.write(every, progress)), loader.virtual, image, loader.description)


def _firmware(board: Profile, image: Image) -> list[FlashFile]:
    return [
        FlashFile(part.name, part.offset, data, "firmware") for part, data in manifest.contents(image, board)
    ]
