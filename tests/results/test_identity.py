"""A model is its SHA-256: no average is of two files, inputs, protocols or firmwares, or of bad runs."""

from __future__ import annotations

import itertools
import json
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.gate.compare import Limits, compare
from harness.report import exports, summary
from harness.results import frame
from harness.results.group import group, left_out
from harness.results.history import counterpart, run_to_run, succession
from harness.results.key import key_of
from harness.results.naming import apart
from harness.results.record import Record
from harness.results.usable import NO_MODEL_RAN, unusable
from tests.results.making import file_of, record

_numbers = itertools.count()


def model(name: str = "model", content: str = "first", at: str | None = None, **more: Any) -> dict[str, Any]:
    """The model part of a record: a file of this name and content."""
    return {"name": name, "file": at or f"{name}.tflite", **file_of(content), **more}


def kind_of(one: Record) -> tuple[Any, ...]:
    """What must be the same in all runs of an average, written down once more by hand."""
    build = one.firmware.build_hash or one.firmware.image_sha256
    return (
        *(one.board.id, one.board.clock_hz, one.model.sha256, one.model.precision, one.inputs.sha256),
        *(one.firmware.protocol, one.firmware.name, one.firmware.version, build, one.invoke.origin),
        one.board.profile_sha256 if one.invoke.origin == "estimated" else None,
        one.model.unproven is not None,
    )


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A run of a few boards, names, files, firmwares and so on, now and then one that must not be used."""
    origin = draw(st.sampled_from(["measured", "estimated", "emulated"]))
    content = draw(st.sampled_from(["one", "two", "three"]))
    wrong = draw(st.sampled_from([None] * 5 + ["early", "differs", "selftest", "none"]))
    changes: dict[str, Any] = {
        "model": model(
            draw(st.sampled_from(["model", "other"])),
            content,
            draw(st.sampled_from(["a/model.tflite", "b/model.tflite"])),
            precision="float32" if content == "three" else "int8",
            source_sha256=draw(st.sampled_from([None, file_of("source")["sha256"]])),
            unproven=draw(st.sampled_from([None, None, "nothing tells"])),
        ),
        "inputs": {"spec": ["random:0"], "sha256": draw(st.sampled_from(["0" * 64, "1" * 64]))},
        "firmware": {
            "protocol": draw(st.sampled_from(["bench", "sscma"])),
            "name": draw(st.sampled_from(["a", "a 1"])),
            "version": draw(st.sampled_from(["1", "1 1"])),
            "build_hash": draw(st.sampled_from([None, "ab" * 32])),
            "image_sha256": draw(st.sampled_from([None, "cd" * 32])),
            "selftest": wrong == "selftest",
        },
        "board": {
            "id": draw(st.sampled_from(["xiao_esp32s3", "grove_vision_ai"])),
            "clock_hz": draw(st.sampled_from([240_000_000, 80_000_000])),
            "profile_sha256": draw(st.sampled_from(["ab" * 32, "ba" * 32])),
        },
        "verification": {"verdict": "differs" if wrong == "differs" else "exact"},
        "complete": wrong != "early",
    }
    number = next(_numbers)
    # The time tells the kind of a run, so that a mixed average is none of the times.
    ticks = (
        [] if wrong == "none" else [1 + crc32(repr(kind_of(record(**changes, origin=origin))).encode())] * 2
    )
    return record(
        ticks, id=f"r{number}", day=draw(st.integers(0, 5)) + number * 1e-6, origin=origin, **changes
    )


SAMPLE = settings(max_examples=60, suppress_health_check=list(HealthCheck))
WHOLE = settings(SAMPLE, max_examples=1000)
SOME = st.lists(records(), min_size=1, max_size=12)
GROUPED = {"made": SOME, "by": st.sampled_from([("board", "model"), ("board",), ()])}


def check_averages(made: list[Record], by: tuple[str, ...]) -> None:
    groups = group(made, by)
    for one in groups:
        assert len({kind_of(run) for run in one.runs}) == 1
        assert all(unusable(run) is None for run in one.records)
        if one.records:
            assert {float(time) for time in one.medians_us} == {one.median_us}
    kept = [run.id for one in groups for run in one.records]
    apart_ = [item.record.id for item in left_out(groups)]
    assert sorted(kept + apart_) == sorted(run.id for run in made)
    assert len({kind_of(run) for run in made}) == len(groups)


def check_exports(made: list[Record]) -> None:
    times = {run.invoke.ticks[0] for run in made if unusable(run) is None}
    rows = summary.plain(group(made))
    assert {row["invoke_median_us"] for row in rows} - {None} == times
    by_setup = frame.runs(made).query("usable").groupby("setup", observed=True)["invoke_median_us"]
    assert by_setup.nunique().max() == 1 if times else not len(by_setup)
    assert set(by_setup.mean()) == times
    names = [row["name"] for row in json.loads(exports.github_action_benchmark(made))]
    assert len(set(names)) == len(names)


def check_gate(before: list[Record], after: list[Record]) -> None:
    found = compare(before, after, Limits())
    for item in found:
        for side in (item.baseline, item.candidate):
            assert side is None or len({kind_of(run) for run in side.runs}) == 1
        if item.baseline and item.candidate:
            a, b = item.baseline.key, item.candidate.key
            assert (a.board, a.protocol, a.origin) == (b.board, b.protocol, b.origin)
            assert a == b or item.causes or any(f.outcome == "fail" for f in item.findings)
    names = [item.name for item in found]
    assert len(set(names)) == len(names)
    # The newest run of the candidate on each board, protocol and origin is in a comparison.
    places: dict[Any, Record] = {}
    for run in sorted(after, key=lambda run: (run.created, run.id)):
        places[(run.board.id, run.firmware.protocol, run.invoke.origin)] = run
    answered = {run.id for item in found if item.candidate for run in item.candidate.runs}
    assert {run.id for run in places.values()} <= answered
    # What is in the baseline is compared, superseded there, or missing.
    old = [run.id for item in found if item.baseline for run in item.baseline.runs]
    old += [run.id for item in found for run in item.superseded]
    assert {run.id for run in before} == set(old)


def check_names(made: list[Record], by: tuple[str, ...]) -> None:
    groups = group(made, by)
    rows = [(*one.by.values(), words) for one, words in zip(groups, apart(groups, by), strict=True)]
    assert len(set(rows)) == len(groups)


@SAMPLE
@given(**GROUPED)
def test_no_average_mixes_runs_of_two_kinds_or_has_one_that_is_not_usable(
    made: list[Record], by: tuple[str, ...]
) -> None:
    check_averages(made, by)


@SAMPLE
@given(SOME)
def test_what_other_tools_are_given_mixes_nothing_either(made: list[Record]) -> None:
    check_exports(made)


@SAMPLE
@given(SOME, SOME)
def test_the_gate_holds_one_kind_against_one_and_answers_for_all(
    before: list[Record], after: list[Record]
) -> None:
    check_gate(before, after)


@SAMPLE
@given(**GROUPED)
def test_no_two_rows_read_alike(made: list[Record], by: tuple[str, ...]) -> None:
    check_names(made, by)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("check", "collections"),
    [
        (check_averages, GROUPED),
        (check_exports, {"made": SOME}),
        (check_gate, {"before": SOME, "after": SOME}),
        (check_names, GROUPED),
    ],
)
def test_the_same_holds_for_thousands_of_collections(check: Any, collections: dict[str, Any]) -> None:
    WHOLE(given(**collections)(check))()


def test_two_files_of_one_name_are_two_rows_with_their_hashes() -> None:
    made = [
        record([20_700] * 3, model=model(content="a", at="a/model.tflite")),
        record([7_400] * 3, model=model(content="b", at="b/model.tflite"), day=1),
    ]
    shown = summary.table(group(made))
    assert [(row[1], row[4]) for row in shown.rows] == [
        (f"model ({file_of('a')['sha256'][:8]})", "20.70 ms"),
        (f"model ({file_of('b')['sha256'][:8]})", "7.400 ms"),
    ]
    # Neither took the other's place.
    assert summary.replacements(group(made)) == []


def test_a_new_file_under_an_old_name_is_shown_as_before_and_after() -> None:
    made = [
        record([20_700] * 3, model=model(content="old")),
        record([337_600] * 3, model=model(content="retrained"), day=2),
    ]
    groups = group(made)
    old, new = (file_of(content)["sha256"][:8] for content in ("old", "retrained"))
    assert [row[1] for row in summary.table(groups).rows] == [
        f"model ({old}, earlier file)",
        f"model ({new})",
    ]
    [line] = summary.replacements(groups)
    assert line == (
        f"model on xiao_esp32s3, since 2026-05-03 12:00 UTC: the model file changed (SHA-256 {old} → {new}): "
        "before 20.70 ms (emulated), after 337.6 ms (emulated), +1530.9 %"
    )
    assert [row["replaced_by"] for row in summary.plain(groups)] == [groups[1].key.setup, None]


def test_one_file_under_two_names_is_one_row_of_the_later_name() -> None:
    made = [record(model=model("old_name", "x")), record(model=model("new_name", "x"), day=1)]
    [one] = group(made)
    [row] = summary.table([one]).rows
    assert row[1] == "new_name (also old_name)"
    assert len(one.records) == 2


def test_a_model_that_is_compiled_is_not_another_model_on_another_board() -> None:
    source = file_of("source")["sha256"]
    compiled = model(content="by Vela", source_sha256=source, precision="int8 (Vela)")
    made = [record(model=model(content="source")), record(board="grove_vision_ai_we2", model=compiled)]
    assert summary.suffixes(group(made)) == ["", ""]


def test_compilations_of_one_source_are_told_apart_by_their_version_of_vela() -> None:
    def vela(version: str) -> dict[str, Any]:
        how = {"version": version, "accelerator": "ethos-u55-64", "settings": {}}
        return model(content=version, source_sha256="ab" * 32, precision="int8 (Vela)", vela=how)

    made = [record(model=vela("4.2.0")), record(model=vela("5.2.0"), day=1)]
    assert summary.suffixes(group(made)) == ["Vela 4.2.0, earlier file", "Vela 5.2.0"]
    assert "compiled anew (Vela 4.2.0 → 5.2.0;" in summary.replacements(group(made))[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"firmware": {"protocol": "sscma"}}, "sscma"),
        ({"firmware": {"version": "2.0"}}, "virtual 2.0"),
        ({"firmware": {"image_sha256": "ef" * 32}}, "virtual 1.0 (efefefef)"),
        ({"firmware": {"image_sha256": None}}, "virtual 1.0 (no hash)"),
        ({"inputs": {"spec": ["face.png"], "sha256": "ef" * 32}}, "face.png"),
        ({"inputs": {"sha256": "ef" * 32}}, "random:0 (efefefef)"),
        ({"board": {"clock_hz": 80_000_000}}, "80 MHz"),
    ],
)
def test_rows_are_told_apart_by_whatever_differs(changes: dict[str, Any], words: str) -> None:
    groups = group([record(), record(day=1, **changes)])
    assert apart(groups, ("board", "model"))[1] == words


def test_an_estimate_is_of_the_profile_whose_coefficients_it_is_from() -> None:
    made = [
        record(origin=origin, board={"profile_sha256": profile * 32})
        for origin in ("estimated", "measured")
        for profile in ("ab", "ba")
    ]
    assert [(one.origin, len(one.records)) for one in group(made)] == [
        ("estimated", 1),
        ("estimated", 1),
        ("measured", 2),
    ]


def test_a_build_is_known_by_its_own_hash_whether_or_not_it_was_flashed_now() -> None:
    said = {"build_hash": "ab" * 32}
    flashed, held = (record(firmware={**said, "image_sha256": image}) for image in ("cd" * 32, None))
    assert key_of(flashed) == key_of(held)


def test_a_column_that_is_asked_for_divides_further_and_never_less() -> None:
    made = [record(board={"serial_number": number}, model=m) for number in "12" for m in ("person", "kws")]
    assert len(group(made)) == 2
    assert len(group(made, ("serial_number",))) == 4
    assert len(group(made, ("board",))) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"complete": False}, "it ended early, with 3 of 3 samples"),
        ({"ticks": []}, "it has no sample"),
        ({"verification": {"verdict": "differs", "max_ulp": 9}},
         "its outputs differ from the reference by 9 ULP"),
        ({"firmware": {"selftest": True}}, "the firmware's selftest engine answered, which runs no model"),
        ({"notes": [NO_MODEL_RAN]}, "the firmware's selftest engine answered, which runs no model"),
    ],
)  # fmt: skip
def test_a_run_that_must_not_be_used_is_listed_apart_with_the_reason(
    changes: dict[str, Any], reason: str
) -> None:
    good, bad = record([1000] * 3, id="good"), record(**{"ticks": [9000] * 3, "id": "bad", **changes})
    [one] = group([good, bad])
    assert unusable(good) is None
    assert one.median_us == 1000
    assert [(item.record.id, item.reason) for item in one.left_out] == [("bad", reason)]
    assert [row[0] for row in summary.set_aside([one]).rows] == ["bad"]


def test_a_verification_that_was_not_possible_does_not_make_a_run_unusable() -> None:
    assert unusable(record(verification={"verdict": "not_available", "max_ulp": None})) is None


def test_a_model_of_which_no_run_is_usable_has_no_row_and_is_not_forgotten() -> None:
    groups = group([record([], complete=False)])
    assert summary.table(groups).rows == []
    [row] = summary.plain(groups)
    assert (row["runs"], row["invoke_median_us"], row["left_out"]) == (0, None, 1)
    assert row["left_out_because"] == "it ended early, with 0 of 0 samples"


def test_what_was_replaced_is_followed_by_what_took_its_place() -> None:
    def run(content: str, at: str, day: int, **changes: Any) -> Record:
        return record(model=model(content=content, at=at), day=day, **changes)

    made = {
        "first": run("1", "m.tflite", 0),
        "second": run("2", "./m.tflite", 1),
        "second, new firmware": run("2", "m.tflite", 2, firmware={"version": "2.0"}),
        "moved away": run("1", "old/m.tflite", 3),
        "elsewhere": run("9", "n.tflite", 4),
        "other protocol": run("8", "m.tflite", 5, firmware={"protocol": "sscma"}),
    }
    # A file that was moved is still there: nothing has replaced it.
    groups = group(made.values())
    named = {
        one.latest.id: name for name, made_ in made.items() for one in groups if one.latest.id == made_.id
    }
    found = {named[groups[a].latest.id]: named[groups[b].latest.id] for a, b in succession(groups).items()}
    assert found == {"second": "second, new firmware"}
    before_the_move = group([made["first"], made["second"]])
    assert succession(before_the_move) == {0: 1}


def test_the_counterpart_of_a_row_is_its_own_kind_or_else_what_it_replaced() -> None:
    old, new, older_build = (
        group([record(model=model(content=content), firmware={"version": version})])[0]
        for content, version in (("a", "1.0"), ("b", "1.0"), ("a", "0.9"))
    )
    assert counterpart(old, [new, older_build, old]) is old
    assert counterpart(old, [new, older_build]) is older_build
    assert counterpart(new, [old]) is old
    assert summary.since(new, old) == "+0.0 % (other file)"
    other = group([record(model=model(content="b", at="elsewhere/model.tflite"))])[0]
    assert counterpart(other, [old]) is None


def test_how_runs_differ_is_learnt_from_earlier_runs_of_the_kind_alone() -> None:
    rng = np.random.default_rng(1)
    at = {"serial_number": "A1"}
    runs = [record([int(50_000 * np.exp(0.01 * x))] * 3, board=at) for x in rng.normal(size=400)]
    now = record([50_000] * 3, board=at)
    spread = run_to_run([*runs, now], [now])
    assert spread is not None
    assert spread.share == pytest.approx(0.01, rel=0.1)
    assert (spread.degrees, spread.runs) == (399, 400)
    # These are not of the kind: another specimen, file, firmware; a run that is not usable; the run itself.
    wild = [1, 10**6, 10**7, 10**8]
    strangers = [
        *(record([time] * 3, board={"serial_number": "B2"}) for time in wild),
        *(record([time] * 3, board=at, model="kws") for time in wild),
        *(record([time] * 3, board=at, firmware={"version": "2.0"}) for time in wild),
        *(record([time] * 3, board=at, complete=False) for time in wild),
        *(record([time] * 3, board=at, verification={"verdict": "differs"}) for time in wild),
    ]
    assert run_to_run([*strangers, *runs], [now]) == spread
    assert run_to_run([*strangers, *runs[:2], now], [now]) is None
