"""Hold runs against a baseline: refuse what cannot be compared, name what changed, and judge each pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from harness.gate.pairing import Pair, pair
from harness.gate.statistics import CONFIDENCE, Interval, Known, Side, interval, modes, more_runs
from harness.results.changes import Change, changes, in_words
from harness.results.group import Group, group
from harness.results.history import run_to_run
from harness.results.key import firmware_name
from harness.results.naming import apart
from harness.results.record import Record
from harness.results.row import invoke_us
from harness.results.table import change as growth
from harness.results.usable import differs

# What a difference in can be allowed by name.
Allowance = Literal["board", "clock", "inputs", "outputs", "missing"]
ALLOWANCES = get_args(Allowance)
# What the gate never compares, and `harness compare` does.
ANYTHING = frozenset({*ALLOWANCES, "protocol", "origin"})
# A difference in one of these forbids a comparison unless it is allowed.
_FORBIDDING = ("board", "protocol", "origin", "clock", "inputs")
# These are what a change of the figures may come from.
_CAUSES = ("model", "firmware", "profile", "specimen")
_MOST_NAMED = 5
Outcome = Literal["pass", "fail", "not enough data"]


@dataclass(frozen=True)
class Limits:
    """What a candidate may be worse by.

    Args:
        slowdown: the share by which the invoke time may grow (0.03 is 3 %).
        ram_bytes, ram_share: by how much the arena may grow, in bytes or as a share, whichever is more.
        allow: differences that are not held against the candidate.
        known_spread: the board's standard deviation between runs as a share; None = as earlier runs show it.
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
    """One thing that was found, and the outcome that follows from it.

    `about` is time, ram, outputs, runs (none is usable), missing, or what forbids a comparison.
    """

    about: str
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Comparison:
    """A row on both sides: how they compare and what was found.

    `causes` are what changed between the sides that the figures may come from; `apart` is what tells the
    comparison from others of the same board, model and precision; `superseded` are runs of the baseline that
    are of an earlier file or set-up than the ones compared.
    """

    board: str
    model: str
    precision: str
    baseline: Group | None
    candidate: Group | None
    time: Interval | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    causes: tuple[Change, ...] = ()
    apart: str = ""
    superseded: tuple[Record, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        return f"{self.called} {self.precision} on {self.board}"

    @property
    def called(self) -> str:
        """The model's name, with what tells it from others of that name."""
        return f"{self.model} ({self.apart})" if self.apart else self.model

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
            "causes": [vars(change) for change in self.causes],
            "findings": [vars(finding) for finding in self.findings],
            "notes": list(self.notes),
        }


def _plain_side(side: Group | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return {
        "model": side.names[0],
        "model_sha256": side.key.model_sha256,
        "inputs_sha256": side.key.inputs_sha256,
        "protocol": side.key.protocol,
        "firmware": firmware_name(side.latest.firmware),
        "runs": [record.id for record in side.records],
        "left_out": [{"run": item.record.id, "reason": item.reason} for item in side.left_out],
        "samples": side.samples,
        "origin": side.origin,
        "invoke_us": side.typical_us,
        "error_percent": side.error_percent,
        "error_below_percent": side.error_below_percent,
        "arena_used_bytes": side.arena_used_bytes,
        "ram_origin": side.ram.origin,
    }


def compare(
    baseline: Sequence[Record],
    candidate: Sequence[Record],
    limits: Limits,
    *,
    alone: bool = False,
    names: tuple[str, str] = ("the baseline", "the candidate"),
    history: Callable[[], Iterable[Record]] = tuple,
) -> list[Comparison]:
    """Compare the runs of each key with those they repeat or replace (see `harness.gate.pairing`).

    What only the candidate has is new, and passes. No figure is of a run that is not usable (see
    `harness.results.usable`): such runs are named, and outputs that differ from the reference are a failure.

    Args:
        alone: if there is a single model on a single board on either side, compare them whatever they are.
        names: what the sides are called in findings and notes.
        history: gives earlier runs, which are asked for how runs differ if a side has a single one.
    """
    before, after = group(baseline), group(candidate)
    across = limits.allow & {"board", "protocol", "origin"}
    judged = [
        _judge(item, limits, names, history, after) for item in pair(before, after, across, alone=alone)
    ]
    judged.sort(key=lambda item: (item.board, item.model, item.precision))
    rows = [item.candidate or item.baseline for item in judged]
    told = apart([row for row in rows if row is not None], ("board", "model", "precision"))
    return [replace(item, apart=words) for item, words in zip(judged, told, strict=True)]


def _judge(
    item: Pair,
    limits: Limits,
    names: tuple[str, str],
    history: Callable[[], Iterable[Record]],
    after: Sequence[Group],
) -> Comparison:
    baseline, candidate = item.baseline, item.candidate
    shown = candidate or baseline
    assert shown is not None
    notes = [
        *_aliases(shown),
        *_left_out(baseline, item.old_baseline, names[0]),
        *_left_out(candidate, item.old_candidate, names[1]),
    ]
    findings: list[Finding] = []
    causes: list[Change] = []
    time = None
    if candidate is None:
        text = _missing(shown, after, names)
        if "missing" in limits.allow:
            notes.append(text)
        else:
            findings.append(Finding("missing", "fail", text))
    elif baseline is None:
        notes.append(f"new: {names[0]} has no run of it")
        findings += _wrong_outputs(candidate, limits, names[1], notes)
    else:
        found = changes(baseline.latest, candidate.latest)
        causes = [change for change in found if change.about in _CAUSES]
        time, findings = _judge_both(baseline, candidate, found, limits, names, history, notes)
        findings += _wrong_outputs(candidate, limits, names[1], notes)
        findings = [_because(finding, causes) for finding in findings]
    return Comparison(
        shown.key.board,
        shown.names[0],
        shown.key.precision,
        baseline,
        candidate,
        time,
        tuple(findings),
        tuple(notes),
        tuple(causes),
        superseded=tuple(record for one in item.old_baseline for record in one.runs),
    )


def _judge_both(
    baseline: Group,
    candidate: Group,
    found: Sequence[Change],
    limits: Limits,
    names: tuple[str, str],
    history: Callable[[], Iterable[Record]],
    notes: list[str],
) -> tuple[Interval | None, list[Finding]]:
    """Judge time, RAM and outputs of two groups unless something that changed forbids it; add to `notes`."""
    notes += [change.text for change in found if change.about == "name"]
    if findings := _forbidding(found, limits, notes) or _no_run(baseline, candidate, names):
        return None, findings
    time, findings = _judge_time(baseline, candidate, limits, names, history)
    findings = [
        *findings,
        *_judge_ram(baseline, candidate, limits, names),
        *_judge_outputs(baseline, candidate, limits, names, notes),
    ]
    notes += _bands(baseline, candidate, names)
    notes += [*_coarse(time, limits), *_modes(baseline, candidate, names)]
    return time, findings


def _because(finding: Finding, causes: Sequence[Change]) -> Finding:
    """Name in a finding what may have brought it about."""
    return replace(finding, text=f"{finding.text}; {in_words(causes)}") if causes else finding


def _aliases(one: Group) -> list[str]:
    return [f"the same file as {', '.join(one.names[1:])}"] if len(one.names) > 1 else []


def _left_out(side: Group | None, older: Sequence[Group], name: str) -> list[str]:
    """Name the runs of a side that are not compared: the unusable ones, and those of earlier set-ups."""
    if side is None:
        return []
    notes = [f"run {item.record.id} of {name} left out: {item.reason}" for item in side.left_out]
    if len(notes) > _MOST_NAMED:
        notes[_MOST_NAMED:] = [f"{len(notes) - _MOST_NAMED} more runs of {name} left out as not usable"]
    for other in older:
        earlier = [change.about for change in changes(other.latest, side.latest) if change.about in _OLDER]
        count = f"{len(other.runs)} {'run' if len(other.runs) == 1 else 'runs'}"
        words = " and ".join(_OLDER[about] for about in earlier) or "set-up"
        notes.append(f"{count} of {name} left out: of an earlier {words}")
    return notes


_OLDER = {
    "model": "model file",
    "firmware": "firmware",
    "profile": "board profile",
    "clock": "clock",
    "inputs": "choice of inputs",
}


def _missing(baseline: Group, after: Sequence[Group], names: tuple[str, str]) -> str:
    """Say that the candidate lacks what the baseline has, and what it has that is not the same thing."""
    key = baseline.key
    near = [
        f"as {one.origin} times over {one.key.protocol}"
        for one in after
        if one.key.board == key.board
        and (one.key.model_sha256 == key.model_sha256 or set(one.names) & set(baseline.names))
        and (one.origin, one.key.protocol) != (key.origin, key.protocol)
    ]
    text = f"{names[1]} has no run of it, {names[0]} has"
    if not near:
        return text
    return (
        f"{text} (as {key.origin} times over {key.protocol}; what {names[1]} has "
        f"{' and '.join(dict.fromkeys(near))} is never compared with these)"
    )


def _forbidding(found: Sequence[Change], limits: Limits, notes: list[str]) -> list[Finding]:
    """Return a failure for each difference that forbids a comparison, and note those that are allowed."""
    findings = []
    for change in found:
        if change.about not in _FORBIDDING:
            continue
        if change.about in limits.allow:
            notes.append(f"{change.text} (allowed)")
        else:
            text = f"cannot be compared: {change.text} (--allow {change.about} compares them)"
            findings.append(Finding(change.about, "fail", text))
    return findings


def _wrong_outputs(candidate: Group, limits: Limits, name: str, notes: list[str]) -> list[Finding]:
    """Return a failure if runs of the candidate gave other outputs than the reference: whatever was timed
    then, it was not this model's work."""
    wrong = [item for item in candidate.left_out if differs(item.record)]
    if not wrong:
        return []
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    text = f"outputs of run {wrong[-1].record.id} of {name}{more} differ from the reference"
    if "outputs" in limits.allow:
        notes.append(f"{text} (allowed; its figures are not used)")
        return []
    return [Finding("outputs", "fail", f"{text} (--allow outputs passes over such runs)")]


def _no_run(baseline: Group, candidate: Group, names: tuple[str, str]) -> list[Finding]:
    """Return what is lacking if a side has no usable run."""
    return [
        Finding("runs", "not enough data", f"{name} has no usable run: {side.left_out[-1].reason}")
        for name, side in zip(names, (baseline, candidate), strict=True)
        if not side.records
    ]


def _bands(baseline: Group, candidate: Group, names: tuple[str, str]) -> list[str]:
    """Say how far off estimates may be if that is not the same on both sides and so does not cancel."""
    if baseline.origin == candidate.origin and baseline.latest.board.id == candidate.latest.board.id:
        return []
    bands = [
        f"{name} is {side.time_is}"
        for name, side in zip(names, (baseline, candidate), strict=True)
        if side.error_percent is not None
    ]
    return [f"the interval leaves out how far off an estimate may be: {'; '.join(bands)}"] if bands else []


def _coarse(time: Interval | None, limits: Limits) -> list[str]:
    """Say what the timer cannot show, if that is more than the slowdown that is asked about."""
    if time is None or time.verdict(limits.slowdown) != "within resolution":
        return []
    return [
        f"within the timer's resolution: a slowdown of up to {100 * time.unseen:.1f} % would not show in any "
        f"number of runs, so {100 * limits.slowdown:g} % cannot be held (allow more, or take a finer timer)"
    ]


def _modes(baseline: Group, candidate: Group, names: tuple[str, str]) -> list[str]:
    """Warn if the runs of a side fall into two groups: their mean is then the time of neither."""
    notes = []
    for name, side in zip(names, (_side(baseline), _side(candidate)), strict=True):
        found = modes(side) if side is not None and not side.computed else None
        if found is not None:
            fast, slow, apart = found
            notes.append(
                f"the runs of {name} fall into two groups, {fast} and {slow} of them, "
                f"{100 * (apart - 1):.1f} % apart: the board was in two states, and the interval is of no "
                "single one"
            )
    return notes


def _judge_time(
    baseline: Group,
    candidate: Group,
    limits: Limits,
    names: tuple[str, str],
    history: Callable[[], Iterable[Record]],
) -> tuple[Interval | None, list[Finding]]:
    sides = [_side(side) for side in (baseline, candidate)]
    if sides[0] is None or sides[1] is None:
        which = names[0] if sides[0] is None else names[1]
        text = f"{which} has a run whose times are zero: its timer is too coarse for this model"
        return None, [Finding("time", "not enough data", text)]
    known = _known(baseline, candidate, limits, history)
    time = interval(sides[0], sides[1], known, limits.confidence)
    verdict = time.verdict(limits.slowdown)
    text = f"{verdict}: {describe(time)}; {100 * limits.slowdown:g} % slower is allowed"
    if verdict == "not enough data":
        more = more_runs(sides[0], sides[1], known, limits.slowdown, limits.confidence)
        return time, [Finding("time", "not enough data", f"{text}; {more}")]
    return time, [Finding("time", "fail" if verdict == "regression" else "pass", text)]


def _known(
    baseline: Group, candidate: Group, limits: Limits, history: Callable[[], Iterable[Record]]
) -> Known | None:
    """Return how runs differ if the sides themselves cannot show it: a single run on each."""
    if limits.known_spread is not None:
        return Known(limits.known_spread)
    both = (*baseline.records, *candidate.records)
    if len(both) > 2 or baseline.origin == candidate.origin == "estimated":
        return None
    spread = run_to_run(history(), both)
    return Known(spread.share, spread.degrees) if spread else None


def _side(side: Group) -> Side | None:
    if side.medians_us.min() <= 0:
        return None
    return Side.of(
        [invoke_us(record) for record in side.records],
        max(record.invoke.resolution_us for record in side.records) if side.origin != "estimated" else 0.0,
        computed=side.origin == "estimated",
    )


def describe(time: Interval) -> str:
    """Write an interval as people say it: `+4.9 % (at least +3.8 %, at most +6.0 %, ...)`."""
    text = growth(time.ratio)
    runs = (
        f"{time.baseline_runs} against {time.candidate_runs} {'run' if time.candidate_runs == 1 else 'runs'}"
    )
    if time.spread is None:
        return f"{text} ({runs}; how runs of this board differ is not known)"
    if time.basis == "computed":
        return f"{text} (computed times, which do not vary)"
    known = {"known spread": ", known run-to-run spread", "earlier runs": ", spread of earlier runs"}.get(
        time.basis, ""
    )
    return (
        f"{text} (from {growth(time.low)} to {growth(time.high)}, "
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
    baseline: Group, candidate: Group, limits: Limits, names: tuple[str, str], notes: list[str]
) -> list[Finding]:
    before, after = ({tuple(r.outputs.sha256 or ()) for r in side.records} for side in (baseline, candidate))
    if () in before or () in after:
        notes.append(f"outputs not compared: {names[() not in before]} has none")
        return []
    if baseline.key.inputs_sha256 != candidate.key.inputs_sha256:
        notes.append("outputs not compared: other inputs")
        return []
    if before == after:
        return [Finding("outputs", "pass", "outputs are the same")]
    same = " for the same model file" if baseline.key.model_sha256 == candidate.key.model_sha256 else ""
    text = f"outputs changed{same}"
    if "outputs" in limits.allow:
        notes.append(f"{text} (allowed)")
        return []
    return [Finding("outputs", "fail", f"{text} (--allow outputs accepts it)")]


def exit_code(comparisons: Sequence[Comparison]) -> int:
    """Return 0 if all pass, 1 if one fails, 3 if none fails and there is not enough data for one."""
    outcomes = {comparison.outcome for comparison in comparisons}
    return 1 if "fail" in outcomes else 3 if "not enough data" in outcomes else 0
