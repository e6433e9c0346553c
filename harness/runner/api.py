"""The whole bench: takes every job through every step, and keeps what was measured if a later step fails."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boards import Profile
from harness.chips import console
from harness.errors import BoardError, HarnessError, nearest
from harness.firmware.image import Image
from harness.flash.checks import check
from harness.flash.method import Progress, check_options, no_progress
from harness.models import ethosu, reference, tensors
from harness.models.tflite import Model
from harness.models.vela import VelaError
from harness.results import store, usable
from harness.results.record import Record, Verification
from harness.runner import as_it_is, fitting
from harness.runner.adding import examine
from harness.runner.attached import AUTO, EMULATED, choose_port
from harness.runner.flash import Flashed, Written, flash, model_file, refuse_without_image
from harness.runner.greet import Greeted, greet_any, greet_flashed
from harness.runner.measure import Measurement, measure
from harness.runner.metering import metered
from harness.runner.missing import EVERYTHING, held_image, missing, prove
from harness.runner.placing import place_models
from harness.runner.plan import Job, Settings, Skip, plan
from harness.runner.prepare import Listed, Prepared, prepare
from harness.runner.reach import Reach, Shelf, port_kind
from harness.runner.recording import BoardUsed, make_record, nothing_came_of
from harness.runner.verify import verify
from harness.wire.patience import Patience
from harness.wire.protocol import PROTOCOLS
from harness.wire.session import NoAnswer, Session

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

NONE = "none"
"""Given as the firmware, it means that none is to be flashed."""

INTERRUPTED = "interrupted by the user"
"""What a record says of a run that Ctrl-C ended."""

SLOWER_THAN_ESTIMATED = 20
"""An invoke is given up once it takes this many times its estimate."""
SHORTEST_INVOKE_LIMIT_S, UNKNOWN_INVOKE_LIMIT_S = 60.0, 600.0
EMULATED_INVOKE_LIMIT_S = 600.0
EMULATED_PATIENCE = Patience(request_s=60.0, slow_request_s=600.0)
"""For emulated boards, which are only as fast as this computer, whatever the board's own time."""

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

    @property
    def differing(self) -> list[Record]:
        """The runs whose outputs are not the reference's: their times are not those of a sound model."""
        return [record for record in self.records if usable.differs(record)]

    def frame(self) -> pd.DataFrame:
        """Return the runs as a DataFrame, a row a run (see `harness.results.frame`)."""
        from harness.results import frame

        return frame.runs(self.records)


class Observer:
    """Is called as a bench proceeds, and here does nothing. Subclass it to show progress."""

    def job(self, job: Prepared | Listed, number: int, total: int) -> None:
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
    invoke_timeout_s: float | None = None,
    no_flash: bool = False,
    baud: int | None = None,
    meter: str | None = None,
    out: Path | str = "results",
    observer: Observer | None = None,
) -> Result:
    """Bench models on boards and write a record of each run.

    Args:
        models: paths of .tflite files or of folders of them, or names of bundled models; none = the bundled
            person model. A file of a folder that cannot be benched is left out with the reason.
        boards: board ids or paths of profiles; none = XIAO ESP32-S3, Grove Vision AI and Grove Vision AI WE2,
            as far as they can run the model.
        invokes, warmup: timed and untimed invokes a run.
        inputs: a spec for each input tensor, or one for all: a .npy or .npz file, an image, "random:SEED".
        protocol: what the firmware speaks; None = the board's default.
        port: a pyserial URL, "emulated", "auto" = the attached board, or None = that, or an emulated one.
        drive: where the boot loader's drive is, for boards that are flashed by UF2; None = look for it.
        profile_layers: time each operator, too.
        invoke_timeout_s: how long one invoke may take; None = 20 times its estimate, and at least a minute.
        no_flash: bench what is on the attached board, and touch neither boot loader nor flash; a model may
            then be FILE@ADDRESS or @ADDRESS, and none = all that the board lists.
        baud: the line speed of the firmware on an attached board; None = the profile's.
        meter: a meter of the energy, such as "ppk2:/dev/ttyACM1,source=3.3" (see `harness.meters.meter`).
        out: the store that records go to.

    Raises:
        HarnessError: what was asked for cannot be done; nothing has been flashed or written then.
    """
    settings = Settings(
        invokes,
        warmup,
        _names(inputs),
        protocol,
        port if port is not None or not no_flash else AUTO,
        profile_layers,
        Path(drive) if drive else None,
        invoke_timeout_s,
        no_flash,
        baud,
        meter,
    )
    asked = _asked(_names(models), _names(boards), settings)
    if meter is not None and len(asked.boards) > 1:
        raise HarnessError("a meter supplies one board; name the one with --board")
    _refuse_early(asked, port, settings)
    observer, result = observer or Observer(), Result(skipped=list(asked.skipped))
    if not asked.boards:
        return result
    directory = store.ensure_writable(out)
    with ExitStack() as stack:
        shelf = stack.enter_context(Shelf(settings.drive, settings.baud))
        references = _References(stack, settings.warmup + settings.invokes)
        emulated = []
        for job in asked.jobs:
            with suppress(HarnessError):  # raised again when it is this board's turn
                if choose_port(settings.port, job.board, settings.drive) == EMULATED:
                    shelf.start(job.board)  # it boots while the rest is prepared
                    emulated.append(job)
        prepared = _prepare_all(asked.jobs, settings, result, named=bool(_names(boards)))
        for ready in prepared:
            if ready.job in emulated:
                _decode_ahead(ready.deployed)
        listed = [
            one for board in asked.listed_on for one in _listed(board, settings, shelf, asked.addresses)
        ]
        every: list[Prepared | Listed] = [*prepared, *listed]
        for number, run in enumerate(every, 1):
            try:
                observer.job(run, number, len(every))
                _run(run, settings, shelf, references.of(run), directory, observer, result)
            except KeyboardInterrupt:
                result.interrupted = True
                break
            except HarnessError as error:
                if number == 1 and not isinstance(error, BoardError):
                    raise  # the port is not there, so nothing measured can be lost
                result.failures.append(Failure(run.name, run.board.id, str(error)))
    return result


@dataclass(frozen=True)
class _Asked:
    """What is to be benched.

    Attributes:
        listed_on: boards of which models are benched that they list, and whose files are not given.
        addresses: where these models are; None = wherever there is one.
    """

    jobs: tuple[Job, ...]
    skipped: tuple[Skip, ...]
    listed_on: tuple[Profile, ...] = ()
    addresses: tuple[int | None, ...] = ()

    @property
    def boards(self) -> dict[str, Profile]:
        """The boards that take part, by their ids."""
        return {board.id: board for board in (*(job.board for job in self.jobs), *self.listed_on)}


def _asked(models: tuple[str, ...], names: tuple[str, ...], settings: Settings) -> _Asked:
    """Pair models with boards; raises HarnessError if that cannot be."""
    if not settings.no_flash:
        planned = plan(models, names, settings.protocol)
        return _Asked(planned.jobs, planned.skipped)
    wanted = as_it_is.wanted(models)
    names = as_it_is.boards_at(names, settings.port)
    jobs: list[Job] = []
    skipped: list[Skip] = []
    for name, at in wanted:
        if name:
            planned = plan((name,), names, settings.protocol)
            jobs += [replace(job, at=at) for job in planned.jobs]
            skipped += planned.skipped
    addresses = tuple(at for name, at in wanted if not name) if wanted else (None,)
    listed_on = tuple(map(fitting.load, names)) if addresses else ()
    return _Asked(tuple(jobs), tuple(skipped), listed_on, addresses)


def _refuse_early(asked: _Asked, port: str | None, settings: Settings) -> None:
    """Raise HarnessError for what cannot be done, before any board is looked for."""
    if port not in (None, AUTO, EMULATED) and len(asked.boards) > 1:
        raise HarnessError(f"several boards cannot all be at {port}; name the one that is with --board")
    if settings.drive is not None and settings.no_flash:
        raise HarnessError("--no-flash touches no boot loader; leave --drive out")
    if settings.drive is not None and asked.jobs:
        _drive_is_of_use(asked.jobs, port)
    if port != AUTO or settings.drive is not None or settings.no_flash:
        return
    for board in asked.boards.values():
        try:
            refuse_without_image(board, settings.protocol or board.protocols.default, port)
        except HarnessError as error:
            raise HarnessError(
                f"{error}; a board that holds its firmware already, the vendor's too, needs none: plug it "
                "in, and look with `harness ports`"
            ) from None


def _listed(
    board: Profile, settings: Settings, shelf: Shelf, addresses: Sequence[int | None]
) -> list[Listed]:
    """Return the models on a board that are to be benched without their files; raises HarnessError."""
    with shelf.reach(board, choose_port(settings.port, board)) as reached:
        patience = EMULATED_PATIENCE if reached.emulated else Patience()
        _, greeted = _greet_as_it_is(reached, settings, patience)
        with greeted.session as session:
            found = [as_it_is.listed(session, board, reached.url or "", at) for at in addresses]
    return [model for models in found for model in models]


def _drive_is_of_use(jobs: Sequence[Job], port: str | None) -> None:
    """Raise HarnessError if the boot loader's drive is named but would not be used."""
    if port == EMULATED:
        raise HarnessError("an emulated board has a drive of its own; leave --drive out")
    if not any(job.board.flash.drive_labels for job in jobs):
        ids = ", ".join(dict.fromkeys(job.board.id for job in jobs))
        raise HarnessError(f"--drive is for boards that are flashed by UF2, not for {ids}; leave it out")


def _names(given: Names) -> tuple[str, ...]:
    several = (given,) if isinstance(given, str | os.PathLike) else given
    return tuple(os.fspath(name) for name in several)


def _prepare_all(jobs: Sequence[Job], settings: Settings, result: Result, named: bool) -> list[Prepared]:
    """Make inputs and compile before the first board is touched: what is wrong with them shows up at once.

    If no board was named, those for which Vela refuses the model are left out like others that cannot run
    it; raises HarnessError if none is left. A file of a folder is left out whatever is wrong with it.
    """
    prepared: list[Prepared] = []
    refused: VelaError | None = None
    for job in jobs:
        try:
            prepared.append(prepare(job, settings))
        except HarnessError as error:
            if not job.of_folder:
                if named or not isinstance(error, VelaError):
                    raise
                refused = error
            reason = str(error).removeprefix(f"{job.model.name}: ")
            result.skipped.append(Skip(job.model.name, job.board.id, reason))
    if refused is not None and not prepared:
        raise refused
    return prepared


def _run(
    prepared: Prepared | Listed,
    settings: Settings,
    shelf: Shelf,
    expected: reference.Reference | str,
    directory: Path,
    observer: Observer,
    result: Result,
) -> None:
    """Run one job; whatever ends it, samples that came are recorded."""
    port = choose_port(settings.port, prepared.board, settings.drive)
    with ExitStack() as stack:
        metering = stack.enter_context(metered(settings.meter, port == EMULATED))
        reached = stack.enter_context(shelf.reach(prepared.board, port))
        if settings.no_flash or isinstance(prepared, Listed):
            ready = _take_as_it_is(reached, prepared, settings)
        else:
            ready = _bring(reached, prepared, settings, observer, result)
        if metering is not None:
            metering.virtual_board = ready.virtual
        session = stack.enter_context(ready.greeted.session)
        board = BoardUsed(
            session.protocol,
            port,
            port_kind(port),
            reached.serial_number,
            ready.virtual,
            ready.image,
            ready.unproven,
        )
        held: list[Measurement] = []

        def keep(verification: Verification, ended_by: str | None = None) -> None:
            record = make_record(prepared, settings, board, held[0], verification, ended_by)
            path = _write(record, directory, prepared, result)
            result.records.append(record)
            result.paths.append(path)
            observer.recorded(record, path)
            if ended_by is None and (why := nothing_came_of(record)):
                result.failures.append(Failure(prepared.name, prepared.board.id, why))

        def hold(taken: Measurement) -> None:
            taken.notes += ready.notes
            held.append(taken)

        try:
            measure(ready.greeted, ready.address, prepared, settings, observer.progress, hold, metering)
        except (KeyboardInterrupt, BoardError) as error:
            if held and held[0].samples:
                why = INTERRUPTED if isinstance(error, KeyboardInterrupt) else str(error)
                with _undisturbed():
                    keep(verify(held[0], None, why), why)
            raise
        try:
            source = prepared.source if isinstance(prepared, Prepared) else None
            verification = verify(held[0], source, expected)
        except KeyboardInterrupt:  # the board has finished, the desktop runtime has not
            with _undisturbed():
                keep(verify(held[0], None, INTERRUPTED))
            raise
        with _undisturbed():
            keep(verification)


def _decode_ahead(model: Model) -> None:
    """Decode for an emulated NPU ahead of the run; if something is damaged, the run itself reports it."""
    if ethosu.is_compiled(model):
        from harness.models.npu.ahead import decode_ahead
        from harness.models.npu.faults import NpuFault

        with suppress(NpuFault):
            decode_ahead(model)


@dataclass(frozen=True)
class _Ready:
    """A board that is proven to hold what it is to run, and that has been greeted."""

    greeted: Greeted
    address: int
    virtual: bool
    image: Image | None
    notes: tuple[str, ...]
    unproven: str | None = None


def _take_as_it_is(reached: Reach, prepared: Prepared | Listed, settings: Settings) -> _Ready:
    """Greet a board and find the model that it holds; nothing is written. The caller closes the session."""
    board = reached.board
    protocol, greeted = _greet_as_it_is(reached, settings, _patience(prepared, settings, reached.emulated))
    with _closing(greeted.session):
        where = reached.url or ""
        at, unproven = as_it_is.locate(greeted.session, board, where, prepared, protocol)
        virtual = reached.emulated or greeted.identity.virtual
        image = held_image(board, protocol, greeted, virtual)
    notes = [f"the model was not proven: {unproven}"] if unproven else []
    return _Ready(greeted, at, virtual, image, (*_of_stock(board, settings, protocol), *notes), unproven)


def _greet_as_it_is(reached: Reach, settings: Settings, patience: Patience) -> tuple[str, Greeted]:
    """Return the protocol and the firmware on a board; raises BoardError if none answers."""
    protocol, greeted = greet_any(reached, settings.protocol, patience, as_it_is=True)
    if not isinstance(greeted, Greeted):
        why = str(greeted) if greeted else f"{reached.board.id}: there is nothing in its flash"
        raise BoardError(f"{why}; --no-flash leaves the board as it is: leave it out to flash the board")
    return protocol, greeted


def _of_stock(board: Profile, settings: Settings, protocol: str) -> tuple[str, ...]:
    """Return what a board that was benched with its stock firmware, unasked, cannot give, and what would."""
    lacks = PROTOCOLS.get(protocol).stock
    if settings.protocol is not None or lacks is None or protocol == board.protocols.default:
        return ()
    return (
        f"the board answered with its stock firmware and was benched with that: {lacks}; the "
        f"{board.protocols.default} firmware does: `harness flash -b {board.id}`",
    )


def _bring(
    reached: Reach, prepared: Prepared, settings: Settings, observer: Observer, result: Result
) -> _Ready:
    """Greet, flash what is missing, and greet again; the caller closes the session."""
    board, model = reached.board, prepared.deployed
    patience = _patience(prepared, settings, reached.emulated)
    protocol, greeted = greet_any(reached, settings.protocol, patience, as_it_is=False)
    lacking, virtual = EVERYTHING, reached.emulated
    written: Written | None = None
    if isinstance(greeted, Greeted):
        virtual = virtual or greeted.identity.virtual
        with _closing(greeted.session):
            lacking = missing(board, protocol, greeted, virtual, model)
    if lacking.firmware or lacking.model:
        if isinstance(greeted, Greeted):
            greeted.session.close()
        files = [model_file(board, model)] if lacking.model else []
        try:
            written = flash(reached, files, protocol if lacking.firmware else None, observer.progress)
        except HarnessError as error:
            if isinstance(greeted, NoAnswer):
                kind = BoardError if isinstance(error, BoardError) else HarnessError
                raise kind(f"{greeted}; nor can it be flashed: {error}") from error
            raise
        virtual = virtual or written.virtual
        greeted = greet_flashed(reached, protocol, patience)
    assert isinstance(greeted, Greeted)
    with _closing(greeted.session):
        flashed = Flashed(board.id, written.outcomes if written else (), lacking.kept)
        result.flashed.append(flashed)
        observer.flashed(flashed)
        image = (written.image if written else None) or lacking.image
        address, believed = prove(greeted, board, protocol, image, model, lacking.model)
    notes = (*_of_stock(board, settings, protocol), *((believed,) if believed else ()))
    return _Ready(greeted, address, virtual, image, notes)


@contextmanager
def _closing(session: Session) -> Iterator[None]:
    """Close the session if the block fails; else leave it open."""
    try:
        yield
    except BaseException:
        session.close()
        raise


def _patience(prepared: Prepared | Listed, settings: Settings, emulated: bool) -> Patience:
    """Return how long to wait for the board; an invoke's part of it comes from the estimate of its time."""
    limit = settings.invoke_timeout_s
    if limit is None:
        estimated = prepared.time.seconds if isinstance(prepared, Prepared) else None
        limit = (
            UNKNOWN_INVOKE_LIMIT_S
            if estimated is None
            else max(SHORTEST_INVOKE_LIMIT_S, SLOWER_THAN_ESTIMATED * estimated)
        )
        limit = max(limit, EMULATED_INVOKE_LIMIT_S) if emulated else limit
    return replace(EMULATED_PATIENCE if emulated else Patience(), invoke_s=limit, trouble=console.trouble)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C while a record is written: a second, impatient one must not lose it."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread is ever interrupted
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _References:
    """Runs each model and its inputs once on the desktop runtime, however many boards run it."""

    def __init__(self, stack: ExitStack, invokes: int) -> None:
        self._stack = stack
        self._invokes = invokes
        self._started: dict[tuple[str, str], reference.Reference | str] = {}

    def of(self, prepared: Prepared | Listed) -> reference.Reference | str:
        """Return the run for a job, which goes on while the board works; or say why there is none."""
        if isinstance(prepared, Listed):
            return "the file of the model is not known here"
        if prepared.source is None:
            return "the int8 model that this file was compiled from is not known here"
        key = prepared.source.sha256, tensors.digest(prepared.inputs)
        if key not in self._started:
            self._started[key] = self._start(prepared.source, prepared.inputs)
        return self._started[key]

    def _start(self, source: Model, inputs: list[np.ndarray]) -> reference.Reference | str:
        try:
            ran = reference.start(source.data, inputs, invokes=self._invokes)
        except reference.ReferenceError as error:
            return str(error)
        return self._stack.enter_context(ran)


def _write(record: Record, directory: Path, prepared: Prepared | Listed, result: Result) -> Path:
    """Add a record to the store, or to another place if that fails, and return its path."""
    try:
        return store.write(record, directory)
    except HarnessError as error:
        # A measurement takes minutes and a board: a disk that has filled up must not lose it.
        path = store.write(record, tempfile.mkdtemp(prefix="harness-results-"))
        message = f"{error}; the record is in {path} instead"
        result.failures.append(Failure(prepared.name, prepared.board.id, message))
        return path


def flash_board(
    board_name: str,
    port: str = "auto",
    *,
    firmware: str | None = None,
    models: Sequence[str] = (),
    drive: Path | None = None,
    options: dict[str, object] | None = None,
    progress: Progress = no_progress,
) -> Flashed:
    """Flash firmware and models onto a board.

    Args:
        board_name: a board id or the path of a profile.
        port: a pyserial URL, "auto" = the attached board, or "emulated".
        firmware: a protocol, the path of an image, "none", or None = the board's default protocol if
            there are no models, else none.
        models: paths or names of models, each with @ADDRESS if it is not to be placed by itself.
        drive: where the boot loader's drive is; None = look for it.
        options: of the flashing method.
        progress: called with a file's name, the bytes of it that are done, and all of them.

    Raises:
        HarnessError: what was asked for cannot be done: before a byte is sent.
        BoardError: the boot loader does not answer, or refuses.
    """
    board = fitting.load(board_name)
    check_options(board, options or {})
    if firmware is None:
        firmware = NONE if models else board.protocols.default
    files = place_models(board, models)
    protocol = None
    if firmware in board.protocols.supported:
        protocol = firmware
    elif firmware != NONE:
        if not Path(firmware).exists():
            known = nearest(firmware, [*board.protocols.supported, NONE])
            raise HarnessError(f"no file and no protocol '{firmware}'{known}")
        files[:0] = examine(board, [Path(firmware)])
    elif not models:
        raise HarnessError("nothing to flash: --firmware none, and no --model")
    check(board, files)
    if protocol is not None and drive is None:
        refuse_without_image(board, protocol, port)
    with Shelf(drive) as shelf, shelf.reach(board, choose_port(port, board, drive)) as reached:
        written = flash(reached, files, protocol, progress, options)
    return Flashed(board.id, written.outcomes, loader=written.loader)
