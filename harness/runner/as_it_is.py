"""As it is: find on a board what is to be benched there, without its boot loader and without its flash.

Many people put a model on a board with the vendor's web page. What runs is then proven only if the firmware
tells a hash of its flash and the model's file is given; else the record says that it is not.
"""

from __future__ import annotations

from pathlib import Path

from harness import boards
from harness.boards import Profile
from harness.errors import BoardError, HarnessError
from harness.runner.adding import address
from harness.runner.attached import AUTO, EMULATED, everything
from harness.runner.missing import holds
from harness.runner.prepare import Listed, Prepared
from harness.wire.session import FlashModel, Session

Wanted = tuple[str, int | None]
"""A model to bench: the name of its file ("" if that is not given), and its address if that was said."""


def wanted(names: tuple[str, ...]) -> list[Wanted]:
    """Return what MODEL, MODEL@ADDRESS and @ADDRESS mean; raises HarnessError for an address that is none."""
    found: list[Wanted] = []
    for name in names:
        model, at_sign, text = name.rpartition("@")
        said = bool(at_sign) and not Path(name).exists()
        found.append((model, address(text)) if said else (name, None))
    return found


def boards_at(names: tuple[str, ...], port: str | None) -> tuple[str, ...]:
    """Return the boards that were named, else the one that is attached; raises HarnessError."""
    if names:
        return names
    if port not in (None, AUTO):
        which = "an emulated board has to be named" if port == EMULATED else f"which board is at {port}?"
        raise HarnessError(f"{which} Say it with --board ({', '.join(boards.ids())})")
    ids = list(dict.fromkeys(id for item in everything() for id in item.boards))
    if len(ids) == 1:
        return (ids[0],)
    there = f"several boards may be attached ({', '.join(ids)})" if ids else "no known board is attached"
    raise HarnessError(f"{there}; name the one to bench with --board, and its port with --port")


def listed(session: Session, board: Profile, where: str, at: int | None) -> list[Listed]:
    """Return the models that a board lists, or the one at an address; raises BoardError if there is none."""
    entries = _entries(session, board, where)
    return [Listed(board, entry) for entry in ([_at(entries, at, where)] if at is not None else entries)]


def locate(
    session: Session, board: Profile, where: str, model: Prepared | Listed, protocol: str
) -> tuple[int, str | None]:
    """Return the address of a model on the board, and why it is not known that it is that model.

    Raises BoardError if the board does not hold it, or does not tell where.
    """
    if isinstance(model, Listed):
        return model.entry.address, "it was on the board, and no file was given to hold it against"
    name = model.name.rsplit("/", 1)[-1]
    at = model.job.at
    if "digests" in session.features:
        found = holds(session, board, model.deployed, at)
        if found is not None:
            return found, None
        where_at = "" if at is None else f" at {at:#x}"
        raise BoardError(
            f"the board at {where} does not hold {name}{where_at}: in its flash is "
            f"{_listing(_entries(session, board, where))}; flash it (leave --no-flash out), or bench what "
            "is there without naming a file"
        )
    entries = _entries(session, board, where)
    if at is None:
        usual = [entry for entry in entries if entry.address == board.flash.model_region.offset]
        if len(entries) > 1 and not usual:
            raise BoardError(
                f"the board at {where} holds {_listing(entries)}; say which is {name} with {name}@ADDRESS"
            )
        entry = (usual or entries)[0]
    else:
        entry = _at(entries, at, where)
    return entry.address, f"{protocol} cannot tell which model runs: taken to be {name}, which was named"


def _entries(session: Session, board: Profile, where: str) -> list[FlashModel]:
    entries = session.models()
    if not entries:
        raise BoardError(
            f"the board at {where} lists no model in its flash; put one there (leave --no-flash out, or "
            f"`harness flash -b {board.id} -m MODEL`)"
        )
    return entries


def _at(entries: list[FlashModel], at: int, where: str) -> FlashModel:
    entry = next((entry for entry in entries if entry.address == at), None)
    if entry is None:
        raise BoardError(f"the board at {where} has no model at {at:#x}; in its flash is {_listing(entries)}")
    return entry


def _listing(entries: list[FlashModel]) -> str:
    return ", ".join(f"{entry.name or 'a model'} at {entry.address:#x}" for entry in entries)
