"""The main job on boards with other chips than those that the harness began with."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness

SMALL, OTHER = "cifar10_mbv2_035_32_int8", "mnist_mbv2_035_32_int8"


@pytest.mark.parametrize("board", ["xiao_esp32c3", "xiao_esp32c6", "raspberry_pi_pico"])
def test_a_board_is_flashed_once_and_benched_and_no_time_is_guessed(board: str, tmp_path: Path) -> None:
    first = harness.bench([SMALL], [board], port="emulated", invokes=2, out=tmp_path)
    again = harness.bench([SMALL, OTHER], [board], port="emulated", invokes=2, out=tmp_path)
    for record in (*first.records, *again.records):
        assert record.verification.verdict == "exact"
        assert record.board.id == board
        assert not record.invoke.ticks
    assert len(first.flashed[0].outcomes) >= 2
    assert [len(flashed.outcomes) for flashed in again.flashed] == [0, 1]
