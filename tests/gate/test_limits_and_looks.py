"""The gate at its edges: exactly the limit, timers that see little, boards of two states, a second look."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness.models import bundled
from harness.results import baseline, store
from harness.results.record import Record
from tests.results.making import put, record
from tests.results.running import harness


def judged(place: Path, before: list[Record], after: list[Record], *words: str) -> tuple[int, str, str]:
    """Put the records of both sides, gate, and return exit code, standard output and standard error."""
    for made in after:
        put(made, place / "results")
    baseline.renew(place / "results" / "baseline", before)
    done = harness("gate", *words, cwd=place)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("now", "code"), [(1030, 0), (1031, 1)])
def test_three_percent_slower_is_allowed_where_three_percent_are(tmp_path: Path, now: int, code: int) -> None:
    before, after = (record([ticks], origin="estimated") for ticks in (1000, now))
    assert judged(tmp_path, [before], [after], "--max-slowdown", "3%")[0] == code


def of_whole_milliseconds(*medians_ms: int) -> list[Record]:
    return [
        record([median * 1000] * 5, origin="measured", day=day, invoke={"resolution_us": 1000.0})
        for day, median in enumerate(medians_ms)
    ]


def test_a_timer_of_whole_milliseconds_passes_with_what_it_cannot_show(tmp_path: Path) -> None:
    runs = of_whole_milliseconds(15, 15, 15)
    code, shown, _ = judged(tmp_path, runs, of_whole_milliseconds(15, 15, 15))
    assert code == 0
    assert (
        "within the timer's resolution: a slowdown of up to 14.3 % would not show in any number of runs"
        in " ".join(shown.split())
    )


def test_runs_of_two_states_are_warned_of(tmp_path: Path) -> None:
    times = (50_000, 50_020, 50_010, 50_030, 53_000, 53_020, 53_010, 53_030)
    two = [record([ticks] * 3, origin="measured", day=day) for day, ticks in enumerate(times)]
    one = [record([50_000 + day] * 3, origin="measured", day=day) for day in range(4)]
    _, shown, _ = judged(tmp_path, one, two, "--max-slowdown", "20%")
    assert "fall into two groups, 4 and 4 of them, 6.0 % apart" in " ".join(shown.split())


def of_cifar10(ticks: int, day: int, file: str) -> Record:
    sha256 = hashlib.sha256(bundled.build(file)).hexdigest() if file in bundled.names() else "12" * 32
    model = {"name": "cifar10", "file": file, "sha256": sha256}
    settings = {"requested": 2, "warmup": 0}
    return record([ticks] * 3, origin="measured", day=day, model=model, invoke=settings)


def both(file: str) -> tuple[list[Record], list[Record]]:
    return (
        [of_cifar10(10_000 + day, day, file) for day in range(3)],
        [of_cifar10(12_000 + day, day + 10, file) for day in range(3)],
    )


def test_what_would_fail_is_benched_again_before_it_does(tmp_path: Path) -> None:
    """The board that answers is emulated, so that its times join no measured ones: the verdict stays."""
    before, after = both("cifar10_mbv2_035_32_int8")
    code, shown, told = judged(tmp_path, before, after, "--rerun", "2")
    assert code == 1
    assert "cifar10 on xiao_esp32s3 is benched again, 2 times" in told
    made = [r for r in store.read_all(tmp_path / "results")[0] if r.invoke.origin == "estimated"]
    assert [len(r.invoke.ticks) for r in made] == [2, 2]
    assert "each bound at 97.5 %" in " ".join(shown.split())


def test_what_cannot_be_benched_again_keeps_its_verdict(tmp_path: Path) -> None:
    before, after = both("gone.tflite")
    code, _, told = judged(tmp_path, before, after, "--rerun", "1")
    assert code == 1
    assert "cifar10 on xiao_esp32s3 cannot be benched again: gone.tflite: no such file" in told


def test_what_passes_is_not_benched_again(tmp_path: Path) -> None:
    before, _ = both("cifar10_mbv2_035_32_int8")
    code, _, told = judged(tmp_path, before, before, "--rerun", "2")
    assert (code, told) == (0, "")
