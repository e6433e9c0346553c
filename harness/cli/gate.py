"""`harness gate`: fail a build on a slowdown, RAM growth or changed outputs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

# By hand, so that --help need not load numpy; a test holds it against harness.gate.compare.ALLOWANCES.
_ALLOWANCES = ("board", "clock", "firmware", "origin", "inputs", "outputs", "missing")


@click.command()
@click.argument("what", nargs=-1, metavar="[RUN|DIR|QUERY]...")
@click.option("--baseline", default="results/baseline", show_default=True, help="FILE, DIR or git:REV[:PATH].")
@click.option("--from", "store", default="results", show_default=True, help="Where runs are looked for.")
@click.option("--board", "boards", multiple=True, metavar="ID", help="Only this board (repeatable).")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only this model (repeatable).")
@click.option("--max-slowdown", default="3%", show_default=True, help="Growth of the invoke time that is allowed.")
@click.option("--max-ram", default="+0", show_default=True, help="Growth of the arena: +BYTES, +2KiB or +1%.")
@click.option("--confidence", default="95%", show_default=True, help="With which a verdict on time holds.")
@click.option("--run-to-run", metavar="PERCENT", help="The board's known spread between runs, for one run a side.")
@click.option(
    "--allow", "allowed", multiple=True, type=click.Choice(_ALLOWANCES), help="Compare all the same (repeatable)."
)
@click.option("--junit", type=click.Path(dir_okay=False), help="Write JUnit XML to this file.")
@click.option("--github", is_flag=True, help="Write a step summary and annotations for GitHub Actions.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparisons as JSON.")
@click.option("--update", is_flag=True, help="Make these runs the baseline, after showing what changes.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before --update writes.")
def command(what: tuple[str, ...], baseline: str, store: str, junit: str | None, **options: Any) -> None:
    """Hold runs against a baseline; exit 0 if all is well, 1 for a regression, 3 for not enough data.

    A regression is a slowdown beyond what is allowed, RAM growth, changed outputs, a model that is missing,
    or runs that cannot be compared (other clock, firmware, origin or inputs).
    """
    from harness.cli.output import print_json, warn_of, write_file
    from harness.gate import github, text
    from harness.gate.compare import Limits, compare, exit_code
    from harness.gate.junit import junit as junit_xml
    from harness.gate.limits import growth, share
    from harness.results import baseline as baselines
    from harness.results.select import select

    max_bytes, max_share = growth(options["max_ram"])
    limits = Limits(
        slowdown=share(options["max_slowdown"], "--max-slowdown"),
        ram_bytes=max_bytes,
        ram_share=max_share,
        allow=frozenset(options["allowed"]),
        known_spread=share(options["run_to_run"], "--run-to-run") if options["run_to_run"] else None,
        confidence=share(options["confidence"], "--confidence"),
    )
