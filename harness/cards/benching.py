"""Bench what cards ask for and no record answers: a plan first, then run by run, each kept as it comes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.cards import fetching
from harness.cards.fetching import Files
from harness.cards.figures import usable
from harness.cards.models import RecordsByModel
from harness.cards.rules import Rules
from harness.cards.wanted import Want
from harness.download import FetchError
from harness.errors import HarnessError
from harness.results.record import Record


@dataclass
class CardRun:
    """One run that cards ask for.

    `record` is the id of a record that answers it already, `path` where the model's file is, `missing` why it
    cannot be had.
    """

    want: Want
    record: str | None = None
    path: Path | None = None
    missing: str | None = None

    @property
    def to_do(self) -> bool:
        """Whether the run is to be made."""
        return self.record is None and self.missing is None

    @property
    def fetched(self) -> bool:
        """Whether the model's file has to be fetched first."""
        return self.to_do and self.path is None


@dataclass
class Came:
    """What came of the runs: how many were made, what failed, and whether the user broke them off."""

    made: int = 0
    failures: list[str] = field(default_factory=list)
    interrupted: bool = False


def plan_runs(
    wants: Iterable[Want],
    records: Sequence[Record],
    rules: Rules,
    files: Files,
    boards: Collection[str] = (),
    offline: bool = False,
    again: bool = False,
    estimates: bool = False,
) -> list[CardRun]:
    """Return the runs that cards ask for, board by board.

    boards: only these, in this order. offline: fetch nothing. again: make those that have a record as well.
    estimates: take what an emulated board has estimated for an answer, though it may not be written.
    """
    benched = RecordsByModel(records)
    runs: list[CardRun] = []
    for want in wants:
        if boards and want.board not in boards:
            continue
        run = CardRun(want)
        if not again:
            run.record = _answer(benched, want, rules, estimates)
        if run.record is None:
            _find(run, files, rules.by_name, offline)
        runs.append(run)
    order = list(boards) or list(dict.fromkeys(run.want.board for run in runs))
    return sorted(runs, key=lambda run: order.index(run.want.board))


def _answer(benched: RecordsByModel, want: Want, rules: Rules, estimates: bool) -> str | None:
    """Return the newest record whose figure may go into the card, None for none."""
    found = benched.of(want.model)
    records = found.proven or (list(found.named) if rules.by_name else [])
    of_board = [record for record in records if record.board.id == want.board]
    allowed = {figure.record.id for figure in usable(of_board, "time", rules)[0]}
    fresh = [r for r in of_board if r.id in allowed or (estimates and r.complete and r.invoke.ticks)]
    return max(fresh, key=lambda record: record.created).id if fresh else None


def _find(run: CardRun, files: Files, by_name: bool, offline: bool) -> None:
    """Find the file of a run, or say why it cannot be had."""
    model = run.want.bench
    run.path = files.find(model, by_name) or fetching.cached(model)
    if run.path is not None:
        return
    if not model.proven:
        run.missing = (
            "no hash tells which file it is, and no --models directory has one of its name (--by-name)"
        )
    elif not fetching.on_the_web(model.url):
        run.missing = f"it is in no --models directory, and {fetching.NO_ADDRESS}"
    elif offline:
        run.missing = "it is in no --models directory and not in the cache (--offline)"


def least_seconds(runs: Iterable[CardRun], invokes: int) -> float:
    """Return the seconds that the invokes alone of the runs will take, by the times on the cards.

    A model without a time on any card counts as the median of the others.
    """
    known = sorted(run.want.seconds for run in runs if run.to_do and run.want.seconds is not None)
    middle = known[len(known) // 2] if known else 0.0
    return invokes * sum(
        middle if run.want.seconds is None else run.want.seconds for run in runs if run.to_do
    )


def make(
    runs: Iterable[CardRun],
    bench: Callable[[Path, str], tuple[list[str], bool]],
    fetching_of: Callable[[CardRun], fetching.Progress] = lambda run: lambda done, total: None,
    begin: Callable[[CardRun, int, int], None] = lambda run, number, total: None,
) -> Came:
    """Make the runs that are to be made, one after the other.

    A failure holds back no other run, but a board of which the same error comes twice running is given up.

    bench: benches a file on a board, and returns what failed and whether the user broke it off.
    """
    to_do = [run for run in runs if run.to_do]
    came = Came()
    said: dict[str, str] = {}
    dead: dict[str, int] = {}
    for number, run in enumerate(to_do, 1):
        model, board = run.want.bench.file, run.want.board
        if board in dead:
            dead[board] += 1
            continue
        begin(run, number, len(to_do))
        try:
            path = run.path or fetching.fetch(run.want.bench, fetching_of(run))
            failures, came.interrupted = bench(path, board)
        except KeyboardInterrupt:
            came.interrupted = True
        except FetchError as error:
            came.failures.append(str(error))
            continue
        except HarnessError as error:
            came.failures.append(f"{model} on {board}: {error}")
            if said.get(board) == str(error):
                dead[board] = 0  # it is not the model's fault: no such board, no such port
            said[board] = str(error)
            continue
        if came.interrupted:
            break
        came.failures += [f"{model} on {board}: {failure}" for failure in failures]
        came.made += not failures
        said.pop(board, None)  # the board answers: an error from here on is a new one
    came.failures += [
        f"{left} more on {board}: not tried, for the same reason" for board, left in dead.items() if left
    ]
    return came
