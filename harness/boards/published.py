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
from harness.boards.table import Bytes, Cycles, Hertz, ProfileTable, Text


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Work(_Part):
    """What all operators of one kernel compute and move (see `harness.models.estimate.Demand`)."""

    kernel: Text = Field(description="the name under which coefficients know the kernel")
    count: int = Field(default=1, ge=1, description="how many operators")
    macs: int = Field(default=0, ge=0, description="multiply-accumulates, of whole vectors")
    elements: int = Field(default=0, ge=0, description="elements of the outputs")
    rows: int = Field(default=0, ge=0, description="rows of filters that are gone through")
    weight_bytes: int = Field(default=0, ge=0, description="bytes of constants that are read")
    arena_bytes: int = Field(default=0, ge=0, description="bytes that pass through the arena")
    npu_cycles: int = Field(default=0, ge=0, description="cycles of the command streams of NPU operators")


class Figure(_Part):
    """One published time. `model` is the file that was run; `stand_in` a bundled model of equal shape.

    `architecture` is given for a whole model: with it go all models of the kind when one is held out.
    """

    what: Text = Field(description="what was run")
    value: float = Field(gt=0, description="the published number")
    unit: str = Field(pattern="^(cycles|ms)$", description="its unit")
    resolution: float | None = Field(
        default=None, gt=0, description="smallest step of a published time of its kind, in its unit"
    )
    architecture: str | None = Field(default=None, description="kind of network, for whole models")
    firmware: Text = Field(description="the firmware that ran it, and its year")
    library: Text = Field(description="kernel library and the year of its release")
    weights: MemoryKind | None = Field(default=None, description="memory of the constants")
    arena: MemoryKind | None = Field(
        default=None, description="memory of the arena; left out if it plays no part"
    )
    conditions: Text = Field(description="what else is known of the circumstances")
    source: Text = Field(description="who published it")
    model: str | None = Field(default=None, description="file name of the model")
    sha256: str | None = Field(default=None, description="SHA-256 of that file")
    sha1: str | None = Field(default=None, description="SHA-1 that its link names")
    md5: str | None = Field(default=None, description="MD5 that its zoo entry names")
    stand_in: str | None = Field(
        default=None, description="the bundled model of equal shape whose work was counted"
    )
    outlier: Text | None = Field(
        default=None, description="why the figure cannot be right; nothing is fitted to it"
    )
    not_counted: Text | None = Field(default=None, description="why its work is not known")
    work: tuple[Work, ...] = Field(default=(), description="the work, by kernel")


class Prior(ProfileTable):
    """The coefficients before any figure is looked at: what sources of kernels and data sheets give.

    `off` says by which factor they may be off, by the name of a part, with a default: that far figures may
    move them.
    """

    cache_bytes: Bytes | None = Field(default=None, alias="cache")
    vector_bytes: Bytes | None = Field(default=None, alias="vector")
    cycles_per_operator: Cycles = 0.0
    npu_cycles_per_job: Cycles = 0.0
    npu_cycles_per_byte: Cycles = 0.0
    cycles_per_mac: Coefficients
    cycles_per_element: Coefficients
    cycles_per_row: Coefficients | None = None
    cycles_per_byte: Coefficients
    off: Coefficients


class Chip(_Part):
    """The figures of one chip; `boards` are the profiles whose coefficients come from them."""

    chip: Text
    boards: tuple[str, ...]
    clock_hz: Hertz = Field(alias="clock", gt=0)
    library: Text = Field(description="the kernel library that the boards' stock firmware has")
    not_modelled: tuple[Text, ...] = Field(default=(), description="what estimates do not know of")
    figure: tuple[Figure, ...] = Field(min_length=1)
    prior: Prior

    def cycles(self, figure: Figure) -> float:
        """Return a published time in cycles of the chip's clock."""
        return figure.value if figure.unit == "cycles" else figure.value * self.clock_hz / 1e3


def for_board(board: str) -> Chip | None:
    """Return the figures of the chip of the board with this id, None if there are none."""
    return next((chip for chip in chips() if board in chip.boards), None)


@cache
def chips() -> tuple[Chip, ...]:
    """Return the figures of every chip, by file name."""
    paths = sorted((assets.directory("boards") / "figures").glob("*.toml"))
    return tuple(_read(path) for path in paths)


def _read(path: Path) -> Chip:
    from harness.boards.profile import tuples

    return Chip.model_validate(tuples(tomllib.loads(path.read_text(encoding="utf-8"))))
