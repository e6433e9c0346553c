"""`harness cards` as a person runs it: files, encodings, modes, exit codes and messages."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cards import CardError, files
from harness.cli import main
from harness.results import store
from tests.cards.making import OTHER_SHA1, SHA1, benched, link

CARD = f"""# Card

|  Backend  |   Inference(ms)   | Link |
|:---------:|:-----------------:|------|
|  TFLite   | 582<sup>(1)</sup> | {link()} |

- ***1:** xiao_esp32s3.*
"""
NEW = CARD.replace("| 582<", "| 500<")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    store.write(benched(500, id="r500"), tmp_path / "results")
    (tmp_path / "card.md").write_text(CARD)
    return tmp_path


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", "cards", *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_card_is_written_and_then_up_to_date(run: Run, place: Path) -> None:
    code, out, err = run("update", "card.md")
    assert (code, err) == (0, "")
    assert "card.md: line 5: Inference(ms) of person_int8_sha1_" in out
    assert "on xiao_esp32s3: 582 -> 500 ms (measured, record r500, a factor of 1.16)" in out
    assert (place / "card.md").read_text() == NEW
    before = (place / "card.md").stat().st_mtime_ns
    assert run("update", "card.md")[:2] == (0, "card.md: nothing to change\n")
    assert (place / "card.md").stat().st_mtime_ns == before


def test_check_says_what_is_out_of_date_and_writes_nothing(run: Run, place: Path) -> None:
    code, out, _ = run("update", "--check", "card.md")
    assert code == 1
    assert "card.md: is out of date" in out
    assert (place / "card.md").read_text() == CARD
    (place / "card.md").write_text(NEW)
    assert run("update", "--check", "card.md")[0] == 0


def test_a_dry_run_prints_a_patch_that_applies(run: Run, place: Path) -> None:
    entry = {"metrics": {"Inference(ms)": {"xiao_esp32s3": 582}}, "url": f"x_sha1_{SHA1}.tflite"}
    (place / "sub").mkdir()
    (place / "sub" / "zoo.json").write_text(json.dumps({"benchmark": [entry]}))
    code, patch, _ = run("update", "--dry-run", "card.md", "sub")
    assert code == 0
    assert (place / "card.md").read_text() == CARD
    subprocess.run(["patch", "-p0"], input=patch.encode(), cwd=place, check=True, capture_output=True)
    assert (place / "card.md").read_text() == NEW
    assert '"xiao_esp32s3": 500}' in (place / "sub" / "zoo.json").read_text()


@pytest.mark.parametrize(
    ("bom", "encoding", "option"),
    [
        (b"", "utf-8", None),
        (codecs.BOM_UTF8, "utf-8", None),
        (codecs.BOM_UTF16_LE, "utf-16-le", None),
        (codecs.BOM_UTF16_BE, "utf-16-be", None),
        (b"", "gb18030", "gb18030"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mode", [0o644, 0o755, 0o600])
def test_encoding_mark_line_ends_and_mode_are_kept(
    run: Run, place: Path, bom: bytes, encoding: str, option: str | None, newline: str, mode: int
) -> None:
    def data(text: str) -> bytes:
        return bom + text.replace("# Card", "# 模型卡片\u2028\x0b").replace("\n", newline).encode(encoding)

    (place / "card.md").write_bytes(data(CARD))
    (place / "card.md").chmod(mode)
    code, _, err = run("update", "card.md", *(["--encoding", option] if option else []))
    assert (code, err) == (0, "")
    assert (place / "card.md").read_bytes() == data(NEW)
    assert stat.S_IMODE((place / "card.md").stat().st_mode) == mode
    assert sorted(p.name for p in place.iterdir()) == ["card.md", "results"]


def test_a_link_stays_a_link(run: Run, place: Path) -> None:
    (place / "card.md").rename(place / "real.md")
    (place / "card.md").symlink_to("real.md")
    assert run("update", "card.md")[0] == 0
    assert (place / "card.md").is_symlink()
    assert (place / "real.md").read_text() == NEW


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            "# 模型卡片\n".encode("gb18030"),
            "card.md: is not UTF-8 (byte 4); save it as UTF-8, or name its encoding",
        ),
        (CARD.encode("utf-16-le"), "card.md: is not text, or is UTF-16 without a byte order mark"),
        ("模型".encode("utf-16-be") + b"\0a", "card.md: is not text, or is UTF-16 without a byte order"),
        (codecs.BOM_UTF16_LE + b"x", "card.md: is not UTF-16-LE (byte 2)"),
    ],
)
def test_another_encoding_is_named_and_nothing_written(
    run: Run, place: Path, data: bytes, message: str
) -> None:
    (place / "card.md").write_bytes(data)
    code, out, err = run("update", "card.md")
    assert (code, out) == (2, "")
    assert err.startswith(f"harness: error: {message}")
    assert err.count("\n") == 1
    assert (place / "card.md").read_bytes() == data


def test_a_read_only_card_stops_the_others_as_well(run: Run, place: Path) -> None:
    (place / "other.md").write_text(CARD)
    (place / "card.md").chmod(0o444)
    code, _, err = run("update", "other.md", "card.md")
    assert (code, err) == (
        2,
        "harness: error: card.md: is read-only; make it writable (chmod u+w) to update it\n",
    )
    assert (place / "other.md").read_text() == CARD
    assert run("update", "--check", "card.md")[0] == 1


def test_a_problem_in_one_card_leaves_all_of_them_alone(run: Run, place: Path) -> None:
    (place / "other.md").write_text(CARD.replace("582<sup>(1)</sup>", "5 ± 2<sup>(1)</sup>"))
    code, _, err = run("update", "card.md", "other.md")
    assert code == 2
    assert err.startswith("harness: error: other.md: line 5: Inference(ms) of person")
    assert err.count("\n") == 1
    assert (place / "card.md").read_text() == CARD


def test_a_disk_that_fails_leaves_the_card_whole(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = run("update", "card.md")
    assert (code, err) == (2, "harness: error: card.md: cannot be written: No space left on device\n")
    assert (place / "card.md").read_text() == CARD
    assert sorted(p.name for p in place.iterdir()) == ["card.md", "results"]


def test_a_card_that_someone_else_changes_meanwhile_is_left_to_them(place: Path) -> None:
    read = files.read_card(place / "card.md")
    (place / "card.md").write_text("theirs")
    with pytest.raises(CardError, match=r"card.md: changed while it was being updated; nothing was written"):
        files.write_cards([(read, NEW)])
    assert (place / "card.md").read_text() == "theirs"
    assert sorted(p.name for p in place.iterdir()) == ["card.md", "results"]


def test_a_directory_is_searched_and_what_is_no_card_is_passed_over(run: Run, place: Path) -> None:
    (place / "zoo" / "sub").mkdir(parents=True)
    (place / "zoo" / ".git").mkdir()
    for name in ("sub/a.md", ".git/b.md"):
        (place / "zoo" / name).write_text(CARD)
    (place / "zoo" / "package.json").write_text("{}")
    (place / "zoo" / "latin.md").write_bytes(b"caf\xe9\n")
    code, out, err = run("update", "zoo")
    assert code == 0
    assert out.endswith("a.md: written\n")
    assert err.startswith("harness: zoo/latin.md: is not UTF-8")
    assert (place / "zoo" / ".git" / "b.md").read_text() == CARD


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.md"], "nothing.md: no such file or directory"),
        (["card.md", "--from", "nowhere"], "nowhere: no such file or directory"),
        (["card.md", "--map", "x=y.tflite"], "--map ...=y.tflite: no record is of such a file or SHA-1"),
        (["card.md", "--map", "x=model.tflite"], "--map x=...: no row has such a cell or links such a file"),
        (["card.md", "--record", "r50"], "--record r50: there is no such record; did you mean 'r500'?"),
        (["card.md", "--digits", "many"], "--digits many: not a rule"),
        (["card.md", "--board", "xiao"], "--board xiao: there is no such board; known: "),
        (["card.md", "--factor", "nan"], "--factor nan: must be 1 or more"),
        (["card.md", "--factor", "0"], "--factor 0: must be 1 or more"),
        (["card.md", "--words", "w.toml"], "w.toml: cannot be read"),
    ],
)
def test_a_mistake_in_the_command_is_named_in_one_line(
    run: Run, place: Path, arguments: list[str], message: str
) -> None:
    code, out, err = run("update", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"harness: error: {message}")
    assert err.count("\n") == 1
    assert (place / "card.md").read_text() == CARD


def test_a_large_change_asks_first(run: Run, place: Path) -> None:
    store.write(benched(50, id="fast", day=9), place / "fast")
    code, _, err = run("update", "card.md", "--from", "fast")
    assert code == 2
    assert "582 -> 50 ms (measured, record fast, a factor of 11.6)" in err
    assert "by more than a factor of 2; look at --dry-run, and say --yes" in err
    assert (place / "card.md").read_text() == CARD
    assert run("update", "card.md", "--from", "fast", "--yes")[0] == 0
    assert "| 50<sup>(1)</sup>  |" in (place / "card.md").read_text()


@pytest.mark.parametrize(("answer", "code"), [("n\n", 2), ("y\n", 0)])
def test_at_a_terminal_a_large_change_is_a_question(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    store.write(benched(50, id="fast"), place / "fast")
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    got, _, err = run("update", "card.md", "--from", "fast")
    assert got == code
    assert "a figure changes by more than a factor of 2; write it? [y/N]" in err
    assert ("nothing was written" in err) == (code == 2)
    assert ("| 50<sup>" in (place / "card.md").read_text()) == (code == 0)


def test_a_card_without_a_match_says_so(run: Run, place: Path) -> None:
    (place / "card.md").write_text(CARD.replace(SHA1, OTHER_SHA1))
    code, out, err = run("update", "card.md")
    assert (code, out) == (0, "card.md: nothing to change\n")
    assert err == "harness: card.md: no row links a model of the records; --map can name the model of a row\n"


def test_a_directory_without_records_is_said_to_have_none(run: Run, place: Path) -> None:
    (place / "none").mkdir()
    code, out, err = run("update", "card.md", "--from", "none")
    assert (code, out) == (0, "card.md: nothing to change\n")
    assert err.startswith("harness: none: no records\n")


def test_a_record_without_verification_says_so(run: Run, place: Path) -> None:
    store.write(benched(500, id="unsure", verdict="not_available"), place / "unsure")
    code, _, err = run("update", "card.md", "--from", "unsure")
    assert code == 0
    assert "record unsure (xiao_esp32s3) is not used: its outputs were not verified" in err


def test_damaged_records_are_named_and_passed_over(run: Run, place: Path) -> None:
    (place / "results" / "bad.json").write_text("{")
    code, _, err = run("update", "card.md")
    assert code == 0
    assert "bad.json: is not JSON, or was cut short" in err
    assert (place / "card.md").read_text() == NEW


def test_words_can_be_added(run: Run, place: Path) -> None:
    (place / "card.md").write_text(
        CARD.replace("Inference(ms)", "Thinking (ms)").replace("xiao_esp32s3", "Bench 1")
    )
    (place / "w.toml").write_text('[headers]\ntime = ["Thinking"]\n[boards]\nxiao_esp32s3 = ["bench 1"]\n')
    assert run("update", "card.md", "--words", "w.toml")[0] == 0
    assert "| 500<sup>" in (place / "card.md").read_text()
    (place / "w.toml").write_text('[header]\ntime = ["Thinking"]\n')
    assert (
        "'header' is no key of a words file; did you mean 'headers'?"
        in run("update", "card.md", "--words", "w.toml")[2]
    )


@pytest.mark.parametrize("note", ["Measured on {foo}", "Measured on {", "Measured"])
def test_a_foot_note_phrase_without_a_place_for_the_board_is_named(run: Run, place: Path, note: str) -> None:
    (place / "w.toml").write_text(f'[language.en]\nnote = "{note}"\n')
    code, _, err = run("update", "card.md", "--words", "w.toml")
    message = "w.toml: 'language.en.note' should have {board} where the board's name goes"
    assert (code, err) == (2, f"harness: error: {message}\n")


def test_show_and_update_print_json(run: Run) -> None:
    (shown,) = json.loads(run("show", "card.md", "--json")[1])
    (row,) = shown["tables"][0]["rows"]
    assert shown["tables"][0]["boards"] == {"1": "xiao_esp32s3"}
    value = {
        "column": "Inference(ms)",
        "board": "xiao_esp32s3",
        "text": "582",
        "unit": "ms",
        "origin": "published",
    }
    assert row["values"] == [value]
    (card,) = json.loads(run("update", "--dry-run", "--json", "card.md")[1])["cards"]
    assert (card["changed"], card["changes"][0]["old"], card["changes"][0]["new"]) == (True, "582", "500")


def test_show_prints_a_line_for_every_figure(run: Run) -> None:
    code, out, _ = run("show", "card.md")
    assert code == 0
    assert "foot-notes: (1) xiao_esp32s3" in out
    assert [line.split()[-5:] for line in out.splitlines() if "person_int8" in line] == [
        ["Inference(ms)", "xiao_esp32s3", "582", "ms", "published"]
    ]


def test_at_a_narrow_terminal_a_figure_is_headed_by_its_model(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in run("show", "card.md")[1].splitlines()]
    at = lines.index(next(line for line in lines if line.startswith("person_int8_sha1_")))
    assert "  line" in "".join(lines[at + 1 : at + 4])
    assert any(re.fullmatch(r"  value +582", line) for line in lines[at:])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyboardInterrupt(), "interrupted; already written: one.md"),
        (
            OSError(28, "No space left on device"),
            "two.md: cannot be written: .*; already written: one.md",
        ),
    ],
)
def test_what_was_written_before_an_interrupt_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, said: str
) -> None:
    replace = os.replace

    def second_fails(source: Path, target: Path) -> None:
        if target.name == "two.md":
            raise error
        replace(source, target)

    for name in ("one.md", "two.md"):
        (place / name).write_text(CARD)
    both = [(files.read_card(Path(name)), NEW) for name in ("one.md", "two.md")]
    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(CardError, match=said):
        files.write_cards(both)
    assert (Path("one.md").read_text(), Path("two.md").read_text()) == (NEW, CARD)
    assert sorted(p.name for p in place.iterdir()) == ["card.md", "one.md", "results", "two.md"]
