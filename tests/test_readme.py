"""The figures that the README shows are those that the commands print today."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from harness import boards
from harness.check.forecast import forecast
from harness.cli.calibrate import command as calibrate
from harness.models import bundled
from harness.models.resolve import resolve
from harness.results.table import origin_of_time
from tests.test_package import CHECKOUT

README = " ".join((CHECKOUT / "README.md").read_text(encoding="utf-8").split())
NAMES = {"esp32": "ESP32", "esp32s3": "ESP32-S3", "we1": "WE1", "we2": "WE2"}


def test_how_far_estimates_are_off_is_what_the_held_out_table_says() -> None:
    table = json.loads(CliRunner().invoke(calibrate, ["--held-out", "--json"]).stdout)
    said = re.findall(
        r"([\d.]+)(?: in the median)? and ([\d.]+)(?: at worst)? on the ([\w-]+) \((\d+)", README
    )
    assert sorted(said) == sorted(
        (
            *(f"{chip['median_factor']:.2f}", f"{chip['worst_factor']:.2f}"),
            *(NAMES[chip["chip"]], str(len(chip["figures"]))),
        )
        for chip in table
    )


@pytest.mark.parametrize("board", ["xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2"])
def test_the_sample_has_the_time_the_band_and_the_arena_that_are_estimated_today(board: str) -> None:
    found = re.search(
        rf"\b{board} (\S+) int8 (?:\(Vela\) )?(\S+ ms) ±\S+ ms \d+ (\w+,? .*?) (\S+ KiB)", README
    )
    assert found, f"the README shows no run on {board}"
    model, *said = found.groups()
    fate = forecast(resolve(model), boards.load(board))
    time = fate.time
    assert time.seconds is not None
    assert said == [
        f"{time.seconds * 1e3:.3f} ms",
        origin_of_time("estimated", time.band_percent, time.below_percent),
        f"{fate.ram.needed.used_bytes / 1024:.1f} KiB",
    ]


def test_a_band_that_is_explained_is_one_that_is_shown() -> None:
    sample, text = README.split("Every figure says where it comes from")
    low, high = re.findall(r"`-(\d+)/\+(\d+) %`", text)[0]
    assert f"-{low}/+{high} %" in sample
    assert f"from {low} % shorter to {high} % longer" in text
    factor = re.findall(r"`(up to ×[\d.]+)`", text)[0]
    assert factor in sample
    assert f"at most {factor.removeprefix('up to ×')} times as long" in text


def test_the_bundled_models_are_listed() -> None:
    listed = re.search(r"The six bundled models \((.*?)\)", README)
    assert listed
    assert sorted(re.findall(r"`(\w+)`", listed[1])) == sorted(bundled.names())
    assert len(bundled.names()) == 6
