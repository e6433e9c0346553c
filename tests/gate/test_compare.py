"""Pairs are judged on time, RAM and outputs; what cannot be compared is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.gate.compare import ALLOWANCES, Comparison, Limits, compare, exit_code
from harness.results.record import Record
from tests.gate.simulated import BOARDS
from tests.results.making import record


def runs(count: int = 5, slower: float = 0.0, seed: int = 0, **changes: Any) -> list[Record]:
    rng = np.random.default_rng(seed)
    times = BOARDS["shifts between runs"].runs(rng, count, slower=slower)
    changes = {"origin": "measured", **changes}
    return [record([int(t) for t in run], day=day, **changes) for day, run in enumerate(times)]


def judge(before: list[Record], after: list[Record], **limits: Any) -> Comparison:
    [comparison] = compare(before, after, Limits(**limits))
    return comparison


def failures(comparison: Comparison) -> list[str]:
    return [finding.about for finding in comparison.findings if finding.outcome == "fail"]


def test_the_same_again_passes() -> None:
    comparison = judge(runs(seed=1), runs(seed=2))
    assert comparison.outcome == "pass"
    assert [finding.about for finding in comparison.findings] == ["time", "ram", "outputs"]


def test_a_slowdown_fails_and_says_by_how_much() -> None:
    comparison = judge(runs(seed=1), runs(seed=2, slower=0.08))
    assert failures(comparison) == ["time"]
    assert comparison.time is not None
    assert comparison.time.low < 1.08 < comparison.time.high
    assert "regression: +" in comparison.findings[0].text
    assert "5 against 5 runs" in comparison.findings[0].text


def test_a_speedup_passes() -> None:
    assert judge(runs(seed=1), runs(seed=2, slower=-0.2)).outcome == "pass"


def test_too_few_runs_say_how_many_more() -> None:
    comparison = judge(runs(2, seed=1), runs(2, seed=2, slower=0.04))
    assert comparison.outcome == "not enough data"
    assert "more run" in comparison.findings[0].text


def test_the_profiles_run_to_run_spread_serves_for_one_run_a_side() -> None:
    known = {"board": {"run_to_run_percent": 1.0}}
    assert judge(runs(1), runs(1, slower=0.2)).outcome == "not enough data"
    assert failures(judge(runs(1, **known), runs(1, slower=0.2, **known))) == ["time"]
    assert failures(judge(runs(1), runs(1, slower=0.2), known_spread=0.01)) == ["time"]


def test_ram_growth_fails_beyond_what_is_allowed() -> None:
    before, after = runs(arena=100_000), runs(arena=100_001)
    assert failures(judge(before, after)) == ["ram"]
    assert judge(before, after, ram_bytes=1).outcome == "pass"
    assert judge(before, after, ram_share=0.01).outcome == "pass"
    assert judge(after, before).outcome == "pass"


def test_ram_that_is_no_longer_reported_is_not_enough() -> None:
    assert judge(runs(), runs(arena=None)).outcome == "not enough data"


def test_changed_outputs_fail_unless_allowed() -> None:
    after = runs(outputs={"sha256": ["00" * 32]})
    assert failures(judge(runs(), after)) == ["outputs"]
    assert judge(runs(), after, allow=frozenset({"outputs"})).outcome == "pass"


def test_outputs_that_are_not_there_are_noted() -> None:
    comparison = judge(runs(), runs(outputs={"sha256": None}))
    assert comparison.outcome == "pass"
    assert "outputs not compared: the candidate has none" in comparison.notes


@pytest.mark.parametrize(
    ("about", "changes"),
    [
        ("clock", {"board": {"clock_hz": 80_000_000}}),
        ("firmware", {"firmware": {"version": "2.0"}}),
        ("origin", {"origin": "emulated"}),
        ("inputs", {"inputs": {"sha256": "00" * 32}}),
    ],
)
def test_what_cannot_be_compared_fails_by_its_name_unless_allowed(
    about: str, changes: dict[str, Any]
) -> None:
    after = runs(**changes)
    comparison = judge(runs(), after)
    assert failures(comparison) == [about]
    assert comparison.time is None
    allowed = judge(runs(), after, allow=frozenset({about}))
    assert allowed.outcome == "pass"
    assert any("(allowed)" in note for note in allowed.notes)


def test_a_missing_model_fails_and_a_new_one_passes() -> None:
    before = runs(model="person")
    comparisons = compare(before, runs(model="kws"), Limits())
    assert {c.model: c.outcome for c in comparisons} == {"person": "fail", "kws": "pass"}
    assert exit_code(comparisons) == 1
    assert exit_code(compare(before, runs(model="kws"), Limits(allow=frozenset({"missing"})))) == 0


def test_another_board_is_compared_only_when_allowed() -> None:
    before, after = runs(), runs(board="grove_vision_ai")
    assert exit_code(compare(before, after, Limits())) == 1
    comparison = judge(before, after, allow=frozenset({"board"}))
    assert comparison.outcome == "pass"
    assert "board xiao_esp32s3 against grove_vision_ai (allowed)" in comparison.notes


def test_only_runs_of_the_newest_set_up_count() -> None:
    old = runs(slower=0.5, firmware={"version": "0.9"})
    new = [r.model_copy(update={"created": r.created.replace(year=2027)}) for r in runs(seed=3)]
    comparison = judge(runs(), old + new)
    assert comparison.outcome == "pass"
    assert comparison.candidate is not None
    assert len(comparison.candidate.records) == 5
    assert "5 runs of the candidate left out" in comparison.notes[0]


def test_of_two_origins_the_baselines_is_taken() -> None:
    late = [r.model_copy(update={"created": r.created.replace(year=2027)}) for r in runs(origin="estimated")]
    comparison = judge(runs(), runs(seed=3) + late)
    assert comparison.outcome == "pass"
    assert comparison.candidate is not None
    assert comparison.candidate.origin == "measured"


@pytest.mark.parametrize("changes", [{"complete": False}, {"ticks": []}, {"ticks": [0, 0, 0]}])
def test_runs_without_usable_times_are_not_enough(changes: dict[str, Any]) -> None:
    after = record(**{"ticks": [5, 6, 7], "origin": "measured", **changes})
    assert judge(runs(), [after]).outcome == "not enough data"


def test_exit_codes_rank_failure_over_doubt_over_success() -> None:
    good, bad = judge(runs(), runs(seed=1)), judge(runs(), runs(seed=1, slower=0.2))
    doubt = judge(runs(1), runs(1))
    assert [exit_code(c) for c in ([good], [good, doubt], [good, doubt, bad], [])] == [0, 3, 1, 0]


def test_the_command_knows_every_allowance() -> None:
    from harness.cli.gate import _ALLOWANCES

    assert _ALLOWANCES == ALLOWANCES


def test_an_interval_does_not_pass_an_estimate_off_as_exact() -> None:
    estimated = [
        r.model_copy(update={"invoke": r.invoke.model_copy(update={"error_percent": 5.6})})
        for r in runs(seed=2, origin="estimated")
    ]
    comparison = judge(runs(seed=1), estimated, allow=frozenset({"origin"}))
    said = "the interval leaves out how far off an estimate may be: the candidate is estimated ±6 %"
    assert said in comparison.notes
    assert comparison.plain()["candidate"]["error_percent"] == 5.6
    # Of the same board, what an estimate is off by is the same on both sides.
    assert not any("interval" in note for note in judge(estimated, estimated).notes)


def test_a_firmware_is_told_by_the_beginning_of_its_hash() -> None:
    comparison = judge(runs(seed=1), runs(seed=2, firmware={"version": "2.0"}))
    assert (
        "firmware virtual 1.0 (cdcdcdcdcdcd) against virtual 2.0 (cdcdcdcdcdcd)"
        in comparison.findings[0].text
    )
