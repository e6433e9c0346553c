"""Place: where in flash models go that a person flashes by hand, and UF2 files of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import boards
from harness.boards import Profile
from harness.errors import HarnessError
from harness.firmware import images
from harness.flash.checks import check, free_places
from harness.flash.method import FlashFile
from harness.models import resolve
from harness.runner.adding import address, examine
from harness.runner.deploy import deploy
from harness.runner.plan import why_not


def place_models(board: Profile, names: Sequence[str]) -> list[FlashFile]:
    """Return models as files to flash: one behind the other, or at the address given (`names` with @ADDRESS).

    Raises HarnessError for a model that the board cannot run, or that there is no room for.
    """
    behind = None
    files = []
    for given in names:
        name, at = _place(given)
        data = _deployed(board, name)
        if at is None:
            at = board.flash.place_for_model(len(data), behind)
        if at is None:
            raise HarnessError(
                f"{name}: no room for its {len(data)} bytes behind the others in {board.id}'s flash; give it "
                f"an address with {name}@ADDRESS ({free_places(board)})"
            )
        files.append(FlashFile(name.rsplit("/", 1)[-1], at, data, "model"))
        behind = at + len(data)
    return files


def _place(given: str) -> tuple[str, int | None]:
    """Return name and address of MODEL[@ADDRESS]; a file's name may have an @ in it."""
    name, at_sign, text = given.rpartition("@")
    if not at_sign or Path(given).exists():
        return given, None
    return name, address(text)


def _deployed(board: Profile, name: str) -> bytes:
    """Return a model as the board takes it; raises HarnessError if it cannot run it."""
    model = resolve.resolve(name)
    against = why_not(model, board)
    if against:
        raise HarnessError(f"{model.name}: {against}")
    return deploy(model, board).file.data


def _is_model(path: Path) -> bool:
    if path.suffix.lower() == ".tflite":
        return True
    try:
        with path.open("rb") as file:
            return images.is_model(file.read(8))
    except OSError:
        return False  # reported when the whole file is read


@dataclass(frozen=True)
class Uf2File:
    """A UF2 file: what it is for, where its content goes, and its bytes."""

    use: str
    address: int
    data: bytes


def uf2(path: Path, board_name: str, slot: int | None = None) -> Uf2File:
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
        file = FlashFile(path.name, place.offset, _deployed(board, str(path)), "model")
    else:
        if slot is not None:
            raise HarnessError(f"{path}: only models go into slots; a firmware image has one place")
        (file,) = examine(board, [path])
    check(board, [file])
    return Uf2File(file.use, file.address, to_uf2(board, file))
