"""`harness cards bench`: what cards ask for is planned, fetched, benched, written, and taken up again."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.cards import Rules, benching, updating
from harness.cards.benching import CardRun
from harness.cards.fetching import Files, fetch
from harness.download import FetchError
from harness.errors import BoardError
from harness.models import bundled
from harness.results import store
from tests.cards import zoo_making
from tests.cards.making import benched
from tests.results.running import harness

MODEL = bundled.build("cifar10_mbv2_035_32_int8")
OTHER = bundled.build("mnist_mbv2_035_32_int8")
SHA1, MD5 = hashlib.sha1(MODEL).hexdigest(), hashlib.md5(MODEL).hexdigest()
OTHER_MD5 = hashlib.md5(OTHER).hexdigest()
XIAO, GROVE, WE2 = "xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2"

RunCommand = Callable[..., tuple[int, str, str]]


def zoo(folder: Path, host: str = "https://files.example.com/zoo") -> None:
    """Write a zoo of two models: one whose name has its SHA-1, and one with an MD5 beside its address."""
    by_sha1 = zoo_making.model(
        "cifar",
        zoo_making.benchmark("PyTorch", "FLOAT32", "cifar.pth", {"Top-1(%)": 88.3}),
        zoo_making.benchmark(
            "TFLite", "INT8", f"cifar_sha1_{SHA1}.tflite", {"Inference(ms)": {XIAO: 13, GROVE: 22}}
        ),
        zoo_making.benchmark(
            "TFLite(vela)", "INT8", f"cifar_sha1_{SHA1}_vela.tflite", {"Inference(ms)": {"we2": 2.0}}
        ),
    )
    by_md5 = zoo_making.model(
        "meter", zoo_making.benchmark("TFLite", "INT8", "meter_int8.tflite", {"Inference(ms)": {XIAO: 600.0}})
    )
    zoo_making.write(folder, by_sha1, by_md5)
    for path in (folder / "entries").iterdir():
        text = path.read_text().replace("https://files.example.com/zoo", host)
        for file, md5 in ((f"cifar_sha1_{SHA1}.tflite", MD5), ("meter_int8.tflite", OTHER_MD5)):
            text = text.replace(zoo_making.digest(file, "md5"), md5)
        path.write_text(text)
    zoo_making.regenerate(folder)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "models").mkdir()
    return tmp_path


@pytest.fixture
def server(place: Path) -> Iterator[str]:
    (place / "served").mkdir()
    (place / "served" / f"cifar_sha1_{SHA1}.tflite").write_bytes(MODEL)
    (place / "served" / "meter_int8.tflite").write_bytes(OTHER)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(place / "served"))
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def run(place: Path) -> RunCommand:
    def run(*arguments: str) -> tuple[int, str, str]:
        done = harness("cards", "bench", *arguments, cwd=place)
        return done.returncode, done.stdout, done.stderr

    return run


def runs(folder: Path, records: list = [], **options: object) -> list[CardRun]:  # noqa: B006
    found, _, _ = updating.wants([folder], Rules().words)
    options = {"files": Files.of([folder.parent / "models"]), **options}
    return benching.plan_runs(found, records, Rules(), **options)


def test_cards_ask_for_each_model_on_each_board_that_a_row_names_once(place: Path) -> None:
    zoo(place / "zoo")
    found, unknown, unread = updating.wants([place / "zoo"], Rules().words)
    asked = [(want.bench.file, want.board, want.seconds) for want in found]
    file = f"cifar_sha1_{SHA1}.tflite"
    # The WE2 is to run what Vela makes of the int8 file: the zoo's own file has nothing to verify it by.
    assert asked == [
        (file, XIAO, 0.013),
        (file, GROVE, 0.022),
        (file, WE2, 0.002),
        ("meter_int8.tflite", XIAO, 0.6),
    ]
    assert (unknown, unread) == ([], [])
    assert [want.bench.md5 for want in found] == [MD5, MD5, MD5, OTHER_MD5]
    assert {path.name for path, _ in found[0].places} == {"cifar.json", "cifar.md", "models.json"}


def test_a_place_that_is_still_empty_is_asked_for_and_an_unknown_board_is_named(place: Path) -> None:
    (place / "card.md").write_text(
        "| Board | Inference(ms) | Link |\n|-|-|-|\n"
        f"| XIAO ESP32S3 | - | [x](https://e.com/a_{SHA1}.tflite) |\n"
        f"| STM32H743 | 5 | [x](https://e.com/a_{SHA1}.tflite) |\n"
    )
    found, unknown, _ = updating.wants([Path("card.md")], Rules().words)
    assert [(want.board, want.seconds) for want in found] == [(XIAO, None)]
    assert unknown == ["card.md: line 4: 'STM32H743' is no board that is known"]


def test_the_plan_says_what_is_there_what_is_fetched_and_what_is_missing(place: Path) -> None:
    zoo(place / "zoo")
    (place / "models" / "mine.tflite").write_bytes(MODEL)
    planned = [(run.path, run.fetched) for run in runs(place / "zoo")]
    mine = (place / "models" / "mine.tflite", False)
    assert planned == [mine, (None, True), mine, mine]
    (place / "models" / "mine.tflite").unlink()
    assert [(run.fetched, run.missing) for run in runs(place / "zoo")] == [(True, None)] * 4
    offline = runs(place / "zoo", offline=True)
    assert all("not in the cache (--offline)" in (run.missing or "") for run in offline)
    assert [run.want.board for run in runs(place / "zoo", boards=[WE2, GROVE])] == [WE2, GROVE]


def test_what_has_a_record_that_may_be_written_is_not_benched_again(place: Path) -> None:
    zoo(place / "zoo")
    done = benched(12, sha1=SHA1, md5=MD5, id="done")
    other = benched(500, sha1="ab" * 20, md5=OTHER_MD5, id="other")
    poor = benched(2, board=WE2, compiled_from=SHA1, verdict="differs", file="x.tflite")
    estimate = benched(22, board=GROVE, sha1=SHA1, origin="estimated", id="estimate")
    records = [done, other, poor, estimate]
    found = {(run.want.board, run.want.bench.file[:5]): run.record for run in runs(place / "zoo", records)}
    assert found == {
        (XIAO, "cifar"): "done",
        (XIAO, "meter"): "other",
        (GROVE, "cifar"): None,
        (WE2, "cifar"): None,
    }
    of_emulated = runs(place / "zoo", records, estimates=True, boards=[GROVE])
    assert of_emulated[0].record == "estimate"
    assert [run.record for run in runs(place / "zoo", records, again=True)] == [None] * 4


def test_the_time_is_that_of_the_invokes_by_the_cards_own_figures(place: Path) -> None:
    zoo(place / "zoo")
    planned = runs(place / "zoo", [benched(600, sha1="ab" * 20, md5=OTHER_MD5)])
    assert benching.least_seconds(planned, 101) == pytest.approx(101 * (0.013 + 0.022 + 0.002))


def test_a_failure_holds_back_no_other_run_and_an_interrupt_ends_them(place: Path) -> None:
    zoo(place / "zoo")
    (place / "models" / "mine.tflite").write_bytes(MODEL)
    (place / "models" / "other.tflite").write_bytes(OTHER)
    planned = runs(place / "zoo", boards=[GROVE, WE2, XIAO])
    tried: list[str] = []

    def bench(path: Path, board: str) -> tuple[list[str], bool]:
        tried.append(board)
        if board == GROVE:
            raise BoardError("no answer")
        if board == WE2:
            return ["outputs differ"], False
        if len(tried) == 4:
            raise KeyboardInterrupt
        return [], False

    came = benching.make(planned, bench)
    assert tried == [GROVE, WE2, XIAO, XIAO]
    assert (came.made, came.interrupted) == (1, True)
    assert [failure.split(" on ")[1] for failure in came.failures] == [
        f"{GROVE}: no answer",
        f"{WE2}: outputs differ",
    ]


def test_a_board_that_is_not_there_is_not_asked_for_every_model(place: Path) -> None:
    rows = "".join(f"| 5<sup>(1)</sup> | [x](https://e.com/a_{i:040x}.tflite) |\n" for i in range(30))
    (place / "card.md").write_text(f"| Inference(ms) | Link |\n|-|-|\n{rows}\n- ***1:** xiao_esp32s3.*\n")
    found, _, _ = updating.wants([Path("card.md")], Rules().words)
    planned = [CardRun(want, path=Path("x.tflite")) for want in found]

    def bench(path: Path, board: str) -> tuple[list[str], bool]:
        raise BoardError("no board at /dev/ttyACM0")

    came = benching.make(planned, bench)
    assert len(came.failures) == 3
    assert came.failures[2] == f"28 more on {XIAO}: not tried, for the same reason"


def test_an_error_that_a_run_comes_after_is_not_held_against_the_board(place: Path) -> None:
    """A cable that was pulled and put back twice: every other run works, and none is given up."""
    rows = "".join(f"| 5<sup>(1)</sup> | [x](https://e.com/a_{i:040x}.tflite) |\n" for i in range(6))
    (place / "card.md").write_text(f"| Inference(ms) | Link |\n|-|-|\n{rows}\n- ***1:** xiao_esp32s3.*\n")
    found, _, _ = updating.wants([Path("card.md")], Rules().words)
    tried: list[str] = []

    def bench(path: Path, board: str) -> tuple[list[str], bool]:
        tried.append(board)
        if len(tried) % 2:
            raise BoardError("no board at /dev/ttyACM0")
        return [], False

    came = benching.make([CardRun(want, path=Path("x.tflite")) for want in found], bench)
    assert (len(tried), came.made, len(came.failures)) == (6, 3, 3)


@pytest.mark.parametrize("link", ["../models/a.tflite", "https:///a.tflite", "//["])
def test_a_link_that_is_no_address_is_missing_already_in_the_plan(place: Path, link: str) -> None:
    named = link.replace("a.tflite", f"a_sha1_{SHA1}.tflite").replace("[", f"[/a_sha1_{SHA1}.tflite")
    (place / "zoo").mkdir()
    (place / "zoo" / "card.md").write_text(
        f"| Inference(ms) | Link |\n|-|-|\n| 5<sup>(1)</sup> | [x]({named}) |\n\n- ***1:** xiao_esp32s3.*\n"
    )
    (planned,) = runs(place / "zoo")
    assert (planned.to_do, planned.fetched) == (False, False)
    assert planned.missing == "it is in no --models directory, and the card has no address of it on the web"
    with pytest.raises(FetchError, match="the card has no address of it on the web"):
        fetch(planned.want.bench)


def test_a_dry_run_prints_the_plan_and_touches_nothing(run: RunCommand, place: Path) -> None:
    zoo(place / "zoo")
    (place / "models" / "mine.tflite").write_bytes(MODEL)
    before = zoo_making.contents(place / "zoo")
    store.write(benched(12, sha1=SHA1, md5=MD5, id="done"), place / "results")
    store.write(benched(500, sha1="ab" * 20, md5=OTHER_MD5, id="other"), place / "results")
    code, out, err = run("zoo", "--models", "models", "--dry-run", "-n", "10")
    lines = [line.split(None, 2) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [(board, what) for board, _, what in lines[1:5]] == [
        (XIAO, "has record done"),
        (XIAO, "has record other"),
        (GROVE, "bench models/mine.tflite"),
        (WE2, "bench models/mine.tflite"),
    ]
    assert "2 runs on 2 boards, 0 files to fetch first; 0 files missing; 2 have a record" in out
    assert "11 invokes a run take 0 s in all by the cards' own times, flashing not counted" in out
    code, out, _ = run("zoo", "--dry-run", "--json", "--offline")
    planned = json.loads(out)["runs"]
    assert code == 1
    assert [bool(one["missing"]) for one in planned] == [False, False, True, True]
    assert planned[2]["places"][0] == {"file": "zoo/docs/en/cifar.md", "line": 8}
    assert zoo_making.contents(place / "zoo") == before
    assert not (place / "cache").exists()


def test_a_plan_without_a_card_that_cannot_be_read_is_not_the_whole_plan(
    run: RunCommand, place: Path
) -> None:
    zoo(place / "zoo")
    (place / "models" / "mine.tflite").write_bytes(MODEL)
    (place / "models" / "other.tflite").write_bytes(OTHER)
    plan = ("zoo", "--models", "models", "--dry-run")
    assert run(*plan)[0] == 0
    (place / "zoo" / "cut.json").write_text('{"benchmark": [{"metrics": {')
    code, out, err = run(*plan)
    assert (code, "4 runs on 3 boards" in out) == (1, True)
    assert err.startswith("harness: zoo/cut.json: line 1: not JSON")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["zoo", "--board", "sensecap_a1101"], "--board sensecap_a1101: no card asks for it"),
        (["zoo", "--board", "nothing"], "unknown board 'nothing'"),
        (["zoo", "--models", "nowhere"], "--models nowhere: no such directory"),
        (["nowhere"], "nowhere: no such file or directory"),
    ],
)
def test_a_mistake_in_the_command_is_named_in_one_line(
    run: RunCommand, place: Path, arguments: list[str], message: str
) -> None:
    zoo(place / "zoo")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"harness: error: {message}")
    assert err.count("\n") == 1


def test_a_zoo_is_fetched_benched_and_written_and_then_there_is_nothing_to_do(
    run: RunCommand, place: Path, server: str
) -> None:
    zoo(place / "zoo", server)
    options = ["--port", "emulated", "--allow-estimated", "--yes", "-n", "1", "-w", "0"]
    # A file that is not to be had is named, and the other one is benched.
    (place / "served" / "meter_int8.tflite").unlink()
    code, _, err = run("zoo", "--board", XIAO, *options)
    assert code == 1
    assert f"harness: {server}/meter_int8.tflite: the server says 404 " in err
    assert "harness: 1 benched, 1 left, 0 without a file" in err
    assert "estimated" not in (place / "zoo" / "entries" / "meter.json").read_text()
    entry = json.loads((place / "zoo" / "entries" / "cifar.json").read_text())["benchmark"]
    assert list(entry[1]["metrics"]["Inference(ms)"]) == [f"{XIAO} (estimated)", GROVE]
    # It goes on where it stopped, and takes the file from the cache: its server has it no longer.
    (place / "served" / "meter_int8.tflite").write_bytes(OTHER)
    (place / "served" / f"cifar_sha1_{SHA1}.tflite").unlink()
    code, out, err = run("zoo", *options, "--json")
    assert (code, err) == (0, "harness: 3 benched, 0 left, 0 without a file\n")
    written = {card["file"]: len(card["changes"]) for card in json.loads(out)["cards"]}
    assert written == {
        "zoo/docs/en/cifar.md": 2,
        "zoo/docs/en/meter.md": 1,
        "zoo/docs/zh_CN/cifar.md": 2,
        "zoo/docs/zh_CN/meter.md": 1,
        "zoo/entries/cifar.json": 2,
        "zoo/entries/meter.json": 1,
        "zoo/models.json": 3,
    }
    after = zoo_making.contents(place / "zoo")
    zoo_making.regenerate(place / "zoo")
    assert zoo_making.contents(place / "zoo") == after
    records, _ = store.read_all(place / "results")
    assert sorted(record.board.id for record in records) == [GROVE, WE2, XIAO, XIAO]
    hashes = {
        r.board.id: (r.model.md5, r.model.source_md5) for r in records if r.model.file != "meter_int8.tflite"
    }
    assert hashes[GROVE] == (MD5, None)
    assert hashes[WE2][0] not in (None, MD5)
    assert hashes[WE2][1] == MD5
    code, _, err = run("zoo", *options, "--offline")
    assert (code, err) == (0, "harness: 0 benched, 0 left, 0 without a file\n")


def test_without_leave_to_write_estimates_only_an_attached_board_is_benched(
    run: RunCommand, place: Path
) -> None:
    zoo(place / "zoo")
    (place / "models" / "mine.tflite").write_bytes(MODEL)
    before = zoo_making.contents(place / "zoo")
    code, _, err = run("zoo", "--models", "models", "-n", "1", "--board", GROVE)
    assert code == 1
    assert f"on {GROVE}: " in err
    assert "harness: 0 benched, 1 left, 0 without a file" in err
    assert not (place / "results").exists() or not store.read_all(place / "results")[0]
    assert zoo_making.contents(place / "zoo") == before
