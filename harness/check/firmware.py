"""Firmwares: what each registers, and what it can feed a model with."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness import assets
from harness.boards import Profile
from harness.boards.profile import tuples
from harness.boards.table import Bytes, Text
from harness.errors import HarnessError, nearest


class FirmwareLimits(BaseModel):
    """What a firmware can do with a model; None if it sets no limit of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Text
    protocol: str | None = None
    boards: tuple[str, ...] | None = None
    operators: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None
    arena_bytes: Bytes | None = Field(default=None, alias="arena", gt=0)
    inputs: int | None = Field(default=None, gt=0)
    camera: bool = False
    source: Text

    def is_for(self, board: Profile) -> bool:
        return self.boards is None or board.id in self.boards

    def arena(self, board: Profile) -> int:
        """Return the bytes of tensor arena that it has on `board`."""
        return self.arena_bytes if self.arena_bytes is not None else board.arena.size_bytes


def choose(board: Profile, name: str | None = None) -> FirmwareLimits:
    """Return the firmware called `name`, or in the file of that name; without one, of the default protocol.

    Raises HarnessError if there is none for the board, or the file is not of this kind.
    """
    if name is not None and (name.endswith(".toml") or Path(name).is_file()):
        return _of_file(Path(name))
    here = [f for f in _known() if f.is_for(board)]
    wanted = name or board.protocols.default
    for firmware in here:
        if wanted in ((firmware.name, firmware.protocol) if name is None else (firmware.name,)):
            return firmware
    raise HarnessError(
        f"no firmware '{wanted}' is known for {board.id}{nearest(wanted, [f.name for f in here])} "
        "(the path of a .toml file works too)"
    )


def speaking(board: Profile, protocol: str | None) -> FirmwareLimits:
    """Return the firmware of `board` that speaks `protocol` (None: its default).

    If none is known, that is one without limits.
    """
    wanted = protocol or board.protocols.default
    for firmware in _known():
        if firmware.is_for(board) and firmware.protocol == wanted:
            return firmware
    return FirmwareLimits(name=wanted, protocol=wanted, source="not known: nothing is held against a model")


def others(board: Profile, chosen: FirmwareLimits) -> list[FirmwareLimits]:
    """Return the firmwares of `board` besides the chosen one that set limits of their own."""
    return [f for f in _known() if f.boards is not None and board.id in f.boards and f != chosen]


@cache
def _known() -> tuple[FirmwareLimits, ...]:
    return _read(assets.directory("firmware") / "known.toml")


def _of_file(path: Path) -> FirmwareLimits:
    found = _read(path)
    if len(found) != 1:
        raise HarnessError(f"{path}: it has {len(found)} [[firmware]] tables; give a file with one")
    return found[0]


def _read(path: Path) -> tuple[FirmwareLimits, ...]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        return tuple(FirmwareLimits.model_validate(tuples(f)) for f in values.get("firmware", []))
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise HarnessError(f"{path}: is not UTF-8 text; give a .toml file about a firmware") from None
    except tomllib.TOMLDecodeError as error:
        raise HarnessError(f"{path}: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise HarnessError(f"{path}: firmware.{where}: {first['msg']}") from None
    except AttributeError:
        raise HarnessError(f"{path}: [[firmware]] has to be a table; see firmware/known.toml") from None
