"""Energy of an invoke, from a recording and from the times that the device's own clock gave.

An invoke's energy is its mean power, by the meter, times its duration, by the device: whole samples are too
coarse for that duration. Net of idle is what it took beyond a board that waits, whose power is measured before
and after the run and taken to change evenly between.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.meters.cutting import Stretch
from harness.meters.recorder import Excerpt, Recording

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
    by: str
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
    if recording.before is None or recording.after is None or recording.active is None:
        raise NoEnergy("the board at rest was not measured")
    if not seconds:
        raise NoEnergy("the device gave no times")
    if recording.input is None:
        return _bracketed(recording, seconds, warmup)
    return _by_pin(recording, seconds, warmup)


def _by_pin(recording: Recording, seconds: Sequence[float], warmup: int) -> Energy:
    rate = recording.facts.rate_hz
    pulses = [s for s in recording.stretches if s.high]
    if not pulses:
        raise NoEnergy(
            f"digital input {recording.input} never went high: is it wired to the board's pin, and does the "
            "firmware raise it?"
        )
    whole = len(pulses) == warmup + len(seconds)
    timed = pulses[warmup:]
    kept: list[tuple[Stretch, float]] = []
    for index, pulse in enumerate(timed):
        duration = _duration(pulse, seconds, index if whole else None, rate)
        if duration is not None and pulse.lost <= MOST_LOST * pulse.samples:
            kept.append((pulse, duration))
    if not kept:
        raise NoEnergy(
            f"none of the {len(pulses)} pulses of the pin is as long as the device's invokes: is another "
            "signal on that wire?"
        )
    gross = [pulse.mean_w * duration for pulse, duration in kept]
    idle = [_idle_w(recording, pulse) for pulse, _ in kept]
    net = [energy - at_rest * d for energy, at_rest, (_, d) in zip(gross, idle, kept, strict=True)]
    left_out = len(seconds) - len(kept)
    samples = statistics.median(pulse.samples for pulse, _ in kept)
    notes = []
    if not whole:
        notes.append(
            f"the pin gave {len(pulses)} pulses for {warmup} + {len(seconds)} invokes; "
            f"{len(kept)} of them are as long as the device says"
        )
    if samples < FEW_SAMPLES:
        notes.append(
            f"an invoke is only {samples:g} samples long at {rate:g} samples a second, hence the uncertainty"
        )
    # An edge lies anywhere between two samples, so each is off by 1/sqrt(12) of one. That moves a sample's
    # worth of the step from idle to running into or out of the mean.
    step_w = statistics.median(pulse.mean_w - at_rest for (pulse, _), at_rest in zip(kept, idle, strict=True))
    edges_j = abs(step_w) / rate * math.sqrt(2 / 12)
    lost = sum(pulse.lost for pulse, _ in kept) / sum(pulse.samples for pulse, _ in kept)
    mean_w = sum(gross) / sum(duration for _, duration in kept)
    idle_error_j = _idle_error_w(recording) * statistics.median(duration for _, duration in kept)
    of_gross = _percent([edges_j, _of_median(gross), lost * statistics.median(gross)], gross, recording)
    of_net = _percent(
        [edges_j, _of_median(net), lost * statistics.median(net), idle_error_j], net, recording
    )
    return Energy(
        tuple(energy * 1e6 for energy in gross),
        tuple(energy * 1e6 for energy in net),
        mean_w,
        max(pulse.peak_w for pulse, _ in kept),
        statistics.fmean(idle),
        of_gross,
        of_net,
        "pin",
        left_out,
        tuple(notes),
        recording.excerpt,
    )


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


def _bracketed(recording: Recording, seconds: Sequence[float], warmup: int) -> Energy:
    """Return the mean energy of all invokes: what the run took beyond a board at rest, and their idle share.

    It needs no alignment: before and after the run the board takes what it takes at rest.
    """
    active = recording.active
    assert active is not None
    rate = recording.facts.rate_hz
    count = warmup + len(seconds)
    duration = statistics.fmean(seconds)
    idle_w = _idle_w(recording, active)
    beyond = (active.mean_w - idle_w) * active.samples / rate / count
    if beyond <= 0:
        raise NoEnergy("the board took no more during the run than at rest: is it supplied through the meter?")
    gross = beyond + idle_w * duration
    error_j = _idle_error_w(recording) * active.samples / rate / count
    lost_j = beyond * active.lost / active.samples
    # Whether the first and the last invoke were asked for in time is known as well as the host's clock knows.
    outside = max(0.0, 1 - count * duration / (active.samples / rate))
    notes = (
        f"no pin: the run as a whole, {outside:.0%} of which the board spent between invokes, with its talk on "
        "the line; that counts as theirs",
    )
    return Energy(
        (gross * 1e6,),
        (beyond * 1e6,),
        gross / duration,
        active.peak_w,
        idle_w,
        _percent([error_j, lost_j], [gross], recording),
        _percent([error_j, lost_j], [beyond], recording),
        "bracket",
        0,
        notes,
        recording.excerpt,
    )


def _idle_w(recording: Recording, at: Stretch) -> float:
    """Return the power at rest at the middle of a stretch, between before and after the run."""
    before, after = recording.before, recording.after
    assert before is not None and after is not None
    share = (at.first + at.samples / 2 - before.at) / (after.at - before.at)
    return before.mean_w + (after.mean_w - before.mean_w) * min(1.0, max(0.0, share))


def _idle_error_w(recording: Recording) -> float:
    before, after = recording.before, recording.after
    assert before is not None and after is not None
    return math.hypot(before.error_w, after.error_w) / math.sqrt(2)


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
