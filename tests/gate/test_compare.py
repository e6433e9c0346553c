"""Pairs are judged on time, RAM and outputs; what cannot be compared is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.gate.compare import ALLOWANCES, ANYTHING, Comparison, Limits, compare, exit_code
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


def test_a_given_run_to_run_spread_serves_for_one_run_a_side() -> None:
    assert judge(runs(1), runs(1, slower=0.2)).outcome == "not enough data"
    assert failures(judge(runs(1), runs(1, slower=0.2), known_spread=0.01)) == ["time"]


def test_earlier_runs_of_the_kind_serve_too_and_are_said_to() -> None:
    earlier = runs(8, seed=5)
    for slower, outcome in ((0.2, "fail"), (0.0, "pass"), (0.05, "not enough data")):
        after = runs(1, slower=slower)
        [found] = compare(runs(1), after, Limits(0.05), history=lambda after=after: [*earlier, *after])
        assert found.outcome == outcome
        assert found.time is not None
        assert found.time.basis == "earlier runs"
        assert "1 against 1 run, spread of earlier runs" in found.findings[0].text
    [found] = compare(runs(1), runs(1), Limits(), history=lambda: runs(8, firmware={"version": "0.9"}))
    assert found.outcome == "not enough data"


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
    [("clock", {"board": {"clock_hz": 80_000_000}}), ("inputs", {"inputs": {"sha256": "00" * 32}})],
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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"complete": False}, "has no usable run: it ended early, with 3 of 3 samples"),
        ({"ticks": []}, "has no usable run: it has no sample"),
        ({"ticks": [0, 0, 0]}, "its timer is too coarse"),
    ],
)
def test_runs_without_usable_times_are_not_enough(changes: dict[str, Any], said: str) -> None:
    bad = [record(**{"ticks": [5, 6, 7], "origin": "measured", **changes})]
    for before, after in ((runs(), bad), (bad, runs())):
        comparison = judge(before, after)
        assert comparison.outcome == "not enough data"
        assert said in comparison.findings[0].text


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
    comparison = judge(runs(seed=1), estimated, allow=ANYTHING)
    said = "the interval leaves out how far off an estimate may be: the candidate is estimated ±6 %"
    assert said in comparison.notes
    assert comparison.plain()["candidate"]["error_percent"] == 5.6
    # Of the same board, what an estimate is off by is the same on both sides.
    assert not any("interval" in note for note in judge(estimated, estimated).notes)
