"""Samples for the fit from records of measured runs: whole invokes, and operators that were timed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from harness.boards import Profile
from harness.boards.published import Work
from harness.errors import HarnessError
from harness.models import bundled, tflite
from harness.models.calibration import Sample
from harness.models.estimate import demands, stream_times
from harness.models.graph import Model
from harness.models.ops import ETHOS_U
from harness.results.record import Record
from harness.results.usable import unusable
from harness.timing.parts import INVOKE, CoefficientTable, work_of


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
    table = CoefficientTable.of(coefficients)
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
            found += _samples(record, model, table, board)
        except HarnessError as error:
            left_out.append(f"{record.id}: {error}")
            continue
        used += 1
    return Taken(tuple(found), used, tuple(left_out))


def _samples(record: Record, model: Model, table: CoefficientTable, board: Profile) -> list[Sample]:
    streams = stream_times(model, board.vela.settings()) if board.vela else {}
    to_cycles = board.clock_hz / record.invoke.tick_hz
    needs = demands(model)
    works = {
        (d.subgraph, d.index): work_of(d, table.cache_bytes, table.vector_bytes).model_copy(
            update={"npu_cycles": streams.get((d.subgraph, d.index), 0)}
        )
        for d in needs
    }
    if any(work.kernel == ETHOS_U for work in works.values()) and not streams:
        raise HarnessError("it is compiled for an NPU, and the board has none")
    parts = table.parts(works.values())
    if table.fixed:
        parts[INVOKE] = table.fixed
    name = f"{record.model.name} ({record.id})"
    known = median(record.invoke.ticks) * to_cycles
    step = record.invoke.resolution_us * board.clock_hz / 1e6
    found = [Sample(name, parts, known, architecture=record.model.sha256, resolution=step)]
    of_kernel: dict[str, tuple[list[Work], float]] = {}
    labels = {d.index: d.label for d in needs if d.subgraph == 0}
    for layer in record.layers:
        work = works.get((0, layer.index))
        if work is None or layer.origin != "measured" or labels[layer.index] != layer.operator:
            continue
        worked, ticks = of_kernel.setdefault(work.kernel, ([], 0.0))
        worked.append(work)
        of_kernel[work.kernel] = (worked, ticks + layer.ticks)
    for kernel, (worked, ticks) in of_kernel.items():
        kernel_parts = table.parts(worked)
        if ticks > 0 and kernel_parts:
            found.append(
                Sample(
                    f"{name}: {kernel}",
                    kernel_parts,
                    ticks * to_cycles,
                    architecture=record.model.sha256,
                    whole=False,
                )
            )
    return found


def _readable(directory: Path) -> Iterator[Model]:
    """Yield the models in a directory; files that are none are passed over."""
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
        if record.model.unproven:
            raise HarnessError(f"its model {record.model.name} is unproven: {record.model.unproven}")
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
