"""Samples for the fit from records of measured runs: whole invokes, and operators where they were timed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from harness.boards import Profile
from harness.errors import HarnessError
from harness.models import bundled, tflite
from harness.models.calibration import Sample
from harness.models.estimate import demands
from harness.models.graph import Model
from harness.models.ops import ETHOS_U
from harness.results.record import Record
from harness.results.usable import unusable
from harness.timing.parts import INVOKE, Table, work_of


@dataclass(frozen=True, slots=True)
class Taken:
    """Samples from records, how many records they are from, and the records that could not be used."""

    samples: tuple[Sample, ...]
    records: int
    left_out: tuple[str, ...]


def samples(
    records: Iterable[Record], board: Profile, coefficients: Mapping[str, object], models: Path | None
) -> Taken:
    """Return the samples of all measured records of `board`, in cycles of its clock.

    A model is looked for among the bundled ones, at the path that the record names, and in the directory
    `models`, by its SHA-256. One run gives a sample for its invoke, and one for each kernel that was timed
    on its own.
    """
    table = Table.of(coefficients)
    files = _Files(models)
    found: list[Sample] = []
    used, left_out = 0, []
    for record in records:
        if record.board.id != board.id or record.invoke.origin != "measured":
            continue
        try:
            reason = unusable(record)
            if reason is not None:
                raise HarnessError(reason)
            model = files.find(record)
            found += _samples(record, model, table, board.clock_hz)
        except HarnessError as error:
            left_out.append(f"{record.id}: {error}")
            continue
        used += 1
    return Taken(tuple(found), used, tuple(left_out))


def _samples(record: Record, model: Model, table: Table, clock_hz: int) -> list[Sample]:
    works = demands(model)
    if any(work.label == ETHOS_U for work in works):
        raise HarnessError("on the NPU the time is Vela's and is not fitted")
    to_cycles = clock_hz / record.invoke.tick_hz
    parts = table.parts(work_of(work) for work in works)
    if table.fixed:
        parts[INVOKE] = table.fixed
    name = f"{record.model.name} ({record.id})"
    found = [Sample(name, parts, median(record.invoke.ticks) * to_cycles)]
    by_index = {work.index: work for work in works if work.subgraph == 0}
    of_kernel: dict[str, tuple[list[object], float]] = {}
    for layer in record.layers:
        work = by_index.get(layer.index)
        if work is None or layer.origin != "measured" or work.label != layer.operator:
            continue
        worked, ticks = of_kernel.setdefault(work.kernel, ([], 0.0))
        worked.append(work)
        of_kernel[work.kernel] = (worked, ticks + layer.ticks)
    for kernel, (worked, ticks) in of_kernel.items():
        cycles = ticks * to_cycles
        kernel_parts = table.parts(work_of(work) for work in worked)  # type: ignore[arg-type]
        if cycles > 0 and kernel_parts:
            found.append(Sample(f"{name}: {kernel}", kernel_parts, cycles))
    return found


def _readable(directory: Path) -> Iterator[Model]:
    """Yield the models in a directory; what is none cannot be that of a record either."""
    for file in sorted(directory.rglob("*.tflite")):
        with contextlib.suppress(tflite.ModelError):
            yield tflite.read(file)


class _Files:
    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self.by_hash: dict[str, Model] = {}
        self.bundled_read = self.directory_read = False

    def find(self, record: Record) -> Model:
        wanted = record.model.sha256
        if wanted not in self.by_hash and not self.bundled_read:
            self.bundled_read = True
            self._add(tflite.parse(bundled.build(name), name) for name in bundled.names())
        path = Path(record.model.file)
        if wanted not in self.by_hash and path.is_file():
            self._add([tflite.read(path)])
        if wanted not in self.by_hash and self.directory and not self.directory_read:
            self.directory_read = True
            self._add(_readable(self.directory))
        if wanted not in self.by_hash:
            raise HarnessError(
                f"its model {record.model.name} (SHA-256 {wanted[:12]}...) cannot be found; "
                "give its directory with --models"
            )
        return self.by_hash[wanted]

    def _add(self, models: Iterable[Model]) -> None:
        self.by_hash |= {model.sha256: model for model in models}
