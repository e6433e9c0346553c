"""Hold runs against a baseline: pair them, refuse what cannot be compared, and judge each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from harness.gate.statistics import CONFIDENCE, Interval, Side, interval, more_runs
from harness.results.group import Group, group
from harness.results.record import Record
from harness.results.row import invoke_us

# What a difference in can be allowed by name.
Allowance = Literal["board", "clock", "firmware", "origin", "inputs", "outputs", "missing"]
ALLOWANCES = get_args(Allowance)
Outcome = Literal["pass", "fail", "not enough data"]


@dataclass(frozen=True)
class Limits:
    """What a candidate may be worse by.

    Args:
        slowdown: the share by which the invoke time may grow (0.03 is 3 %).
        ram_bytes, ram_share: by how much the arena may grow, in bytes or as a share, whichever is more.
        allow: differences that are not held against the candidate.
        known_spread: the board's standard deviation between runs as a share, over what the record says.
        confidence: with which a verdict on time holds.
    """

    slowdown: float = 0.03
    ram_bytes: int = 0
    ram_share: float = 0.0
    allow: frozenset[str] = frozenset()
    known_spread: float | None = None
    confidence: float = CONFIDENCE


@dataclass(frozen=True)
class Finding:
    """One thing that was found: `about` is time, ram, or what differs; `outcome` what follows from it."""

    about: str
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Comparison:
    """A board and model on both sides: how they compare and what was found."""

    board: str
    model: str
    precision: str
    baseline: Group | None
    candidate: Group | None
    time: Interval | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        return f"{self.model} {self.precision} on {self.board}"

    @property
    def outcome(self) -> Outcome:
        """The worst of what was found: fail before not enough data before pass."""
        outcomes = {finding.outcome for finding in self.findings}
        return (
            "fail" if "fail" in outcomes else "not enough data" if "not enough data" in outcomes else "pass"
        )

    def plain(self) -> dict[str, Any]:
        """Return the comparison as values for JSON."""
        return {
            "board": self.board,
            "model": self.model,
            "precision": self.precision,
            "outcome": self.outcome,
            "baseline": _plain_side(self.baseline),
            "candidate": _plain_side(self.candidate),
            "time": self.time
            and {
                "ratio": self.time.ratio,
                "low": self.time.low or None,
                "high": self.time.high if self.time.spread is not None else None,
                "confidence": self.time.confidence,
                "basis": self.time.basis,
                "run_to_run_percent": None if self.time.spread is None else 100 * self.time.spread,
            },
            "findings": [vars(finding) for finding in self.findings],
            "notes": list(self.notes),
        }


def _plain_side(side: Group | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return {
        "runs": [record.id for record in side.records],
        "samples": side.samples,
        "origin": side.origin,
        "invoke_us": side.typical_us,
        "error_percent": side.error_percent,
        "arena_used_bytes": side.arena_used_bytes,
        "ram_origin": side.ram.origin,
    }


_Key = tuple[str, str, str]


def compare(
    baseline: Sequence[Record],
    candidate: Sequence[Record],
    limits: Limits,
    *,
    across: bool = False,
    names: tuple[str, str] = ("the baseline", "the candidate"),
) -> list[Comparison]:
    """Compare each board, model and precision of the baseline with the same of the candidate.

    What only the candidate has is new, and passes.

    Args:
        across: with a single board, model and precision on either side, compare these whatever their names.
        names: what the sides are called in findings and notes.
    """
    before = _sides(baseline, {})
    after = _sides(candidate, {key: side.origin for key, side in before.items()})
    if across and len(before) == len(after) == 1:
        (a,), (b,) = before.values(), after.values()
        return [_pair(a, b, limits, names)]
    by_model = {key[1:]: side for key, side in after.items()} if "board" in limits.allow else {}
    compared = set()
    result = []
    for key, side in before.items():
        other = after.get(key) or by_model.get(key[1:])
        if other is None:
            result.append(_missing(key, side, limits, names))
        else:
            compared.add(_key(other))
            result.append(_pair(side, other, limits, names))
    for key, side in after.items():
        if key not in compared:
            result.append(Comparison(*key, None, side, notes=(f"new: {names[0]} has no run of it",)))
    return result


def _key(side: Group) -> _Key:
    return side.key["board"], side.key["model"], side.key["precision"]


def _sides(records: Sequence[Record], origins: Mapping[_Key, str]) -> dict[_Key, Group]:
    """Group runs by board, model and precision; of several origins, the one asked for or the newest."""
    sides: dict[_Key, Group] = {}
    for side in sorted(group(records), key=lambda side: side.latest.created):
        key = _key(side)
        if key not in sides or sides[key].origin != origins.get(key):
            sides[key] = side
    return dict(sorted(sides.items()))


def _missing(key: _Key, side: Group, limits: Limits, names: tuple[str, str]) -> Comparison:
    text = f"{names[1]} has no run of it, {names[0]} has"
    allowed = "missing" in limits.allow
    findings = () if allowed else (Finding("missing", "fail", text),)
    return Comparison(*key, side, None, findings=findings, notes=(text,) if allowed else ())


def _pair(baseline: Group, candidate: Group, limits: Limits, names: tuple[str, str]) -> Comparison:
    notes: list[str] = []
    baseline = _alike(baseline, names[0], notes)
    candidate = _alike(candidate, names[1], notes)
    a, b = baseline.latest, candidate.latest
    findings: list[Finding] = []
    for about, text in _differences(a, b):
        if about in limits.allow:
            notes.append(f"{text} (allowed)")
        else:
            findings.append(
                Finding(about, "fail", f"cannot be compared: {text} (--allow {about} compares them)")
            )
    if a.model.sha256 != b.model.sha256:
        notes.append("the model file changed")
    if a.board.profile_sha256 != b.board.profile_sha256 and a.board.id == b.board.id:
        notes.append("the board profile changed")
    if a.board.serial_number != b.board.serial_number:
        notes.append(
            f"other specimen: {a.board.serial_number or 'none'} then, {b.board.serial_number or 'none'} now"
        )
    time = None
    if not findings:
        time, found = _judge_time(baseline, candidate, limits, names)
        findings += found
        findings += _judge_ram(baseline, candidate, limits, names)
        findings += _judge_outputs(a, b, limits, names, notes)
        notes += _bands(baseline, candidate, names)
    return Comparison(
        b.board.id, b.model.name, b.model.precision, baseline, candidate, time, tuple(findings), tuple(notes)
    )


def _bands(baseline: Group, candidate: Group, names: tuple[str, str]) -> list[str]:
    """Say how far off estimates may be where that is not the same on both sides and so does not cancel."""
    if baseline.origin == candidate.origin and baseline.latest.board.id == candidate.latest.board.id:
        return []
    bands = [
        f"{name} is {side.time_is}"
        for name, side in zip(names, (baseline, candidate), strict=True)
        if side.error_percent is not None
    ]
    return [f"the interval leaves out how far off an estimate may be: {'; '.join(bands)}"] if bands else []


def _setup(record: Record) -> tuple[Any, ...]:
    """What has to be the same for two runs to be repetitions of one another."""
    firmware = record.firmware
    return (
        record.model.sha256,
        (firmware.name, firmware.version, firmware.build_hash, firmware.image_sha256, firmware.protocol),
        record.board.clock_hz,
        record.invoke.origin,
        record.inputs.sha256,
    )


def _alike(side: Group, name: str, notes: list[str]) -> Group:
    """Keep the complete runs of the newest run's set-up: others would blur the comparison."""
    complete = [record for record in side.records if record.complete and record.invoke.ticks]
    if not complete:
        return side
    alike = tuple(record for record in complete if _setup(record) == _setup(complete[-1]))
    left = len(side.records) - len(alike)
    if left:
        notes.append(
            f"{left} {'run' if left == 1 else 'runs'} of {name} left out: incomplete, or of an older set-up"
        )
    return Group(side.key, alike)


def _differences(a: Record, b: Record) -> list[tuple[Allowance, str]]:
    """Say what makes two runs incomparable, each by the name that allows it."""
    found: list[tuple[Allowance, str]] = []
    if a.board.id != b.board.id:
        found.append(("board", f"board {a.board.id} against {b.board.id}"))
    if a.board.clock_hz != b.board.clock_hz:
        found.append(("clock", f"{a.board.clock_hz / 1e6:g} MHz against {b.board.clock_hz / 1e6:g} MHz"))
    old, new = (_firmware(record) for record in (a, b))
    if old != new:
        found.append(("firmware", f"firmware {old} against {new}"))
    if a.invoke.origin != b.invoke.origin:
        found.append(("origin", f"{a.invoke.origin} times against {b.invoke.origin} ones"))
    if a.inputs.sha256 != b.inputs.sha256:
        found.append(("inputs", "other inputs were streamed"))
    return found


def _firmware(record: Record) -> str:
    firmware = record.firmware
    known_by = (firmware.build_hash or firmware.image_sha256 or "no hash")[:12]
    return f"{firmware.name} {firmware.version} ({known_by})"


def _judge_time(
    baseline: Group, candidate: Group, limits: Limits, names: tuple[str, str]
) -> tuple[Interval | None, list[Finding]]:
    sides = [_side(side) for side in (baseline, candidate)]
    if sides[0] is None or sides[1] is None:
        which = names[0] if sides[0] is None else names[1]
        return None, [
            Finding("time", "not enough data", f"{which} has no complete run with times above zero")
        ]
    known = limits.known_spread
    if known is None and candidate.latest.board.run_to_run_percent is not None:
        known = candidate.latest.board.run_to_run_percent / 100
    time = interval(sides[0], sides[1], known, limits.confidence)
    verdict = time.verdict(limits.slowdown)
    text = f"{verdict}: {describe(time)}; {100 * limits.slowdown:g} % slower is allowed"
    if verdict == "not enough data":
        more = more_runs(sides[0], sides[1], known, limits.slowdown, limits.confidence)
        return time, [Finding("time", "not enough data", f"{text}; {more}")]
    return time, [Finding("time", "fail" if verdict == "regression" else "pass", text)]


def _side(side: Group) -> Side | None:
    runs = [invoke_us(record) for record in side.records]
    if not all(record.complete for record in side.records) or not all((run > 0).any() for run in runs):
        return None
    if min(side.medians_us, default=0) <= 0:
        return None
    return Side.of(
        runs,
        max(record.invoke.resolution_us for record in side.records) if side.origin != "estimated" else 0.0,
        computed=side.origin == "estimated",
    )


def describe(time: Interval) -> str:
    """Write an interval as people say it: `+4.9 % (at least +3.8 %, at most +6.0 %, ...)`."""
    text = f"{100 * (time.ratio - 1):+.1f} %"
    runs = (
        f"{time.baseline_runs} against {time.candidate_runs} {'run' if time.candidate_runs == 1 else 'runs'}"
    )
    if time.spread is None:
        return f"{text} ({runs}; how runs of this board differ is not known)"
    if time.basis == "computed":
        return f"{text} (computed times, which do not vary)"
    known = ", known run-to-run spread" if time.basis == "known spread" else ""
    return (
        f"{text} (from {100 * (time.low - 1):+.1f} % to {100 * (time.high - 1):+.1f} %, "
        f"each bound at {100 * time.confidence:g} %; {runs}{known})"
    )


def _judge_ram(baseline: Group, candidate: Group, limits: Limits, names: tuple[str, str]) -> list[Finding]:
    before, after = baseline.arena_used_bytes, candidate.arena_used_bytes
    if before is None:
        return []
    if after is None:
        return [Finding("ram", "not enough data", f"{names[1]} reports no arena use; {names[0]} does")]
    allowed = max(limits.ram_bytes, int(limits.ram_share * before))
    text = f"arena {before:,} bytes then, {after:,} now ({after - before:+,}; +{allowed:,} is allowed)"
    return [Finding("ram", "fail" if after - before > allowed else "pass", text)]


def _judge_outputs(
    a: Record, b: Record, limits: Limits, names: tuple[str, str], notes: list[str]
) -> list[Finding]:
    if a.outputs.sha256 is None or b.outputs.sha256 is None:
        which = names[0] if a.outputs.sha256 is None else names[1]
        notes.append(f"outputs not compared: {which} has none")
        return []
    if a.inputs.sha256 != b.inputs.sha256:
        notes.append("outputs not compared: other inputs")
        return []
    if a.outputs.sha256 == b.outputs.sha256:
        return [Finding("outputs", "pass", "outputs are the same")]
    because = (
        ", and so did the model file" if a.model.sha256 != b.model.sha256 else " for the same model file"
    )
    text = f"outputs changed{because}"
    if "outputs" in limits.allow:
        notes.append(f"{text} (allowed)")
        return []
    return [Finding("outputs", "fail", f"{text} (--allow outputs accepts it)")]


def exit_code(comparisons: Sequence[Comparison]) -> int:
    """Return 0 where all pass, 1 where one fails, 3 where none fails and there is not enough data for one."""
    outcomes = {comparison.outcome for comparison in comparisons}
    return 1 if "fail" in outcomes else 3 if "not enough data" in outcomes else 0
