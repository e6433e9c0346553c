"""The pictures of the report. Colour says where a figure comes from, on every one of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from harness.report.svg import COLOUR, inline, new_figure, styled
from harness.results.group import Group
from harness.results.record import Origin, Record
from harness.results.row import invoke_us
from harness.results.table import kibibytes, milliseconds, percent

_WIDTH = 6.4
MOST_RUNS = 24
_MOST_LAYERS = 14
_MOST_DRIFTS = 5
# A figure that nobody measured is drawn hollow, dashed or hatched, so that it shows without colour too.
_HATCH: dict[Origin, str] = {"measured": "", "emulated": "", "estimated": "////", "published": "...."}
_DASHES: dict[Origin, Any] = {"measured": "-", "emulated": "-", "estimated": (0, (5, 2)), "published": ":"}
_HOLLOW: frozenset[Origin] = frozenset({"estimated", "published"})


def overview(groups: Sequence[Group], names: Sequence[str]) -> str:
    """Draw the invoke time of each group: the median of its runs, and where 90 % of its samples are."""
    shown = [(one, name) for one, name in zip(groups, names, strict=True) if one.median_us]
    with styled():
        figure = new_figure(9.4, 0.62 + 0.34 * len(shown))
        axes = figure.subplots()
        values = [one.median_us / 1000 for one, _ in shown if one.median_us]
        logarithmic = max(values) / min(values) > 12
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlim(min(values) / 1.6, max(values) * 2.6)
        else:
            axes.set_xlim(0, max(values) * 1.22)
        tips = {}
        for row, (one, name) in enumerate(shown):
            value, colour = values[row], COLOUR[one.origin]
            samples = np.concatenate([invoke_us(r) for r in one.records]) / 1000
            low, high = np.percentile(samples, [5, 95])
            axes.plot([low, high], [row, row], color=colour, linewidth=5, alpha=0.3, solid_capstyle="round")
            (dot,) = axes.plot(value, row, linestyle="", **_marker(one.origin, 7))
            dot.set_gid(f"tip-{row}")
            tips[f"tip-{row}"] = f"{name}: {one.median_time} ({one.origin}), {len(one.records)} runs"
            axes.annotate(
                one.median_time,
                (max(value, high), row),
                (9, 0),
                textcoords="offset points",
                va="center",
                fontweight="bold",
            )
        axes.set_yticks(range(len(shown)), [name for _, name in shown], color=COLOUR["ink"])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.set_xlabel(f"invoke time in ms{', logarithmic' if logarithmic else ''}")
        _origin_legend(axes, [one.origin for one, _ in shown], "median")
        return inline(figure, "Invoke time of each board and model", tips)


def distribution(one: Group) -> str:
    """Draw how the samples of each run lie: their density, the middle half, and the median."""
    records = one.records[-MOST_RUNS:]
    with styled():
        figure = new_figure(_WIDTH, 2.75)
        axes = figure.subplots()
        tips = {}
        for place, record in enumerate(records):
            times = invoke_us(record) / 1000
            _violin(axes, place, times, one.origin)
            p25, median, p75 = np.percentile(times, [25, 50, 75])
            axes.plot(
                [place, place], [p25, p75], color=COLOUR[one.origin], linewidth=3.2, solid_capstyle="butt"
            )
            (dot,) = axes.plot(place, median, linestyle="", zorder=4, **_marker(one.origin, 5.5))
            dot.set_gid(f"tip-{place}")
            tips[f"tip-{place}"] = (
                f"{record.created:%Y-%m-%d %H:%M}: median {milliseconds(median * 1000)}, middle half "
                f"{milliseconds(p25 * 1000)} to {milliseconds(p75 * 1000)}, {len(times)} samples"
            )
        axes.set_xlim(-0.7, max(len(records) - 0.3, 1.7))
        axes.set_xticks(*_run_ticks(records))
        _focus(axes, np.concatenate([np.percentile(invoke_us(r) / 1000, [5, 95]) for r in records]))
        axes.grid(axis="x", visible=False)
        axes.set_ylabel("ms")
        _legend(
            axes,
            [
                Line2D([], [], linestyle="", label=f"median ({one.origin})", **_marker(one.origin, 5.5)),
                Line2D([], [], color=COLOUR[one.origin], linewidth=3.2, label="middle half"),
                Patch(
                    color=COLOUR[one.origin], alpha=0.25, label="density of 90 % of the samples", linewidth=0
                ),
            ],
        )
        return inline(figure, "Distribution of the invoke time in each run", tips)


def drift(one: Group) -> str:
    """Draw how the invoke time moves over a run, as the change from the run's own median."""
    records = [record for record in one.records if len(record.invoke.ticks) > 1][-_MOST_DRIFTS:]
    with styled():
        figure = new_figure(_WIDTH, 2.75)
        axes = figure.subplots()
        axes.axhline(0, color=COLOUR["muted"], linewidth=0.8)
        latest = records[-1]
        shown: list[float] = []
        for record in records:
            times = invoke_us(record)
            changes = 100 * (times / np.median(times) - 1)
            places, smooth = _smooth(changes)
            newest = record is latest
            if newest:
                axes.plot(*_thin(changes), color=COLOUR[one.origin], linewidth=0.6, alpha=0.45)
                shown += list(np.percentile(changes, [5, 95]))
            axes.plot(
                places,
                smooth,
                color=COLOUR[one.origin] if newest else COLOUR["muted"],
                linewidth=2 if newest else 1,
                alpha=1 if newest else 0.55,
                linestyle=_DASHES[one.origin],
            )
            shown += list(smooth)
        _focus(axes, np.array([0, *shown]), least=0.2)
        axes.set_xlabel("sample")
        axes.set_ylabel("% from the run's median")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        entries = [
            Line2D([], [], color=COLOUR[one.origin], linewidth=2, linestyle=_DASHES[one.origin],
                   label=f"latest run, smoothed ({one.origin})"),
            Line2D([], [], color=COLOUR[one.origin], linewidth=0.6, alpha=0.6, label="its samples"),
        ]  # fmt: skip
        if len(records) > 1:
            label = "the run before" if len(records) == 2 else f"the {len(records) - 1} runs before"
            entries.append(Line2D([], [], color=COLOUR["muted"], linewidth=1, alpha=0.7, label=label))
        _legend(axes, entries)
        return inline(figure, "Drift of the invoke time over a run")


def layers(record: Record) -> str:
    """Draw the time of each operator as a bar, the longest first."""
    times = [
        (layer.ticks * 1e3 / record.invoke.tick_hz, f"{layer.operator}  {layer.index}", layer.origin)
        for layer in record.layers
    ]
    return _bars(times, "Time by layer")


def operators(record: Record) -> str:
    """Draw the time of each kind of operator as a bar, the longest first."""
    times: dict[tuple[str, Origin], float] = {}
    counts: dict[str, int] = {}
    for layer in record.layers:
        key = (layer.operator, layer.origin)
        times[key] = times.get(key, 0.0) + layer.ticks * 1e3 / record.invoke.tick_hz
        counts[layer.operator] = counts.get(layer.operator, 0) + 1
    bars = [(time, f"{counts[name]} × {name}", origin) for (name, origin), time in times.items()]
    return _bars(bars, "Time by kind of operator")


def _bars(times: Sequence[tuple[float, str, Origin]], label: str) -> str:
    """Draw times in milliseconds, each with its name and origin, as bars with their share of the whole."""
    ranked = sorted(times, reverse=True)
    total = sum(time for time, _, _ in ranked) or 1.0
    shown, rest = ranked[:_MOST_LAYERS], ranked[_MOST_LAYERS:]
    if rest:
        shown.append((sum(time for time, _, _ in rest), f"{len(rest)} others", rest[0][2]))
    with styled():
        figure = new_figure(_WIDTH, 0.75 + 0.205 * len(shown))
        axes = figure.subplots()
        for row, (time, _, origin) in enumerate(shown):
            _bar(axes, row, time, origin)
            axes.annotate(
                f"{milliseconds(time * 1000)} ({percent(100 * time / total, 0)})",
                (time, row),
                (5, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axes.set_yticks(range(len(shown)), [_short(name, 26) for _, name, _ in shown], color=COLOUR["ink"])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, max(time for time, _, _ in shown) * 1.32 or 1)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("ms")
        _origin_legend(axes, [origin for _, _, origin in shown], "time", bar=True)
        return inline(figure, label)


def memory(groups: Sequence[Group], names: Sequence[str]) -> str:
    """Draw the arena of each group against the memory that its board has for one."""
    shown = [(one, name) for one, name in zip(groups, names, strict=True) if one.arena_used_bytes is not None]
    with styled():
        figure = new_figure(9.4, 0.85 + 0.36 * len(shown))
        axes = figure.subplots()
        split = False
        for row, (one, _) in enumerate(shown):
            ram, limit = one.ram, one.memory_bytes
            used = one.arena_used_bytes or 0
            whole = limit or used or 1
            if limit:
                axes.barh(row, 100, height=0.62, color=COLOUR["track"], linewidth=0)
            head = ram.arena_head_bytes if ram.arena_used_bytes == used else None
            _bar(axes, row, 100 * used / whole, ram.origin, height=0.62, alpha=0.5 if head else 1)
            if head:
                split = True
                _bar(axes, row, 100 * head / whole, ram.origin, height=0.62)
            of = (
                f"{kibibytes(used)} of {kibibytes(limit)}"
                if limit
                else f"{kibibytes(used)}; the board's is not known"
            )
            axes.annotate(
                f"{of} ({percent(100 * used / whole)})" if limit else of,
                (max(100, 100 * used / whole), row),
                (8, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
            )
        axes.set_yticks(range(len(shown)), [name for _, name in shown], color=COLOUR["ink"])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, 145)
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("% of the memory that the board has for a tensor arena", loc="left")
        origins = list(dict.fromkeys(one.ram.origin for one, _ in shown))
        entries: list[Patch | Line2D] = []
        for origin in origins:
            entries.append(Patch(**_fill(origin), label=f"arena{' head' if split else ''} ({origin})"))
            if split:
                entries.append(Patch(**_fill(origin), alpha=0.5, label=f"arena tail ({origin})"))
        _legend(axes, [*entries, Patch(color=COLOUR["track"], label="free")])
        return inline(figure, "RAM against the memory of the board")


def history(one: Group, baseline: Group | None) -> str:
    """Draw the runs over time: each run's median and middle half, and the baseline's median as a line."""
    records = one.records
    with styled():
        figure = new_figure(_WIDTH, 2.75)
        axes = figure.subplots()
        dates = [float(date2num(record.created)) for record in records]
        tips, values = {}, []
        for number, (date, record) in enumerate(zip(dates, records, strict=True)):
            p25, median, p75 = np.percentile(invoke_us(record) / 1000, [25, 50, 75])
            values += [p25, p75]
            axes.plot([date, date], [p25, p75], color=COLOUR[one.origin], linewidth=1.6, alpha=0.5)
            (dot,) = axes.plot(date, median, linestyle="", zorder=3, **_marker(one.origin, 5))
            dot.set_gid(f"tip-{number}")
            tips[f"tip-{number}"] = (
                f"{record.created:%Y-%m-%d %H:%M}: {milliseconds(median * 1000)}\n{record.id}"
            )
        entries = [
            Line2D([], [], linestyle="", label=f"median of a run ({one.origin})", **_marker(one.origin, 5))
        ]
        if baseline is not None and baseline.median_us:
            level = baseline.median_us / 1000
            values.append(level)
            axes.axhline(level, color=COLOUR["baseline"], linewidth=1.2, linestyle=(0, (6, 3)), zorder=2)
            label = f"baseline {baseline.median_time} ({baseline.origin})"
            entries.append(Line2D([], [], color=COLOUR["baseline"], linestyle=(0, (6, 3)), label=label))
        _focus(axes, np.array(values))
        _date_axis(axes, [record.created for record in records])
        axes.set_ylabel("ms")
        _legend(axes, entries)
        return inline(figure, "Runs over time", tips)


def _marker(origin: Origin, size: float) -> dict[str, Any]:
    """How a point of this origin looks: full if it was measured, hollow if it was computed."""
    colour = COLOUR[origin]
    face = "none" if origin in _HOLLOW else colour
    return {
        "marker": "o",
        "markersize": size,
        "color": colour,
        "markerfacecolor": face,
        "markeredgewidth": 1.6,
    }


def _fill(origin: Origin) -> dict[str, Any]:
    return {"facecolor": COLOUR[origin], "hatch": _HATCH[origin], "linewidth": 0}


def _bar(axes: Axes, row: int, length: float, origin: Origin, height: float = 0.68, alpha: float = 1) -> None:
    axes.barh(row, length, height=height, alpha=alpha, **_fill(origin))


def _violin(axes: Axes, place: float, times: np.ndarray, origin: Origin) -> None:
    """Draw the density of the samples between their 5th and 95th percentile as a shape around `place`."""
    low, high = np.percentile(times, [5, 95])
    if len(times) < 8 or not high > low:
        axes.plot(
            [place - 0.3, place + 0.3], [np.median(times)] * 2, color=COLOUR[origin], alpha=0.35, linewidth=3
        )
        return
    counts, edges = np.histogram(times, bins=22, range=(low, high))
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    density = np.convolve(counts, kernel, mode="same")
    width = 0.36 * density / density.max()
    centres = np.array([(a + b) / 2 for a, b in pairwise(edges)])
    axes.fill_betweenx(centres, place - width, place + width, color=COLOUR[origin], alpha=0.25, linewidth=0)


def _smooth(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the medians of up to 60 successive stretches, and where their middles are."""
    stretches = np.array_split(np.arange(len(values)), min(60, max(2, len(values) // 5)))
    return (
        np.array([stretch.mean() for stretch in stretches]),
        np.array([np.median(values[stretch]) for stretch in stretches]),
    )


def _thin(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), 240)).astype(int))
    return places, values[places]


def _focus(axes: Axes, values: np.ndarray, least: float = 0.0) -> None:
    """Show the range of these values with a margin.

    At least one percent of the value is shown, so that noise of the timer does not look like a change.
    """
    low, high = values.min(), values.max()
    middle = (low + high) / 2
    span = max(high - low, 0.01 * abs(middle), least) or 1.0
    axes.set_ylim(middle - 0.62 * span, middle + 0.78 * span)


def _run_ticks(records: Sequence[Record]) -> tuple[list[int], list[str]]:
    """Return places and short dates for at most seven of the runs, with the time if two share a date."""
    step = max(1, -(-len(records) // 7))
    places = list(range(len(records) - 1, -1, -step))[::-1]
    days = [records[place].created.date() for place in places]
    form = "%d %b" if len(set(days)) == len(days) else "%d %b\n%H:%M"
    return places, [f"{records[place].created:{form}}" for place in places]


def _date_axis(axes: Axes, dates: Sequence[datetime]) -> None:
    first, last = min(dates), max(dates)
    margin = max((float(date2num(last)) - float(date2num(first))) * 0.05, 1 / 24)
    axes.set_xlim(float(date2num(first)) - margin, float(date2num(last)) + margin)
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _legend(axes: Axes, entries: Sequence[Patch | Line2D]) -> None:
    axes.figure.legend(
        handles=list(entries),
        loc="outside upper left",
        ncols=len(entries),
        handlelength=1.6,
        columnspacing=1.4,
    )


def _origin_legend(axes: Axes, origins: Sequence[Origin], what: str, bar: bool = False) -> None:
    entries: list[Patch | Line2D] = []
    for origin in dict.fromkeys(origins):
        label = f"{what} ({origin})"
        if bar:
            entries.append(Patch(**_fill(origin), label=label))
        else:
            entries.append(Line2D([], [], linestyle="", label=label, **_marker(origin, 6)))
    _legend(axes, entries)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
