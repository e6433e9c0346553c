"""That there is no firmware image for a real board is said before anybody plugs it in or looks for it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

import harness
from harness.errors import HarnessError
from harness.flash import drives
from harness.runner import attached
from harness.runner.api import flash_board

SMALL = "cifar10_mbv2_035_32_int8"
NO_IMAGE = (
    "xiao_esp32s3: no bench firmware for the hardware (the shipped one runs on the virtual board only); "
    "build one (firmware/ports, or your own to firmware/PROTOCOL.md), then "
    "`harness firmware add FILE --board xiao_esp32s3 --protocol bench`"
)


@pytest.fixture(autouse=True)
def _nothing_attached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(attached, "_comports", list[SimpleNamespace])
    monkeypatch.setattr(drives, "find", list)


def test_flash_says_it_instead_of_asking_for_the_board() -> None:
    with pytest.raises(HarnessError) as error:
        flash_board("xiao_esp32s3")
    assert str(error.value) == NO_IMAGE


def test_flash_says_it_before_it_opens_a_port() -> None:
    with pytest.raises(HarnessError) as error:
        flash_board("xiao_esp32s3", "/dev/ttyACM77")
    assert str(error.value) == NO_IMAGE


def test_models_alone_need_no_image(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no xiao_esp32s3 is attached"):
        flash_board("xiao_esp32s3", models=[SMALL])


def test_bench_says_it_and_that_a_board_with_firmware_needs_none(tmp_path: Path) -> None:
    with pytest.raises(HarnessError) as error:
        harness.bench(SMALL, "xiao_esp32s3", port="auto", out=tmp_path / "out")
    assert str(error.value) == (
        f"{NO_IMAGE}; a board that holds its firmware already, the vendor's too, needs none: plug it in, and "
        "look with `harness ports`"
    )
    assert not (tmp_path / "out").exists()


def test_a_name_for_a_pty_is_looked_at_as_a_pty(tmp_path: Path) -> None:
    master, slave = os.openpty()
    (tmp_path / "board").symlink_to(os.ttyname(slave))
    try:
        with pytest.raises(HarnessError, match="loader does not answer"):
            flash_board("xiao_esp32s3", str(tmp_path / "board"))
    finally:
        os.close(master)
        os.close(slave)
