"""How `harness bench` looks: progress on a terminal, a table or JSON at the end."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.cli import flash_view, terminal
from harness.results.energy import energy
from harness.results.record import Record
from harness.results.table import decimals, milliseconds, origin_of_time
from harness.runner import Observer, Result
from harness.runner.prepare import Listed, Prepared
from harness.runner.recording import NOT_MODELLED

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
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress: Any = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: Any = None
        self._label = ""
        self._step = ""

    def job(self, job: Prepared | Listed, number: int, total: int) -> None:
        """Begin the line of a run."""
        self.begin(f"[{number}/{total}] {job.board.id}")

    def begin(self, label: str) -> None:
        """Begin a line that starts with `label`."""
        self._label = label
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._step = ""
        self._task = self._progress.add_task(f"{self._label}: prepare", total=None, amount="")

    def progress(self, step: str, done: int, total: int) -> None:
        """Move the bar."""
        if step != self._step:
            # A bar of its own for each step: rate and time left are those of the step.
            self._step = step
            self._progress.remove_task(self._task)
            self._task = self._progress.add_task(f"{self._label}: {step}", total=total, amount="")
        speed = next((task.speed for task in self._progress.tasks if task.id == self._task), None)
        self._progress.update(
            self._task, completed=done, total=total, amount=_amount(step, done, total, speed)
        )

    def __enter__(self) -> TerminalProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


@contextmanager
def flash_progress(what: str = "flash") -> Iterator[Callable[[str, int, int], None]]:
    """Yield what shows progress in bytes on a terminal, and nothing anywhere else."""
    with observer() as shown:
        if isinstance(shown, TerminalProgress):
            shown.begin(what)
        yield shown.progress


def _amount(step: str, done: int, total: int, speed: float | None) -> str:
    if step == "invoke":
        return f"{done}/{total} invokes"
    rate = f", {speed / 1000:.0f} kB/s" if speed else ""
    return f"{done:,}/{total:,} bytes{rate}"


def observer() -> Quiet | TerminalProgress:
    """Return progress for a terminal, silence for anything else."""
    # Where standard error is closed there is no such file at all.
    return TerminalProgress() if sys.stderr is not None and sys.stderr.isatty() else Quiet()


def print_json(result: Result) -> None:
    """Print records and what did not work as one JSON object."""
    terminal.print_json(
        {
            "records": [
                json.loads(record.model_dump_json()) | {"path": str(path)}
                for record, path in zip(result.records, result.paths, strict=True)
            ],
            "skipped": [vars(skip) for skip in result.skipped],
            "failures": [vars(failure) for failure in result.failures],
            "flashed": [flash_view.as_json(flashed) for flashed in result.flashed],
            "interrupted": result.interrupted,
        }
    )


def print_table(result: Result) -> None:
    """Print a row a run, then what was left out, what failed, and where the records are."""
    out = terminal.console()
    rows = [_row(record) for record in result.records]
    if terminal.fits(out, HEADINGS, rows):
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
        print(terminal.printable(f"left out: {skip}"))
    for flashed in result.flashed:
        for line in flash_view.lines(flashed):
            print(terminal.printable(line))
    for record in result.records:
        if record.energy is not None:
            print(
                terminal.printable(
                    f"energy: {record.model.name} on {record.board.id}: {energy(record.energy)}"
                )
            )
    for record in result.records:
        for line in _remarks(record):
            print(terminal.printable(line))
    for path in result.paths:
        print(terminal.printable(f"recorded: {_short(path)}"))


def print_failures(result: Result, differing: Sequence[Record]) -> None:
    """Print what failed, a line a run, on standard error; `differing` are runs with wrong outputs."""
    lines = [f"{f.model} on {f.board}: {f.message}" for f in result.failures]
    lines += [
        f"{record.model.name} on {record.board.id}: its outputs differ from the reference's "
        f"({_outputs(record)}); the record is marked, and --allow-differing lets this pass"
        for record in differing
    ]
    for line in lines:
        print(terminal.printable(f"harness: error: {line}"), file=sys.stderr)
    if result.interrupted:
        kept = "what was measured is recorded" if result.records else "nothing had been measured yet"
        print(f"harness: interrupted; {kept}", file=sys.stderr)


def _remarks(record: Record) -> list[str]:
    """What a person has to know about a run beside its figures, a line each.

    What an estimate does not model is left to the record: its error band stands for that.
    """
    run = f"{record.model.name} on {record.board.id}"
    lines = []
    reason = None
    if record.verification.verdict == "not_available":
        reason = record.verification.reason
        lines.append(f"outputs not compared: {run}: {reason}")
    if record.invoke.pre_ms and record.invoke.post_ms:
        before, after = (statistics.median(ms) for ms in (record.invoke.pre_ms, record.invoke.post_ms))
        lines.append(f"note: {run}: a frame takes {before:g} ms before and {after:g} ms after its invoke")
    if record.inputs.camera:
        lines.append(f"note: {run}: the camera was {record.inputs.camera}")
    for number, note in enumerate(record.notes, 1):
        if note != reason and not note.startswith(NOT_MODELLED):
            # Why there is no time is the last thing that was found out.
            no_time = not record.invoke.ticks and number == len(record.notes)
            lines.append(f"{'no time' if no_time else 'note'}: {run}: {note}")
    return lines


def _row(record: Record) -> tuple[str, ...]:
    us = [ticks * 1e6 / record.invoke.tick_hz for ticks in record.invoke.ticks]
    wanted, resolution_us = record.invoke.requested, record.invoke.resolution_us
    n = str(len(us)) if record.complete else f"{len(us)} of {wanted}"
    return (
        record.board.id,
        record.model.name + (" (unproven)" if record.model.unproven else ""),
        record.model.precision,
        _time(statistics.median(us), resolution_us) if us else "-",
        f"±{_spread(us) / 1000:.{decimals(resolution_us, 3)}f} ms" if len(us) > 1 else "-",
        n,
        origin_of_time(record.invoke.origin, record.invoke.error_percent, record.invoke.error_below_percent),
        f"{record.ram.arena_used_bytes / 1024:.1f} KiB" if record.ram.arena_used_bytes else "-",
        record.ram.origin if record.ram.arena_used_bytes else "not reported",
        _outputs(record),
    )


def _time(us: float, resolution_us: float) -> str:
    """A time to the microsecond, or as far as the timer bears it out."""
    if us < resolution_us:
        return milliseconds(us, resolution_us)
    return f"{us / 1000:.{decimals(resolution_us, 3)}f} ms"


def _spread(us: list[float]) -> float:
    """Half the distance between the quartiles: it ignores a stray outlier."""
    low, _, high = statistics.quantiles(us, n=4, method="inclusive")
    return (high - low) / 2


def _outputs(record: Record) -> str:
    verdict = record.verification
    by = "" if verdict.max_ulp is None else f" {verdict.max_ulp} ULP"
    match verdict.verdict:
        case "exact":
            return "exact"
        case "within_tolerance":
            return f"within{by}" if by else "as printed"
        case "differs":
            return f"DIFFER by{by}" if by else "DIFFER"
    return "not available"


def _short(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
