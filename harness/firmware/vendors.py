"""Where the vendors list the firmware that they give out (firmware/vendors.toml)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from harness import assets


@dataclass(frozen=True)
class Listing:
    """A vendor's list for a board, what the firmware in it speaks, and where that is from."""

    board: str
    protocol: str
    url: str
    source: str


def listing(board: str) -> Listing | None:
    """Return the list of the vendor of the board with this id; None if none is known."""
    text = (assets.directory("firmware") / "vendors.toml").read_text(encoding="utf-8")
    return next((Listing(**one) for one in tomllib.loads(text)["list"] if one["board"] == board), None)
