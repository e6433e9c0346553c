"""What is refused before a byte is sent, each with one clear line."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.boards import Profile
from harness.errors import HarnessError
from harness.firmware import virtual
from harness.flash.checks import check, refuse_virtual
from harness.flash.method import FlashFile
from tests.firmware import made
from tests.flash.rig import A1101, ESP, WE1, WE2, firmware


def model(address: int, size: int = 1000) -> FlashFile:
    return FlashFile("net.tflite", address, bytes(size), "model")


def merged(parts: list[FlashFile]) -> bytes:
    """One file from 0x0 on, as esptool's merge-bin makes it."""
    out = bytearray(b"\xff" * max(part.end for part in parts))
    for part in parts:
        out[part.address : part.end] = part.data
    return bytes(out)


APP = virtual.build(ESP, "bench")[2][2]
MERGED = merged(firmware(ESP))
VENDORS = {
    ESP.chip.name: made.merged_esp(),
    WE1.chip.name: made.we1(),
    WE2.chip.name: made.we2(),
}
CONTAINER = virtual.build(WE2, "bench")[0][2]

REFUSED = {
    "outside the map": (
        WE1,
        [model(0x20000000)],
        "1000 bytes at 0x20000000 are outside grove_vision_ai's flash",
    ),
    "beyond the end": (ESP, [model(0x7FF000, 5000)], "go 904 bytes beyond"),
    "not at a block": (ESP, [model(0x400100)], "multiples of 0x1000 there; the next is 0x401000"),
    "model where firmware goes": (
        ESP,
        [model(0x40000)],
        "not within a region for models; free to use: models",
    ),
    "WE2 model below 2 MiB": (
        WE2,
        [model(0x1FF000)],
        "not within a region for models; free to use: .*0x200000",
    ),
    "WE2 image over 1 MiB": (
        WE2,
        [FlashFile("image", 0, made.we2().ljust((1 << 20) + 1), "firmware")],
        "may have at most 1048576 bytes",
    ),
    "WE1 model longer than its slot": (
        A1101,
        [model(0x30000000, (1 << 20) + 1)],
        "not within a region for models",
    ),
    "overlap": (ESP, [model(0x400000, 5000), model(0x401000)], "overlap; write one of them somewhere else"),
    "nothing": (ESP, [model(0x400000, 0)], "there is nothing in it to flash"),
    "no image": (
        ESP,
        [FlashFile("notes.txt", 0x40000, b"hello", "firmware")],
        "no image for Espressif ESP32-S3",
    ),
    "cut short": (
        ESP,
        [FlashFile("app", 0x40000, APP[:-40], "firmware")],
        "it ends after 4648 bytes, before its checksum",
    ),
    "flipped bit": (
        ESP,
        [FlashFile("app", 0x40000, APP[:999] + b"\0" + APP[1000:], "firmware")],
        "its checksum is",
    ),
    "flipped header": (
        ESP,
        [FlashFile("app", 0x40000, APP[:4] + b"\1" + APP[5:], "firmware")],
        "its SHA-256 does",
    ),
    "for another ESP32": (
        ESP,
        [FlashFile("app", 0x40000, made.application(made.PLAIN), "firmware")],
        "an image for the ESP32, but xiao_esp32s3 has Espressif ESP32-S3",
    ),
    "a Himax image for an ESP32": (
        ESP,
        [FlashFile("i", 0x40000, CONTAINER, "firmware")],
        "an image for the HX6538, but xiao_esp32s3 has Espressif ESP32-S3",
    ),
    "an ESP32 image for a Himax": (
        WE2,
        [FlashFile("app", 0, APP, "firmware")],
        "an image for the ESP32-S3, but",
    ),
    "WE2's image for the WE1": (
        WE1,
        [FlashFile("i", 0x10000000, CONTAINER, "firmware")],
        "an image for the HX6538, but grove_vision_ai has Himax HX6537-A",
    ),
    "a model as firmware": (
        WE1,
        [FlashFile("net.tflite", 0x10000000, b"\x1c\0\0\0TFL3" + bytes(99), "firmware")],
        "a TFLite model, not a firmware image; flash it with --model",
    ),
    "merged image with a damaged application": (
        ESP,
        [FlashFile("merged", 0, MERGED[:0x40400] + b"\0\1\2" + MERGED[0x40403:], "firmware")],
        "merged, application at 0x40000: its checksum is",
    ),
    "merged image with a damaged table": (
        ESP,
        [FlashFile("merged", 0, MERGED[:0x8010] + b"?" + MERGED[0x8011:], "firmware")],
        "its partition table is damaged: the table's MD5 does not match",
    ),
    "container cut short": (
        WE2,
        [FlashFile("i", 0, CONTAINER[:-1], "firmware")],
        "it has 4447 of 4448 bytes",
    ),
    "container's payload": (
        WE2,
        [FlashFile("i", 0, CONTAINER[:-1] + b"?", "firmware")],
        "its SHA-256 does not match",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_line(case: str) -> None:
    board, files, expected = REFUSED[case]
    with pytest.raises(HarnessError, match=expected) as error:
        check(board, files)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("board", [ESP, WE1, A1101, WE2], ids=lambda board: board.id)
def test_what_is_meant_for_a_board_passes(board: Profile) -> None:
    place = board.flash.model_region
    check(board, [*firmware(board), FlashFile("m", place.offset, bytes(place.size_bytes), "model")])
    vendor = [FlashFile("vendor's", board.flash.image_offset, VENDORS[board.chip.name], "firmware")]
    check(board, vendor)
    refuse_virtual(board, vendor)


@pytest.mark.parametrize("board", [ESP, WE1, WE2], ids=lambda board: board.id)
def test_an_image_for_the_virtual_board_is_not_for_the_real_one(board: Profile) -> None:
    with pytest.raises(HarnessError, match=r"runs on the virtual \w+ only.*`harness firmware add`"):
        refuse_virtual(board, firmware(board))


def test_a_part_of_a_virtual_image_and_a_merged_one_are_not_for_the_real_board_either() -> None:
    loader = firmware(ESP)[0]
    for file in (loader, FlashFile("merged", 0, MERGED, "firmware")):
        check(ESP, [file])
        with pytest.raises(HarnessError, match="runs on the virtual xiao_esp32s3 only"):
            refuse_virtual(ESP, [file])


@given(
    st.lists(st.tuples(st.integers(0, 1100), st.integers(1, 40000)), min_size=1, max_size=6),
    st.sampled_from([ESP, WE2]),
)
def test_nothing_passes_that_overlaps_or_leaves_the_models_region(
    places: list[tuple[int, int]], board: Profile
) -> None:
    files = [FlashFile(str(n), 4096 * at, bytes(size), "model") for n, (at, size) in enumerate(places)]
    allowed = [r for r in board.flash.regions if "model" in r.holds]
    inside = all(any(r.offset <= g.address and g.end <= r.end for r in allowed) for g in files)
    spans = sorted((g.address, g.end) for g in files)
    apart = all(before[1] <= after[0] for before, after in pairwise(spans))
    try:
        check(board, files)
    except HarnessError:
        assert not (inside and apart)
    else:
        assert inside
        assert apart
