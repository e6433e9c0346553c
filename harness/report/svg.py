"""Matplotlib figures as SVG inside a page: the page's fonts, and its colours through CSS variables.

Matplotlib writes colours into the file. So that one picture serves light, dark and paper, it draws with a
stand-in for each role, which is then replaced by a CSS variable of that name.
"""

from __future__ import annotations

import html
import io
import itertools
import re
import warnings
from collections.abc import Mapping
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

# Roles of the page's style sheet (`--ink` and so on) by the stand-in that matplotlib draws with.
_ROLES = ("ink", "muted", "grid", "track", "measured", "emulated", "estimated", "published", "baseline")
COLOUR = {role: f"#0000{number:02x}" for number, role in enumerate(_ROLES, 1)}

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "harness",
    "font.size": 9.5,
    "axes.edgecolor": COLOUR["muted"],
    "axes.labelcolor": COLOUR["muted"],
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "grid.color": COLOUR["grid"],
    "grid.linewidth": 0.7,
    "text.color": COLOUR["ink"],
    "xtick.color": COLOUR["muted"],
    "ytick.color": COLOUR["muted"],
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "hatch.linewidth": 0.8,
    "hatch.color": COLOUR["track"],
    "path.simplify_threshold": 0.5,
}
_numbers = itertools.count(1)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches of 72 CSS pixels; draw on it under `styled()`."""
    return Figure(figsize=(width, height), layout="constrained")


def styled() -> Any:
    """Return the context that figures are made and written in."""
    return rc_context(STYLE)  # type: ignore[arg-type]  # keys of rcParams are literals to mypy


def inline(figure: Figure, label: str, tips: Mapping[str, str] | None = None) -> str:
    """Return `figure` as an `<svg>` element.

    Args:
        label: what a screen reader says.
        tips: text that shows on hovering, by the gid of the artist.
    """
    out = io.StringIO()
    with warnings.catch_warnings():
        # The page's font draws the text, not the one that matplotlib finds a name's letters missing from.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for gid, tip in (tips or {}).items():
        text = text.replace(f'<g id="{gid}">', f"<g><title>{html.escape(tip)}</title>")
    # Ids are unique in a picture, not among the pictures of a page.
    prefix = f"f{next(_numbers)}-"
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'(xlink:href="|url\()#', rf"\1#{prefix}", text)
    text = re.sub(
        r' id="f\d+-(?:figure|axes|patch|line2d|text|matplotlib|xtick|ytick|legend|\w*Collection)\w*"',
        "",
        text,
    )
    for role, colour in COLOUR.items():
        text = text.replace(colour, f"var(--{role})")
    # A size in CSS alone, so that the picture scales with its column.
    text = re.sub(r'(<svg [^>]*?)\bwidth="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg [^>]*?)\bheight="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"\n\s*", "\n", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1).strip()
