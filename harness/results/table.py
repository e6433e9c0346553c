"""A table of strings, to be shown or written as Markdown, and how figures are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """Columns and rows; a column named in `right` is aligned to the right."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    right: frozenset[str] = field(default_factory=frozenset)

    def markdown(self) -> str:
        """Return the table as a pipe table."""
        rules = ["---:" if column in self.right else "---" for column in self.columns]
        lines = [self.columns, rules, *self.rows]
        return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\r", "").replace("\n", "<br>")


def milliseconds(time_us: float | None, resolution_us: float = 0.0) -> str:
    """Write a time given in microseconds as milliseconds with four significant digits: `54.21 ms`.

    No digit is written that the timer's resolution does not bear out: with steps of a millisecond 11 is
    `11 ms`, and 0 is `< 1 ms`.
    """
    if time_us is None:
        return "–"
    value = time_us / 1000
    if 0 <= time_us < resolution_us:
        return f"< {resolution_us / 1000:g} ms"
    digits = 0 if value >= 1000 else 1 if value >= 100 else 2 if value >= 10 else 3
    return f"{value:,.{decimals(resolution_us, digits)}f} ms"


def decimals(resolution_us: float, most: int) -> int:
    """Return how many decimals of a time in milliseconds its timer bears out, `most` at most."""
    if resolution_us <= 0:
        return most
    return min(most, max(0, math.ceil(3 - math.log10(resolution_us) - 1e-9)))


def band(percent: float, below_percent: float | None = None) -> str:
    """Write how much longer and shorter than an estimate a time may be, both in percent of the estimate.

    `±35 %`, `-18/+35 %` if the ends differ, and `up to ×2.5` for what may be twice as long or more.
    `below_percent` None means as much shorter as longer.
    """
    if percent >= 100:
        return f"up to ×{1 + percent / 100:.1f}"
    above, below = f"{percent:.0f}", f"{percent if below_percent is None else below_percent:.0f}"
    return f"±{above} %" if above == below else f"-{below}/+{above} %"


def origin_of_time(
    origin: str, error_percent: float | None = None, error_below_percent: float | None = None
) -> str:
    """Write the origin of a time, with its error band if it is an estimate that has one."""
    if error_percent is None:
        return origin
    comma = "," if error_percent >= 100 else ""
    return f"{origin}{comma} {band(error_percent, error_below_percent)}"


def kibibytes(count: int | None) -> str:
    """Write a count of bytes as KiB with one decimal if it needs one: `117.2 KiB`, `512 KiB`."""
    if count is None:
        return "–"
    return f"{count / 1024:,.1f}".removesuffix(".0") + " KiB"


def percent(value: float | None, digits: int = 1) -> str:
    """Write a share or spread that is in percent: `1.2 %`."""
    return "–" if value is None else f"{value:.{digits}f} %"


def change(ratio: float, digits: int = 1) -> str:
    """Write a ratio as the change that it is: 1.05 is `+5.0 %`."""
    return f"{100 * (ratio - 1):+.{digits}f} %"
