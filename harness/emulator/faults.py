"""What can go wrong on a virtual line, written as one word: `flip=0.001,stall=1e-5:1,reset@40000`.

`harness emulate --help` shows the whole grammar.
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass, field

from harness.errors import HarnessError, nearest

_RATES = ("drop", "flip", "dup", "insert", "burst", "stall")
_EVENTS = ("reset", "vanish")
_KNOWN = (*_RATES, *_EVENTS, "seed")
LONGEST_S = 3600
LONGEST_BURST = 1 << 20
_FAR = 2.0**62


@dataclass(frozen=True)
class Event:
    """Something that happens once: after `bytes` on the line or at `seconds`."""

    kind: str
    bytes: int | None = None
    seconds: float | None = None
    away_s: float = 2.0


@dataclass(frozen=True)
class Faults:
    """Rates per byte, and events. The default is a line without faults."""

    drop: float = 0.0
    flip: float = 0.0
    dup: float = 0.0
    insert: float = 0.0
    burst: float = 0.0
    burst_bytes: int = 64
    stall: float = 0.0
    stall_s: float = 1.0
    events: tuple[Event, ...] = ()
    seed: int = 0

    @property
    def rate(self) -> float:
        """Probability for a byte that anything happens to it."""
        return self.drop + self.flip + self.dup + self.insert + self.burst + self.stall


def parse_faults(spec: str) -> Faults:
    """Read a fault specification; raises HarnessError that names the part that is wrong."""
    values: dict[str, float | int] = {}
    events: list[Event] = []
    for part in filter(None, (" ".join(word.split()) for word in spec.split(","))):
        name, sign, value = re.fullmatch(r"(\w*)([=@]?)(.*)", part, re.DOTALL).groups()  # type: ignore[union-attr]
        if name not in _KNOWN:
            raise HarnessError(f"--faults: unknown fault '{name or part}'{nearest(name, _KNOWN)}")
        wanted = "@" if name in _EVENTS else "="
        if sign != wanted:
            raise HarnessError(f"--faults: '{part}' should be written {name}{wanted}...")
        amount, colon, extra = value.partition(":")
        if name in _EVENTS:
            events.append(_event(name, part, amount, extra if colon else None))
        elif name == "seed":
            values["seed"] = _whole(part, value)
        else:
            values[name] = _rate(part, amount)
            if colon and name == "burst":
                values["burst_bytes"] = _burst_bytes(part, extra)
            elif colon and name == "stall":
                values["stall_s"] = _seconds(part, extra)
            elif colon:
                raise HarnessError(f"--faults: '{part}' has a ':' that {name} does not take")
    faults = Faults(**values, events=tuple(events))  # type: ignore[arg-type]
    if faults.rate > 0.5:
        raise HarnessError(f"--faults: the rates add up to {faults.rate:g}; at most 0.5 leaves a line at all")
    return faults


def _event(name: str, part: str, when: str, extra: str | None) -> Event:
    if extra is not None and name != "vanish":
        raise HarnessError(f"--faults: '{part}' has a ':' that {name} does not take")
    away = 2.0 if extra is None else _seconds(part, extra)
    if when.endswith("s"):
        return Event(name, seconds=_seconds(part, when), away_s=away)
    return Event(name, bytes=_whole(part, when), away_s=away)


def _rate(part: str, text: str) -> float:
    above, slash, below = text.partition("/")
    rate = _number(part, above)
    if slash:
        divisor = _number(part, below)
        rate = rate / divisor if divisor else math.inf
    if not 0 <= rate <= 0.5:
        raise HarnessError(f"--faults: '{part}': a rate is between 0 and 0.5")
    return rate


def _seconds(part: str, text: str) -> float:
    seconds = _number(part, text.removesuffix("s"))
    if seconds > LONGEST_S:
        raise HarnessError(f"--faults: '{part}': at most {LONGEST_S} seconds")
    return seconds


def _burst_bytes(part: str, text: str) -> int:
    count = _whole(part, text)
    if not 0 < count <= LONGEST_BURST:
        raise HarnessError(f"--faults: '{part}': a burst has 1 to {LONGEST_BURST} bytes")
    return count


def _number(part: str, text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d*)?([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?", text, re.ASCII):
        raise HarnessError(f"--faults: '{part}': '{text}' is not a number")
    return float(text)


def _whole(part: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,100}", text, re.ASCII):
        raise HarnessError(f"--faults: '{part}': '{text:.100}' is not a whole number")
    return int(text)


@dataclass
class Damage:
    """Damages the bytes of one direction as the faults say, always the same way for a seed."""

    faults: Faults
    direction: str
    counts: dict[str, int] = field(default_factory=dict)
    """How often each fault has happened."""

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.faults.seed}/{self.direction}")
        self._kinds = [name for name in _RATES if getattr(self.faults, name) > 0]
        self._weights = [getattr(self.faults, name) for name in self._kinds]
        self._gap = self._next_gap()
        self._burst = b""  # bytes of noise still to replace what comes

    def apply(self, data: bytes) -> list[tuple[bytes, float]]:
        """Return what becomes of `data`: pieces, each with the seconds that the line rests after it."""
        if not self._kinds:
            return [(data, 0.0)]
        pieces: list[tuple[bytes, float]] = []
        out = bytearray()
        at = 0
        while at < len(data):
            if self._burst:
                count = min(len(self._burst), len(data) - at)
                out += self._burst[:count]
                self._burst = self._burst[count:]
                at += count
                continue
            if self._gap >= len(data) - at:
                self._gap -= len(data) - at
                out += data[at:]
                break
            out += data[at : at + self._gap]
            at += self._gap
            self._gap = self._next_gap()
            kind = self._random.choices(self._kinds, self._weights)[0]
            self.counts[kind] = self.counts.get(kind, 0) + 1
            if kind == "burst":
                self._burst = self._random.randbytes(self.faults.burst_bytes)
                continue
            byte = data[at]
            at += 1
            if kind == "flip":
                out.append(byte ^ self._random.randrange(1, 256))
            elif kind == "dup":
                out += bytes([byte, byte])
            elif kind == "insert":
                out += bytes([byte, self._random.randrange(256)])
            elif kind == "stall":
                out.append(byte)
                pieces.append((bytes(out), self.faults.stall_s))
                out.clear()
        pieces.append((bytes(out), 0.0))
        return pieces

    def _next_gap(self) -> int:
        """Return how many bytes pass unharmed before the next fault (geometric distribution)."""
        rate = sum(self._weights)
        if not rate:
            return 0
        return int(min(math.log1p(-self._random.random()) / math.log1p(-rate), _FAR))
