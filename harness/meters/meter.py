"""What a meter is to the rest of the harness, and which ones there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import BoardError, HarnessError, nearest
from harness.registry import Registry


class MeterLost(BoardError):
    """The meter has stopped answering: what follows is not measured."""


@dataclass(frozen=True)
class Facts:
    """What a meter says of itself and of how it is set.

    Attributes:
        name: maker and model.
        serial_number: None if it has none.
        rate_hz: samples a second, by its own clock.
        amperes: the range of current that it can measure, in A.
        supply_v: voltage that it supplies, or that it was told of; None if each sample brings its own.
        inputs: how many digital inputs it has.
        error_percent: largest error of the current by its maker's data sheet; None if there is none.
        virtual: it is a program that stands in for a meter.
        recorded: it plays a recording, which begins and ends by itself.
    """

    name: str
    serial_number: str | None
    rate_hz: float
    amperes: tuple[float, float]
    supply_v: float | None
    inputs: int
    error_percent: float | None
    virtual: bool = False
    recorded: bool = False


@dataclass(frozen=True)
class Block:
    """Consecutive samples.

    Attributes:
        first: number of the first sample, counted from the start with those that were lost on the way.
        amperes: current, shape (n,).
        levels: the digital inputs, bit 0 = input 0, shape (n,).
        volts: supply voltage, shape (n,); None if the meter's facts say it.
    """

    first: int
    amperes: NDArray[np.float32]
    levels: NDArray[np.uint8]
    volts: NDArray[np.float32] | None = None

    def power_w(self, supply_v: float | None) -> NDArray[np.float64]:
        """Return the power of each sample in W; `supply_v` counts if they have no voltage of their own."""
        volts = supply_v if self.volts is None else self.volts
        return self.amperes.astype(np.float64) * np.asarray(volts, np.float64)

    def high(self, input: int | None) -> NDArray[np.bool_]:
        """Return whether a digital input is high in each sample; None = there is no such wire, so never."""
        if input is None:
            return np.zeros(len(self.amperes), bool)
        return (self.levels >> input & 1).astype(bool)


class Meter(Protocol):
    """A meter that is ready to measure."""

    facts: Facts

    def start(self) -> None:
        """Begin to sample; raises MeterLost."""

    def read(self) -> Block | None:
        """Return what has been sampled since the last call, after waiting for at most 0.1 s.

        None if that is nothing. Raises MeterLost, and EOFError at the end of a recording.
        """

    def stop(self) -> None:
        """End sampling; harmless if the meter has gone."""

    def close(self) -> None:
        """Let go of the meter."""


@dataclass(frozen=True)
class Kind:
    """A kind of meter.

    Attributes:
        name: what stands before the colon.
        usage: the whole of it, for messages, such as "ppk2:PORT,source=VOLTS".
        options: the keys that it knows.
        open: given where it is and the options; raises HarnessError.
    """

    name: str
    usage: str
    options: tuple[str, ...]
    open: Callable[[str, dict[str, str]], Meter]


METERS: Registry[Kind] = Registry(
    "harness.meters",
    "meter",
    {
        "ppk2": "harness.meters.ppk2:KIND",
        "file": "harness.meters.recording:KIND",
    },
)


INPUT = "input"
NO_INPUT = "none"


@dataclass(frozen=True)
class Spec:
    """A meter as a person names it: KIND:WHERE, and options as KEY=VALUE behind commas.

    `input` is the digital input that the board's pin is wired to; None if there is no such wire.
    """

    kind: Kind
    where: str
    options: dict[str, str]
    input: int | None

    def open(self) -> Meter:
        """Open it; raises HarnessError if it is not there, or its library is not installed."""
        return self.kind.open(self.where, self.options)


def parse(text: str) -> Spec:
    """Read the name of a meter, such as "ppk2:/dev/ttyACM1,source=3.3" or "file:trace.csv,input=none".

    Raises:
        HarnessError: there is no such kind, or it knows no such option.
    """
    name, colon, rest = text.partition(":")
    if not colon or not rest:
        raise HarnessError(f"meter '{text}': wanted is KIND:WHERE, such as ppk2:/dev/ttyACM1,source=3.3")
    kind = METERS.get(name)
    where, *pairs = rest.split(",")
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key not in (INPUT, *kind.options):
            meant = nearest(key, [INPUT, *kind.options])
            raise HarnessError(f"meter '{text}': unknown option '{pair}'{meant}; wanted is {kind.usage}")
        options[key] = value
    return Spec(kind, where, options, _input(text, options.pop(INPUT, "0")))


def _input(text: str, value: str) -> int | None:
    if value == NO_INPUT:
        return None
    if not value.isdecimal():
        raise HarnessError(f"meter '{text}': input={value}; wanted is a number, or {NO_INPUT}")
    return int(value)


def volts(options: dict[str, str], key: str) -> float | None:
    """Return a voltage among a meter's options; raises HarnessError if it is no sensible one."""
    if key not in options:
        return None
    try:
        value = float(options[key])
    except ValueError:
        value = -1.0
    if not 0 < value <= 60:
        raise HarnessError(f"{key}={options[key]}: wanted is a supply in volts, such as {key}=3.3")
    return value
