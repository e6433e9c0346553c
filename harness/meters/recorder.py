"""Record a run with a meter: a thread takes the samples, and keeps sums instead of them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np

from harness.errors import HarnessError
from harness.meters.cutting import Cutter, Stretch
from harness.meters.meter import Block, Facts, Meter, MeterLost

BOUNCE_S = 20e-6
"""An edge that is taken back sooner than this comes from the wire, not from the firmware."""
LATENCY_S = 0.3
"""Samples may reach the computer this much later than they were taken."""
IDLE_S = 1.0
STALLED_S = 5.0
"""A meter that brings nothing for so long has gone."""
EXCERPT_PULSES, EXCERPT_SAMPLES, BEFORE_SAMPLES = 5, 200_000, 2_000


@dataclass(frozen=True)
class Idle:
    """The board while it waits: mean power in W, its standard error, and the sample at the middle."""

    mean_w: float
    error_w: float
    at: float


@dataclass(frozen=True)
class Excerpt:
    """Some samples as they were, to be drawn: power in W, whether the pin was high, and the rate in Hz."""

    power_w: tuple[float, ...]
    high: tuple[bool, ...]
    rate_hz: float


@dataclass(frozen=True)
class Recording:
    """A run as the meter saw it.

    Attributes:
        stretches: cut by the pin; one stretch if there is none.
        before, after: the board at rest; None if the meter was lost before.
        active: all between these two as one stretch; None if the meter was lost before its end.
        lost: samples that did not arrive.
        ended_by: why it ended before the run did; None if it did not.
    """

    facts: Facts
    input: int | None
    stretches: tuple[Stretch, ...]
    before: Idle | None
    after: Idle | None
    active: Stretch | None
    samples: int
    lost: int
    excerpt: Excerpt | None
    ended_by: str | None


@dataclass
class _Sum:
    """Adds up what passes while it is switched on."""

    first: int = 0
    end: int = 0
    seen: int = 0
    total: float = 0.0
    peak: float = 0.0
    means: list[float] = field(default_factory=list)

    def add(self, block: Block, power: np.ndarray) -> None:
        if not self.seen:
            self.first = block.first
        self.end = block.first + len(power)
        self.seen += len(power)
        self.total += float(power.sum())
        self.peak = max(self.peak, float(power.max()))
        self.means.append(float(power.mean()))

    def idle(self) -> Idle:
        error = float(np.std(self.means) / np.sqrt(len(self.means))) if len(self.means) > 1 else 0.0
        return Idle(self.total / self.seen, error, (self.first + self.end) / 2)

    def stretch(self) -> Stretch:
        samples = self.end - self.first
        filled = self.total * samples / self.seen
        return Stretch(True, self.first, samples, samples - self.seen, filled, self.peak)


class Recorder:
    """Records from the first `rest` on; a meter that is lost ends the recording, never the run."""

    def __init__(self, meter: Meter, input: int | None) -> None:
        """`input`: the digital input that the board's pin is wired to; None = there is no such wire.

        Raises HarnessError if the meter has no such input.
        """
        if input is not None and not 0 <= input < meter.facts.inputs:
            has = f"0 to {meter.facts.inputs - 1}" if meter.facts.inputs else "none"
            raise HarnessError(f"{meter.facts.name} has no digital input {input}; it has {has}")
        rate = meter.facts.rate_hz
        self._meter = meter
        self._input = input
        self._cutter = Cutter(input, int(BOUNCE_S * rate))
        self._changed = threading.Condition()
        self._into: _Sum | None = None
        self._ends = False
        self._over = False
        self._ended_by: str | None = None
        self._samples = self._next = self._lost = 0
        self._excerpt = _ExcerptTaker(input, rate)
        self._before: Idle | None = None
        self._after: Idle | None = None
        self._active: _Sum | None = None
        self._thread = threading.Thread(target=self._take_all, name="meter", daemon=True)

    def __enter__(self) -> Recorder:
        return self

    def rest(self) -> None:
        """Measure the board at rest, for about a second; nothing may be asked of it meanwhile.

        The first call begins the run, the second one ends it. A recording is not waited for.
        """
        if self._meter.facts.recorded:
            return
        if not self._thread.ident:
            self._thread.start()
        rate = self._meter.facts.rate_hz
        self._await_samples(int(LATENCY_S * rate))
        with self._changed:
            self._into = resting = _Sum()
        self._await_samples(int(IDLE_S * rate))
        with self._changed:
            if not resting.seen:
                return
            if self._before is None:
                self._before = resting.idle()
                self._into = self._active = _Sum()
            else:
                self._after = resting.idle()
                self._into = None

    def _await_samples(self, count: int) -> None:
        with self._changed:
            goal = self._next + count
            self._changed.wait_for(lambda: self._next >= goal or self._over)

    def end(self) -> Recording:
        """Stop the meter and return what it saw."""
        if self._meter.facts.recorded:
            self._take_all()
        self._ends = True
        if self._thread.is_alive():
            self._thread.join(2 * STALLED_S)
        self._meter.stop()
        stretches = tuple(self._cutter.end())
        if self._meter.facts.recorded:
            self._before, self._after = _rests(stretches)
            self._active = None
        active = self._active.stretch() if self._active and self._active.seen and self._after else None
        return Recording(
            self._meter.facts,
            self._input,
            stretches,
            self._before,
            self._after,
            active,
            self._samples,
            self._lost,
            self._excerpt.done(),
            self._ended_by,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends = True
        if self._thread.is_alive():
            self._thread.join(2 * STALLED_S)
        self._meter.close()

    def _take_all(self) -> None:
        try:
            self._meter.start()
            heard = time.monotonic()
            while not self._ends:
                block = self._meter.read()
                if block is not None and len(block.amperes):
                    heard = time.monotonic()
                    self._take(block)
                elif time.monotonic() - heard > STALLED_S:
                    raise MeterLost(f"{self._meter.facts.name} has sent nothing for {STALLED_S:g} s")
        except EOFError:
            pass
        except (MeterLost, OSError) as error:
            self._ended_by = str(error)
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _take(self, block: Block) -> None:
        power = block.power_w(self._meter.facts.supply_v)
        self._cutter.take(block, power)
        self._excerpt.take(block, power)
        with self._changed:
            if self._samples:
                self._lost += block.first - self._next
            self._samples += len(power)
            self._next = block.first + len(power)
            if self._into is not None:
                self._into.add(block, power)
            self._changed.notify_all()


def _rests(stretches: tuple[Stretch, ...]) -> tuple[Idle | None, Idle | None]:
    """Return the board at rest before the first pulse of a recording and after its last one."""
    if len(stretches) < 3 or stretches[0].high or stretches[-1].high:
        return None, None
    first, last = stretches[0], stretches[-1]
    error_w = abs(last.mean_w - first.mean_w) / 2
    return tuple(Idle(each.mean_w, error_w, each.first + each.samples / 2) for each in (first, last))  # type: ignore[return-value]


class _ExcerptTaker:
    """Keeps the samples around the first invokes; without a pin, the first ones."""

    def __init__(self, input: int | None, rate_hz: float) -> None:
        self._input = input
        self._rate_hz = rate_hz
        self._power: list[np.ndarray] = []
        self._high: list[np.ndarray] = []
        self._kept = self._pulses = 0
        self._started = input is None
        self._was_high = False

    def take(self, block: Block, power: np.ndarray) -> None:
        if self._pulses > EXCERPT_PULSES or self._kept >= EXCERPT_SAMPLES:
            return
        high = block.high(self._input)
        self._pulses += int((high & ~np.concatenate([[self._was_high], high[:-1]])).sum())
        self._was_high = bool(high[-1])
        if not self._started and self._pulses:
            self._started = True
        elif not self._started:
            self._power, self._high = [power[-BEFORE_SAMPLES:]], [high[-BEFORE_SAMPLES:]]
            return
        self._power.append(power)
        self._high.append(high)
        self._kept += len(power)

    def done(self) -> Excerpt | None:
        if not self._power or not self._started:
            return None
        power, high = np.concatenate(self._power), np.concatenate(self._high)
        if self._input is not None:
            rises = np.flatnonzero(high[1:] & ~high[:-1])
            begin = max(0, rises[0] - BEFORE_SAMPLES) if len(rises) else 0
            end = rises[EXCERPT_PULSES] if len(rises) > EXCERPT_PULSES else len(power)
            power, high = power[begin:end], high[begin:end]
        return _thinned(power, high, self._rate_hz)


POINTS = 1_000


def _thinned(power: np.ndarray, high: np.ndarray, rate_hz: float) -> Excerpt:
    """Return at most `POINTS` points: means of equal parts, high if most of a part is."""
    step = -(-len(power) // POINTS)
    whole = len(power) // step * step
    means = power[:whole].reshape(-1, step).mean(axis=1)
    marks = high[:whole].reshape(-1, step).mean(axis=1) >= 0.5
    return Excerpt(tuple(float(f"{w:.4g}") for w in means), tuple(map(bool, marks)), rate_hz / step)
