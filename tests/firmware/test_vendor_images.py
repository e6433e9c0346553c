"""Images of the vendors' forms: taken by their own board, and by no other, whatever happens to them."""

from __future__ import annotations

import contextlib
import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import boards
from harness.boards import Profile
from harness.chips import uf2file, wiseeye
from harness.chips.family import Piece
from harness.chips.partitions import Partition
from harness.chips.wiseeye import NotSound
from harness.errors import HarnessError
from harness.firmware import images
from harness.runner.adding import examine
from tests.firmware import made

BOARDS = {board.id: board for board in boards.all_profiles()}
ESP32S3, ESP32C3, WE2 = (BOARDS[name] for name in ("xiao_esp32s3", "xiao_esp32c3", "grove_vision_ai_we2"))


@cache
def vendor_s(chip: str) -> bytes:
    """Return an image of the form that the vendor of a chip gives out."""
    return {
        "Espressif ESP32-S3": lambda: made.merged_esp(made.S3),
        "Espressif ESP32-C3": lambda: made.merged_esp(made.C3),
        "Espressif ESP32-C6": lambda: made.merged_esp(made.C6),
        "Himax HX6537-A (WE1)": made.we1,
        "Himax HX6538 (WE2)": made.we2,
        "Raspberry Pi RP2040": made.pico,
    }[chip]()


CHIPS = sorted({board.chip.name for board in BOARDS.values()})


def taken(board: Profile, data: bytes) -> bool:
    """Tell whether an image is taken for a board."""
    try:
        images.arrange(board, [Piece("image", data)])
    except HarnessError:
        return False
    return True


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.id)
@pytest.mark.parametrize("chip", CHIPS)
def test_an_image_is_taken_for_its_chip_alone(board: Profile, chip: str) -> None:
    assert taken(board, vendor_s(chip)) is (chip == board.chip.name)


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.id)
@pytest.mark.parametrize(
    "data",
    [
        b"# A page of text\n" * 999,
        bytes(5000),
        b"\xff" * 5000,
        b"\x7fELF" + bytes(5000),
        b"\xe9",
        b"ckBS",
        b"BLp\2",
    ],
    ids=["text", "zeros", "erased flash", "ELF", "one byte", "WE2's first bytes", "WE1's first bytes"],
)
def test_what_is_no_image_is_taken_for_no_board(board: Profile, data: bytes) -> None:
    assert not taken(board, data)


@given(st.binary(max_size=4000))
def test_noise_is_taken_for_no_board(data: bytes) -> None:
    assert not any(taken(board, data) for board in BOARDS.values())


@given(st.sampled_from(CHIPS), st.data())
def test_a_damaged_image_is_never_taken_for_another_board(chip: str, data: st.DataObject) -> None:
    """Bytes are changed, cut off, put in between and taken out; nothing of it ends in a traceback."""
    sound = bytearray(vendor_s(chip))
    for _ in range(data.draw(st.integers(1, 3))):
        # As often in the headers as in the programs behind them.
        at = data.draw(st.one_of(st.integers(0, 700), st.integers(0, len(sound))))
        what = data.draw(st.binary(max_size=8))
        sound[at : at + data.draw(st.integers(0, 8))] = what
    if data.draw(st.booleans()):
        del sound[data.draw(st.integers(0, len(sound))) :]
    for board in BOARDS.values():
        if board.chip.name != chip:
            assert not taken(board, bytes(sound))
        else:
            taken(board, bytes(sound))


# ---- the WE2's: every byte that a hash or a CRC covers


def test_a_we2_image_is_as_long_as_its_descriptor_says() -> None:
    assert wiseeye.check(made.we2() + b"behind it") == len(made.we2())


@given(st.integers(0x1000, len(made.we2()) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_we2_image_s_parts_goes_unnoticed(at: int, change: int) -> None:
    damaged = bytearray(made.we2())
    damaged[at] ^= change
    with pytest.raises(NotSound):
        wiseeye.check(bytes(damaged))


@given(st.sampled_from([made.we2(), made.we1()]), st.data())
def test_a_himax_image_that_is_cut_short_is_none(sound: bytes, data: st.DataObject) -> None:
    with pytest.raises(NotSound):
        wiseeye.check(sound[: data.draw(st.integers(0, len(sound) - 1))])


def test_an_encrypted_section_is_vouched_for_by_its_part_s_crc() -> None:
    sound = made.we2(encrypted=True)
    assert wiseeye.check(sound) == len(sound)
    with pytest.raises(NotSound, match="the CRC of the part at 0x5000 does not match"):
        wiseeye.check(sound[:0x6000] + b"???" + sound[0x6003:])


def test_a_part_of_a_we2_image_says_what_to_give_instead() -> None:
    part = made.we2_part(0x29000, 0x2000, [made.noise(5000)])
    with pytest.raises(HarnessError, match=r"goes to 0x29000; give the whole image \(output.img\)"):
        images.arrange(WE2, [Piece("cm55m_s_application.img", part)])


def test_a_himax_descriptor_that_is_damaged_is_named() -> None:
    for sound, at in ((made.we2(), 0x4AC + 60), (made.we1(), 0x20000 + 0x494 + 40)):
        with pytest.raises(NotSound, match="the CRC of its memory descriptor does not match"):
            wiseeye.check(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])


# ---- an ESP32's: parts, and where each goes


PARTS = {
    "bootloader.bin": made.boot_loader(),
    "partition-table.bin": made.table(),
    "app.bin": made.application(),
}


def placed(board: Profile, *pieces: Piece) -> dict[str, int | None]:
    return {piece.name: piece.address for piece in images.arrange(board, pieces)}


def test_the_parts_go_where_the_table_among_them_says() -> None:
    pieces = [Piece(name, data) for name, data in PARTS.items()]
    assert placed(ESP32S3, *pieces) == {
        "bootloader.bin": 0,
        "partition-table.bin": 0x8000,
        "app.bin": 0x10000,
    }
    two = made.table(Partition("b", 0, 0x11, 0x200000, 0x100000), Partition("a", 0, 0x10, 0x100000, 0x100000))
    assert placed(ESP32S3, Piece("app.bin", made.application()), Piece("t", two))["app.bin"] == 0x100000


def test_what_chooses_the_application_goes_into_its_partition() -> None:
    """The first entry of Arduino's boot_app0.bin: number 1, and the CRC-32 of that."""
    chosen = (b"\1\0\0\0" + b"\xff" * 24 + bytes.fromhex("9a984347")).ljust(0x2000, b"\xff")
    pieces = [Piece(name, data) for name, data in PARTS.items()]
    assert placed(ESP32S3, *pieces, Piece("boot_app0.bin", chosen))["boot_app0.bin"] == 0xE000


@pytest.mark.parametrize("name", ["xiao_esp32s3", "xiao_esp32c3", "xiao_esp32c6"])
@pytest.mark.parametrize("address", [None, 0x8000])
def test_a_partition_table_is_taken_at_its_place(name: str, address: int | None) -> None:
    assert placed(BOARDS[name], Piece("partition-table.bin", made.table(), address)) == {
        "partition-table.bin": 0x8000
    }


def merged_without_application() -> bytes:
    return made.merged({0: made.boot_loader(), 0x8000: made.table(), 0x20000: b"end"})


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (
            [Piece("app.bin", made.application())],
            "app.bin: an application alone: where it goes is in the part",
        ),
        (
            [Piece("app.bin", made.application(), 0x10000)],
            "by the flash map of xiao_esp32s3 goes to 0x40000 (factory), not to 0x10000",
        ),
        (
            [Piece("t", made.table()), Piece("app.bin", made.application(), 0x40000)],
            "an application, which by the partition table goes to 0x10000 (factory), not to 0x40000",
        ),
        (
            [Piece("t", made.table(made.NVS)), Piece("app.bin", made.application())],
            "an application, which by the partition table goes to nowhere",
        ),
        (
            [
                Piece("t", made.table(Partition("small", 0, 0, 0x10000, 0x1000))),
                Piece("app.bin", made.application()),
            ],
            "bytes, and 'small' at 0x10000 has 4096",
        ),
        ([Piece("boot.bin", made.boot_loader(), 0x9000)], "boot.bin: goes to 0x0, not to 0x9000"),
        ([Piece("t", made.table(), 0x9000)], "t: goes to 0x8000, not to 0x9000"),
        ([Piece("t", made.table()), Piece("u", made.table())], "t and u: two partition tables"),
        ([Piece("all", made.merged_esp(), 0x1000)], "all: goes to 0x0, not to 0x1000"),
        (
            [Piece("all", made.merged_esp()), Piece("boot.bin", made.boot_loader())],
            "all: a merged image, which is all of the firmware by itself",
        ),
        ([Piece("all", merged_without_application())], "all: no application where its partition table has"),
        (
            [Piece("t", made.table()), Piece("page.html", b"<html>")],
            "page.html: no image for Espressif ESP32-S3: neither boot loader, partition table",
        ),
        (
            [Piece("t", made.table()), Piece("data", b"data", 0x12000)],
            "and at 0x12000 there is no partition for data",
        ),
        (
            [Piece("app", made.application(made.C3), 0x10000)],
            "an image for the ESP32-C3, but xiao_esp32s3 has",
        ),
        (
            [Piece("t", made.table(Partition("models", 1, 6, 0x400000, 0x800000)))],
            "t: its partition 'models' ends at 0xc00000, and xiao_esp32s3 has 8 MiB of flash",
        ),
        (
            [Piece("boot.bin", made.boot_loader(flash_mib=16))],
            "boot.bin: built for 16 MiB of flash, and xiao_esp32s3 has 8 MiB; build it for that",
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_parts_that_do_not_fit_together_are_one_line(pieces: list[Piece], expected: str) -> None:
    with pytest.raises(HarnessError) as error:
        images.arrange(ESP32S3, pieces)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_build_s_list_of_its_parts_is_taken(tmp_path: Path) -> None:
    """The form that ESP-IDF's build writes beside them."""
    for name, data in PARTS.items():
        (tmp_path / name).write_bytes(data)
    listed = tmp_path / "flasher_args.json"
    files = {"0x0": "bootloader.bin", "0x8000": "partition-table.bin", "0x10000": "app.bin"}
    listed.write_text(json.dumps({"flash_settings": {"flash_mode": "dio"}, "flash_files": files}))
    assert {file.name: file.address for file in examine(ESP32S3, [listed])} == placed(
        ESP32S3, *(Piece(name, data) for name, data in PARTS.items())
    )
    listed.write_text(json.dumps({"flash_files": files | {"0x20000": "bootloader.bin"}}))
    with pytest.raises(HarnessError, match=r"bootloader\.bin: goes to 0x0, not to 0x20000"):
        examine(ESP32S3, [listed])
    for text in ("{}", "[]", "{", '{"flash_files": {"here": "x"}}', '{"flash_files": 3}'):
        listed.write_text(text)
        with pytest.raises(HarnessError, match=r"is not the flasher_args\.json of an ESP-IDF build"):
            examine(ESP32S3, [listed])


def test_a_himax_image_is_one_file(tmp_path: Path) -> None:
    paths = [tmp_path / "a.img", tmp_path / "b.img"]
    for path in paths:
        path.write_bytes(made.we2())
    with pytest.raises(
        HarnessError, match=r"a\.img, b\.img: firmware for grove_vision_ai_we2 is one file, and"
    ):
        examine(WE2, paths)
    with pytest.raises(HarnessError, match="--offset says where one file goes, and these are 2"):
        examine(WE2, paths, "0x0")


def test_a_chip_of_no_known_family_takes_files_into_its_regions_for_firmware(tmp_path: Path) -> None:
    text = WE2.path.read_text().replace('family = "himax"', 'family = "other"')
    (tmp_path / "own.toml").write_text(text)
    own = boards.load(str(tmp_path / "own.toml"))
    assert placed(own, Piece("a", b"anything")) == {"a": 0}
    assert placed(own, Piece("a", b"anything", 0x2000), Piece("b", b"else")) == {"a": 0x2000, "b": 0}
    with pytest.raises(HarnessError, match="a: 0x400000 to 0x400008 is not within a region for firmware"):
        placed(own, Piece("a", b"anything", 0x400000))


# ---- UF2 files


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (0xE48BFF56, None),
        (0xE48BFF59, "a UF2 file for the RP2350, but raspberry_pi_pico has Raspberry Pi RP2040"),
        (0xC47E5767, "a UF2 file for the ESP32-S3, but"),
        (0x12345678, "a UF2 file for another chip (family 0x12345678), but"),
    ],
)
def test_a_uf2_file_says_its_chip(tmp_path: Path, family: int, expected: str | None) -> None:
    path = tmp_path / "image.uf2"
    path.write_bytes(uf2file.build(made.pico(), 0x10000000, family))
    with pytest.raises(HarnessError) if expected else contextlib.nullcontext() as error:
        assert [file.address for file in examine(BOARDS["raspberry_pi_pico"], [path])] == [0x10000000]
    assert expected is None or (error is not None and expected in str(error.value))


def test_a_uf2_file_that_says_no_chip_is_not_taken(tmp_path: Path) -> None:
    """As those for the SAMD21 often do: its flag for a family is not set."""
    blocks = bytearray(uf2file.build(made.pico(), 0x10000000, 0))
    for at in range(0, len(blocks), 512):
        blocks[at + 8 : at + 12] = bytes(4)
    (tmp_path / "image.uf2").write_bytes(blocks)
    with pytest.raises(
        HarnessError, match="a UF2 file for a chip that it does not say, but raspberry_pi_pico"
    ):
        examine(BOARDS["raspberry_pi_pico"], [tmp_path / "image.uf2"])
