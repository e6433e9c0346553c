"""What tests of a user's own work with: runs that assertions read well on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import harness
from harness.errors import HarnessError, nearest
from harness.gate.compare import ALLOWANCES, Comparison, Limits, compare
from harness.results import Record
from harness.results import baseline as baselines
from harness.results.changes import changes, in_words
from harness.results.group import Group, group
from harness.results.row import invoke_us
from harness.results.table import kibibytes

if TYPE_CHECKING:
    import pandas as pd

_ANY_RAM = 2**62
_FIGURES = ("time", "ram", "outputs")


@dataclass(frozen=True)
class Times:
    """Invoke times in milliseconds; `median` is that of the runs' medians, the rest is over all samples."""

    median: float
    mean: float
    min: float
    max: float
    p95: float
    std: float
    n: int
    origin: str

    def __repr__(self) -> str:
        return f"<{self.median:.4g} ms, {self.min:.4g} to {self.max:.4g} ms, n={self.n}, {self.origin}>"


@dataclass(frozen=True)
class Check:
    """The outcome of a comparison: true if it holds. Its text says how the two compare."""

    holds: bool
    text: str

    def __bool__(self) -> bool:
        return self.holds

    def __repr__(self) -> str:
        return f"<{self.text}>"


@dataclass(frozen=True)
class Baseline:
    """Records that runs are held against, and where they are from."""

    where: str
    records: tuple[Record, ...]

    def __repr__(self) -> str:
        return f"<baseline {self.where}: {len(self.records)} runs>"


@dataclass(frozen=True)
class Benched:
    """The runs of one model on one board."""

    records: tuple[Record, ...]
    said: list[str] = field(default_factory=list, compare=False)

    @property
    def _groups(self) -> list[Group]:
        """The runs as the one group that they are. Raises HarnessError if they do not repeat one another."""
        groups = group(self.records)
        if len(groups) > 1:
            first, other = (found.latest for found in groups[:2])
            raise HarnessError(f"{self._name}: its runs differ: {in_words(changes(first, other))}")
        return groups

    @property
    def _group(self) -> Group:
        """The group of the runs. Raises HarnessError if none of them is usable."""
        [one] = self._groups
        if not one.records:
            raise HarnessError(f"{self._name}: no figure to use: {one.left_out[-1].reason}")
        return one

    @property
    def _name(self) -> str:
        return f"{self.records[0].model.name} on {self.records[0].board.id}"

    @property
    def invoke_ms(self) -> Times:
        """The invoke times in milliseconds, of the runs whose outputs are right."""
        one = self._group
        samples = np.concatenate([invoke_us(record) for record in one.records]) / 1000
        return Times(
            median=float(np.median(one.medians_us)) / 1000,
            mean=float(samples.mean()),
            min=float(samples.min()),
            max=float(samples.max()),
            p95=float(np.percentile(samples, 95)),
            std=float(samples.std(ddof=1)) if len(samples) > 1 else 0.0,
            n=len(samples),
            origin=one.origin,
        )

    @property
    def arena_bytes(self) -> int | None:
        """The arena use in bytes, None if the firmware does not report it."""
        return self._group.arena_used_bytes

    @property
    def verified(self) -> bool:
        """Whether the outputs of every run agree with the desktop runtime's."""
        return all(r.verification.verdict in ("exact", "within_tolerance") for r in self.records)

    def frame(self) -> pd.DataFrame:
        """Return the runs as a DataFrame, a row a run."""
        from harness.results import frame

        return frame.runs(self.records)

    def no_slower_than(
        self,
        other: Benched | Baseline | Sequence[Record] | str | Path,
        by: float = 0.03,
        allow: Iterable[str] = (),
    ) -> Check:
        """Check that the invoke time grew by no more than the share `by`, as `harness gate` decides it.

        Too little data to say is not enough to hold. `allow` names differences that are not held against the
        comparison: "clock" or "inputs". Times of another origin or protocol are never compared.
        """
        return self._check(other, Limits(by, _ANY_RAM, allow=frozenset({*allow, "outputs"})), "time")

    def no_bigger_than(
        self,
        other: Benched | Baseline | Sequence[Record] | str | Path,
        by: int = 0,
        allow: Iterable[str] = (),
    ) -> Check:
        """Check that the arena grew by no more than `by` bytes."""
        return self._check(other, Limits(ram_bytes=by, allow=frozenset({*allow, "outputs"})), "ram")

    def same_outputs_as(
        self, other: Benched | Baseline | Sequence[Record] | str | Path, allow: Iterable[str] = ()
    ) -> Check:
        """Check that the output tensors are the same, for the same inputs."""
        return self._check(other, Limits(ram_bytes=_ANY_RAM, allow=frozenset(allow)), "outputs")

    def _check(
        self, other: Benched | Baseline | Sequence[Record] | str | Path, limits: Limits, asked: str
    ) -> Check:
        """Hold the runs against others and look at what was found about the figure asked for."""
        for name in sorted(limits.allow - set(ALLOWANCES)):
            raise HarnessError(f"allow: there is nothing called '{name}' to allow{nearest(name, ALLOWANCES)}")
        [one] = self._groups
        pair = next(item for item in compare(_records(other), one.runs, limits) if item.candidate is not None)
        if pair.baseline is None:
            return self._say(False, f"{self!r}: the baseline has no run of this model on this board")
        findings = [f for f in pair.findings if f.about == asked or f.about not in _FIGURES]
        worst = min(
            findings, key=lambda f: ("fail", "not enough data", "pass").index(f.outcome), default=None
        )
        if worst is None:
            return self._say(False, f"{pair.name}: nothing to compare: {'; '.join(pair.notes)}")
        said = re.sub(r"--allow (\w+)", r'allow=["\1"]', worst.text)
        return self._say(worst.outcome == "pass", f"{pair.name}: {_sides(pair)}: {said}")

    def _say(self, holds: bool, text: str) -> Check:
        self.said.append(text)
        return Check(holds, text)

    def __repr__(self) -> str:
        try:
            one = self._group
        except HarnessError as error:
            return f"<{error}>"
        return (
            f"<{self._name}: {one.median_time} ({one.time_is}), "
            f"{kibibytes(one.arena_used_bytes)} ({one.ram.origin})>"
        )


def _sides(pair: Comparison) -> str:
    then, now = (side.typical_time if side else "–" for side in (pair.baseline, pair.candidate))
    return f"{then} then, {now} now"


def _records(other: Benched | Baseline | Sequence[Record] | str | Path) -> Sequence[Record]:
    if isinstance(other, (Benched, Baseline)):
        return other.records
    if isinstance(other, (str, Path)):
        return baselines.load(other)[0]
    return other


def _content(file: str | Path) -> str | None:
    """Return the SHA-256 of a file, None for a name that is none: a file written anew is something else."""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return None


class Bencher:
    """Benches models on the board of the session, each file only once."""

    def __init__(self, directory: Path, board: str | None, port: str | None) -> None:
        self._directory = directory
        self._board = board
        self._port = port
        self._done: dict[tuple[Any, ...], Benched] = {}
        # What comparisons of the current test said; the plugin shows it with a failure.
        self.said: list[str] = []

    def __call__(self, model: str | Path, board: str | None = None, runs: int = 1, **options: Any) -> Benched:
        """Bench `model` and return its runs.

        Args:
            model: path of a .tflite file, or the name of a bundled model.
            board: id or profile; else the one of `--board`.
            runs: how many runs; on hardware a comparison wants several.
            options: as `harness.bench` takes them, such as `invokes=100` or `inputs=("face.png",)`.
        """
        board = board or self._board
        if board is None:
            raise HarnessError("which board? Give --board ID, or bench(model, board=ID)")
        if self._port is not None:
            options.setdefault("port", self._port)
        inputs = options.get("inputs", ())
        files = (model, *((inputs,) if isinstance(inputs, (str, Path)) else inputs))
        contents = tuple(map(_content, files))
        key = (str(model), contents, board, runs, repr(sorted(options.items())))
        if key not in self._done:
            records = [self._run(str(model), board, options) for _ in range(runs)]
            self._done[key] = Benched(tuple(records), self.said)
        return self._done[key]

    def __repr__(self) -> str:
        return "bench"

    def _run(self, model: str, board: str, options: dict[str, Any]) -> Record:
        result = harness.bench([model], [board], out=self._directory, **options)
        for why in (*(f.message for f in result.failures), *(s.reason for s in result.skipped)):
            raise HarnessError(f"{model} on {board}: {why}")
        [record] = result.records
        if not record.complete:
            raise HarnessError(
                f"{model} on {board}: the run ended early, with {len(record.invoke.ticks)} samples"
            )
        assert isinstance(record, Record)
        return record
