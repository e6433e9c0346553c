"""Energy of an invoke, from a recording and from the times that the device's own clock gave.

An invoke's energy is its mean power, by the meter, times its duration, by the device: whole samples are too
coarse for that. Net of idle is what it took beyond a board at rest, whose power is measured before and after
the run and taken to change evenly in between.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.meters.cutting import Stretch
from harness.meters.recorder import Excerpt, Idle, Recording

MOST_LOST = 0.02
"""Share of an invoke's samples that may have been lost."""
SLACK_SAMPLES, SLACK = 2.0, 0.01
"""By how much, together, a pulse may differ from the time that the device gave for the invoke."""
FEW_SAMPLES = 10
COVERAGE = 2.0
"""Uncertainties are two standard ones (ISO/IEC Guide 98-3, k = 2): about 95 %."""


class NoEnergy(Exception):
    """There is no energy figure, and this is why."""


@dataclass(frozen=True)
class Energy:
    """What the invokes of a run took.

    Attributes:
        gross_uj, net_uj: energy of each invoke in microjoules, as drawn and beyond idle; of a run without a
            pin one value, the mean of all.
        mean_w, peak_w: power during invokes.
        idle_w: power of the board at rest.
        uncertainty_percent: of the median of `gross_uj`, at about 95 %.
        net_uncertainty_percent: the same of `net_uj`.
        by: "pin" if each invoke was cut out by the pin, "bracket" if the run was measured as a whole.
        left_out: invokes that were not counted.
    """

    gross_uj: tuple[float, ...]
    net_uj: tuple[float, ...]
    mean_w: float
    peak_w: float
    idle_w: float
    uncertainty_percent: float
    net_uncertainty_percent: float
    by: Literal["pin", "bracket"]
    left_out: int
    notes: tuple[str, ...]
    excerpt: Excerpt | None


def of_run(recording: Recording, seconds: Sequence[float], warmup: int) -> Energy:
    """Return the energy of the timed invokes of a run.

    Args:
        recording: of the whole run, with rest before and after it.
        seconds: the device's time of each timed invoke.
        warmup: invokes before them, which raise the pin, too.

    Raises:
        NoEnergy: with the reason.
    """
    if recording.ended_by is not None:
        raise NoEnergy(recording.ended_by)
    if recording.input is not None and not any(stretch.high for stretch in recording.stretches):
        raise NoEnergy(
            f"digital input {recording.input} never went high: is it wired to the board's pin, and does the "
            "firmware raise it?"
        )
    if recording.before is None or recording.after is None:
        raise NoEnergy("the board at rest was not measured")
    if not seconds:
        raise NoEnergy("the device gave no times")
    rest = _Rest(recording.before, recording.after)
    if recording.input is None:
        if recording.active is None:
            raise NoEnergy("without a pin a recording does not show which part of it is the run")
        return _bracketed(recording, rest, recording.active, seconds, warmup)
    return _by_pin(recording, rest, seconds, warmup)


def _by_pin(recording: Recording, rest: _Rest, seconds: Sequence[float], warmup: int) -> Energy:
    rate = recording.facts.rate_hz
    pulses = [stretch for stretch in recording.stretches if stretch.high]
    kept = _invokes(pulses, seconds, warmup, rate)
    if not kept:
        raise NoEnergy(
            f"none of the {len(pulses)} pulses of the pin is as long as the device's invokes: is another "
            "signal on that wire?"
        )
    gross = [pulse.mean_w * duration for pulse, duration in kept]
    idle = [rest.power_w(pulse) for pulse, _ in kept]
    net = [energy - at_rest * d for energy, at_rest, (_, d) in zip(gross, idle, kept, strict=True)]
    # An edge lies anywhere between two samples, so each is off by 1/sqrt(12) of one. That moves a sample's
    # worth of the step from rest to running into or out of the mean.
    step_w = statistics.median(pulse.mean_w - at_rest for (pulse, _), at_rest in zip(kept, idle, strict=True))
    edges_j = abs(step_w) / rate * math.sqrt(2 / 12)
    lost = sum(pulse.lost for pulse, _ in kept) / sum(pulse.samples for pulse, _ in kept)
    rest_j = rest.error_w * statistics.median(duration for _, duration in kept)
    common = [edges_j, lost * statistics.median(gross)]
    return Energy(
        gross_uj=tuple(energy * 1e6 for energy in gross),
        net_uj=tuple(energy * 1e6 for energy in net),
        mean_w=sum(gross) / sum(duration for _, duration in kept),
        peak_w=max(pulse.peak_w for pulse, _ in kept),
        idle_w=statistics.fmean(idle),
        uncertainty_percent=_percent([*common, _of_median(gross)], gross, recording),
        net_uncertainty_percent=_percent([*common, _of_median(net), rest_j], net, recording),
        by="pin",
        left_out=len(seconds) - len(kept),
        notes=tuple(_pin_notes(pulses, kept, seconds, warmup, rate)),
        excerpt=recording.excerpt,
    )


def _invokes(
    pulses: Sequence[Stretch], seconds: Sequence[float], warmup: int, rate: float
) -> list[tuple[Stretch, float]]:
    """Return the pulses that are timed invokes, each with the invoke's duration in seconds."""
    whole = len(pulses) == warmup + len(seconds)
    kept = []
    for index, pulse in enumerate(pulses[warmup:]):
        duration = _duration(pulse, seconds, index if whole else None, rate)
        if duration is not None and pulse.lost <= MOST_LOST * pulse.samples:
            kept.append((pulse, duration))
    return kept


def _pin_notes(
    pulses: Sequence[Stretch],
    kept: Sequence[tuple[Stretch, float]],
    seconds: Sequence[float],
    warmup: int,
    rate: float,
) -> Iterator[str]:
    if len(pulses) != warmup + len(seconds):
        yield (
            f"the pin gave {len(pulses)} pulses for {warmup} + {len(seconds)} invokes; "
            f"{len(kept)} of them are as long as the device says"
        )
    samples = statistics.median(pulse.samples for pulse, _ in kept)
    if samples < FEW_SAMPLES:
        yield f"an invoke is only {samples:g} samples long at {rate:g} a second, hence the uncertainty"


def _duration(pulse: Stretch, seconds: Sequence[float], index: int | None, rate: float) -> float | None:
    """Return how long the invoke of a pulse took by the device; None if it is none of them.

    Without an index, because pulses are missing, it is the median if they are all alike, else the pulse's own
    length counts.
    """
    length = pulse.samples / rate
    if index is not None:
        return seconds[index] if _alike(length, seconds[index], rate) else None
    if not min(seconds) - _slack(min(seconds), rate) <= length <= max(seconds) + _slack(max(seconds), rate):
        return None
    middle = statistics.median(seconds)
    return middle if max(seconds) - min(seconds) <= 1 / rate else length


def _alike(length: float, said: float, rate: float) -> bool:
    return abs(length - said) <= _slack(said, rate)


def _slack(said: float, rate: float) -> float:
    return SLACK_SAMPLES / rate + SLACK * said


def _bracketed(
    recording: Recording, rest: _Rest, active: Stretch, seconds: Sequence[float], warmup: int
) -> Energy:
    """Return the mean energy of all invokes: what the run took beyond a board at rest, and their idle share.

    It needs no alignment: before and after the run the board takes what it takes at rest.
    """
    count = warmup + len(seconds)
    duration, whole_s = statistics.fmean(seconds), active.samples / recording.facts.rate_hz
    idle_w = rest.power_w(active)
    beyond = (active.mean_w - idle_w) * whole_s / count
    if beyond <= 0:
        raise NoEnergy("the run took no more than the board at rest: is it supplied through the meter?")
    gross = beyond + idle_w * duration
    errors = [rest.error_w * whole_s / count, beyond * active.lost / active.samples]
    outside = max(0.0, 1 - count * duration / whole_s)
    note = (
        f"no pin: the run was measured as a whole; for {outside:.0%} of it the board talked on the line "
        "between invokes, and what that took counts as theirs"
    )
    return Energy(
        gross_uj=(gross * 1e6,),
        net_uj=(beyond * 1e6,),
        mean_w=gross / duration,
        peak_w=active.peak_w,
        idle_w=idle_w,
        uncertainty_percent=_percent(errors, [gross], recording),
        net_uncertainty_percent=_percent(errors, [beyond], recording),
        by="bracket",
        left_out=0,
        notes=(note,),
        excerpt=recording.excerpt,
    )


@dataclass(frozen=True)
class _Rest:
    """The board at rest, before and after the run."""

    before: Idle
    after: Idle

    def power_w(self, at: Stretch) -> float:
        """Return the power at rest at the middle of a stretch, as if it changed evenly in between."""
        middle = at.first + at.samples / 2
        share = (middle - self.before.at) / (self.after.at - self.before.at)
        return self.before.mean_w + (self.after.mean_w - self.before.mean_w) * min(1.0, max(0.0, share))

    @property
    def error_w(self) -> float:
        """Standard error of that power."""
        return math.hypot(self.before.error_w, self.after.error_w) / math.sqrt(2)


def _of_median(values: Sequence[float]) -> float:
    """Return the standard error of the median, for values that spread as a normal distribution."""
    if len(values) < 2:
        return 0.0
    return math.sqrt(math.pi / 2) * statistics.stdev(values) / math.sqrt(len(values))


def _percent(parts: Sequence[float], values: Sequence[float], recording: Recording) -> float:
    """Return the uncertainty in percent of the median: standard ones in joules, and the meter's limit."""
    middle = abs(statistics.median(values))
    if not middle:
        return math.inf
    # The data sheet gives a limit, which is a rectangular distribution's half width.
    meter = (recording.facts.error_percent or 0.0) / 100 / math.sqrt(3)
    return COVERAGE * 100 * math.hypot(meter, *(part / middle for part in parts))
