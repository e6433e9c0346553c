"""`harness bench --no-flash`: what is on the board is benched, and nothing is written to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.emulator.process import BoardProcess
from harness.errors import BoardError, HarnessError
from harness.models.resolve import resolve
from harness.results import store
from harness.results.record import Record
from harness.runner.api import Result
from harness.runner.as_it_is import wanted
from tests.results.running import harness as command

SMALL, OTHER = "cifar10_mbv2_035_32_int8", "mnist_mbv2_035_32_int8"
ELSEWHERE = 0x500000


def as_it_is(board: BoardProcess, out: Path, *models: str, **options: object) -> Result:
    return harness.bench(models, "xiao_esp32s3", port=board.url, no_flash=True, invokes=3, out=out, **options)  # type: ignore[arg-type]


def holding(*models: str, firmware: str = "bench") -> BoardProcess:
    """Return a XIAO ESP32-S3 that holds models, on a pty."""
    options = [option for model in models for option in ("--model", model)]
    return BoardProcess("xiao_esp32s3", ["--firmware", firmware, *options])


def the_record(result: Result) -> Record:
    assert not result.failures
    [record] = result.records
    assert not result.flashed, "nothing was written, and nothing was looked at for it"
    return record


def test_a_model_whose_file_is_given_is_proven_by_the_hash_of_the_board_s_flash(tmp_path: Path) -> None:
    with holding(SMALL) as board:
        record = the_record(as_it_is(board, tmp_path, SMALL))
    assert record.model.unproven is None
    assert record.model.sha256 == resolve(SMALL).sha256
    assert record.verification.verdict == "exact"


def test_a_file_that_the_board_does_not_hold_is_not_recorded_as_if_it_did(tmp_path: Path) -> None:
    with holding(OTHER) as board:
        result = as_it_is(board, tmp_path, SMALL)
    assert not result.records
    [failure] = result.failures
    assert f"does not hold {SMALL}: in its flash is " in failure.message
    assert "at 0x400000; flash it (leave --no-flash out), or bench what is there" in failure.message


def test_without_a_file_every_model_that_the_board_lists_is_benched_one_by_one(tmp_path: Path) -> None:
    with holding(SMALL, OTHER) as board:
        result = as_it_is(board, tmp_path)
    assert not result.failures
    first, second = result.records
    assert first.model.name.endswith(" at 0x400000")
    assert first.model.name != second.model.name
    for record in result.records:
        assert record.model.unproven == "it was on the board, and no file was given to hold it against"
        assert (record.model.sha256, record.model.sha1, record.model.bytes) == ("", "", 0)
        assert len(record.invoke.ticks) == 3
        assert record.inputs.sha256, "the bench protocol describes inputs, so random ones were streamed"
        assert record.verification.reason == "the file of the model is not known here"


def test_one_of_several_is_named_by_its_address(tmp_path: Path) -> None:
    with holding(SMALL, OTHER) as board:
        everything = [r.model.name for r in as_it_is(board, tmp_path / "all").records]
        at = everything[1].rpartition(" at ")[2]
        record = the_record(as_it_is(board, tmp_path / "one", f"@{at}"))
        assert record.model.name == everything[1]
        assert the_record(as_it_is(board, tmp_path / "file", f"{OTHER}@{at}")).model.unproven is None
        with pytest.raises(BoardError, match=r"has no model at 0x123000; in its flash is .* at 0x400000"):
            as_it_is(board, tmp_path / "none", "@0x123000")


@pytest.mark.parametrize("protocol", ["mlperf-tiny", "sscma"])
def test_what_the_protocol_cannot_prove_is_recorded_as_unproven(tmp_path: Path, protocol: str) -> None:
    with holding(SMALL, firmware=protocol) as board:
        named = the_record(as_it_is(board, tmp_path / "a", SMALL, protocol=protocol))
        listed = the_record(as_it_is(board, tmp_path / "b", protocol=protocol))
    assert named.model.sha256 == resolve(SMALL).sha256
    assert named.model.unproven == (
        f"{protocol} cannot tell which model runs: taken to be {SMALL}, which was named"
    )
    assert listed.model.sha256 == ""
    assert listed.model.unproven
    for record in (named, listed):
        assert len(record.invoke.ticks) == 3
        assert f"the model was not proven: {record.model.unproven}" in record.notes


def test_the_stock_firmware_is_taken_unasked_and_one_line_says_what_it_cannot_give(tmp_path: Path) -> None:
    with holding(SMALL, firmware="sscma") as board:
        ran = command(
            *("bench", "--no-flash", SMALL, "-b", "xiao_esp32s3", "--port", board.url, "-n", "3"),
            cwd=tmp_path,
        )
    assert ran.returncode == 0, ran.stderr
    assert (
        "the board answered with its stock firmware and was benched with that: it takes no tensors, and "
        "gives neither outputs nor RAM; the bench firmware does: `harness flash -b xiao_esp32s3`"
    ) in ran.stdout
    row = next(line for line in ran.stdout.splitlines() if line.startswith("xiao_esp32s3"))
    assert f"{SMALL} (unproven)" in row
    assert ".000 ms" not in row, "whole milliseconds are shown as such"
    assert "flashed:" not in ran.stdout
    assert "the camera was sensor 1" in ran.stdout
    assert "ms before and" in ran.stdout
    [record] = [store.read(path) for path in (tmp_path / "results").glob("*/record.json")]
    assert record.firmware.protocol == "sscma"
    assert record.invoke.resolution_us == 1000
    assert record.inputs.camera
    assert len(record.invoke.pre_ms) == len(record.invoke.post_ms) == 3
    shown = command("report", cwd=tmp_path)
    assert f"{SMALL} (unproven" in shown.stdout


def test_a_stock_board_keeps_its_firmware_when_a_model_is_flashed_to_it(tmp_path: Path) -> None:
    stock = BoardProcess("xiao_esp32s3", ["--firmware", "sscma"], listen="rfc2217://127.0.0.1:0")
    with stock as board:
        result = harness.bench(SMALL, "xiao_esp32s3", port=board.url, invokes=2, out=tmp_path)
    assert not result.failures
    [record] = result.records
    assert record.firmware.protocol == "sscma"
    assert SMALL in [outcome.file for flashed in result.flashed for outcome in flashed.written]
    assert record.model.unproven is None, "this very session wrote it"
    assert any("benched with that: it takes no tensors" in note for note in record.notes)


def test_an_emulated_board_is_benched_with_what_its_last_bench_left_there(tmp_path: Path) -> None:
    where = {"port": "emulated", "invokes": 2, "out": tmp_path / "out"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
        with pytest.raises(BoardError, match="nothing in its flash; --no-flash leaves the board as it is"):
            harness.bench((), "xiao_esp32s3", no_flash=True, **where)  # type: ignore[arg-type]
        [flashed] = harness.bench(OTHER, "xiao_esp32s3", **where).records  # type: ignore[arg-type]
        result = harness.bench((), "xiao_esp32s3", no_flash=True, **where)  # type: ignore[arg-type]
    record = the_record(result)
    assert record.model.name.endswith(" at 0x400000")
    assert record.ram.arena_used_bytes == flashed.ram.arena_used_bytes
    assert record.invoke.error_percent is None, "the estimate of a model that is not known has no band"


@given(name=st.text("abc./-_", min_size=1, max_size=12), at=st.none() | st.integers(0, 2**40))
def test_a_model_and_its_address_are_read_as_they_were_written(name: str, at: int | None) -> None:
    written = name if at is None else f"{name}@{at:#x}"
    assert wanted((written,)) == [(name, at)]


@given(st.text(max_size=12), st.text(max_size=12).filter(lambda text: "@" not in text))
def test_what_follows_the_last_at_sign_is_an_address_or_is_refused_in_a_line(name: str, text: str) -> None:
    try:
        at = int(text, 0)
    except ValueError:
        at = -1
    if at < 0:
        with pytest.raises(HarnessError, match="is no address; write it like 0x400000"):
            wanted((f"{name}@{text}",))
    else:
        assert wanted((f"{name}@{text}",)) == [(name, at)]


def test_an_empty_board_says_what_to_do(tmp_path: Path) -> None:
    with holding() as board, pytest.raises(BoardError) as error:
        as_it_is(board, tmp_path)
    assert "lists no model in its flash; put one there (leave --no-flash out, or `harness flash" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"port": "/dev/ttyNONE"}, r"which board is at /dev/ttyNONE\? Say it with --board \("),
        ({"port": "emulated"}, "an emulated board has to be named"),
        ({"boards": ["xiao_esp32s3"], "drive": "."}, "--no-flash touches no boot loader; leave --drive out"),
        ({"boards": ["xiao_esp32s3"], "models": ["@x"]}, "'x' is no address; write it like 0x400000"),
        ({"boards": ["xiao_esp32s3"]}, "no xiao_esp32s3 is attached"),
        ({}, "no known board is attached; name the one to bench with --board"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(
    tmp_path: Path, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(HarnessError, match=sentence):
        harness.bench(no_flash=True, out=tmp_path, **options)  # type: ignore[arg-type]
