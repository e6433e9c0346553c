"""Flashing for its own sake: what `harness flash` and `harness uf2` do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import boards
from harness.boards import Profile
from harness.errors import HarnessError
from harness.flash.checks import check
from harness.flash.method import Progress, Region, quiet
from harness.models import resolve
from harness.runner.attached import choose_port
from harness.runner.flash import Flashed, flash
from harness.runner.plan import Job, Settings, why_not
from harness.runner.prepare import prepare
from harness.runner.reach import reach

NONE = "none"


def flash_board(
    board_name: str,
    port: str = "auto",
    *,
    firmware: str | None = None,
    models: Sequence[str] = (),
    drive: Path | None = None,
    options: dict[str, object] | None = None,
    progress: Progress = quiet,
) -> Flashed:
    """Flash firmware and models onto a board.

    Args:
        board_name: a board id or the path of a profile.
        port: a pyserial URL, "auto" = the attached board, or "emulated".
        firmware: a protocol, the path of an image, "none", or None = the board's default protocol where
            there are no models, else none.
        models: paths or names of models, each with @ADDRESS where it is not to be placed by itself.
        drive: where the boot loader's drive is; None = look for it.
        options: of the flashing method.
        progress: called with a region's name, the bytes of it that are done, and all of them.

    Raises:
        HarnessError: what was asked for cannot be done: before a byte is sent.
        BoardError: the boot loader does not answer, or refuses.
    """
    board = boards.load(board_name)
    if firmware is None:
        firmware = NONE if models else board.protocols.default
    regions = place_models(board, models)
    protocol = None
    if firmware in board.protocols.supported:
        protocol = firmware
    elif firmware != NONE:
        regions.insert(0, _image_file(board, Path(firmware)))
    check(board, regions)
    with reach(board, choose_port(port, board), drive) as reached:
        outcomes, _ = flash(reached, regions, protocol, progress, options)
    return Flashed(board.id, tuple(outcomes), ())


def place_models(board: Profile, names: Sequence[str]) -> list[Region]:
    """Return models as regions: one behind the other, each at the start of a block, or where it says.

    Raises HarnessError for a model that the board cannot run, or that there is no room for.
    """
    place, block = board.flash.model_region, board.flash.block_bytes
    at = place.offset
    regions = []
    for given in names:
        name, _, address = given.partition("@")
        model = resolve.resolve(name)
        against = why_not(model, board)
        if against:
            raise HarnessError(f"{model.name}: {against}")
        data = prepare(Job(model, board), Settings()).deployed.data
        start = _address(given, address) if address else at
        if not address and at + len(data) > place.end:
            raise HarnessError(
                f"{name}: {len(data)} bytes do not fit behind the others in {board.id}'s "
                f"region {place.name}, which ends at {place.end:#x}; give it an address with {name}@ADDRESS"
            )
        regions.append(Region(name.rsplit("/", 1)[-1], start, data, "model"))
        at = -(-(start + len(data)) // block) * block
    return regions


def _address(given: str, text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise HarnessError(f"{given}: '{text}' is no address; write it like 0x400000") from None


def _image_file(board: Profile, path: Path) -> Region:
    from harness.errors import nearest
    from harness.firmware import adding

    if not path.exists():
        known = nearest(str(path), [*board.protocols.supported, NONE])
        raise HarnessError(f"no file and no protocol '{path}'{known}")
    data, at = adding.examine(board, path)
    return Region(path.name, at, data, "firmware")


@dataclass(frozen=True)
class Uf2:
    """A UF2 file: what it is for, where its content goes, and its bytes."""

    use: str
    address: int
    data: bytes


def uf2(path: Path, board_name: str, slot: int | None = None) -> Uf2:
    """Return the UF2 file for a model (.tflite) or a firmware image.

    Raises HarnessError for a board that takes none, an unknown slot, or a file that does not fit.
    """
    from harness.flash.uf2 import to_uf2

    board = boards.load(board_name)
    if board.flash.uf2 is None:
        takers = ", ".join(profile.id for profile in boards.all_profiles() if profile.flash.uf2)
        raise HarnessError(
            f"{board.id} takes no UF2 files (it is flashed by {board.flash.method}); {takers} do"
        )
    if path.suffix == ".tflite":
        slots = [region for region in board.flash.regions if "model" in region.holds]
        if slot is not None and slot > len(slots):
            raise HarnessError(f"{board.id} has {len(slots)} model slots; there is no slot {slot}")
        place = slots[slot - 1] if slot else board.flash.model_region
        model = resolve.resolve(str(path))
        region = Region(path.name, place.offset, model.data, "model")
    else:
        if slot is not None:
            raise HarnessError(f"{path}: only models go into slots; a firmware image has one place")
        region = _image_file(board, path)
    check(board, [region])
    return Uf2(region.use, region.address, to_uf2(board, region))
