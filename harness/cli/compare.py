"""`harness compare`: how two sets of runs differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options, results, terminal
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.results import Record


@click.command()
@click.argument("a")
@click.argument("b")
@options.records()
@options.run_to_run()
@click.option(
    "--confidence", default="95%", show_default=True, help="Confidence of each bound of an interval."
)
@click.option(
    "--format", "form", type=click.Choice(["table", "md", "json"]), default="table", show_default=True
)
@options.as_json("The same as --format json.")
def command(
    a: str, b: str, store: Path, run_to_run: str | None, confidence: str, form: str, as_json: bool
) -> None:
    """Show how the runs of B differ from those of A: invoke time with its interval, RAM, outputs.

    A and B are each a directory, a file, a run's id, git:REV, or a query such as board=xiao_esp32s3. Unlike
    the gate it compares other boards, firmware, clocks and origins too, says so, and judges nothing.
    """
    from harness.gate import text
    from harness.gate.compare import ANYTHING, Limits, compare
    from harness.gate.limits import certainty, share
    from harness.results.baseline import is_git, load
    from harness.results.select import select

    def side(what: str) -> list[Record]:
        # One argument may hold several words: "board=we2 model=person".
        words = [what] if Path(what).exists() else what.split()
        records, damaged = load(what) if is_git(what) else select(words, store)
        results.warn(damaged)
        if not records:
            raise HarnessError(results.none_found(words, store))
        return records

    limits = Limits(
        slowdown=0.0,
        allow=ANYTHING,
        known_spread=share(run_to_run, "--run-to-run") if run_to_run else None,
        confidence=certainty(confidence),
    )
    comparisons = compare(
        side(a), side(b), limits, alone=True, names=("A", "B"), history=results.history(store)
    )
    if as_json or form == "json":
        terminal.print_json([text.plain_difference(item) for item in comparisons])
        return
    table = text.difference_table(comparisons)
    if form == "md":
        terminal.print_file(table.markdown())
    else:
        results.show(table)
    for line in text.differences(comparisons):
        click.echo(f"- {line}" if form == "md" else line)
