"""What tests of a user's own work with: runs that assertions read well on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import harness
from harness.errors import HarnessError
from harness.gate.compare import Comparison, Limits, compare
from harness.results import Record
from harness.results import baseline as baselines
from harness.results.group import Group, group
from harness.results.row import invoke_us
from harness.results.table import kibibytes

if TYPE_CHECKING:
    import pandas as pd

_ANY_RAM = 2**62


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
    """The outcome of a comparison: true where it holds. Its text says how the two compare."""

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
    def _group(self) -> Group:
        return group(self.records)[0]

    @property
    def invoke_ms(self) -> Times:
        """The invoke times in milliseconds."""
        samples = np.concatenate([invoke_us(record) for record in self.records]) / 1000
        one = self._group
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
        """The arena use in bytes, None where the firmware does not report it."""
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
        comparison, such as "firmware" or "origin".
        """
        return self._check(other, Limits(by, _ANY_RAM, allow=frozenset({*allow, "outputs"})))

    def no_bigger_than(
        self,
        other: Benched | Baseline | Sequence[Record] | str | Path,
        by: int = 0,
        allow: Iterable[str] = (),
    ) -> Check:
        """Check that the arena grew by no more than `by` bytes."""
        limits = Limits(ram_bytes=by, allow=frozenset({*allow, "outputs"}))
        return self._check(other, limits, leave_out="time")

    def same_outputs_as(
        self, other: Benched | Baseline | Sequence[Record] | str | Path, allow: Iterable[str] = ()
    ) -> Check:
        """Check that the output tensors are the same, for the same inputs."""
        limits = Limits(ram_bytes=_ANY_RAM, allow=frozenset(allow))
        return self._check(other, limits, leave_out="time")

    def _check(
        self,
        other: Benched | Baseline | Sequence[Record] | str | Path,
        limits: Limits,
        leave_out: str | None = None,
    ) -> Check:
        pairs = [
            pair for pair in compare(_records(other), self.records, limits) if pair.candidate is not None
        ]
        if not pairs or pairs[0].baseline is None:
            return self._say(False, f"{self!r}: the baseline has no run of this model on this board")
        [pair] = pairs
        findings = [finding for finding in pair.findings if finding.about != leave_out]
        worst = min(
            findings, key=lambda f: ("fail", "not enough data", "pass").index(f.outcome), default=None
        )
        holds = worst is None or worst.outcome == "pass"
        said = re.sub(r"--allow (\w+)", r'allow=["\1"]', worst.text) if worst else "nothing to compare"
        return self._say(holds, f"{pair.name}: {_sides(pair)}: {said}")

    def _say(self, holds: bool, text: str) -> Check:
        self.said.append(text)
        return Check(holds, text)

    def __repr__(self) -> str:
        first = self.records[0]
        return (
            f"<{first.model.name} on {first.board.id}: {self._group.median_time} "
            f"({self._group.time_is}), {kibibytes(self.arena_bytes)} ({self._group.ram.origin})>"
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


class Bencher:
    """Benches models on the board of the session, each only once."""

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
        key = (str(model), board, runs, repr(sorted(options.items())))
        if key not in self._done:
            records = [self._run(str(model), board, options) for _ in range(runs)]
            self._done[key] = Benched(tuple(records), self.said)
        return self._done[key]

    def __repr__(self) -> str:
        return "bench"

    def _run(self, model: str, board: str, options: dict[str, Any]) -> Record:
        result = harness.bench([model], [board], out=self._directory, **options)
        for problem in (*result.failures, *result.skipped):
            raise HarnessError(f"{model} on {board}: {problem}")
        [record] = result.records
        if not record.complete:
            raise HarnessError(
                f"{model} on {board}: the run ended early, with {len(record.invoke.ticks)} samples"
            )
        assert isinstance(record, Record)
        return record
