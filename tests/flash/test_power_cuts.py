"""The power is cut at any moment of a flash: the next bench notices, repairs, and measures the right one."""

from __future__ import annotations

import contextlib
import os
import random
import threading
from pathlib import Path

import pytest

import harness
from harness.boards import Profile
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.process import BoardProcess
from harness.errors import HarnessError
from harness.flash.method import FlashFile, Target, enter
from harness.models import resolve
from harness.runner.deploy import deploy
from harness.runner.emulated import flash_directory
from tests.flash.rig import A1101, ESP, WE1, WE2, firmware

MODEL, OTHER = "cifar10_mbv2_035_32_int8", "mnist_mbv2_035_32_int8"
BOARDS = (ESP, WE1, WE2, A1101)
CUTS = 100


def what_is_flashed(board: Profile, name: str) -> list[FlashFile]:
    deployed = deploy(resolve.resolve(name), board).file
    return [*firmware(board), FlashFile(name, board.flash.model_region.offset, deployed.data, "model")]


def flash_and_cut(board: Profile, seed: int, directory: Path, drives: Path) -> None:
    """Flash a model and kill the board at a random moment of it."""
    rng = random.Random(seed)
    files = what_is_flashed(board, MODEL)
    total = sum(len(file.data) for file in files)
    cut_at = rng.randrange(total)
    finished = {file.name: 0 for file in files}
    options = ["--flash", str(directory), "--drive", str(drives)]
    with BoardProcess(str(board.path), options) as process:

        def progress(file: str, done: int, size: int) -> None:
            finished[file] = done
            if sum(finished.values()) >= cut_at:
                # Not on a block's border alone: a little later, somewhere in what the board does with it.
                threading.Timer(rng.random() * 0.003, lambda: kill(process)).start()

        target = Target(board, process.url, press=process.press, drives=(drives,))
        with contextlib.suppress(HarnessError), enter(target) as loader:
            loader.write(files, progress)


def kill(process: BoardProcess) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, 9)


def check(board: Profile, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.flash import uf2, xmodem

    # A dead board is found out soon enough.
    monkeypatch.setattr(xmodem, "ANSWER_S", 0.3)
    monkeypatch.setattr(xmodem, "RETRIES", 1)
    monkeypatch.setattr(xmodem, "BOOT_S", 0.2)
    monkeypatch.setattr(uf2, "TAKE_S", 0.5)
    monkeypatch.setattr(uf2, "APPEAR_S", 1.0)
    monkeypatch.setattr(uf2, "BACK_S", 0.5)
    drives = tmp_path / "drives"
    with flash_directory(board) as (directory, _):
        for old in directory.glob("*.bin"):
            old.unlink()
        if seed % 2:
            # Not the first flash of this board: something sound is there to be overwritten.
            flash = BoardFlash(board, directory)
            for file in what_is_flashed(board, OTHER):
                flash.program_for_core(file.address, file.data)
        flash_and_cut(board, seed, directory, drives)
    result = harness.bench([MODEL], [board.id], port="emulated", invokes=1, warmup=0, out=tmp_path / "out")
    assert not result.failures, (board.id, seed, result.failures)
    [record] = result.records
    assert record.verification.verdict == "exact", (board.id, seed)
    with flash_directory(board) as (directory, _):
        flash = BoardFlash(board, directory)
        for file in what_is_flashed(board, MODEL):
            assert flash.read_by_core(file.address, len(file.data)) == file.data, (board.id, seed)


@pytest.mark.parametrize("board", [WE1, WE2], ids=lambda board: board.id)
def test_a_cut_is_noticed_and_repaired(
    board: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(board, 7, tmp_path, monkeypatch)


@pytest.mark.soak
@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.id)
def test_every_cut_is_noticed_and_repaired(
    board: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(CUTS // len(BOARDS)):
        check(board, seed, tmp_path / str(seed), monkeypatch)
