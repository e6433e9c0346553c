"""A zoo whose cards are generated: entries change, and cards follow as the generator would write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.cards import Rules, updating
from harness.cards.updating import Update
from harness.results.record import Record
from tests.cards.making import benched
from tests.cards.zoo_making import benchmark, contents, digest, model, regenerate, usual, write

XIAO, GROVE, WE2 = "xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2"


def records(name: str, xiao: float, we2: float, **rest: object) -> list[Record]:
    """Return records of a model's int8 file on the XIAO and, compiled, on the WE2."""
    sha1, file = digest(name), f"{name}_int8_sha1_{digest(name)}.tflite"
    compiled = benched(we2, board=WE2, file=file, compiled_from=sha1, **rest)
    return [benched(xiao, sha1=sha1, file=file, **rest), compiled]


def updated(folder: Path, found: list[Record], **rules: object) -> Update:
    made = updating.prepare([folder], found, Rules(**rules))
    made.write()
    return made


def test_the_generator_has_nothing_left_to_change(tmp_path: Path) -> None:
    write(tmp_path, usual("person"), usual("gender", 40, 4.0, ram=True))
    before = contents(tmp_path)
    made = updated(tmp_path, [*records("person", 1000.4, 18.84), *records("gender", 61.2, 3)])
    after = contents(tmp_path)
    assert not made.left
    assert not made.disagreements
    regenerate(tmp_path)
    assert contents(tmp_path) == after
    person = json.loads(after["entries/person.json"])["benchmark"]
    assert person[2]["metrics"]["Inference(ms)"] == {XIAO: 1000}
    assert person[3]["metrics"]["Inference(ms)"] == {WE2: 18.8}
    assert "1000<sup>(1)</sup>" in after["docs/zh_CN/person.md"]
    updated(tmp_path, [*records("person", 582, 15), *records("gender", 40, 4)], accept=True)
    assert contents(tmp_path) == before


def test_a_new_board_takes_the_place_that_the_entry_gives_it(tmp_path: Path) -> None:
    """It comes before the WE2, which is first named further down: all cards number their boards anew."""
    write(tmp_path, usual("person"))
    new = benched(91.26, board=GROVE, sha1=digest("person"), file="p.tflite")
    made = updated(tmp_path, [*records("person", 582, 15), new])
    after = contents(tmp_path)
    for text in (after["docs/en/person.md"], after["docs/zh_CN/person.md"]):
        assert "| 582<sup>(1)</sup><br>91.3<sup>(2)</sup> |" in text
        assert "        15.0<sup>(3)</sup>         " in text
    assert "  - ***2:** grove_vision_ai.*\n  - ***3:** grove_vision_ai_we2.*\n" in after["docs/en/person.md"]
    assert (
        "  - ***2：** grove_vision_ai.*\n  - ***3：** grove_vision_ai_we2.*\n"
        in after["docs/zh_CN/person.md"]
    )
    regenerate(tmp_path)
    assert contents(tmp_path) == after
    changes = {(c.model, c.board, c.old, c.new) for card in made.cards for c in card.plan.changes}
    assert changes == {(f"person_int8_sha1_{digest('person')}.tflite", GROVE, None, "91.3")}
    assert [len(card.plan.changes) for card in made.cards] == [1, 1, 1, 1]


@pytest.mark.parametrize("indent", [4, None])
def test_a_card_is_said_to_change_where_it_does_however_its_entry_is_written(
    tmp_path: Path, indent: int | None
) -> None:
    """An entry may be all on one line: the two rows are of different benchmarks all the same."""
    write(tmp_path, usual("person"))
    (tmp_path / "models.json").unlink()
    entry = tmp_path / "entries" / "person.json"
    entry.write_text(json.dumps(json.loads(entry.read_text()), indent=indent))
    found = records("person", 600, 16)
    made = updating.prepare([tmp_path], [*found, benched(91, board=GROVE, sha1=digest("person"))], Rules())
    said = {
        card.path.suffix: [(c.model, c.board, c.old, c.new) for c in card.plan.changes] for card in made.cards
    }
    int8 = f"person_int8_sha1_{digest('person')}.tflite"
    assert said[".md"] == [
        (int8, GROVE, None, "91.0"),
        (int8, XIAO, "582", "600"),
        (int8.replace(".tflite", "_vela.tflite"), WE2, "15.0", "16.0"),
    ]
    assert said[".json"] == said[".md"]


def test_an_estimate_is_marked_as_the_entry_marks_it(tmp_path: Path) -> None:
    write(tmp_path, usual("person"))
    before = contents(tmp_path)
    estimates = records("person", 600, 16, origin="estimated")
    updated(tmp_path, estimates, allow_estimated=True)
    after = contents(tmp_path)
    assert "| 600<sup>(1)</sup>  |" in after["docs/en/person.md"]
    assert "  - ***1:** xiao_esp32s3 (estimated).*\n" in after["docs/en/person.md"]
    regenerate(tmp_path)
    assert contents(tmp_path) == after
    assert not updated(tmp_path, estimates, allow_estimated=True).changed
    updated(tmp_path, records("person", 582, 15))
    assert contents(tmp_path) == before


def test_the_digest_of_an_entry_follows_and_one_that_was_no_digest_stays(tmp_path: Path) -> None:
    odd = {**usual("gender"), "uuid": "5f2c"}
    write(tmp_path, usual("person"), odd)
    updated(tmp_path, [*records("person", 600, 16), *records("gender", 600, 16)])
    person, gender = (json.loads((tmp_path / f"entries/{n}.json").read_text()) for n in ("person", "gender"))
    assert person["uuid"] == digest(json.dumps({**person, "uuid": "0000"}), "md5")
    assert gender["uuid"] == "5f2c"
    everything = json.loads((tmp_path / "models.json").read_text())["models"]
    assert everything == [gender, person]


def test_a_metric_that_an_entry_does_not_have_is_not_added_to_its_card_either(tmp_path: Path) -> None:
    """The float row links the int8 file, and the int8 row has no time yet."""
    name = "person"
    file = f"{name}_int8_sha1_{digest(name)}.tflite"
    entry = model(
        name,
        benchmark("TFLite", "FLOAT32", file, {"Top-1(%)": 88.3}),
        benchmark("TFLite", "INT8", file, {"Top-1(%)": 88.2}),
        benchmark(
            "TFLite(vela)", "INT8", file.replace(".tflite", "_vela.tflite"), {"Inference(ms)": {WE2: 15.0}}
        ),
    )
    write(tmp_path, entry)
    made = updated(tmp_path, records(name, 582, 16))
    after = contents(tmp_path)
    assert "582" not in "".join(after.values())
    assert any("the entry has no such metric; --add-metrics adds it" in note for note in made.notes)
    updated(tmp_path, records(name, 582, 16), add_metrics=True)
    after = contents(tmp_path)
    assert [
        one["metrics"].get("Inference(ms)") for one in json.loads(after["entries/person.json"])["benchmark"]
    ] == [
        None,
        {XIAO: 582.0},
        {WE2: 16.0},
    ]
    regenerate(tmp_path)
    assert contents(tmp_path) == after


def test_what_does_not_agree_with_its_entry_is_named(tmp_path: Path) -> None:
    write(tmp_path, usual("person"), usual("gender"))
    stale = tmp_path / "docs" / "en" / "person.md"
    stale.write_text(stale.read_text().replace("15.0<sup>", "19.0<sup>"))
    made = updated(tmp_path, [])
    assert [str(one) for one in made.disagreements] == [
        f"{stale}: line 10: invoke time of person_int8_sha1_{digest('person')}_vela.tflite is 19.0 ms "
        f"on {WE2} here, but 15.0 ms on {WE2} in {tmp_path / 'entries' / 'person.json'}"
    ]
    updated(tmp_path, records("person", 582, 16.5))
    assert not updated(tmp_path, []).disagreements


def test_cards_of_two_languages_without_an_entry_are_held_against_each_other(tmp_path: Path) -> None:
    write(tmp_path, usual("person"))
    (tmp_path / "models.json").unlink()
    (tmp_path / "entries" / "person.json").unlink()
    chinese = tmp_path / "docs" / "zh_CN" / "person.md"
    chinese.write_text(chinese.read_text().replace("582<sup>", "583<sup>"))
    (one,) = updated(tmp_path, []).disagreements
    assert (one.path, one.line) == (chinese, 9)


def test_a_card_waits_for_its_entry(tmp_path: Path) -> None:
    """What the entry cannot take the card does not take either, or they would differ."""
    write(tmp_path, usual("person"))
    entry = tmp_path / "entries" / "person.json"
    entry.write_text(entry.read_text().replace('"xiao_esp32s3": 582', '"xiao_esp32s3": "582 ms"'))
    (tmp_path / "models.json").unlink()
    for language in ("en", "zh_CN"):
        path = tmp_path / "docs" / language / "person.md"
        path.write_text(path.read_text().replace("582<sup>(1)</sup> ", "582 ms<sup>(1)</sup>"))
    regenerate(tmp_path)
    before = contents(tmp_path)
    made = updated(tmp_path, records("person", 500, 15))
    assert contents(tmp_path) == before
    assert all("582 ms" in left for left in made.left)


def test_entries_that_share_their_first_file_are_each_followed_by_their_own_card(tmp_path: Path) -> None:
    one, two = usual("person"), usual("gender")
    two["benchmark"][0]["url"] = one["benchmark"][0]["url"]
    write(tmp_path, one, two)
    updated(tmp_path, [*records("person", 600, 16), *records("gender", 700, 17)])
    after = contents(tmp_path)
    assert "700<sup>" in after["docs/en/gender.md"]
    regenerate(tmp_path)
    assert contents(tmp_path) == after


figure = st.floats(1, 900).map(lambda ms: round(ms, 1))


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_whatever_is_in_a_zoo_its_generator_has_nothing_left_to_change(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("zoo")
    names = data.draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True))
    found: list[Record] = []
    for name in names:
        xiao = data.draw(figure | st.integers(1, 900))
        we2 = data.draw(figure | st.integers(1, 90))
        write(folder, usual(name, xiao, we2, ram=data.draw(st.booleans())))
        boards = data.draw(st.lists(st.sampled_from([XIAO, GROVE, "sensecap_a1101"]), unique=True))
        sha1 = digest(name)
        for board in boards:
            found.append(
                benched(
                    data.draw(figure),
                    board=board,
                    sha1=sha1,
                    file="x.tflite",
                    arena=data.draw(st.integers(9999, 10**6)),
                )
            )
        if data.draw(st.booleans()):
            found.append(
                benched(data.draw(figure), board=WE2, file="x.tflite", compiled_from=sha1, arena=3 * 10**5)
            )
    made = updated(folder, found, accept=True)
    after = contents(folder)
    assert not made.disagreements
    regenerate(folder)
    assert contents(folder) == after
    assert not updated(folder, found, accept=True).changed
