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
from harness.chips import espimage, filling
from harness.chips.espimage import BadTable, NotAnImage, Partition, Segment
from harness.firmware import virtual

S3 = 9
"""The chip id of the ESP32-S3 (esptool, targets/esp32s3.py)."""

segments = st.lists(
    st.builds(
        Segment,
        st.integers(0, 0xFFFFFFFF),
        st.integers(1, 64).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words)),
    ),
    min_size=1,
    max_size=5,
)


@given(segments, st.integers(0, 0xFFFFFFFF), st.binary(max_size=100))
def test_what_is_built_is_read_back_whatever_follows_it(
    parts: list[Segment], entry: int, behind: bytes
) -> None:
    data = espimage.build(parts, entry, S3)
    image = espimage.read(data + behind)
    assert list(image.segments) == parts
    assert image.entry == entry
    assert image.checksum == image.stored_checksum
    assert image.sha256 == image.stored_sha256
    assert image.length == len(data)


@given(st.binary(max_size=2000))
def test_the_checksum_is_the_exclusive_or_of_all_bytes(data: bytes) -> None:
    assert espimage.checksum(data) == reduce(xor, data, 0xEF)


@given(segments, st.data())
def test_a_flipped_bit_never_goes_unnoticed(parts: list[Segment], data: st.DataObject) -> None:
    sound = espimage.build(parts, 0x40374000, S3)
    bit = data.draw(st.integers(0, 8 * len(sound) - 1))
    damaged = bytearray(sound)
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        image = espimage.read(bytes(damaged))
    except NotAnImage:
        return
    assert image.sha256 != image.stored_sha256


@given(segments, st.data())
def test_an_image_that_is_cut_short_is_none(parts: list[Segment], data: st.DataObject) -> None:
    whole = espimage.build(parts, 0, S3)
    with pytest.raises(NotAnImage):
        espimage.read(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(NotAnImage):
        assert espimage.read(data).length <= len(data)


def test_the_table_is_read_back_and_its_damage_is_found() -> None:
    partitions = [Partition("nvs", 1, 2, 0x9000, 0x6000), Partition("factory", 0, 0, 0x10000, 0x100000)]
    table = espimage.partition_table(partitions)
    assert espimage.read_table(table) == partitions
    with pytest.raises(BadTable, match="MD5"):
        espimage.read_table(table[:4] + b"\x42" + table[5:])
    with pytest.raises(BadTable) as blank:
        espimage.read_table(b"\xff" * 0xC00)
    assert (blank.value.entry, blank.value.magic) == (0, 0xFFFF)


def test_the_table_has_the_profile_s_regions() -> None:
    board = boards.load("xiao_esp32s3")
    table = {name: data for name, _, data in virtual.build(board, "bench")}["partition table"]
    found = {p.name: (p.offset, p.size) for p in espimage.read_table(table)}
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
