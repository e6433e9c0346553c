"""Metering: what the board draws from its supply while it invokes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from harness.errors import HarnessError
from harness.meters.energy import Energy, NoEnergy, of_run
from harness.meters.meter import parse
from harness.meters.recorder import Recorder, Recording
from harness.results import record as records


class Metering:
    """A meter that records while a run goes on. What goes wrong with it costs the energy and nothing else."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.virtual_board = False
        """Whether the board turned out to be a virtual one."""

    def rest(self) -> None:
        """Measure the board at rest, before the invokes and behind them, for about a second each."""
        self._recorder.rest()

    def energy(
        self, samples: Sequence[int], tick_hz: int, warmup: int, notes: list[str]
    ) -> records.Energy | None:
        """End the recording and return the energy of the invokes, or add to `notes` why there is none.

        Args:
            samples: the device's time of each timed invoke, in ticks of `tick_hz`.
        """
        recording = self._recorder.end()
        if self.virtual_board and not recording.facts.virtual:
            notes.append("no energy: a virtual board draws no current that a meter could measure")
            return None
        try:
            found = of_run(recording, [ticks / tick_hz for ticks in samples], warmup)
        except NoEnergy as error:
            notes.append(f"no energy: {error}")
            return None
        notes += [f"energy: {note}" for note in found.notes]
        return _record(found, recording)


def _record(found: Energy, recording: Recording) -> records.Energy:
    facts, excerpt = recording.facts, found.excerpt
    return records.Energy(
        origin="emulated" if facts.virtual else "measured",
        gross_uj=list(found.gross_uj),
        net_uj=list(found.net_uj),
        mean_w=found.mean_w,
        peak_w=found.peak_w,
        idle_w=found.idle_w,
        uncertainty_percent=found.uncertainty_percent,
        net_uncertainty_percent=found.net_uncertainty_percent,
        by=found.by,
        left_out=found.left_out,
        meter=records.Meter(
            name=facts.name,
            serial_number=facts.serial_number,
            rate_hz=facts.rate_hz,
            supply_v=facts.supply_v,
            input=recording.input,
            samples=recording.samples,
            lost_samples=recording.lost,
        ),
        trace=records.Trace(**{**asdict(excerpt), "power_w": list(excerpt.power_w)}) if excerpt else None,
    )


@contextmanager
def metered(meter: str | None, emulated: bool) -> Iterator[Metering | None]:
    """Yield what meters a run; None if no meter is named.

    A meter that supplies the board does so from now on.

    Raises:
        HarnessError: the meter is not there, or the board is one of this computer's own.
    """
    if meter is None:
        yield None
        return
    if emulated:
        raise HarnessError("an emulated board draws no current, so it has no energy; leave --meter out")
    spec = parse(meter)
    with Recorder(spec.open(), spec.input) as recorder:
        yield Metering(recorder)
