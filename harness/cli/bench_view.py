"""How `harness bench` looks: progress on a terminal, a table or JSON at the end."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.results.record import Record
from harness.runner import Observer, Result
from harness.runner.plan import Job

HEADINGS = (
    "board",
    "model",
    "precision",
    ">invoke time",
    ">spread",
    ">n",
    "time is",
    ">arena RAM",
    "RAM is",
    "outputs",
)
TABLE_WIDTH = 120
"""Columns that the table needs; on a narrower terminal there is a paragraph a run."""

_UNITS = {"stream": "bytes", "invoke": "invokes"}


class Quiet(Observer):
    """Says nothing: for pipes and logs."""

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class TerminalProgress(Observer):
    """A line for the run that is under way, on standard error."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress: Any = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: Any = None
        self._label = ""
        self._step = ""

    def job(self, job: Job, number: int, total: int) -> None:
        """Begin the line of a run."""
        self._label = f"[{number}/{total}] {job.board.id}"
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._step = ""
        self._task = self._progress.add_task(f"{self._label}: prepare", total=None, unit="")

    def progress(self, step: str, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(
            self._task,
            description=f"{self._label}: {step}",
            completed=done,
            total=total,
            unit=_UNITS.get(step, ""),
        )

    def __enter__(self) -> TerminalProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def observer() -> Quiet | TerminalProgress:
    """Return progress for a terminal, silence for anything else."""
    return TerminalProgress() if sys.stderr.isatty() else Quiet()


def print_json(result: Result) -> None:
    """Print records and what did not work as one JSON object."""
    print(
        json.dumps(
            {
                "records": [
                    json.loads(record.model_dump_json()) | {"path": str(path)}
                    for record, path in zip(result.records, result.paths, strict=True)
                ],
                "skipped": [vars(skip) for skip in result.skipped],
                "failures": [vars(failure) for failure in result.failures],
                "interrupted": result.interrupted,
            },
            indent=2,
        )
    )


def print_table(result: Result) -> None:
    """Print a row a run, then what was left out, what failed, and where the records are."""
    from harness.cli import terminal

    out = terminal.console()
    rows = [_row(record) for record in result.records]
    if out.width >= TABLE_WIDTH:
        if rows:
            terminal.table(out, HEADINGS, rows)
    else:
        for board, model, precision, time, spread, n, time_is, ram, ram_is, outputs in rows:
            out.print(f"\n{board}: {model}, {precision}")
            terminal.facts(
                out,
                [
                    ("  invoke time", f"{time} {spread}, n = {n}, {time_is}"),
                    ("  arena RAM", f"{ram}, {ram_is}"),
                    ("  outputs", outputs),
                ],
            )
        out.print()
    for skip in result.skipped:
        print(terminal.printable(f"left out: {skip.model} on {skip.board}: {skip.reason}"))
    for record in result.records:
        if record.verification.verdict == "not_available":
            run = f"{record.model.name} on {record.board.id}"
            print(terminal.printable(f"outputs not compared: {run}: {record.verification.reason}"))
    for path in result.paths:
        print(terminal.printable(f"recorded: {_short(path)}"))
    for failure in result.failures:
        message = f"harness: error: {failure.model} on {failure.board}: {failure.message}"
        print(terminal.printable(message), file=sys.stderr)
    if result.interrupted:
        kept = "what was measured is recorded" if result.records else "nothing had been measured yet"
        print(f"harness: interrupted; {kept}", file=sys.stderr)


def _row(record: Record) -> tuple[str, ...]:
    us = [ticks * 1e6 / record.invoke.tick_hz for ticks in record.invoke.ticks]
    wanted = record.invoke.requested
    n = str(len(us)) if record.complete else f"{len(us)} of {wanted}"
    return (
        record.board.id,
        record.model.name,
        record.model.precision,
        f"{statistics.median(us) / 1000:.3f} ms" if us else "-",
        f"±{_spread(us) / 1000:.3f} ms" if len(us) > 1 else "-",
        n,
        record.invoke.origin,
        f"{record.ram.arena_used_bytes / 1024:.1f} KiB" if record.ram.arena_used_bytes else "-",
        record.ram.origin if record.ram.arena_used_bytes else "not reported",
        _outputs(record),
    )


def _spread(us: list[float]) -> float:
    """Half the distance between the quartiles: it ignores a stray outlier."""
    low, _, high = statistics.quantiles(us, n=4, method="inclusive")
    return (high - low) / 2


def _outputs(record: Record) -> str:
    verdict = record.verification
    match verdict.verdict:
        case "exact":
            return "exact"
        case "within_tolerance":
            return f"within {verdict.max_ulp} ULP"
        case "differs":
            return f"DIFFER by {verdict.max_ulp} ULP"
    return "not available"


def _short(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
