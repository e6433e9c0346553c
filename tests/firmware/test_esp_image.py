"""ESP32-S3 images and partition tables: built sound, and every kind of damage seen."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from functools import reduce
from operator import xor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import boards
from harness.chips import espimage, filling, partitions
from harness.chips.espimage import NotAnImage
from harness.chips.partitions import BadTable, Partition
from harness.emulator.rom.esp32_loader import checksum
from harness.firmware import virtual
from tests.firmware import made

IMAGE = made.application()


def test_an_image_is_read_whatever_follows_it() -> None:
    image = espimage.read("esp32s3", IMAGE + b"behind it")
    assert espimage.length(image) == len(IMAGE)
    assert image.stored_digest == image.calc_digest
    assert image.checksum == image.calculate_checksum()
    assert espimage.is_application(image)
    assert not espimage.is_application(espimage.read("esp32s3", made.boot_loader()))
    assert espimage.descriptor_of(image) is None  # noise is none


@given(st.binary(max_size=2000))
def test_the_loader_s_checksum_is_the_exclusive_or_of_all_bytes(data: bytes) -> None:
    assert checksum(data) == reduce(xor, data, 0xEF)


@given(st.integers(0, 8 * len(IMAGE) - 1))
def test_a_flipped_bit_never_goes_unnoticed(bit: int) -> None:
    damaged = bytearray(IMAGE)
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        image = espimage.read("esp32s3", bytes(damaged))
    except NotAnImage:
        return
    assert not image.append_digest or image.calc_digest != image.stored_digest


@given(st.integers(0, len(IMAGE) - 1))
def test_an_image_that_is_cut_short_is_none(length: int) -> None:
    with pytest.raises(NotAnImage):
        espimage.read("esp32s3", IMAGE[:length])


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, begin: bool) -> None:
    data = IMAGE[:24] + data if begin else data
    with contextlib.suppress(NotAnImage):
        assert espimage.length(espimage.read("esp32s3", data)) <= len(data)


def test_the_table_is_read_back_and_its_damage_is_found() -> None:
    rows = [Partition("nvs", 1, 2, 0x9000, 0x6000), Partition("factory", 0, 0, 0x10000, 0x100000)]
    table = partitions.build(rows)
    assert partitions.read(table) == rows
    with pytest.raises(BadTable, match="MD5"):
        partitions.read(table[:4] + b"\x42" + table[5:])
    with pytest.raises(BadTable) as blank:
        partitions.read(b"\xff" * 0xC00)
    assert (blank.value.entry, blank.value.magic) == (0, 0xFFFF)


def test_the_table_has_the_profile_s_regions() -> None:
    board = boards.load("xiao_esp32s3")
    table = {name: data for name, _, data in virtual.build(board, "bench")}["partition table"]
    found = {p.name: (p.offset, p.size) for p in partitions.read(table)}
    assert found["models"] == (0x400000, 4 << 20)
    assert found["factory"] == (0x40000, 3648 << 10)
    assert set(found) == {"nvs", "otadata", "phy_init", "factory", "db", "models"}


@pytest.mark.interop
@pytest.mark.parametrize("part", ["boot loader", "application"])
def test_esptool_accepts_the_images(tmp_path: Path, part: str) -> None:
    parts = {name: data for name, _, data in virtual.build(boards.load("xiao_esp32s3"), "bench")}
    path = tmp_path / "image.bin"
    path.write_bytes(parts[part])
    done = subprocess.run(
        [sys.executable, "-m", "esptool", "image-info", str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Detected image type: ESP32-S3" in done.stdout
    assert "(valid)" in done.stdout.split("Checksum:")[1].splitlines()[0]
    assert "(valid)" in done.stdout.split("Validation hash:")[1].splitlines()[0]
    if part == "application":
        assert "Project name: harness-virtual-bench" in done.stdout
        assert f"App version: {filling.VERSION}" in done.stdout
    else:
        assert "Bootloader version: 1" in done.stdout


@pytest.mark.interop
def test_esptool_reads_the_partition_table_s_neighbours_as_one_merged_image(tmp_path: Path) -> None:
    """The parts fit together: merged by esptool, they are where the profile says."""
    board = boards.load("xiao_esp32s3")
    arguments = []
    for number, (_, offset, data) in enumerate(virtual.build(board, "bench")):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(data)
        arguments += [hex(offset), str(path)]
    merged = tmp_path / "merged.bin"
    subprocess.run(
        [sys.executable, "-m", "esptool", "--chip", "esp32s3", "merge-bin", "-o", str(merged), *arguments],
        check=True,
        capture_output=True,
        timeout=60,
    )
    flat = merged.read_bytes()
    for _, offset, data in virtual.build(board, "bench"):
        assert flat[offset : offset + len(data)] == data
