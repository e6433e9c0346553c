"""Flashing for its own sake: what `harness flash` and `harness uf2` do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import boards
from harness.boards import Profile
from harness.errors import HarnessError, nearest
from harness.firmware import images
from harness.flash.checks import check, free_places
from harness.flash.method import Progress, Region, quiet
from harness.models import resolve
from harness.runner.adding import address, examine
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
        if not Path(firmware).exists():
            known = nearest(firmware, [*board.protocols.supported, NONE])
            raise HarnessError(f"no file and no protocol '{firmware}'{known}")
        regions.insert(0, examine(board, Path(firmware)))
    elif not models:
        raise HarnessError("nothing to flash: --firmware none, and no --model")
    check(board, regions)
    with reach(board, choose_port(port, board, drive), drive) as reached:
        outcomes, _ = flash(reached, regions, protocol, progress, options)
    return Flashed(board.id, tuple(outcomes), ())


def place_models(board: Profile, names: Sequence[str]) -> list[Region]:
    """Return models as regions: one behind the other, or where it says (`names` with @ADDRESS).

    Raises HarnessError for a model that the board cannot run, or that there is no room for.
    """
    behind = None
    regions = []
    for given in names:
        name, at = _place(given)
        data = _deployed(board, name)
        if at is None:
            at = board.flash.place_for_model(len(data), behind)
        if at is None:
            raise HarnessError(
                f"{name}: no room for its {len(data)} bytes behind the others in {board.id}'s flash; give it "
                f"an address with {name}@ADDRESS ({free_places(board, 'model')})"
            )
        regions.append(Region(name.rsplit("/", 1)[-1], at, data, "model"))
        behind = at + len(data)
    return regions


def _place(given: str) -> tuple[str, int | None]:
    """Return name and address of MODEL[@ADDRESS]; a file's name may have an @ in it."""
    name, at_sign, text = given.rpartition("@")
    if not at_sign or Path(given).exists():
        return given, None
    return name, address(text)


def _deployed(board: Profile, name: str) -> bytes:
    """Return a model as the board takes it; raises HarnessError where it cannot run it."""
    model = resolve.resolve(name)
    against = why_not(model, board)
    if against:
        raise HarnessError(f"{model.name}: {against}")
    return prepare(Job(model, board), Settings()).deployed.data


def _is_model(path: Path) -> bool:
    if path.suffix.lower() == ".tflite":
        return True
    try:
        with path.open("rb") as file:
            return images.is_model(file.read(8))
    except OSError:
        return False  # whoever reads all of it says so


@dataclass(frozen=True)
class Uf2:
    """A UF2 file: what it is for, where its content goes, and its bytes."""

    use: str
    address: int
    data: bytes


def uf2(path: Path, board_name: str, slot: int | None = None) -> Uf2:
    """Return the UF2 file for a TFLite model or a firmware image.

    Raises HarnessError for a board that takes none, an unknown slot, or a file that does not fit.
    """
    from harness.flash.uf2 import to_uf2

    board = boards.load(board_name)
    if board.flash.uf2 is None:
        takers = ", ".join(profile.id for profile in boards.all_profiles() if profile.flash.uf2)
        raise HarnessError(
            f"{board.id} takes no UF2 files (it is flashed by {board.flash.method}); {takers} do"
        )
    if _is_model(path):
        slots = [region for region in board.flash.regions if "model" in region.holds]
        if slot is not None and slot > len(slots):
            raise HarnessError(f"{board.id} has {len(slots)} model slots; there is no slot {slot}")
        place = slots[slot - 1] if slot else board.flash.model_region
        region = Region(path.name, place.offset, _deployed(board, str(path)), "model")
    else:
        if slot is not None:
            raise HarnessError(f"{path}: only models go into slots; a firmware image has one place")
        region = examine(board, path)
    check(board, [region])
    return Uf2(region.use, region.address, to_uf2(board, region))
