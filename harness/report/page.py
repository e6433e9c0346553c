"""The report as one HTML file: no script, no request, pictures inline."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.report import plots, summary
from harness.results.group import USUAL, Group, group
from harness.results.key import firmware_name, short
from harness.results.record import Origin, Record
from harness.results.store import Damaged
from harness.results.table import kibibytes, percent
from harness.version import __version__

# The most groups with pictures on a page; the tables name every run.
_MOST_CARDS = 24
_MOST_ROWS = 500
_MEANING: dict[Origin, str] = {
    "measured": "by a physical board, with its own clock",
    "emulated": "a functional result of a virtual board: right about outputs and arena, not about time",
    "estimated": "computed by a model of the chip; its band is how far such estimates are off on published "
    "figures",
    "published": "someone else's figure",
}
_GOOD = {"exact": "good", "within_tolerance": "good", "not_available": "unsure"}


def page(
    records: Sequence[Record],
    damaged: Sequence[Damaged] = (),
    baseline: Sequence[Record] = (),
    by: Sequence[str] = USUAL,
) -> str:
    """Return the report on `records` as an HTML document.

    Args:
        damaged: files that were set aside, to be named.
        baseline: records that runs of the same kind, or of what they replaced, are held against.
        by: columns of the runs frame that make a group.
    """
    everything = group(records, by)
    words = dict(zip(map(id, everything), summary.suffixes(everything, (*by, "origin")), strict=True))
    # Rows of one model stand together, the quickest board first.
    groups = sorted(
        (one for one in everything if one.records), key=lambda one: (one.names[0], one.median_us or 0)
    )
    names = _names(groups, [words[id(one)] for one in groups])
    held = summary.baseline_of(groups, baseline)
    body = [_head(records, groups)]
    if groups:
        body.append(_summary(groups, names, held, summary.replacements(everything)))
        body += _cards(groups, names, held)
        body += [_ram(groups, names), _runs([record for one in groups for record in one.records])]
    body += [_left_out(everything), _incidents(records, damaged)]
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Invoke time and RAM: {len(records)} runs</title>
<style>
{style}</style>
</head>
<body>
<main>
{"".join(part for part in body if part)}
<footer>harness {html.escape(__version__)}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.
Times are per invoke; the median of its samples stands for a run. The spread is the middle half of a run's
samples, between runs is the standard deviation of the medians.</footer>
</main>
</body>
</html>
"""


def _cards(groups: Sequence[Group], names: Sequence[str], held: Mapping[int, Group]) -> list[str]:
    """Return the cards of the groups with most runs, in the order of the groups."""
    ranked = sorted(range(len(groups)), key=lambda place: -len(groups[place].records))[:_MOST_CARDS]
    cards = [_card(groups[place], names[place], held.get(place)) for place in sorted(ranked)]
    if len(groups) > _MOST_CARDS:
        cards.append(
            f'<p class="quiet">Pictures of the {_MOST_CARDS} groups with most runs; all are above.</p>'
        )
    return cards


def _names(groups: Sequence[Group], words: Sequence[str]) -> list[str]:
    """Return a name for each group: model and board, and what tells it from others that would read alike."""
    boards = {(one.key.board, one.latest.board.name) for one in groups}
    called = [name for _, name in boards]

    def board(one: Group) -> str:
        name = one.latest.board.name
        return name if called.count(name) == 1 else one.key.board

    names = [
        f"{one.names[0]} · {board(one)}"
        if set(USUAL) <= set(one.by)
        else " · ".join(str(value) for name, value in one.by.items() if name != "origin")
        for one in groups
    ]
    for values in ([one.key.precision for one in groups], [one.origin for one in groups]):
        seen: dict[str, set[str]] = {}
        for name, value in zip(names, values, strict=True):
            seen.setdefault(name, set()).add(value)
        names = [
            f"{name} · {value}" if len(seen[name]) > 1 else name
            for name, value in zip(names, values, strict=True)
        ]
    return [f"{name} · {word}" if word else name for name, word in zip(names, words, strict=True)]


def _head(records: Sequence[Record], groups: Sequence[Group]) -> str:
    if not records:
        return "<h1>Invoke time and RAM</h1><p>No run was found.</p>"
    boards = list(dict.fromkeys(record.board.name for record in records))
    models = list(dict.fromkeys(record.model.name for record in records))
    first, last = (min(r.created for r in records), max(r.created for r in records))
    days = dict.fromkeys(f"{day.day} {day:%B %Y}" for day in (first, last))
    when = " to ".join(days)
    unused = len(records) - sum(len(one.records) for one in groups)
    origins = list(dict.fromkeys(record.invoke.origin for record in records))
    origins += [o for o in dict.fromkeys(r.ram.origin for r in records) if o not in origins]
    legend = "".join(f"<li>{_badge(origin)} {_MEANING[origin]}</li>" for origin in origins)
    return f"""<h1>Invoke time and RAM</h1>
<p class="lead">{_count(len(records), "run")} of {_few(models, "models")} on {_few(boards, "boards")},
{when}{f"; {unused} left out" if unused else ""}.</p>
<ul class="quiet">{legend}</ul>
"""


def _few(names: Sequence[str], what: str) -> str:
    return html.escape(" and ".join(names)) if len(names) < 3 else f"{len(names)} {what}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what if number == 1 else f'{what}s'}"


def _badge(origin: str, text: str | None = None) -> str:
    return f'<span class="badge {origin}">{text or origin}</span>'


def _summary(
    groups: Sequence[Group], names: Sequence[str], held: dict[int, Group], replaced: Sequence[str]
) -> str:
    heads = ["", ">invoke time", ">spread", ">between runs", ">runs", ">RAM", "outputs"]
    heads += [">since baseline"] if held else []
    rows = []
    for place, (one, name) in enumerate(zip(groups, names, strict=True)):
        verdict = summary.verdict(one)
        cells = [
            _two_lines(name),
            # In one cell, so that no figure is seen without its origin, however narrow the page.
            f"<b>{html.escape(one.median_time)}</b><br>{_badge(one.origin, one.time_is)}",
            percent(one.within_percent),
            percent(one.between_percent),
            str(len(one.records)),
            summary.ram(one) + (f"<br>{_badge(one.ram.origin)}" if one.arena_used_bytes is not None else ""),
            f'<span class="{_GOOD[verdict]}">{summary.VERDICTS[verdict]}</span>',
        ]
        cells += [summary.since(one, held.get(place))] if held else []
        rows.append(_line("td", heads, cells))
    head = _line("th", heads, [name.removeprefix(">") for name in heads])
    picture = ""
    if any(one.median_us for one in groups):
        caption = "<b>Invoke time</b>, with the range of 90 % of all samples behind it"
        picture = _figure(caption, [one.origin for one in groups], plots.overview(groups[:40], names[:40]))
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in replaced)
    return f"""<h2>Summary</h2>
<section class="card">{picture}<div class="scroll"><table class="names"><thead>{head}</thead>
<tbody>{"".join(rows)}</tbody></table></div>{f"<ul>{lines}</ul>" if lines else ""}</section>
"""


def _two_lines(name: str) -> str:
    first, _, rest = name.partition(" · ")
    return f'<b>{html.escape(first)}</b><br><span class="quiet">{html.escape(rest)}</span>'


def _figure(caption: str, origins: Sequence[str], picture: str) -> str:
    badges = " ".join(_badge(origin) for origin in dict.fromkeys(origins))
    return f"<figure><figcaption>{caption} {badges}</figcaption>{picture}</figure>"


def _card(one: Group, name: str, baseline: Group | None) -> str:
    latest = one.latest
    verdict, checked = summary.verdict(one), summary.worst_verified(one).verification
    runs = _count(len(one.records), "run")
    of = f"of {kibibytes(one.memory_bytes)}, " if one.memory_bytes else ""
    facts = [
        ("invoke time", one.median_time, f"{_count(one.samples, 'sample')} in {runs}"),
        ("RAM", kibibytes(one.arena_used_bytes), f"{of}{one.ram.origin}"),
        ("outputs", summary.VERDICTS[verdict], checked.reason or checked.reference or ""),
    ]
    if one.between_percent is not None and one.origin != "estimated":
        facts.insert(
            1, ("between runs", percent(one.between_percent, 2), "standard deviation of the medians")
        )
    if baseline is not None:
        text = f"baseline {baseline.median_time}, {_count(len(baseline.records), 'run')}"
        facts.append(("since baseline", summary.since(one, baseline), text))
    key = "".join(
        f"<div><dt>{label}</dt><dd>{html.escape(value)}<small>{html.escape(note)}</small></dd></div>"
        for label, value, note in facts
    )
    about = (
        f"{one.key.precision}, {one.key.clock_hz / 1e6:g} MHz, {firmware_name(latest.firmware)} over "
        f"{one.key.protocol}, inputs {' '.join(latest.inputs.spec)}, "
        f"file {latest.model.file} (SHA-256 {short(one.key.model_sha256)})"
    )
    head = f'{_badge(one.origin, one.time_is)}<span class="quiet">{html.escape(about)}</span>'
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in latest.notes)
    of_latest = f'<ul class="quiet notes">{notes}</ul>' if notes else ""
    return f"""<h2>{html.escape(name)}</h2>
<section class="card"><header>{head}</header>
<dl class="key">{key}</dl><div class="plots">{_pictures(one, baseline)}</div>{of_latest}</section>
"""


def _pictures(one: Group, baseline: Group | None) -> str:
    """Return the pictures that have something to show, and a sentence for those that have not."""
    origin = [one.origin]
    parts, said = [], []
    if all(len(set(record.invoke.ticks)) == 1 for record in one.records):
        why = "the times are computed" if one.origin == "estimated" else "the timer shows no difference"
        said.append(
            f"Within each run every sample is the same ({why}), so there is no distribution and no drift."
        )
    else:
        which = (
            "each run" if len(one.records) <= plots.MOST_RUNS else f"each of the last {plots.MOST_RUNS} runs"
        )
        parts.append(_figure(f"<b>Distribution</b> in {which}", origin, plots.distribution(one)))
        if len(one.latest.invoke.ticks) >= 10:
            parts.append(_figure("<b>Drift</b> over a run", origin, plots.drift(one)))
    if len(one.records) > 1 or baseline is not None:
        parts.append(_figure("<b>Runs over time</b>", origin, plots.history(one, baseline)))
    with_layers = [record for record in one.records if record.layers]
    if with_layers:
        newest = with_layers[-1]
        origins = [layer.origin for layer in newest.layers]
        parts.append(_figure("<b>Time by layer</b>, operator and its number", origins, plots.layers(newest)))
        if len({layer.operator for layer in newest.layers}) < len(origins):
            parts.append(_figure("<b>Time by kind of operator</b>", origins, plots.operators(newest)))
    else:
        said.append("The firmware reported no time by layer.")
    return "".join(parts) + "".join(f'<p class="quiet wide">{text}</p>' for text in said)


def _ram(groups: Sequence[Group], names: Sequence[str]) -> str:
    shown = [
        (one, name) for one, name in zip(groups, names, strict=True) if one.arena_used_bytes is not None
    ][:40]
    if not shown:
        return ""
    picture = plots.memory([one for one, _ in shown], [name for _, name in shown])
    caption = "<b>Tensor arena</b> against the memory of the board"
    return f"""<h2>RAM</h2>
<section class="card">{_figure(caption, [one.ram.origin for one, _ in shown], picture)}</section>
"""


def _runs(records: Sequence[Record]) -> str:
    shown = sorted(records, key=lambda record: (record.created, record.id), reverse=True)[:_MOST_ROWS]
    heads = (
        "when (UTC)",
        "board",
        "model",
        "SHA-256",
        "protocol",
        ">invoke time",
        ">spread",
        ">samples",
        ">RAM",
        "outputs",
        "run",
    )
    rows = []
    for record in shown:
        [one] = group([record])
        cells = (
            f"{record.created:%Y-%m-%d %H:%M}",
            html.escape(record.board.id),
            html.escape(record.model.name),
            f"<code>{html.escape(short(record.model.sha256))}</code>",
            html.escape(record.firmware.protocol),
            f"{html.escape(one.median_time)} {_badge(record.invoke.origin)}",
            percent(one.within_percent),
            str(len(record.invoke.ticks)),
            kibibytes(one.arena_used_bytes)
            + (f" {_badge(record.ram.origin)}" if one.arena_used_bytes is not None else ""),
            summary.VERDICTS[record.verification.verdict],
            f"<code>{html.escape(record.id)}</code>",
        )
        rows.append(_line("td", heads, cells))
    head = _line("th", heads, [name.removeprefix(">") for name in heads])
    left = (
        f'<p class="quiet">The newest {_MOST_ROWS} of {len(records)}.</p>'
        if len(records) > _MOST_ROWS
        else ""
    )
    return f"""<h2>Every run</h2>
<section class="card"><div class="scroll"><table class="runs"><thead>{head}</thead>
<tbody>{"".join(rows)}</tbody></table></div>{left}</section>
"""


def _line(tag: str, heads: Sequence[str], cells: Sequence[str]) -> str:
    """Return a table row; the cells of a column whose heading starts with ">" are numbers."""
    parts = (
        f'<{tag} class="number">{cell}</{tag}>' if head.startswith(">") else f"<{tag}>{cell}</{tag}>"
        for head, cell in zip(heads, cells, strict=True)
    )
    return f"<tr>{''.join(parts)}</tr>"


def _left_out(groups: Sequence[Group]) -> str:
    """Return a table of the runs that count in no figure above."""
    found = summary.set_aside(groups)
    if not found.rows:
        return ""
    heads = [f">{name}" if name in found.right else name for name in found.columns]
    shown = found.rows[-_MOST_ROWS:]
    rows = [_line("td", heads, [html.escape(cell) for cell in row]) for row in shown]
    left = f'<p class="quiet">The newest {_MOST_ROWS} of {len(found.rows)}.</p>'
    return f"""<h2>Left out</h2>
<section class="card"><p>No figure above is of these runs.</p><div class="scroll"><table class="runs">
<thead>{_line("th", heads, found.columns)}</thead>
<tbody>{"".join(rows)}</tbody></table></div>{left if len(found.rows) > _MOST_ROWS else ""}</section>
"""


def _incidents(records: Sequence[Record], damaged: Sequence[Damaged]) -> str:
    items = [
        f"<li><code>{record.id}</code> {html.escape(incident.kind)}: {html.escape(incident.text)}</li>"
        for record in records
        for incident in record.incidents
    ]
    items += [
        f"<li><code>{html.escape(str(item.path))}</code> set aside: {html.escape(item.reason)}</li>"
        for item in damaged
    ]
    if not items:
        return ""
    left = f"<li>and {len(items) - 100} more</li>" if len(items) > 100 else ""
    return f'<h2>Incidents</h2>\n<section class="card"><ul>{"".join(items[:100])}{left}</ul></section>\n'
