"""`harness gate`: fail a build on a slowdown, RAM growth or changed outputs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options, results, terminal
from harness.errors import HarnessError, nearest

if TYPE_CHECKING:
    from harness.gate.compare import Comparison, Limits
    from harness.results import Record

# By hand, so that --help need not load numpy; a test holds it against harness.gate.compare.ALLOWANCES.
_ALLOWANCES = ("board", "clock", "inputs", "outputs", "missing")


@click.command()
@click.argument("what", nargs=-1, metavar="[RUN|DIR|QUERY]...")
@click.option(
    "--baseline", default="results/baseline", show_default=True, help="FILE, DIR or git:REV[:PATH]."
)
@options.records()
@options.boards("Only this board (repeatable).")
@options.models("Only this model, and its file under other names (repeatable).", metavar="NAME")
@click.option("--max-slowdown", default="3%", show_default=True, help="Allowed growth of the invoke time.")
@click.option(
    "--max-ram", default="+0", show_default=True, help="Allowed growth of the arena: +64, +2KiB, +1%."
)
@click.option("--confidence", default="95%", show_default=True, help="Confidence of a verdict on time.")
@options.run_to_run()
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    type=click.Choice(_ALLOWANCES),
    help="Accept this difference (repeatable).",
)
@click.option(
    "--rerun",
    metavar="N",
    type=click.IntRange(min=1),
    help="Bench what would not pass N more times and judge all runs together.",
)
@click.option("--junit", type=click.Path(dir_okay=False), help="Write JUnit XML to this file.")
@click.option(
    "--github", "on_github", is_flag=True, help="Write a step summary and annotations for GitHub Actions."
)
@options.as_json("Print the comparisons as JSON.")
@click.option("--update", is_flag=True, help="Make these runs the baseline, after showing what changes.")
@options.yes("Do not ask before --update writes.")
def command(
    what: tuple[str, ...],
    baseline: str,
    store: Path,
    boards: tuple[str, ...],
    models: tuple[str, ...],
    max_slowdown: str,
    max_ram: str,
    confidence: str,
    run_to_run: str | None,
    allowed: tuple[str, ...],
    rerun: int | None,
    junit: str | None,
    on_github: bool,
    as_json: bool,
    update: bool,
    yes: bool,
) -> None:
    """Compare runs with a baseline; exit 0 if all is well, 1 for a regression, 3 for not enough data.

    A regression is a slowdown beyond what is allowed, RAM growth, changed outputs, outputs that differ from
    the reference, a model that is missing, or runs that cannot be compared (other clock or inputs).

    A model is its file's SHA-256, and is compared with the same file in the baseline, whatever its name
    there; if there is none, with the file that was at its path, with another compilation of its source,
    or with the model of its name. A changed model file, firmware or board profile is named as the cause of a
    finding. Times of different protocols or origins (measured, estimated) are never compared: such a model
    counts as missing. If a path has had several files, or a file several firmwares, the newest is judged;
    an older firmware is judged too if the baseline has it. Runs that ended early, have no samples, or gave
    other outputs than the reference are listed but not used; a model with no other runs is not enough data,
    or a regression if its outputs differ.
    """
    from harness.gate.compare import compare, exit_code
    from harness.results.select import select

    if as_json and update and not yes:
        raise click.UsageError("--update with --json cannot ask; add --yes")
    limits = _limits(max_slowdown, max_ram, confidence, run_to_run, allowed, 2 if rerun else 1)
    target = _directory(baseline) if update else None
    old = _baseline(baseline) if target is None or target.exists() else []
    new, damaged = select(what, store)
    results.warn(damaged)
    boards = _known("--board", boards, {record.board.id for record in (*old, *new)}, _board_id)
    old, new = _of_models([_on_boards(side, boards) for side in (old, new)], models)
    if not new and not old:
        raise HarnessError("there is no run to compare, neither in the baseline nor now")

    comparisons = compare(old, new, limits, history=results.history(store))
    if rerun:
        from harness.cli import rerun as again

        more = again.rerun(again.unsure(comparisons), rerun, store)
        if more:
            comparisons = compare(old, [*new, *more], limits, history=results.history(store))
    code = exit_code(comparisons)
    _show(comparisons, code, as_json)
    if junit:
        from harness.gate.junit import junit as junit_xml

        results.write(junit, junit_xml(comparisons))
    if on_github:
        from harness.gate import github

        for line in github.workflow_commands(comparisons):
            click.echo(line, err=as_json)
        _step_summary(github.summary(comparisons, code))
    if target is not None:
        _update(target, comparisons, yes)
        return
    sys.exit(code)


def _limits(
    max_slowdown: str,
    max_ram: str,
    confidence: str,
    run_to_run: str | None,
    allowed: tuple[str, ...],
    times_looked: int,
) -> Limits:
    """Read the options that say what is allowed; raises HarnessError for one that is no number."""
    from harness.gate.compare import Limits
    from harness.gate.limits import certainty, growth, share
    from harness.gate.statistics import looks

    ram_bytes, ram_share = growth(max_ram)
    return Limits(
        slowdown=share(max_slowdown, "--max-slowdown"),
        ram_bytes=ram_bytes,
        ram_share=ram_share,
        allow=frozenset(allowed),
        known_spread=share(run_to_run, "--run-to-run") if run_to_run else None,
        # A second look at more data is a second chance to be wrong, so each has half of the error rate.
        confidence=looks(certainty(confidence), times_looked),
    )


def _baseline(place: str) -> list[Record]:
    """Return the baseline's runs; raises HarnessError if one is damaged, as a regression could then pass."""
    from harness.results.baseline import load

    runs, damaged = load(place)
    if damaged:
        raise HarnessError(
            f"{damaged[0].path}: {damaged[0].reason}; restore this file of the baseline, or delete it "
            "and make the baseline anew with --update"
        )
    return runs


def _show(comparisons: list[Comparison], code: int, as_json: bool) -> None:
    from harness.gate import text

    if as_json:
        terminal.print_json(text.plain(comparisons, code))
        return
    results.show(text.table(comparisons))
    for line in [*text.findings(comparisons), text.headline(comparisons)]:
        click.echo(line)


def _directory(baseline: str) -> Path:
    from harness.results.baseline import is_git

    if is_git(baseline) or Path(baseline).is_file():
        raise HarnessError(f"{baseline}: only a directory can be renewed with --update")
    return Path(baseline)


def _known(
    option: str, names: tuple[str, ...], there: set[str], meaning: Callable[[str], str] = str
) -> tuple[str, ...]:
    """Return `names` as records have them; raises HarnessError for one of which there is no run at all.

    Passed over, it would look as if it had been held against the baseline.
    """
    found = tuple(name if name in there else meaning(name) for name in names)
    for name in found:
        if name not in there:
            raise HarnessError(
                f"{option} {name}: no run of it, neither in the baseline nor now{nearest(name, there)}"
            )
    return found


def _board_id(name: str) -> str:
    """Return the id of the board that `name` is an alias or the profile of, else `name`."""
    from harness import boards

    try:
        return boards.load(name).id
    except HarnessError:
        return name


def _on_boards(records: list[Record], boards: tuple[str, ...]) -> list[Record]:
    return [record for record in records if not boards or record.board.id in boards]


def _of_models(sides: list[list[Record]], models: tuple[str, ...]) -> list[list[Record]]:
    """Return the runs of each side that are of these models.

    A file counts under its other names too: it may be called differently in the baseline, and would pass for
    new without that.
    """
    if not models:
        return sides
    everything = [record for side in sides for record in side]
    models = _known("--model", models, {record.model.name for record in everything})
    files = {record.model.sha256 for record in everything if record.model.name in models} - {""}
    return [[r for r in side if r.model.name in models or r.model.sha256 in files] for side in sides]


def _step_summary(markdown: str) -> None:
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not file:
        click.echo(markdown, err=True)
        return
    try:
        with open(file, "a", encoding="utf-8") as summary:
            summary.write(markdown)
    except OSError as error:
        # An exit code of 1 would say that there is a regression.
        raise HarnessError(f"GITHUB_STEP_SUMMARY {file}: cannot be written: {error.strerror}") from error


def _agreed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort as abort:
        if not isinstance(abort.__context__, EOFError):
            raise
        click.echo(err=True)
        raise HarnessError("nobody is there to answer; --yes renews the baseline without asking") from None


def _update(directory: Path, comparisons: list[Comparison], yes: bool) -> None:
    from harness.results.baseline import renew

    records: dict[str, Record] = {}
    replaced: list[Record] = []
    for comparison in comparisons:
        if comparison.candidate is None or not comparison.candidate.records:
            continue
        runs = comparison.candidate.records
        # A computed time is the same in every run.
        kept = runs[-1:] if comparison.candidate.origin == "estimated" else runs
        records |= {record.id: record for record in kept}
        replaced += [*(comparison.baseline.runs if comparison.baseline else ()), *comparison.superseded]
    if not records:
        raise HarnessError(f"{directory}: there is no usable run to make a baseline of")
    if not yes and not _agreed(f"Make these {len(records)} runs the baseline in {directory}?"):
        click.echo(f"harness: {directory} is left as it was", err=True)
        sys.exit(2)
    for path in renew(directory, [*records.values()], replaced):
        click.echo(f"wrote {path}", err=True)
