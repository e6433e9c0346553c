"""`harness cards` as a person runs it: files, encodings, modes, exit codes and messages."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from harness.cards import CardError, Rules, files, updating
from harness.results import store
from tests.cards import zoo_making
from tests.cards.making import OTHER_SHA1, SHA1, benched, link
from tests.results.running import harness

CARD = f"""# Card

|  Backend  |   Inference(ms)   | Link |
|:---------:|:-----------------:|------|
|  TFLite   | 582<sup>(1)</sup> | {link()} |

- ***1:** xiao_esp32s3.*
"""
NEW = CARD.replace("| 582<", "| 500<")

Run = Callable[..., tuple[int, str, str]]


def table(out: str) -> dict[str, tuple[str, str]]:
    """Return the table of files at the end of what was printed: cells and reasons by file."""
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if re.match(r"file +cells +why not", line))
    cells, why = lines[start].index("cells"), lines[start].index("why not")
    return {
        line[:cells].strip(): (line[cells:why].strip(), line[why:].strip()) for line in lines[start + 1 :]
    }


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    store.write(benched(500, id="r500"), tmp_path / "results")
    (tmp_path / "card.md").write_text(CARD)
    return tmp_path


@pytest.fixture
def run(place: Path) -> Run:
    def run(*arguments: str, stdin: IO[str] | None = None) -> tuple[int, str, str]:
        done = harness("cards", *arguments, cwd=place, stdin=stdin)
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_card_is_written_and_then_up_to_date(run: Run, place: Path) -> None:
    code, out, err = run("update", "card.md")
    assert (code, err) == (0, "")
    assert "card.md: line 5: Inference(ms) of person_int8_sha1_" in out
    assert "on xiao_esp32s3: 582 -> 500 ms (measured, record r500, a factor of 1.16)" in out
    assert (place / "card.md").read_text() == NEW
    before = (place / "card.md").stat().st_mtime_ns
    code, out, err = run("update", "card.md")
    assert (code, table(out), err) == (0, {"card.md": ("up to date", "")}, "")
    assert (place / "card.md").stat().st_mtime_ns == before


def test_check_says_what_is_out_of_date_and_writes_nothing(run: Run, place: Path) -> None:
    code, out, _ = run("update", "--check", "card.md")
    assert code == 1
    assert table(out) == {"card.md": ("1 out of date", "")}
    assert (place / "card.md").read_text() == CARD
    (place / "card.md").write_text(NEW)
    assert run("update", "--check", "card.md")[0] == 0


@pytest.mark.parametrize("mode", [[], ["--check"]])
@pytest.mark.parametrize("cards", ["card.md", "."])
def test_a_record_that_is_passed_over_fails_whether_a_file_or_a_folder_is_named(
    run: Run, place: Path, mode: list[str], cards: str
) -> None:
    store.write(benched(500, id="unsure", verdict="differs"), place / "unsure")
    code, out, err = run("update", cards, "--from", "unsure", *mode)
    why = "record unsure (xiao_esp32s3) is not used: its outputs differ from the reference"
    assert code == 1
    assert table(out) == {"card.md": ("none written", why)}
    assert why in err


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
    assert (code, table(out)["card.md"][0]) == (1, "not read")
    assert err.startswith(f"harness: {message}")
    assert err.count("\n") == 1
    assert (place / "card.md").read_bytes() == data


def test_a_read_only_card_holds_back_no_other(run: Run, place: Path) -> None:
    (place / "other.md").write_text(CARD)
    (place / "card.md").chmod(0o444)
    code, out, err = run("update", "other.md", "card.md")
    why = "card.md: is read-only; make it writable (chmod u+w) to update it"
    assert (code, err) == (1, f"harness: {why}\n")
    assert table(out) == {"other.md": ("1 written", ""), "card.md": ("1 not written", why)}
    assert (place / "other.md").read_text() == NEW
    assert run("update", "--check", "card.md")[0] == 1


UNREADABLE = "5 ± 2<sup>(1)</sup>"


def test_a_figure_that_is_refused_holds_back_no_other(run: Run, place: Path) -> None:
    """Neither in its own file, nor in another one."""
    refused_card = CARD.replace("|  TFLite   | 582<sup>(1)</sup> |", "|  TFLite   | 7 ± 2<sup>(1)</sup> |")
    (place / "other.md").write_text(refused_card)
    other = link(OTHER_SHA1)
    (place / "two.md").write_text(
        CARD.replace("\n\n- ***1", f"\n|  TFLite   | {UNREADABLE} | {other} |\n\n- ***1")
    )
    store.write(benched(500, id="r2", sha1=OTHER_SHA1), place / "results")
    code, out, err = run("update", "card.md", "other.md", "two.md")
    refused = "is not a number with foot-notes; write it as 12.3<sup>(1)</sup>, or '-' for none"
    assert code == 1
    assert table(out) == {
        "card.md": ("1 written", ""),
        "other.md": ("none written", f"'7 ± 2<sup>(1)</sup>' {refused}"),
        "two.md": ("1 written", f"'{UNREADABLE}' {refused}"),
    }
    assert "harness: other.md: line 5: Inference(ms) of person" in err
    assert "harness: two.md: line 6: Inference(ms) of person" in err
    assert (place / "card.md").read_text() == NEW
    assert UNREADABLE in (place / "two.md").read_text()
    assert "| 500<sup>" in (place / "two.md").read_text()
    assert (place / "other.md").read_text() == refused_card


def test_strict_writes_nothing_when_anything_is_refused(run: Run, place: Path) -> None:
    (place / "other.md").write_text(CARD.replace("582<sup>(1)</sup>", UNREADABLE))
    code, out, err = run("update", "--strict", "card.md", "other.md")
    assert (code, table(out)["card.md"][0]) == (1, "1 not written")
    assert "nothing was written, as something was refused (--strict)" in err
    assert (place / "card.md").read_text() == CARD
    (place / "other.md").unlink()
    assert run("update", "--strict", "card.md")[0] == 0
    assert (place / "card.md").read_text() == NEW


RAM_CARD = f"""| Peek RAM(MB) | Inference(ms) | Link |
|---|---|---|
| 0.35 | 582<sup>(1)</sup><br>15<sup>(2)</sup> | {link()} |

- ***1:** xiao_esp32s3.*
- ***2:** grove_vision_ai.*
"""


@pytest.mark.parametrize(("only", "code"), [([], 1), (["--only", "time"], 0), (["--only", "ram"], 1)])
def test_times_are_written_where_ram_is_in_doubt(run: Run, place: Path, only: list[str], code: int) -> None:
    """The RAM is of one of two boards, and nothing tells of which."""
    (place / "card.md").write_text(RAM_CARD)
    store.write(benched(500, id="ram", arena=400_000), place / "ram")
    assert run("update", "card.md", "--from", "ram", *only)[0] == code
    new = (place / "card.md").read_text()
    assert new == (RAM_CARD if only == ["--only", "ram"] else RAM_CARD.replace("582<", "500<"))


def test_ram_alone_can_be_written(run: Run, place: Path) -> None:
    (place / "card.md").write_text(RAM_CARD.replace("<br>15<sup>(2)</sup>", ""))
    store.write(benched(500, id="ram", arena=400_000), place / "ram")
    assert run("update", "card.md", "--from", "ram", "--only", "ram")[0] == 0
    assert "| 0.40 | 582<sup>(1)</sup> |" in (place / "card.md").read_text()


def test_a_disk_that_fails_leaves_the_card_whole(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = run("update", "card.md")
    assert (code, err) == (1, "harness: card.md: cannot be written: No space left on device\n")
    assert (place / "card.md").read_text() == CARD
    assert sorted(p.name for p in place.iterdir()) == ["card.md", "results"]


def test_a_card_that_someone_else_changes_meanwhile_is_left_to_them(place: Path) -> None:
    read = files.read_card(place / "card.md")
    (place / "card.md").write_text("theirs")
    with pytest.raises(CardError, match=r"card.md: changed while it was being updated; nothing was written"):
        files.write_card(read, NEW)
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
    assert table(out) == {"zoo/sub/a.md": ("1 written", "")}
    assert err.startswith("harness: zoo/latin.md: is not UTF-8")
    assert (place / "zoo" / ".git" / "b.md").read_text() == CARD


def test_a_file_in_a_directory_that_may_be_a_card_and_cannot_be_read_is_refused(
    run: Run, place: Path
) -> None:
    (place / "zoo").mkdir()
    (place / "zoo" / "gb.md").write_bytes(f"模型\n{CARD}".encode("gb18030"))
    (place / "zoo" / "cut.json").write_text('{"benchmark": [{"metrics": {')
    (place / "zoo" / "settings.json").write_text("{,}")
    (place / "zoo" / "card.md").write_text(CARD)
    code, out, _ = run("update", "zoo")
    found = {path: cells for path, (cells, _) in table(out).items()}
    assert code == 1
    assert found == {"zoo/gb.md": "not read", "zoo/cut.json": "not read", "zoo/card.md": "1 written"}


@pytest.mark.parametrize("inside", [{}, {"a.txt": "x"}, {"notes.md": "# Notes\n", "package.json": "{}"}])
def test_a_folder_without_a_card_is_not_one_that_is_up_to_date(
    run: Run, place: Path, inside: dict[str, str]
) -> None:
    (place / "zoo").mkdir()
    for name, text in inside.items():
        (place / "zoo" / name).write_text(text)
    code, out, err = run("update", "zoo")
    assert (code, out) == (2, "")
    assert err.startswith("harness: error: zoo: no card in it")
    assert run("show", "zoo")[0] == 2


def test_a_fifo_is_named_and_not_waited_for(run: Run, place: Path) -> None:
    os.mkfifo(place / "pipe.md")
    code, out, err = run("update", "pipe.md", "card.md")
    assert (code, err) == (1, "harness: pipe.md: is no regular file\n")
    assert table(out)["card.md"] == ("1 written", "")


def test_a_card_with_two_names_keeps_both(run: Run, place: Path) -> None:
    os.link(place / "card.md", place / "same.md")
    assert run("update", "card.md")[0] == 0
    assert (place / "same.md").read_text() == NEW
    assert (place / "same.md").stat().st_ino == (place / "card.md").stat().st_ino
    assert sorted(p.name for p in place.iterdir()) == ["card.md", "results", "same.md"]


def test_a_card_with_two_names_stays_as_it_was_when_the_disk_fails(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.link(place / "card.md", place / "same.md")
    calls: list[int] = []

    def second_fails(_: int) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", second_fails)
    assert run("update", "card.md")[0] == 1
    assert (place / "same.md").read_text() == CARD


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.md"], "nothing.md: no such file or directory"),
        (["card.md", "--from", "nowhere"], "nowhere: no such file or directory"),
        (["card.md", "--map", "x=y.tflite"], "--map ...=y.tflite: no record is of such a file or SHA-1"),
        (["card.md", "--map", "x=model.tflite"], "--map x=...: no row has such a cell or links such a file"),
        (["card.md", "--record", "r50"], "--record r50: there is no such record; did you mean 'r500'?"),
        (["card.md", "--digits", "many"], "--digits many: not a rule"),
        (
            ["card.md", "--board", "xiao"],
            "--board xiao: there is no such board; did you mean 'xiao_esp32s3'?",
        ),
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
    assert code == 1
    assert "582 -> 50 ms (measured, record fast, a factor of 11.6): a change of more than 2x; --yes" in err
    assert (place / "card.md").read_text() == CARD
    assert run("update", "card.md", "--from", "fast", "--yes")[0] == 0
    assert "| 50<sup>(1)</sup>  |" in (place / "card.md").read_text()


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0)])
def test_at_a_terminal_a_large_change_is_a_question(run: Run, place: Path, answer: str, code: int) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    store.write(benched(50, id="fast"), place / "fast")
    got, _, err = run("update", "card.md", "--from", "fast", stdin=Terminal(answer))
    assert got == code
    assert "a figure changes by more than a factor of 2; write it? [y/N]" in err
    assert ("| 50<sup>" in (place / "card.md").read_text()) == (code == 0)


def test_a_card_without_a_match_says_so(run: Run, place: Path) -> None:
    (place / "card.md").write_text(CARD.replace(SHA1, OTHER_SHA1))
    code, out, err = run("update", "card.md")
    assert (code, table(out)) == (0, {"card.md": ("no record", "")})
    assert err == "harness: card.md: no row links a model of the records; --map can name the model of a row\n"


def test_a_directory_without_records_is_said_to_have_none(run: Run, place: Path) -> None:
    (place / "none").mkdir()
    code, out, err = run("update", "card.md", "--from", "none")
    assert (code, table(out)) == (0, {"card.md": ("no record", "")})
    assert err.startswith("harness: none: no records\n")


def test_a_record_without_verification_says_so(run: Run, place: Path) -> None:
    store.write(benched(500, id="unsure", verdict="not_available"), place / "unsure")
    code, _, err = run("update", "card.md", "--from", "unsure")
    assert code == 1
    assert "record unsure (xiao_esp32s3) is not used: its outputs were not verified" in err


def test_damaged_records_are_named_and_passed_over(run: Run, place: Path) -> None:
    (place / "results" / "bad.json").write_text("{")
    code, _, err = run("update", "card.md")
    assert code == 0
    assert "bad.json: is not JSON, or was cut short" in err
    assert (place / "card.md").read_text() == NEW


def test_a_copy_that_differs_from_its_source_is_named_in_the_table_and_fails_a_check(
    run: Run, place: Path
) -> None:
    (place / "zoo").mkdir()
    (place / "zoo" / "card_en.md").write_text(CARD)
    (place / "zoo" / "card_zh_CN.md").write_text(CARD.replace("582<", "583<"))
    (place / "empty").mkdir()
    code, out, err = run("update", "zoo", "--from", "empty")
    why = "differs from what it is a copy of in 1 figure"
    assert (code, table(out)["zoo/card_zh_CN.md"]) == (0, ("no record", why))
    assert "is 583 ms on xiao_esp32s3 here, but 582 ms on xiao_esp32s3 in zoo/card_en.md" in err
    assert run("update", "zoo", "--from", "empty", "--check")[0] == 1


def test_a_card_whose_entry_is_left_alone_is_said_to_be_made_from_it(run: Run, place: Path) -> None:
    zoo_making.write(place / "zoo", zoo_making.usual("person"))
    sha1 = zoo_making.digest("person")
    store.write(benched(500, id="unsure", sha1=sha1, verdict="differs"), place / "unsure")
    code, out, _ = run("update", "zoo", "--from", "unsure")
    entry = "zoo/entries/person.json"
    found = table(out)
    assert code == 1
    assert found[entry][0] == "none written"
    for language in ("en", "zh_CN"):
        assert found[f"zoo/docs/{language}/person.md"][1] == f"as {entry}, which it is made from"


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


def test_what_was_written_before_an_interrupt_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def second_fails(source: Path, target: Path) -> None:
        if target.name == "two.md":
            raise KeyboardInterrupt
        replace(source, target)

    for name in ("one.md", "two.md"):
        (place / name).write_text(CARD)
    records = [benched(500)]
    planned = updating.prepare([Path("one.md"), Path("two.md")], records, Rules())
    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(CardError, match=r"interrupted; already written: one\.md"):
        planned.write()
    assert (Path("one.md").read_text(), Path("two.md").read_text()) == (NEW, CARD)
    assert sorted(p.name for p in place.iterdir()) == ["card.md", "one.md", "results", "two.md"]
