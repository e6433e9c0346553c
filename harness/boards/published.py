"""Published figures of chips: what others measured, under which conditions, and the work that was in it.

One TOML file a chip in boards/figures/. The work of a figure is counted by kernel, from the shape of the
kernel or from the model's file, so that estimates can be held against it without the file.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from harness import assets
from harness.boards.profile import Coefficients, MemoryKind
from harness.boards.table import Hertz, Table, Text


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Work(_Part):
    """What all operators of one kernel compute and move."""

    kernel: Text = Field(description="the name under which coefficients know the kernel")
    count: int = Field(default=1, ge=1, description="how many operators")
    macs: int = Field(default=0, ge=0, description="multiply-accumulates")
    elements: int = Field(default=0, ge=0, description="elements of the outputs")
    weight_bytes: int = Field(default=0, ge=0, description="bytes of constants that are read")
    arena_bytes: int = Field(default=0, ge=0, description="bytes of other inputs and of outputs")


class Figure(_Part):
    """One published time. `model` is the file that was run; `stand_in` a bundled model of about its shape."""

    what: Text = Field(description="what was run")
    value: float = Field(gt=0, description="the published number")
    unit: str = Field(pattern="^(cycles|ms)$", description="its unit")
    conditions: Text = Field(description="what is known of the circumstances")
    source: Text = Field(description="who published it")
    arena: MemoryKind | None = Field(
        default=None, description="memory of the arena; left out where it plays no part"
    )
    model: str | None = Field(default=None, description="file name of the model")
    sha256: str | None = Field(default=None, description="SHA-256 of that file")
    stand_in: str | None = Field(
        default=None, description="the bundled model whose work was counted, as the file cannot be had"
    )
    work: tuple[Work, ...] = Field(default=(), description="the work, by kernel")
    npu_cycles: int | None = Field(default=None, description="Vela's cycles of what is on the NPU")


class Prior(Table):
    """The coefficients before any figure is looked at: their proportions count, for figures set the scale."""

    cycles_per_mac: Coefficients
    cycles_per_element: Coefficients
    cycles_per_byte: Coefficients


class Chip(_Part):
    """The figures of one chip; `boards` are the profiles whose coefficients come from them."""

    chip: Text
    boards: tuple[str, ...]
    clock_hz: Hertz = Field(alias="clock", gt=0)
    figure: tuple[Figure, ...] = Field(min_length=1)
    prior: Prior | None = None

    def cycles(self, figure: Figure) -> float:
        """Return a published time in cycles of the chip's clock."""
        return figure.value if figure.unit == "cycles" else figure.value * self.clock_hz / 1e3


def for_board(board: str) -> Chip | None:
    """Return the figures of the chip of the board with this id, None where there are none."""
    return next((chip for chip in chips() if board in chip.boards), None)


@cache
def chips() -> tuple[Chip, ...]:
    """Return the figures of every chip, by file name."""
    paths = sorted((assets.directory("boards") / "figures").glob("*.toml"))
    return tuple(_read(path) for path in paths)


def _read(path: Path) -> Chip:
    from harness.boards.profile import tuples

    return Chip.model_validate(tuples(tomllib.loads(path.read_text(encoding="utf-8"))))
