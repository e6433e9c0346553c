"""`harness report`: what the records say, for people and for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import extras
from harness.cli import options, results, terminal
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.results import Record
    from harness.results.group import Group
    from harness.results.store import Damaged
    from harness.results.table import Table

_FORMATS = ("table", "md", "csv", "json", "parquet", "html", "pyperf", "github-action-benchmark")
_TABLES = ("summary", "runs", "samples", "layers")


@click.command()
@click.argument("what", nargs=-1, metavar="[RUN|DIR|QUERY]...")
@options.records()
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), help="[default: table, or by the ending of -o]"
)
@options.as_json("The same as --format json.")
@click.option(
    "--table",
    "which",
    type=click.Choice(_TABLES),
    help="Which rows to give. [default: summary; for csv and parquet runs]",
)
@click.option(
    "--group",
    default="board,model,precision",
    show_default=True,
    help="Columns that name a row. Runs of other model files, inputs, protocols or firmware never share one.",
)
@click.option("--baseline", help="FILE, DIR or git:REV to mark. [default: results/baseline if it is there]")
@options.output("File to write [standard output].")
def command(
    what: tuple[str, ...],
    store: Path,
    form: str | None,
    as_json: bool,
    which: str | None,
    group: str,
    baseline: str | None,
    output: Path | None,
) -> None:
    """Report on runs: a table, a page with pictures, or an export.

    Runs are named by directory, by id, or by a query such as board=xiao* samples>=100 created>2026-05-01;
    without any of these, all in results/ are meant. Runs that repeat one another share a row:
    those of one model file (by its SHA-256), inputs, protocol, firmware, clock and origin on one board. Runs
    that ended early, have no sample, or gave other outputs than the reference are listed separately.
    """
    from harness.results.select import select

    form = "json" if as_json else form or _by_ending(output)
    if which and form in ("html", "pyperf", "github-action-benchmark"):
        raise click.UsageError(f"--table has no meaning for {form}; leave it out")
    if form == "parquet" and not output:
        raise click.UsageError("a Parquet file is not for the terminal; name one with -o")
    records, damaged = select(what, store)
    results.warn(damaged)
    if not records:
        raise HarnessError(results.none_found(what, store))
    by = [column.strip() for column in group.split(",") if column.strip()]
    kept = _baseline(baseline)
    which = which or ("runs" if form in ("csv", "parquet") else "summary")
    if form == "table" and not output:
        _print(records, which, by, kept)
        return
    data = _file(records, damaged, which, form, by, kept)
    if output:
        results.write(output, data)
        click.echo(f"wrote {output}: {len(records)} {'run' if len(records) == 1 else 'runs'}", err=True)
    else:
        terminal.print_file(data)


def _print(records: list[Record], which: str, by: list[str], baseline: list[Record]) -> None:
    """Print rows for people."""
    from harness.results.group import group

    if which == "summary":
        _print_summary(group(records, by), baseline)
        return
    rows = _rows(records, which, "table", by, baseline)
    assert not isinstance(rows, (str, bytes))
    results.show(rows)


def _file(
    records: list[Record],
    damaged: Sequence[Damaged],
    which: str,
    form: str,
    by: list[str],
    baseline: list[Record],
) -> str | bytes:
    """Return the report as the text or bytes of a file."""
    if form == "html":
        extras.need("matplotlib", "a page with pictures")
        from harness.report.page import page

        return page(records, damaged, baseline, by)
    if form in ("pyperf", "github-action-benchmark"):
        from harness.report import exports

        return exports.pyperf(records) if form == "pyperf" else exports.github_action_benchmark(records)
    if form in ("table", "md") and which == "summary":
        from harness.results.group import group

        return _markdown_summary(group(records, by), baseline)
    rows = _rows(records, which, form, by, baseline)
    return rows if isinstance(rows, (str, bytes)) else rows.markdown()


def _by_ending(output: Path | None) -> str:
    """Return the format that a file's ending asks for."""
    if output is None:
        return "table"
    ending = output.suffix.lstrip(".").lower()
    known = {"md": "md", "csv": "csv", "json": "json", "parquet": "parquet", "html": "html", "htm": "html"}
    if ending not in known:
        raise click.UsageError(
            f"{output}: name the format with --format, or end the file in {', '.join(known)}"
        )
    return known[ending]


def _baseline(where: str | None) -> list[Record]:
    from harness.results import baseline

    if where is None and not Path(baseline.USUAL).is_dir():
        return []
    records, damaged = baseline.load(where or baseline.USUAL)
    results.warn(damaged)
    return records


_LEFT_OUT = "left out of the figures above:"


def _print_summary(groups: list[Group], baseline: list[Record]) -> None:
    from harness.report import summary

    shown = summary.table(groups, baseline)
    if shown.rows:
        results.show(shown)
    else:
        click.echo("no run is usable")
    for line in summary.replacements(groups):
        click.echo(line)
    aside = summary.set_aside(groups)
    if aside.rows:
        click.echo(f"\n{_LEFT_OUT}")
        results.show(aside)


def _markdown_summary(groups: list[Group], baseline: list[Record]) -> str:
    from harness.report import summary

    shown = summary.table(groups, baseline)
    text = shown.markdown() if shown.rows else "No run is usable.\n"
    lines = summary.replacements(groups)
    if lines:
        text += "\n" + "".join(f"- {line}\n" for line in lines)
    aside = summary.set_aside(groups)
    return text + (f"\n{_LEFT_OUT.capitalize()}\n\n{aside.markdown()}" if aside.rows else "")


def _rows(
    records: list[Record], which: str, form: str, by: list[str], baseline: list[Record]
) -> Table | str | bytes:
    """Return the rows of a table for people (table, md), or as the text or bytes of a file."""
    from harness.report import exports, summary
    from harness.results.group import group

    if which == "summary":
        values = summary.plain(group(records, by), baseline)
        if form == "json":
            return exports.json_values(values)
        extras.need("pandas", "a data frame")
        import pandas

        rows = pandas.DataFrame(values)
    else:
        from harness.results import frame

        rows = frame.of(records, which)  # type: ignore[arg-type]  # click has checked it
    if form == "csv":
        return exports.csv(rows)
    if form == "json":
        return exports.json_rows(rows)
    return exports.parquet(rows) if form == "parquet" else exports.table(rows)
