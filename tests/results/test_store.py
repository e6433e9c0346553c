"""The store keeps what it acknowledged, shows nothing half written, and survives what lies about in it."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.results import store
from tests.results.making import put, record


def test_a_written_record_reads_back_equal(tmp_path: Path) -> None:
    made = record()
    path = store.write(made, tmp_path / "deep" / "results")
    assert path.parent.name == made.id
    assert (
        store.read(path)
        == store.read(path.parent)
        == made.model_copy(update={"digest": store.read(path).digest})
    )


def test_two_records_of_one_id_do_not_overwrite_each_other(tmp_path: Path) -> None:
    first = store.write(record(id="a"), tmp_path)
    before = first.read_bytes()
    with pytest.raises(HarnessError, match="of this id already"):
        store.write(record([7], id="a"), tmp_path)
    assert first.read_bytes() == before
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HarnessError, match="No space left on device; free some space"):
        store.write(record(), tmp_path)
    assert os.listdir(tmp_path) == []


def test_an_unwritable_directory_is_found_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        HarnessError, match="cannot keep a record here: Not a directory; name another"
    ) as error:
        store.ensure_writable(tmp_path / "file" / "results")
    assert "space" not in str(error.value)


def test_what_killed_writers_left_is_swept_after_a_day(tmp_path: Path) -> None:
    old, new = tmp_path / ".writing-old", tmp_path / ".writing-new"
    for left in (old, new):
        left.mkdir()
        (left / "record.json").write_text("{")
    os.utime(old, (time.time() - 90_000,) * 2)
    store.ensure_writable(tmp_path)
    assert os.listdir(tmp_path) == [".writing-new"]
    assert store.read_all(tmp_path) == ([], [])


def test_a_baseline_below_a_store_is_not_part_of_it(tmp_path: Path) -> None:
    store.write(record(id="run"), tmp_path)
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / "kept.json").write_bytes(store.serialise(record(id="kept")))
    assert [r.id for r in store.read_all(tmp_path)[0]] == ["run"]
    assert [r.id for r in store.read_all(tmp_path / "baseline")[0]] == ["kept"]


def test_a_run_reached_by_two_paths_counts_once(tmp_path: Path) -> None:
    path = store.write(record(), tmp_path)
    records, damaged = store.read_all(tmp_path, path, path.parent)
    assert len(records) == 1
    assert damaged == []


def _ruin(kind: str, path: Path, chance: random.Random) -> None:
    """Make the good record at `path` a broken one."""
    data = path.read_bytes()
    values = json.loads(data)
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "zeros":
            path.write_bytes(bytes(len(data)))
        case "cut":
            path.write_bytes(data[: chance.randrange(1, len(data) - 3)])
        case "noise":
            path.write_bytes(chance.randbytes(400))
        case "flipped":
            place = data.index(b'"ticks": [') + 10
            path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        case "not a record":
            path.write_text(json.dumps([values]))
        case "newer":
            path.write_text(json.dumps({**values, "schema_version": 99}))
        case "missing key":
            path.write_text(json.dumps({k: v for k, v in values.items() if k not in ("board", "digest")}))
        case "wrong kind":
            path.write_text(
                json.dumps({**values, "digest": None, "invoke": {**values["invoke"], "ticks": "1"}})
            )
        case "deep":
            path.write_text("[" * 100_000)
        case "dangling":
            path.unlink()
            path.symlink_to("nowhere")
        case "directory":
            path.unlink()
            path.mkdir()
        case "pipe":
            path.unlink()
            os.mkfifo(path)
        case "repeat":
            other = path.parent.with_name(path.parent.name + "-copy")
            path.parent.rename(other)
            put(store.parse(data, path), path.parent.parent)


KINDS = [
    *("empty", "zeros", "cut", "noise", "flipped", "not a record", "newer", "missing key", "wrong kind"),
    *("deep", "dangling", "directory", "pipe", "repeat"),
]


def test_a_thousand_records_of_every_broken_kind(tmp_path: Path) -> None:
    chance = random.Random(5)
    good, bad = set(), {}
    for number in range(1000):
        path = put(record(id=f"run{number:04}"), tmp_path)
        if number % 2:
            kind = KINDS[number // 2 % len(KINDS)]
            _ruin(kind, path, chance)
            if kind == "repeat":
                good.add(path.parent.name)
                path = path.parent.with_name(path.parent.name + "-copy") / path.name
            bad[path] = kind
        else:
            good.add(path.parent.name)
    records, damaged = store.read_all(tmp_path)
    assert {r.id for r in records} == good
    assert len(records) == len(good)
    assert sorted(d.path for d in damaged) == sorted(bad)
    assert all(d.reason for d in damaged)


def _write_until_killed(directory: Path, acknowledge: int) -> None:
    """Write records for ever, and say which are written through a pipe."""
    number = 0
    while True:
        made = record(range(number % 500), notes=["x" * (number % 4096)])
        store.write(made, directory)
        os.write(acknowledge, f"{made.id}\n".encode())
        number += 1


def _kill_writers(directory: Path, kills: int, seed: int) -> tuple[int, int]:
    """Kill two writers `kills` times at random instants; return the counts acknowledged and abandoned."""
    chance = random.Random(seed)
    reader, acknowledge = os.pipe()
    os.set_blocking(reader, False)
    acknowledged: set[str] = set()
    killed = 0
    while killed < kills:
        writers = []
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                _write_until_killed(directory, acknowledge)
            writers.append(pid)
        for pid in writers:
            time.sleep(chance.uniform(0, 0.012))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            killed += 1
        while True:
            try:
                said = os.read(reader, 1 << 20)
            except BlockingIOError:
                break
            acknowledged.update(said.decode().split())
    os.close(reader)
    os.close(acknowledge)
    records, damaged = store.read_all(directory)
    assert damaged == []
    found = {r.id for r in records}
    assert len(found) == len(records)
    assert acknowledged <= found
    # A writer can be killed between the rename and the acknowledgement, once each.
    assert len(found - acknowledged) <= kills
    return len(acknowledged), len(list(directory.glob(".writing-*")))


def test_killed_writers_lose_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged, _ = _kill_writers(tmp_path, kills=60, seed=1)
    assert acknowledged > 0


@pytest.mark.soak
def test_two_writers_killed_a_thousand_times_lose_nothing(tmp_path: Path) -> None:
    acknowledged, left = _kill_writers(tmp_path, kills=1000, seed=2)
    print(f"\n1000 kills: {acknowledged} records acknowledged, all whole; {left} abandoned in mid-write")
    assert left > 100, "the kills should often have come in the middle of a write"
