"""Which file a row is of: by SHA-1, else by MD5, else by a name that has to be accepted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cards import Rules, updating
from harness.cards.card import CardPlan
from harness.cards.models import Checksums, RecordsByModel, reference
from harness.cards.planning import plan
from harness.results.record import Record
from tests.cards.making import OTHER_SHA1, SHA1, benched

MD5, OTHER_MD5, VELA_MD5 = "beb714685e497664b90c98a5cfa66aba", "d4e554fa19f4fb84dd27dc056767207c", "ee" * 16
ACCEPT = Rules(accept=True)
URL = "https://e.com/zoo/person_detection_int8.tflite"
VELA_URL = "https://e.com/zoo/person_detection_int8_vela.tflite"


def card(*urls: str) -> str:
    rows = "".join(f"| 70<sup>(1)</sup> | [Link]({url}) |\n" for url in urls)
    return f"| Inference(ms) | Link |\n|---|---|\n{rows}\n- ***1:** xiao_esp32s3.*\n"


def entry(url: str, checksum: str | None, board: str = "xiao_esp32s3") -> dict[str, object]:
    made: dict[str, object] = {"metrics": {"Inference(ms)": {board: 70}}, "url": url}
    return made if checksum is None else {**made, "checksum": f"md5:{checksum}"}


def checksums(**urls: str) -> Checksums:
    found = Checksums()
    for url, md5 in urls.items():
        found.add({"int8": URL, "vela": VELA_URL}[url], f"md5:{md5}")
    return found


def updated(text: str, *records: Record, known: Checksums | None = None, rules: Rules = ACCEPT) -> CardPlan:
    return plan(text, RecordsByModel(records), rules, known or Checksums())


def test_a_sha1_in_the_name_goes_before_everything_else() -> None:
    text = card(f"https://e.com/a_int8_sha1_{SHA1}.tflite")
    other = benched(5, sha1=OTHER_SHA1, file=f"a_int8_sha1_{SHA1}.tflite", md5=MD5)
    assert updated(text, benched(54, file="whatever.tflite"), other).text == text.replace("70<", "54<")
    made = updated(text, other, rules=Rules(by_name=True, accept=True))
    assert made.text == text
    assert made.notes[0].endswith(f"whose SHA-1 is {OTHER_SHA1}, not the one in its name: not used")


def test_an_md5_beside_the_address_proves_a_file_without_a_sha1_in_its_name() -> None:
    text = card(URL)
    same = benched(54, file="mine.tflite", md5=MD5)
    assert updated(text, same, known=checksums(int8=MD5)).text == text.replace("70<", "54<")
    another = benched(54, file="person_detection_int8.tflite", md5=OTHER_MD5)
    for rules in (ACCEPT, Rules(by_name=True, accept=True)):
        made = updated(text, another, known=checksums(int8=MD5), rules=rules)
        assert made.text == text
        assert f"whose MD5 is {OTHER_MD5}, not the one beside its address" in made.notes[0]


def test_a_name_alone_is_unproven_and_needs_to_be_accepted() -> None:
    text = card(URL)
    record = benched(54, id="r1", file="person_detection_int8.tflite", md5=MD5)
    made = updated(text, record)
    assert made.text == text
    (left,) = made.refused
    assert left.where == "line 3: person_detection_int8.tflite"
    assert left.why.startswith(
        "record r1 is of a file named so, which is unproven: it has no SHA-1 in its name"
    )
    assert left.why.endswith("--by-name takes it")
    assert updated(text, record, rules=Rules(by_name=True)).text == text.replace("70<", "54<")


def test_a_record_from_before_records_had_an_md5_is_unproven() -> None:
    record = benched(54, id="old", file="person_detection_int8.tflite")
    made = updated(card(URL), record, known=checksums(int8=MD5))
    assert "record old has no MD5 to hold against the one beside the file's address" in made.refused[0].why
    assert updated(card(URL), record, known=checksums(int8=MD5), rules=Rules(by_name=True)).changes


def test_two_checksums_of_one_address_prove_nothing() -> None:
    known = checksums(int8=MD5)
    known.add(URL, f"md5:{OTHER_MD5}")
    assert updated(card(URL), benched(54, file="person_detection_int8.tflite", md5=MD5), known=known).refused


@pytest.mark.parametrize(
    "url", [f"https://e.com/a_int8_sha1_{SHA1}_vela.tflite", VELA_URL], ids=["by SHA-1", "by MD5"]
)
def test_a_vela_row_is_matched_through_its_int8_source(url: str) -> None:
    """What is benched is compiled anew: it is another file, of the same source."""
    known = checksums(int8=MD5, vela=VELA_MD5)
    source = benched(99, file="a.tflite", md5=MD5)
    compiled = benched(54, file="a.tflite", compiled_from=SHA1, md5="ab" * 16, source_md5=MD5)
    made = updated(card(url), source, compiled, known=known)
    assert made.text == card(url).replace("70<", "54<")
    assert (made.left, made.notes) == ((), ())


def test_the_int8_row_gives_no_false_alarm_of_what_was_compiled_from_it() -> None:
    file = f"a_int8_sha1_{SHA1}.tflite"
    compiled = benched(54, file=file, compiled_from=SHA1, source_md5=MD5, board="grove_vision_ai_we2")
    made = updated(card(f"https://e.com/{file}"), compiled)
    assert made.text == card(f"https://e.com/{file}")
    assert made.notes == ("no row links a model of the records; --map can name the model of a row",)
    compiled = benched(
        54, file="person_detection_int8.tflite", compiled_from=SHA1, md5=VELA_MD5, source_md5=MD5
    )
    made = updated(card(URL), compiled, known=checksums(int8=MD5))
    assert (made.left, made.notes) == ((), made.notes[:1])
    assert "MD5" not in made.notes[0]


def test_the_very_file_that_is_linked_goes_before_another_compilation() -> None:
    known = checksums(int8=MD5, vela=VELA_MD5)
    own = benched(54, file="person_detection_int8_vela.tflite", sha1="cd" * 20, md5=VELA_MD5, day=-9)
    again = benched(61, file="person_detection_int8.tflite", compiled_from=SHA1, source_md5=MD5)
    assert updated(card(VELA_URL), own, again, known=known).text == card(VELA_URL).replace("70<", "54<")


def test_the_name_of_a_vela_file_says_what_its_source_is_called_and_nothing_more() -> None:
    url = f"https://e.com/a_int8_sha1_{SHA1}_vela.tflite"
    alone = benched(54, id="alone", file=f"a_int8_sha1_{SHA1}_vela.tflite", sha1="cd" * 20)
    made = updated(card(url), alone)
    assert "nothing tells what record alone was compiled from" in made.refused[0].why
    assert updated(card(url), alone, rules=Rules(by_name=True)).changes
    of_another = benched(54, file="a_vela.tflite", compiled_from=OTHER_SHA1)
    assert not updated(card(url), of_another, rules=Rules(by_name=True)).changes


def test_entries_have_their_checksums_beside_their_addresses() -> None:
    text = json.dumps({"benchmark": [entry(URL, MD5), entry(VELA_URL, VELA_MD5, "grove_vision_ai_we2")]})
    records = [
        benched(54, file="x.tflite", md5=MD5),
        benched(61, file="y.tflite", compiled_from=SHA1, source_md5=MD5, board="grove_vision_ai_we2"),
    ]
    made = updated(text, *records, known=checksums(int8=MD5))
    assert made.text == text.replace("70}", "54}", 1).replace("70}", "61}")
    assert updated(json.dumps([entry(URL, None)]), records[0]).text == json.dumps([entry(URL, None)])


def test_the_cards_of_a_folder_are_proven_by_its_entries(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "card.md").write_text(card(URL))
    records = [benched(54, file="person_detection_int8.tflite", md5=MD5)]
    alone = updating.prepare([tmp_path / "docs"], records, ACCEPT)
    assert "unproven" in alone.left[0]
    (tmp_path / "person.json").write_text(json.dumps([entry(URL, MD5)]))
    updating.prepare([tmp_path], records, ACCEPT).write()
    assert (tmp_path / "docs" / "card.md").read_text() == card(URL).replace("70<", "54<")


@pytest.mark.parametrize(
    ("file", "sha1", "vela"),
    [
        (f"a_sha1_{SHA1}.tflite", SHA1, False),
        (f"a_{SHA1.upper()}.tflite", SHA1, False),
        (f"a_int8_sha1_{SHA1}_vela.tflite", SHA1, True),
        (f"a{SHA1}.tflite", None, False),
        (f"a_{SHA1}0.tflite", None, False),
        ("a_vela.tflite", None, True),
    ],
)
def test_what_the_name_of_a_file_says(file: str, sha1: str | None, vela: bool) -> None:
    found = reference(f"https://e.com/x/{file}?download=1#top")
    assert found is not None
    assert (found.file, found.sha1, found.vela) == (file, sha1, vela)
