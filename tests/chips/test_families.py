"""Chip families: which images they take, and what a profile that names one has to look like."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import boards
from harness.boards import Profile
from harness.chips import rp2040
from harness.chips.family import FAMILIES, Piece, family_of
from harness.cli import cli
from harness.errors import HarnessError
from harness.firmware import images, virtual
from harness.runner import fitting

PROFILES = {board.id: board for board in boards.all_profiles()}
PICO = PROFILES["raspberry_pi_pico"]


def image(board: Profile) -> bytes:
    """Return the only part of a board's virtual firmware, or the first."""
    return virtual.build(board, "bench")[0][2]


def place(board: Profile, name: str, data: bytes) -> Piece:
    """Return an image with its place."""
    (placed,) = images.arrange(board, [Piece(name, data)])
    return placed


@pytest.mark.parametrize("of", PROFILES)
@pytest.mark.parametrize("on", PROFILES)
def test_an_image_is_taken_by_its_own_chip_and_refused_for_every_other(of: str, on: str) -> None:
    own, other = PROFILES[of], PROFILES[on]
    if own.chip.name == other.chip.name:
        assert place(other, "image", image(own)).data == image(own)
        assert images.is_virtual(image(own))
    else:
        expected = f"image: an image for the .*, but {on} has {re.escape(other.chip.name)}"
        with pytest.raises(HarnessError, match=expected):
            place(other, "image", image(own))


@pytest.mark.parametrize("name", PROFILES)
def test_noise_is_no_image(name: str) -> None:
    board = PROFILES[name]
    with pytest.raises(HarnessError, match=re.escape(f"no image for {board.chip.name}")):
        place(board, "noise", random.Random(1).randbytes(8192))


def test_the_rp2040_s_checksum_is_the_one_of_its_data_sheet() -> None:
    """Its parameters are those of CRC-32/MPEG-2, whose check value is in the catalogue of CRC algorithms."""
    assert rp2040.crc(b"123456789") == 0x0376E6E7


def test_one_flipped_bit_of_the_second_stage_keeps_an_rp2040_from_booting() -> None:
    sound = image(PICO)
    assert rp2040.boots(sound)
    for bit in range(0, 256 * 8, 37):
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not rp2040.boots(bytes(damaged))


def test_an_esp32_takes_a_partition_table_where_its_tables_are() -> None:
    board = PROFILES["xiao_esp32c3"]
    table = {name: data for name, _, data in virtual.build(board, "bench")}["partition table"]
    assert place(board, "partition-table.bin", table).address == 0x8000
    with pytest.raises(HarnessError, match="its partition table is damaged"):
        place(board, "partition-table.bin", table[:40] + b"?" + table[41:])


def changed(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """Return the path of the ESP32-C3's profile with changes."""
    text = PROFILES["xiao_esp32c3"].path.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    path = tmp_path / "own.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("before", "after", "key", "message"),
    [
        (
            'family = "esp32"',
            'family = "esp23"',
            "chip.family",
            "unknown chip family 'esp23'; did you mean 'esp32'?",
        ),
        (
            'name = "Espressif ESP32-C3"',
            'name = "Espressif ESP32-C5"',
            "chip.name",
            "no chip of the family esp32; known: Espressif ESP32-S3, Espressif ESP32-C3, Espressif ESP32-C6",
        ),
        (
            'chip = "esp32c3"',
            'chip = "esp32s3"',
            "flash.esptool.chip",
            "'esp32s3' is not the Espressif ESP32-C3: esp32c3",
        ),
        (
            'holds = ["boot_loader"]',
            'holds = ["data"]',
            "flash.region",
            "no region holds 'boot_loader', which this family boots from",
        ),
        (
            'method = "esptool"',
            'method = "esptol"',
            "flash.method",
            "unknown flashing method 'esptol'; did you mean 'esptool'?",
        ),
        (
            'supported = ["bench", "mlperf-tiny"]',
            'supported = ["bench", "mlperf-tinny"]',
            "protocols.supported[1]",
            "unknown protocol 'mlperf-tinny'; did you mean 'mlperf-tiny'?",
        ),
    ],
)
def test_what_a_profile_names_and_is_not_there_is_said_by_line(
    tmp_path: Path, before: str, after: str, key: str, message: str
) -> None:
    path = changed(tmp_path, (before, after))
    line = 1 + path.read_text()[: path.read_text().index(after)].count("\n")
    done = CliRunner().invoke(cli, ["boards", "check", str(path)])
    assert done.exit_code == 2
    assert f": {key}: {message}" in done.output
    if key != "flash.region":  # the table of which one is missing, wherever that would be
        assert done.output.startswith(f"{path}:{line}: ")
    with pytest.raises(HarnessError, match=re.escape(key)):
        fitting.load(str(path))


def test_a_board_with_a_chip_that_no_family_knows_is_valid_and_cannot_be_emulated(tmp_path: Path) -> None:
    path = changed(tmp_path, ('family = "esp32"', 'family = "other"'), ("Espressif ESP32-C3", "ACME 5500"))
    done = CliRunner().invoke(cli, ["boards", "check", str(path)])
    assert done.exit_code == 0
    assert done.output.endswith("it cannot be emulated: the chip family 'other' has no virtual boot ROM\n")
    with pytest.raises(HarnessError, match="chips of the family other cannot be emulated"):
        virtual.build(boards.load(str(path)), "bench")


def test_every_family_is_found_by_its_name() -> None:
    assert [FAMILIES.get(name).name for name in FAMILIES.names()] == FAMILIES.names()
    assert family_of(PICO) is rp2040.RP2040
