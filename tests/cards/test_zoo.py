"""Entries of the model zoo: values change in place, in the file's own form."""

from __future__ import annotations

import json

import pytest

from harness.cards import CardError, Rules, show, update
from harness.cards.models import RecordsByModel
from harness.cards.planning import plan
from harness.cards.units import Quantity, Unit
from harness.cards.words import Words, default_words
from tests.cards.making import OTHER_SHA1, SHA1, benched

ACCEPT = Rules(accept=True)


def entry(metrics: object, device: object = ("xiao_esp32s3",), sha1: str = SHA1) -> dict[str, object]:
    made: dict[str, object] = {
        "precision": "INT8",
        "metrics": metrics,
        "url": f"https://e.com/m_sha1_{sha1}.tflite",
    }
    return made if device is None else {"precision": "INT8", "device": list(device), **made}


def zoo(*entries: object, **style: object) -> str:
    return json.dumps({"name": "Person é", "benchmark": entries}, **{"indent": 4, **style})


@pytest.mark.parametrize(
    "style",
    [
        {"indent": 4},
        {"indent": 2},
        {"indent": "\t"},
        {"indent": None},
        {"indent": None, "separators": (",", ":")},
    ],
)
@pytest.mark.parametrize("end", ["", "\n"])
def test_what_is_added_looks_as_if_the_file_had_been_written_with_it(
    style: dict[str, object], end: str
) -> None:
    before = entry({"Top-1(%)": 88.27, "Inference(ms)": {"xiao_esp32s3": 582}})
    after = entry(
        {"Top-1(%)": 88.27, "Inference(ms)": {"xiao_esp32s3": 500, "grove_vision_ai": 22}},
        ["xiao_esp32s3", "grove_vision_ai"],
    )
    records = [benched(500), benched(22, board="grove_vision_ai")]
    text, changes = update(zoo(before, **style) + end, records)
    assert text == zoo(after, **style) + end
    assert len(changes) == 2
    assert update(text, records) == (text, ())


@pytest.mark.parametrize("style", [{"indent": 4}, {"indent": None}])
@pytest.mark.parametrize("metrics", [{"Top-1(%)": 1.5}, {}])
def test_a_metric_and_a_device_list_are_added_where_there_are_none(
    style: dict[str, object], metrics: dict[str, object]
) -> None:
    """Metrics that an entry does not have are not added unless asked for: its card would get a column."""
    other = entry({"Inference(ms)": {"we2": 2.0}}, ["we2"], OTHER_SHA1)
    before = zoo(entry(metrics, None), other, **style)
    after = zoo(entry({**metrics, "Inference(ms)": {"xiao_esp32s3": 13.3}}), other, **style)
    assert update(before, [benched(13.26)]) == (before, ())
    assert update(before, [benched(13.26)], Rules(add_metrics=True))[0] == after


def test_line_ends_and_number_styles_are_the_files_own() -> None:
    text = zoo(entry({"Inference(ms)": {"xiao_esp32s3": 608.0}})).replace("\n", "\r\n")
    new, _ = update(text, [benched(500, board="we2x"), benched(501)])
    assert '"xiao_esp32s3": 501.0,\r\n                    "we2x": 500.0\r\n' in new
    assert new.count("\n") == new.count("\r\n")


def test_a_second_benchmark_of_one_model_does_not_get_what_the_first_has() -> None:
    entries = (entry({"Top-1(%)": 1}, None), entry({"Inference(ms)": {"xiao_esp32s3": 582}}))
    for text in (zoo(*entries), zoo(*entries, indent=None)):
        assert update(text, [benched(500)])[0] == text.replace("582", "500")


def test_another_name_of_a_board_keeps_its_key() -> None:
    text = zoo(entry({"Inference(ms)": {"we2": 76.0}}, ["we2"]))
    new, _ = update(text, [benched(70, board="grove_vision_ai_we2")])
    assert new == text.replace("76.0", "70.0")


def test_an_estimate_is_kept_under_a_marked_key() -> None:
    text = zoo(entry({"Inference(ms)": {"xiao_esp32s3": 582}}))
    rules = Rules(allow_estimated=True)
    estimate = benched(600, origin="estimated")
    new, _ = update(text, [estimate], rules)
    assert new == text.replace('"xiao_esp32s3": 582', '"xiao_esp32s3 (estimated)": 600')
    assert show(new).tables[0].rows[0].values[0].origin == "estimated"
    assert update(new, [estimate], rules) == (new, ())
    assert update(new, [benched(582)])[0] == text


def test_ram_is_one_number_of_the_entrys_one_device() -> None:
    text = zoo(entry({"Peek RAM(MB)": 0.35, "Inference(ms)": {"xiao_esp32s3": 691.0}}))
    new, _ = update(text, [benched(700, arena=400_000)])
    assert new == text.replace("0.35", "0.4").replace("691.0", "700.0")
    emulated = benched(700, origin="emulated", arena=500_000)
    assert '"Peek RAM(MB)": 0.35' in update(text, [emulated], Rules(allow_estimated=True))[0]


@pytest.mark.parametrize("old", ['"-"', '"N/A"', '""', "null", '"582"'])
def test_a_figure_that_is_no_number_yet_is_replaced(old: str) -> None:
    text = zoo(entry({"Inference(ms)": {"xiao_esp32s3": "OLD"}})).replace('"OLD"', old)
    new, _ = update(text, [benched(500)], ACCEPT)
    value = json.loads(new)["benchmark"][0]["metrics"]["Inference(ms)"]["xiao_esp32s3"]
    assert float(value) == 500


def test_a_device_that_is_one_name_says_which_board_a_number_is_of() -> None:
    text = zoo({**entry({"Inference(ms)": 582}), "device": "xiao_esp32s3"})
    assert update(text, [benched(500)])[0] == text.replace("582", "500")


def test_numbers_stay_as_a_person_wrote_them() -> None:
    text = zoo(entry({"Flops(M)": 90.5, "Peek RAM(MB)": 0.35})).replace("90.5", "90.50")
    assert update(text, [benched(700, arena=400_000)])[0] == text.replace("0.35", "0.40")


def test_an_entry_of_one_other_board_is_left_alone() -> None:
    text = zoo({**entry({"Inference(ms)": {}}), "device": "grove_vision_ai"})
    assert update(text, [benched(500)]) == (text, ())


@pytest.mark.parametrize("device", [None, [{"name": "xiao_esp32s3"}]])
def test_a_device_list_of_another_form_is_left_alone_and_said_to_be(device: object) -> None:
    text = zoo({**entry({"Inference(ms)": {}}), "device": device})
    made = plan(text, RecordsByModel([benched(500)]), ACCEPT)
    assert json.loads(made.text)["benchmark"][0]["device"] == device
    assert made.notes[0].endswith("'device' is no list of boards: xiao_esp32s3 is not put there")


def test_a_list_of_models_is_read_as_one_entry_is() -> None:
    text = json.dumps(
        {"models": [json.loads(zoo(entry({"Inference(ms)": {"xiao_esp32s3": 582}})))]}, indent=1
    )
    assert update(text, [benched(500)])[0] == text.replace("582", "500")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"benchmark": [', "line 1: not JSON"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deep"),
        ('{"a": [\n1, NaN]}', "line 2: not JSON: NaN and Infinity are no JSON values"),
        (zoo(entry({"Inference(ms)": {"xiao_esp32s3": True}})), "true is not a number"),
        (zoo(entry({"Inference(ms)": {"xiao_esp32s3": "582 ms"}})), '582 ms" is not a number such as 12.3'),
        (
            zoo(entry({"Inference(ms)": {"xiao_esp32s3": "fail to invoke"}})),
            'fail to invoke" is not a number',
        ),
        (zoo(entry({"Inference(ms)": {"xiao_esp32s3": -1}})), "-1 is not a number such as 12.3"),
        (zoo(entry({"Inference(ms)": {"xiao_esp32s3": 5.82e22}})), r"5.82e\+22 is not a number such as"),
        (zoo(entry({"Inference(ms)": {"xiao_esp32s3": {"mean": 5}}})), r'\{ "mean": 5 \} is not a number'),
        (zoo(entry({"Inference(ms)": {"we2": 1, "grove_vision_ai_we2": 2}})), "is there twice"),
        (zoo(entry({"Inference(ms)": 5}, None)), "say --board"),
        (zoo(entry({"Inference(ms)": {}, "Latency(ms)": {}})), "several metrics for one figure"),
        (zoo(entry({"Latency": {}})), "has no unit"),
    ],
)
def test_what_cannot_be_updated_is_named(text: str, message: str) -> None:
    with pytest.raises(CardError, match=message):
        update(text, [benched(500), benched(5, board="grove_vision_ai_we2")], ACCEPT)


def test_a_file_of_many_models_takes_no_longer_a_model_than_a_small_one() -> None:
    """Each benchmark is looked at a number of times that does not grow with the file."""
    looked = 0

    class Counting(Words):
        def quantity(self, header: str) -> tuple[Quantity, Unit | None] | None:
            nonlocal looked
            looked += 1
            return super().quantity(header)

    words = Counting(**vars(default_words()))
    counts = []
    for size in (10, 100):
        looked = 0
        shas = [f"{number:040x}" for number in range(size)]
        text = zoo(*(entry({"Inference(ms)": {"xiao_esp32s3": 582}}, sha1=sha1) for sha1 in shas))
        usual = plan(text, RecordsByModel(benched(500, sha1=sha1) for sha1 in shas), Rules(words=words))
        assert len(usual.changes) == size
        counts.append(looked)
    assert counts[1] <= 10 * counts[0]


@pytest.mark.parametrize("style", [{"indent": 4}, {"indent": None}])
@pytest.mark.parametrize("device", [None, [], ["xiao_esp32s3"]])
@pytest.mark.parametrize("metrics", [{}, {"Top-1(%)": 88.2}, {"Peek RAM(MB)": {}, "Inference(ms)": {}}])
def test_a_board_that_is_new_to_two_metrics_is_one_more_device(
    metrics: dict[str, object], device: list[str] | None, style: dict[str, object]
) -> None:
    """The other model of the file shows which metrics there are, and that both are kept by board."""
    other = entry({"Peek RAM(MB)": {"we2": 0.3}, "Inference(ms)": {"we2": 2.0}}, ["we2"], OTHER_SHA1)
    before = zoo(entry(metrics, device), other, **style)
    record = benched(13.3, board="grove_vision_ai", arena=400_000)
    after, changes = update(before, [record], Rules(add_metrics=True))
    one = json.loads(after)["benchmark"][0]
    assert (len(changes), after.count('"device"')) == (2, 2)
    assert one["device"] == [*(device or []), "grove_vision_ai"]
    assert one["metrics"] == {
        **metrics,
        "Peek RAM(MB)": {"grove_vision_ai": 0.4},
        "Inference(ms)": {"grove_vision_ai": 13.3},
    }
    assert zoo(one, other, **style) == after
    assert update(after, [record], Rules(add_metrics=True)) == (after, ())
