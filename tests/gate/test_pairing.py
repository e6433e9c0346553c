"""What is held against what: a changed file or firmware is compared and named, nothing slips by as new."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.gate.compare import ANYTHING, Comparison, Limits, compare
from harness.gate.text import findings
from harness.results.record import Record
from tests.results.making import file_of, record


def run(ms: float, content: str = "old", at: str = "m.tflite", day: float = 0, **changes: Any) -> Record:
    """An estimated run of a file at a path: its time is exact, so that one run a side decides."""
    model = {"name": at.rpartition("/")[2].removesuffix(".tflite"), "file": at, **file_of(content)}
    model |= changes.pop("model", {})
    return record([round(ms * 1000)] * 3, model=model, day=day, origin="estimated", **changes)


def sha(content: str) -> str:
    return file_of(content)["sha256"][:8]


def texts(comparison: Comparison) -> str:
    return "\n".join(findings([comparison]))


def test_a_changed_model_file_is_compared_and_named_as_the_cause() -> None:
    [slower] = compare([run(10)], [run(12, "new", day=1)], Limits())
    assert slower.outcome == "fail"
    cause = f"the model file changed (SHA-256 {sha('old')} → {sha('new')})"
    assert "m int8 on xiao_esp32s3: regression: +20.0 %" in texts(slower)
    assert f"3 % slower is allowed; {cause}" in texts(slower)
    [as_quick] = compare([run(10)], [run(10, "new", day=1)], Limits())
    assert as_quick.outcome == "pass"
    assert f"m int8 on xiao_esp32s3: note: {cause}" in texts(as_quick)
    assert as_quick.plain()["causes"] == [{"about": "model", "text": cause}]


def test_another_precision_and_path_of_the_new_file_are_said() -> None:
    after = run(30, "new", "float/m.tflite", model={"precision": "float32"})
    [found] = compare([run(10)], [after], Limits())
    assert "; int8 → float32; m.tflite → float/m.tflite)" in texts(found)
    assert found.outcome == "fail"


def test_changed_outputs_of_a_changed_file_say_so_too() -> None:
    after = run(10, "new", outputs={"sha256": ["00" * 32]})
    [found] = compare([run(10)], [after], Limits())
    assert "outputs changed (--allow outputs accepts it); the model file changed (" in texts(found)
    [same_file] = compare([run(10)], [run(10, outputs={"sha256": ["00" * 32]})], Limits())
    assert "outputs changed for the same model file" in texts(same_file)


def test_a_renamed_file_is_the_same_model() -> None:
    [found] = compare([run(10)], [run(12, at="renamed.tflite")], Limits())
    assert found.outcome == "fail"
    assert found.model == "renamed"
    assert "note: the model was called m then; it is the same file" in texts(found)
    [fine] = compare([run(10)], [run(10, at="renamed.tflite")], Limits())
    assert fine.outcome == "pass"


def test_two_models_of_one_name_are_compared_each_with_itself() -> None:
    before = [run(20.7, "a", "a/m.tflite"), run(7.4, "b", "b/m.tflite")]
    after = [run(20.7, "a", "a/m.tflite"), run(9.0, "b", "b/m.tflite")]
    found = compare(before, after, Limits())
    assert {item.name: item.outcome for item in found} == {
        f"m ({sha('a')}) int8 on xiao_esp32s3": "pass",
        f"m ({sha('b')}) int8 on xiao_esp32s3": "fail",
    }
    # The one that changed is held against the one that was at its path.
    trained = compare(before, [after[0], run(9.0, "b, trained anew", "b/m.tflite")], Limits())
    assert sorted(item.outcome for item in trained) == ["fail", "pass"]
    # A second model of a name that the baseline knows is new.
    [known, new] = sorted(
        compare(before[:1], [after[0], run(30, "b", "b/m.tflite")], Limits()), key=lambda item: item.outcome
    )
    assert {known.outcome, new.outcome} == {"pass"}
    assert any(item.baseline is None for item in (known, new))


def test_an_old_file_in_the_store_does_not_stand_in_for_the_one_that_replaced_it() -> None:
    before = [run(10)]
    after = [run(10, day=1), run(10, day=2), run(20, "new", day=3)]
    [found] = compare(before, after, Limits())
    assert found.outcome == "fail"
    assert "2 runs of the candidate left out: of an earlier model file" in texts(found)
    # Nor when it was moved away, and is held against its own baseline.
    moved = compare(before, [*after, run(10, at="old.tflite", day=4)], Limits())
    assert {item.model: item.outcome for item in moved} == {"m": "fail", "old": "pass"}


def test_a_changed_firmware_is_compared_and_named_and_only_the_newest_counts() -> None:
    after = [run(10, day=1), run(12, day=2, firmware={"version": "2.0"})]
    [found] = compare([run(10)], after, Limits())
    assert found.outcome == "fail"
    assert "the firmware changed (virtual 1.0, cdcdcdcd → virtual 2.0, cdcdcdcd)" in texts(found)
    assert "1 run of the candidate left out: of an earlier firmware" in texts(found)
    [back] = compare([run(10)], [*after, run(10, day=3)], Limits())
    assert back.outcome == "pass"
    [anew] = compare([run(10)], [run(10, firmware={"image_sha256": "ef" * 32})], Limits())
    assert "note: the firmware changed (virtual 1.0, cdcdcdcd → efefefef)" in texts(anew)


def test_two_firmwares_that_the_baseline_holds_are_both_judged() -> None:
    fast, small = {"firmware": {"version": "fast"}}, {"firmware": {"version": "small"}}
    before = [run(5, **fast), run(10, **small)]
    found = compare(before, [run(6, day=1, **fast), run(10, day=2, **small)], Limits())
    assert {item.name: item.outcome for item in found} == {
        "m (virtual fast) int8 on xiao_esp32s3": "fail",
        "m (virtual small) int8 on xiao_esp32s3": "pass",
    }


def test_a_model_compiled_anew_is_the_same_model() -> None:
    def compiled(ms: float, version: str, at: str = "m.tflite") -> Record:
        how = {"version": version, "accelerator": "ethos-u55-64", "settings": {}}
        source = {"source_sha256": file_of("source")["sha256"], "precision": "int8 (Vela)", "vela": how}
        return run(ms, version, at, model=source)

    [found] = compare([compiled(10, "4.2.0")], [compiled(12, "5.2.0", "renamed.tflite")], Limits())
    assert found.outcome == "fail"
    assert "the model was compiled anew (Vela 4.2.0 → 5.2.0; SHA-256" in texts(found)


@pytest.mark.parametrize(
    "changes",
    [{"firmware": {"protocol": "mlperf-tiny"}}, {"origin": "measured"}],
    ids=["protocol", "origin"],
)
def test_other_protocols_and_origins_are_never_compared(changes: dict[str, Any]) -> None:
    before, after = [record([10] * 3)], [record([10] * 3, day=1, **changes)]
    missing, new = sorted(compare(before, after, Limits()), key=lambda item: item.baseline is None)
    assert missing.outcome == "fail"
    assert "is never compared with these" in missing.findings[0].text
    assert new.outcome == "pass"
    assert missing.name != new.name
    [allowed] = compare(before, after, Limits(allow=ANYTHING))
    assert allowed.time is not None
    assert allowed.time.ratio == pytest.approx(1)


def test_the_other_side_is_looked_for_in_the_same_place_first_when_all_is_allowed() -> None:
    before = [record([10] * 3, origin=origin) for origin in ("measured", "emulated")]
    found = compare(before, [*before, record([10] * 3, board="grove_vision_ai")], Limits(allow=ANYTHING))
    pairs = [(i.baseline and i.baseline.origin, i.candidate and i.candidate.origin) for i in found]
    assert sorted(pairs, key=str) == [
        ("emulated", "emulated"),
        ("measured", "measured"),
        (None, "emulated"),
    ]


def test_runs_with_other_inputs_have_a_comparison_of_their_own() -> None:
    zeros, faces = ({"inputs": {"spec": [spec], "sha256": sha(spec) * 8}} for spec in ("zeros", "face.png"))
    before = [run(10, **zeros), run(10, **faces)]
    found = compare(before, [run(10, day=1, **zeros), run(15, day=2, **faces)], Limits())
    assert {item.name: item.outcome for item in found} == {
        "m (zeros) int8 on xiao_esp32s3": "pass",
        "m (face.png) int8 on xiao_esp32s3": "fail",
    }
    [lost] = [i for i in compare(before, [run(10, **zeros)], Limits()) if i.candidate is None]
    assert lost.outcome == "fail"


def test_inputs_that_one_model_is_benched_with_are_not_missing_from_another() -> None:
    """A file was moved and is benched with all its inputs; the one that took its place, with some."""
    zeros, faces = ({"inputs": {"spec": [spec], "sha256": sha(spec) * 8}} for spec in ("zeros", "face.png"))
    before = [run(10, **zeros), run(10, **faces)]
    moved = [run(10, at="moved.tflite", day=1, **inputs) for inputs in (zeros, faces)]
    found = compare(before, [*moved, run(10, "new", day=2, **zeros)], Limits())
    assert [item.outcome for item in found] == ["pass"] * 3
    assert all(item.baseline and item.candidate for item in found)


def test_what_another_model_makes_of_the_same_inputs_is_no_other_choice_of_inputs() -> None:
    """Inputs as large as the model asks for: their digest changes with the model."""
    [found] = compare([run(10)], [run(12, "new", inputs={"sha256": "00" * 32})], Limits())
    assert [item.about for item in found.findings if item.outcome == "fail"] == ["time"]
    assert "outputs not compared: other inputs" in found.notes


def test_wrong_outputs_of_the_candidate_are_a_failure_and_never_averaged() -> None:
    wrong = run(5, day=2, id="wrong", verification={"verdict": "differs", "max_ulp": 7})
    [found] = compare([run(10)], [run(10, day=1), wrong], Limits())
    assert found.outcome == "fail"
    assert "outputs of run wrong of the candidate differ from the reference" in texts(found)
    assert found.candidate is not None
    assert found.candidate.typical_us == pytest.approx(10_000)
    [allowed] = compare([run(10)], [run(10, day=1), wrong], Limits(allow=frozenset({"outputs"})))
    assert allowed.outcome == "pass"
    assert "run wrong of the candidate left out: its outputs differ from the reference by 7 ULP" in texts(
        allowed
    )
    # Such runs alone are a failure, too, and even of a model that is new.
    assert [item.outcome for item in compare([run(10)], [wrong], Limits())] == ["fail"]
    assert [item.outcome for item in compare([], [wrong], Limits())] == ["fail"]
    # A baseline of such a run is none.
    [without] = compare([wrong], [run(10, day=3)], Limits())
    assert without.outcome == "not enough data"


def test_a_run_that_was_cut_short_is_named_and_left_out() -> None:
    cut = run(99, day=2, id="cut", complete=False)
    [found] = compare([run(10)], [run(10, day=1), cut], Limits())
    assert found.outcome == "pass"
    assert "run cut of the candidate left out: it ended early, with 3 of 3 samples" in texts(found)
    # A newer firmware of which no run is usable is not covered by runs of the one before.
    after = [run(10, day=1), run(9, day=2, firmware={"version": "2"}, complete=False)]
    [newer] = compare([run(10)], after, Limits())
    assert newer.outcome == "not enough data"


def test_many_runs_that_are_not_usable_are_counted() -> None:
    cut = [run(99, day=2, complete=False) for _ in range(9)]
    [found] = compare([run(10)], [run(10, day=1), *cut], Limits())
    assert sum("left out" in note for note in found.notes) == 6
    assert "4 more runs of the candidate left out as not usable" in found.notes


class Project:
    """A directory of models that are trained anew, moved and copied, and a firmware that is renewed."""

    def __init__(self) -> None:
        self.files = {"a.tflite": "A", "b.tflite": "B"}
        self.firmware = "1"
        self.day = 0.0
        self.made: list[Record] = []
        self.seen: set[tuple[str, str]] = set()

    def bench(self, path: str, slow: frozenset[str]) -> None:
        content = self.files[path]
        self.seen.add((path, content))
        ms = 10.0 * (2 if content in slow else 1) * (2 if self.firmware in slow else 1)
        self.day += 0.01
        firmware = {"version": self.firmware}
        self.made.append(run(ms, content, path, day=self.day, firmware=firmware))


_events = st.one_of(
    st.tuples(st.just("train"), st.sampled_from("abc"), st.sampled_from(["C", "D", "A", "B"])),
    st.tuples(st.just("move"), st.sampled_from("abc"), st.sampled_from("abc")),
    st.tuples(st.just("copy"), st.sampled_from("abc"), st.sampled_from("abc")),
    st.tuples(st.just("firmware"), st.sampled_from("12"), st.just("")),
    st.tuples(st.just("bench"), st.sampled_from("abc"), st.just("")),
)


HISTORIES = {
    "events": st.lists(_events, max_size=8),
    "slow": st.sets(st.sampled_from(["C", "D", "2"])).map(frozenset),
}


def check_history(events: list[tuple[str, str, str]], slow: frozenset[str]) -> None:
    project = Project()
    for path in project.files:
        project.bench(path, slow)
    before = list(project.made)
    known = dict(project.files)
    for what, first, second in events:
        path, other = f"{first}.tflite", f"{second}.tflite"
        if what == "firmware":
            project.firmware = first
        elif path in project.files:
            if what == "train":
                project.files[path] = second
            elif what == "bench":
                project.bench(path, slow)
            elif path != other:
                project.files[other] = project.files[path]
                if what == "move":
                    del project.files[path]
    for path in project.files:
        project.bench(path, slow)
    found = compare(before, project.made, Limits(allow=frozenset({"missing"})))
    # Of the models now there, those that the baseline knows by their file or their path.
    worse = {
        file_of(content)["sha256"]
        for path, content in project.files.items()
        if (content in known.values() or path in known) and {content, project.firmware} & slow
    }
    failed = [item.candidate for item in found if item.outcome == "fail" and item.candidate]
    assert worse <= {side.key.model_sha256 for side in failed}
    # And if nothing is slower now, nothing that was slower once is held against it. (A file that was moved
    # away and never benched there is, to the gate, where it last ran.)
    moved = {file_of(content)["sha256"] for path, content in project.seen if path not in project.files}
    paths = {path.removesuffix(".tflite") for path in project.files}
    if not {*project.files.values(), project.firmware} & slow:
        assert not paths & {side.names[0] for side in failed if side.key.model_sha256 not in moved}


@settings(max_examples=150)
@example(
    events=[
        ("move", "a", "b"),
        ("firmware", "2", ""),
        ("bench", "b", ""),
        ("firmware", "1", ""),
        ("train", "b", "C"),
    ],
    slow=frozenset({"2"}),
)
@given(**HISTORIES)
def test_no_history_of_files_and_firmwares_lets_a_slower_model_pass(
    events: list[tuple[str, str, str]], slow: frozenset[str]
) -> None:
    check_history(events, slow)


@pytest.mark.soak
def test_nor_does_any_of_thousands() -> None:
    settings(max_examples=5000)(given(**HISTORIES)(check_history))()
