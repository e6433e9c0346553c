"""Which record a figure comes from: what may be published, and which of several records wins."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

from harness.cards.rules import Rules
from harness.cards.units import Quantity
from harness.results.record import Record

VERIFIED = ("exact", "within_tolerance")
UNMEASURED = ("estimated", "emulated")


@dataclass(frozen=True)
class Figure:
    """One figure of one record: `value` in seconds or bytes."""

    value: Fraction
    origin: str
    record: Record


class ConflictingRecords(Exception):
    """Two records say different things of one cell."""


def figure(record: Record, quantity: Quantity) -> Figure | None:
    """Return a record's median invoke time or its tensor arena use, None if it has none."""
    if quantity == "time":
        if not record.invoke.ticks:
            return None
        middle = median(Fraction(ticks) for ticks in record.invoke.ticks)
        return Figure(Fraction(middle) / record.invoke.tick_hz, record.invoke.origin, record)
    if record.ram.arena_used_bytes is None:
        return None
    return Figure(Fraction(record.ram.arena_used_bytes), record.ram.origin, record)


def usable(
    records: Sequence[Record], quantity: Quantity, rules: Rules, exact: Set[str] = frozenset()
) -> tuple[list[Figure], list[tuple[Record, str]]]:
    """Return the figures that may be written, and why the others may not.

    Those of a board that were not measured only count if the rules allow them and none of that board
    was measured. `exact` are the ids of records of the very file that is linked: for a board that has such,
    those of another compilation of the model do not count.
    """
    if quantity not in rules.only:
        return [], []
    measured, unmeasured, refused = [], [], []
    for record in records:
        found = figure(record, quantity)
        if found is None:
            continue
        if not record.complete:
            refused.append((record, "the run is not complete"))
        elif record.verification.verdict not in VERIFIED:
            reason = f": {record.verification.reason}" if record.verification.reason else ""
            verdict = {"differs": "its outputs differ from the reference"}.get(
                record.verification.verdict, "its outputs were not verified"
            )
            refused.append((record, f"{verdict}{reason}"))
        elif found.origin == "measured":
            measured.append(found)
        elif found.origin in UNMEASURED and rules.allow_estimated:
            unmeasured.append(found)
        else:
            allow = "; --allow-estimated writes it, marked" if found.origin in UNMEASURED else ""
            refused.append((record, f"its {_NOUN[quantity]} is {found.origin}, not measured{allow}"))
    boards = {found.record.board.id for found in measured}
    allowed = [*measured, *(f for f in unmeasured if f.record.board.id not in boards)]
    own = {found.record.board.id for found in allowed if found.record.id in exact}
    return [f for f in allowed if f.record.id in exact or f.record.board.id not in own], refused


_NOUN = {"time": "invoke time", "ram": "RAM"}


def choose(figures: Sequence[Figure], shown: Callable[[Figure], str], rules: Rules) -> Figure:
    """Return the newest of figures that agree; `shown` is a figure as the card would show it.

    Figures that the card would show alike agree. Others disagree when they are further apart than the
    tolerance, or come from different firmware, clocks or compiled files. Raises Disagreement then, unless
    the rules choose.
    """
    chosen = [f for f in figures if f.record.id in rules.choose] or list(figures)
    chosen.sort(key=lambda f: (f.record.created, f.record.id), reverse=True)
    newest = chosen[0]
    if rules.newest:
        return newest
    for other in chosen[1:]:
        if shown(other) == shown(newest):
            continue
        why = _difference(newest, other, rules.tolerance)
        if why:
            raise ConflictingRecords(
                f"records {newest.record.id} ({shown(newest)}) and {other.record.id} ({shown(other)}) "
                f"disagree: {why}; choose one with --record {newest.record.id}, or --newest"
            )
    return newest


def _difference(one: Figure, two: Figure, tolerance: float) -> str | None:
    a, b = one.record, two.record
    sides = (
        ("origin", one.origin, two.origin),
        ("firmware", _firmware(a), _firmware(b)),
        ("clock", f"{a.board.clock_hz} Hz", f"{b.board.clock_hz} Hz"),
        ("model file", a.model.sha1[:12], b.model.sha1[:12]),
    )
    for what, left, right in sides:
        if left != right:
            return f"{what} {left} against {right}"
    low, high = sorted((one.value, two.value))
    if high - low > tolerance * high:
        return f"they are {float((high - low) / high):.0%} apart, more than {tolerance:.0%}"
    return None


def _firmware(record: Record) -> str:
    firmware = record.firmware
    image = (firmware.image_sha256 or firmware.build_hash or "")[:12]
    return " ".join(part for part in (firmware.name, firmware.version, image) if part)
