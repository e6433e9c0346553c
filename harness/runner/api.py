"""The whole run: every job through every step, keeping what was measured whatever happens next."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BoardError, HarnessError
from harness.models import reference
from harness.results import store
from harness.results.record import Record
from harness.runner.connect import EMULATED, Connection, choose_port, connection
from harness.runner.measure import Measurement, measure
from harness.runner.plan import Job, Plan, Settings, Skip, plan
from harness.runner.prepare import Prepared, prepare
from harness.runner.recording import make_record, verify

if TYPE_CHECKING:
    import pandas as pd


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
        """`done` of `total` units of a step are done: bytes for "stream", invokes for "invoke"."""

    def recorded(self, record: Record, path: Path) -> None:
        """A record has been written."""


def bench(
    models: Sequence[str] = (),
    boards: Sequence[str] = (),
    *,
    invokes: int = 10,
    warmup: int = 1,
    inputs: Sequence[str] = ("random:0",),
    protocol: str | None = None,
    port: str | None = None,
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
        port: a pyserial URL, "emulated", or None = the attached board, or an emulated one without.
        profile_layers: time each operator, too.
        out: the store that records go to.

    Raises:
        HarnessError: what was asked for cannot be done; nothing has been flashed or written then.
    """
    settings = Settings(invokes, warmup, tuple(inputs), protocol, port, profile_layers)
    planned: Plan = plan(models, boards, protocol)
    if port not in (None, EMULATED) and len({job.board.id for job in planned.jobs}) > 1:
        raise HarnessError(f"several boards cannot all be at {port}; name the one that is with --board")
    observer = observer or Observer()
    result = Result(skipped=list(planned.skipped))
    directory = store.ensure_writable(out)
    # Inputs and compilation before the first board is touched: what is wrong with them shows up at once.
    prepared = [prepare(job, settings) for job in planned.jobs]
    for number, ready in enumerate(prepared, 1):
        observer.job(ready.job, number, len(prepared))
        try:
            _run(ready, settings, directory, observer, result)
        except KeyboardInterrupt:
            result.interrupted = True
            break
        except HarnessError as error:
            if number == 1 and not isinstance(error, BoardError):
                raise  # a port that is not there: nothing has been measured that could be lost
            result.failures.append(Failure(ready.job.model.name, ready.job.board.id, str(error)))
    return result


def _run(prepared: Prepared, settings: Settings, directory: Path, observer: Observer, result: Result) -> None:
    """Run one job; whatever ends it, samples that came are recorded."""
    held: list[Measurement] = []
    with ExitStack() as stack:
        port = choose_port(settings.port, prepared.job.board)
        expected = _start_reference(prepared, settings, stack)
        link = stack.enter_context(connection(prepared, settings, port))
        try:
            measure(link.session, prepared, settings, observer.progress, held.append)
        except (KeyboardInterrupt, BoardError) as error:
            if held and held[0].samples:
                why = "interrupted by the user" if isinstance(error, KeyboardInterrupt) else str(error)
                _keep(prepared, settings, link, held[0], why, directory, observer, result, why)
            raise
        _keep(prepared, settings, link, held[0], expected, directory, observer, result, None)


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


def _keep(
    prepared: Prepared,
    settings: Settings,
    link: Connection,
    taken: Measurement,
    expected: reference.Reference | str,
    directory: Path,
    observer: Observer,
    result: Result,
    interrupted: str | None,
) -> None:
    verification = verify(taken, expected)
    record = make_record(prepared, settings, link, taken, verification, interrupted)
    try:
        path = store.write(record, directory)
    except HarnessError as error:
        # What was measured took minutes and a board: it is not lost for a disk that has filled up since.
        path = store.write(record, tempfile.mkdtemp(prefix="harness-results-"))
        message = f"{error}; the record is in {path} instead"
        result.failures.append(Failure(prepared.job.model.name, prepared.job.board.id, message))
    result.records.append(record)
    result.paths.append(path)
    observer.recorded(record, path)
