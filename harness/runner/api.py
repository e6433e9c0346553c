"""The whole run: every job through every step, keeping what was measured whatever happens next."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BoardError, HarnessError
from harness.models import reference
from harness.models.vela import VelaError
from harness.results import store
from harness.results.record import Record, Verification
from harness.runner.connect import connection
from harness.runner.flash import Flashed
from harness.runner.measure import Measurement, measure
from harness.runner.plan import Job, Plan, Settings, Skip, plan
from harness.runner.prepare import Prepared, prepare
from harness.runner.reach import AUTO, EMULATED
from harness.runner.recording import make_record, nothing_came_of, verify

if TYPE_CHECKING:
    import pandas as pd


INTERRUPTED = "interrupted by the user"
"""Said in a record of what ended its run."""

Names = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One name or path, or several."""


@dataclass(frozen=True)
class Failure:
    """A run that was begun and could not be brought to its end."""

    model: str
    board: str
    message: str


@dataclass
class Result:
    """What a bench brought: records in the order of the runs, and what did not work."""

    records: list[Record] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    flashed: list[Flashed] = field(default_factory=list)
    interrupted: bool = False

    def frame(self) -> pd.DataFrame:
        """Return the runs as a DataFrame, a row a run (see `harness.results.frame`)."""
        from harness.results import frame

        return frame.runs(self.records)


class Observer:
    """Told what goes on; this one keeps quiet. Subclass it to show progress."""

    def job(self, job: Job, number: int, total: int) -> None:
        """Job `number` (from 1) of `total` begins."""

    def progress(self, step: str, done: int, total: int) -> None:
        """`done` of `total` units of a step are done: invokes for "invoke", bytes for all others.

        The steps are the names of what is flashed, "stream" and "invoke".
        """

    def flashed(self, flashed: Flashed) -> None:
        """A board has been flashed, or found to hold everything already."""

    def recorded(self, record: Record, path: Path) -> None:
        """A record has been written."""


def bench(
    models: Names = (),
    boards: Names = (),
    *,
    invokes: int = 10,
    warmup: int = 1,
    inputs: Names = ("random:0",),
    protocol: str | None = None,
    port: str | None = None,
    drive: Path | str | None = None,
    profile_layers: bool = True,
    out: Path | str = "results",
    observer: Observer | None = None,
) -> Result:
    """Bench models on boards and write a record of each run.

    Args:
        models: paths of .tflite files or names of bundled models; none = the bundled person model.
        boards: board ids or paths of profiles; none = XIAO ESP32-S3, Grove Vision AI and Grove Vision AI WE2,
            as far as they can run the model.
        invokes, warmup: timed and untimed invokes a run.
        inputs: a spec for each input tensor, or one for all: a .npy or .npz file, an image, "random:SEED".
        protocol: what the firmware speaks; None = the board's default.
        port: a pyserial URL, "emulated", "auto" = the attached board, or None = that, or an emulated one.
        drive: where the boot loader's drive is, for boards that are flashed by UF2; None = look for it.
        profile_layers: time each operator, too.
        out: the store that records go to.

    Raises:
        HarnessError: what was asked for cannot be done; nothing has been flashed or written then.
    """
    settings = Settings(
        invokes, warmup, _names(inputs), protocol, port, profile_layers, Path(drive) if drive else None
    )
    planned: Plan = plan(_names(models), _names(boards), protocol)
    if port not in (None, AUTO, EMULATED) and len({job.board.id for job in planned.jobs}) > 1:
        raise HarnessError(f"several boards cannot all be at {port}; name the one that is with --board")
    if drive is not None:
        _drive_is_of_use(planned, port)
    observer = observer or Observer()
    directory = store.ensure_writable(out)
    result = Result(skipped=list(planned.skipped))
    prepared = _prepare_all(planned, settings, result, named=bool(_names(boards)))
    for number, ready in enumerate(prepared, 1):
        try:
            observer.job(ready.job, number, len(prepared))
            _run(ready, settings, directory, observer, result)
        except KeyboardInterrupt:
            result.interrupted = True
            break
        except HarnessError as error:
            if number == 1 and not isinstance(error, BoardError):
                raise  # a port that is not there: nothing has been measured that could be lost
            result.failures.append(Failure(ready.job.model.name, ready.job.board.id, str(error)))
    return result


def _drive_is_of_use(planned: Plan, port: str | None) -> None:
    """Raise HarnessError where naming the boot loader's drive has no meaning: it would be passed over."""
    if port == EMULATED:
        raise HarnessError("an emulated board has a drive of its own; leave --drive out")
    if not any(job.board.flash.uf2 for job in planned.jobs):
        ids = ", ".join(dict.fromkeys(job.board.id for job in planned.jobs))
        raise HarnessError(f"--drive is for boards that are flashed by UF2, not for {ids}; leave it out")


def _names(given: Names) -> tuple[str, ...]:
    several = (given,) if isinstance(given, str | os.PathLike) else given
    return tuple(os.fspath(name) for name in several)


def _prepare_all(planned: Plan, settings: Settings, result: Result, named: bool) -> list[Prepared]:
    """Make inputs and compile before the first board is touched: what is wrong with them shows up at once.

    Where no board was named, those for which Vela refuses the model are left out like others that cannot run
    it; raises HarnessError where none is left.
    """
    prepared: list[Prepared] = []
    refused: VelaError | None = None
    for job in planned.jobs:
        try:
            prepared.append(prepare(job, settings))
        except VelaError as error:
            if named:
                raise
            refused = error
            result.skipped.append(Skip(job.model.name, job.board.id, str(error)))
    if refused is not None and not prepared:
        raise refused
    return prepared


def _run(prepared: Prepared, settings: Settings, directory: Path, observer: Observer, result: Result) -> None:
    """Run one job; whatever ends it, samples that came are recorded."""
    held: list[Measurement] = []
    with ExitStack() as stack:
        expected = _start_reference(prepared, settings, stack)
        link = stack.enter_context(connection(prepared, settings, observer.progress))
        result.flashed.append(link.flashed)
        observer.flashed(link.flashed)

        def keep(verification: Verification, ended_by: str | None = None) -> None:
            record = make_record(prepared, settings, link, held[0], verification, ended_by)
            path = _write(record, directory, prepared, result)
            result.records.append(record)
            result.paths.append(path)
            observer.recorded(record, path)
            if ended_by is None and (why := nothing_came_of(record)):
                result.failures.append(Failure(prepared.job.model.name, prepared.job.board.id, why))

        try:
            measure(link.session, prepared, settings, observer.progress, held.append)
        except (KeyboardInterrupt, BoardError) as error:
            if held and held[0].samples:
                why = INTERRUPTED if isinstance(error, KeyboardInterrupt) else str(error)
                with _undisturbed():
                    keep(verify(held[0], why, None), why)
            raise
        try:
            verification = verify(held[0], expected, prepared.source)
        except KeyboardInterrupt:  # the board is done, the desktop runtime is not
            with _undisturbed():
                keep(verify(held[0], INTERRUPTED, None))
            raise
        with _undisturbed():
            keep(verification)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C for the moment that a record takes: a second, impatient one must not lose it."""
    if threading.current_thread() is not threading.main_thread():  # only that one is ever interrupted
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start_reference(prepared: Prepared, settings: Settings, stack: ExitStack) -> reference.Reference | str:
    """Start the desktop runtime, which works while the board does; or say why there is none."""
    if prepared.source is None:
        return "the int8 model that this file was compiled from is not known here"
    try:
        ran = reference.start(
            prepared.source.data, prepared.inputs, invokes=settings.warmup + settings.invokes
        )
    except reference.ReferenceError as error:
        return str(error)
    return stack.enter_context(ran)


def _write(record: Record, directory: Path, prepared: Prepared, result: Result) -> Path:
    """Add a record to the store, or to another place where that fails, and return its path."""
    try:
        return store.write(record, directory)
    except HarnessError as error:
        # What was measured took minutes and a board: it is not lost for a disk that has filled up since.
        path = store.write(record, tempfile.mkdtemp(prefix="harness-results-"))
        message = f"{error}; the record is in {path} instead"
        result.failures.append(Failure(prepared.job.model.name, prepared.job.board.id, message))
        return path
