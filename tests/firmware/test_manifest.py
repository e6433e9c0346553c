"""The manifest pins every image; what is added is kept, and what is damaged is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import boards
from harness.chips import container, uf2file
from harness.chips.container import NotAContainer
from harness.cli.firmware import command
from harness.errors import HarnessError
from harness.firmware import manifest, virtual
from harness.firmware.image import to_toml
from harness.flash.method import FlashFile
from harness.flash.uf2 import to_uf2
from harness.runner.adding import add, remove
from tests.firmware import made


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))


def test_every_board_has_a_virtual_image_for_each_protocol_that_it_speaks() -> None:
    pairs = {(image.board, image.protocol) for image in manifest.shipped()}
    assert pairs == {(b.id, protocol) for b in boards.all_profiles() for protocol in b.protocols.supported}


def test_what_is_built_is_what_is_pinned() -> None:
    assert [problem for _, problem in manifest.verify()] == [None] * len(manifest.shipped())
    for image in manifest.shipped():
        board = boards.load(image.board)
        parts = manifest.contents(image, board)
        assert [part.offset for part, _ in parts] == [o for _, o, _ in virtual.build(board, image.protocol)]
        assert image.build == virtual.build_hash(board, virtual.build(board, image.protocol))


def test_an_image_that_does_not_match_its_hash_is_refused() -> None:
    image = manifest.shipped()[0]
    part = image.parts[0]
    changed = image.model_copy(update={"parts": (part.model_copy(update={"sha256": "0" * 64}),)})
    with pytest.raises(HarnessError, match=r"its SHA-256 is \w+\.\.\., the manifest says 000000000000"):
        manifest.contents(changed, boards.load(image.board))
    shorter = image.model_copy(update={"parts": (part.model_copy(update={"size": part.size + 1}),)})
    with pytest.raises(HarnessError, match=f"{part.size} bytes, the manifest says {part.size + 1}"):
        manifest.contents(shorter, boards.load(image.board))


def write(directory: Path, **files: bytes) -> list[Path]:
    """Write files and return their paths."""
    paths = [directory / f"{name}.bin" for name in files]
    for path, data in zip(paths, files.values(), strict=True):
        path.write_bytes(data)
    return paths


def test_an_added_image_takes_precedence_and_is_verified(tmp_path: Path) -> None:
    parts = {"boot": made.boot_loader(), "table": made.table(), "app": made.application()}
    image = add(write(tmp_path, **parts), "esp32s3", "bench", version="7", build="abc")
    assert (image.board, image.runs_on) == ("xiao_esp32s3", "hardware")
    assert [part.offset for part in image.parts] == [0, 0x8000, 0x10000]
    found = manifest.find("xiao_esp32s3", "bench", "hardware")
    assert found == image
    contents = manifest.contents(image, boards.load("xiao_esp32s3"))
    assert [data for _, data in contents] == list(parts.values())
    assert manifest.find("xiao_esp32s3", "bench", "virtual") in manifest.shipped()
    kept = manifest.cache_directory() / (image.parts[2].file or "")
    kept.write_bytes(made.application()[:-1] + b"\0")
    assert dict(manifest.verify())[image.label] is not None
    kept.unlink()
    with pytest.raises(HarnessError, match="add the image again"):
        manifest.contents(image, boards.load("xiao_esp32s3"))


def test_a_second_image_for_the_same_board_and_protocol_replaces_the_first_only_if_it_is_told_to(
    tmp_path: Path,
) -> None:
    first, second = write(tmp_path, one=made.we2(b"one"), two=made.we2(b"two"))
    add([first], "we2", "sscma", version="1")
    add([first], "we2", "sscma", version="1, as said now")
    with pytest.raises(HarnessError, match=r"is there already, from .*one\.bin .*: --replace puts this one"):
        add([second], "we2", "sscma", version="2")
    assert [image.version for image in manifest.added()] == ["1, as said now"]
    add([second], "we2", "sscma", version="2", replace=True)
    assert [image.version for image in manifest.added()] == ["2"]
    assert manifest.known()[0] == manifest.find("grove_vision_ai_we2", "sscma", "hardware")
    kept = {path.name for path in manifest.cache_directory().iterdir()}
    assert kept == {manifest.MANIFEST, *manifest.added()[0].files}


def test_what_was_added_is_removed_with_its_files_and_what_ships_stays(tmp_path: Path) -> None:
    we2, a1101 = write(tmp_path, we2=made.we2(), a1101=made.we1())
    add([we2], "we2", "sscma")
    add([a1101], "a1101", "sscma")
    assert [image.board for image in remove("we2", "sscma")] == ["grove_vision_ai_we2"]
    assert [image.board for image in manifest.added()] == ["sensecap_a1101"]
    assert len(list(manifest.cache_directory().glob("*.bin"))) == 1
    with pytest.raises(
        HarnessError, match="no sscma firmware was added for grove_vision_ai_we2; the one for"
    ):
        remove("we2", "sscma")
    with pytest.raises(HarnessError, match=r"no sscma firmware was added for nothing \("):
        remove("nothing", "sscma")


def test_a_manifest_of_a_time_when_an_image_was_one_file_is_read(tmp_path: Path) -> None:
    add(write(tmp_path, image=made.we2()), "we2", "sscma")
    path = manifest.cache_directory() / manifest.MANIFEST
    before = manifest.added()
    lines = path.read_text().splitlines()
    [file] = [line for line in lines if line.startswith("file = ")]
    lines.remove(file)
    path.write_text("\n".join([lines[0], file, *lines[1:]]))
    assert manifest.added() == before


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("here", "'here' is no address; write it like 0x400000"),
        ("-1", "'-1' is no address"),
        ("0x400000", "goes to 0x0, not to 0x400000"),
        ("0x10", "goes to 0x0, not to 0x10"),
    ],
)
def test_an_image_that_does_not_go_where_it_is_to_go_is_not_kept(
    tmp_path: Path, offset: str, expected: str
) -> None:
    with pytest.raises(HarnessError, match=expected):
        add(write(tmp_path, image=made.we2()), "we2", "sscma", offset=offset)
    assert not manifest.added()


def test_a_cache_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the cache should be")
    with pytest.raises(HarnessError, match=r"cache.firmware: the image cannot be kept here: Not a directory"):
        add(write(tmp_path, image=made.we2()), "we2", "sscma")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("garbage [", "is not a manifest: Expected '='"),
        ('[[image]]\nboard = "we2"\n', "image.0.protocol: Field required"),
        (
            to_toml(manifest.shipped()[0]).replace('build = "', 'file = "x.bin"\nbuild = "', 1)
            + '[[image.part]]\nname = "b"\noffset = "0x0"\nsize = 3\nsha256 = "'
            + "0" * 64
            + '"\n',
            "image.0: 2 parts, where a file holds one",
        ),
    ],
    ids=["no TOML", "a key is missing", "two parts in a file"],
)
def test_a_damaged_manifest_is_one_clear_line(text: str, expected: str) -> None:
    manifest.cache_directory().mkdir(parents=True)
    (manifest.cache_directory() / manifest.MANIFEST).write_text(text)
    with pytest.raises(HarnessError, match="mend it, or delete it and add its images again") as error:
        manifest.verify()
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_where_an_image_goes_is_seen_from_what_it_is(tmp_path: Path) -> None:
    board = boards.load("xiao_esp32s3")
    merged = bytearray(b"\xff" * 0x40000)
    for _, offset, data in virtual.build(board, "sscma"):
        merged[offset : offset + len(data)] = data
    (tmp_path / "merged.bin").write_bytes(merged)
    whole = add([tmp_path / "merged.bin"], "esp32s3", "sscma")
    assert (whole.parts[0].offset, whole.runs_on) == (0, "virtual")
    a1101 = boards.load("a1101")
    image = virtual.build(a1101, "bench")[0][2]
    (tmp_path / "image.uf2").write_bytes(to_uf2(a1101, FlashFile("x", 0x10000000, image, "firmware")))
    added = add([tmp_path / "image.uf2"], "a1101", "bench")
    assert (added.parts[0].offset, added.runs_on) == (0x10000000, "virtual")
    assert manifest.contents(added, a1101)[0][1] == image


WE2_IMAGE = virtual.build(boards.load("we2"), "bench")[0][2]


@pytest.mark.parametrize(
    ("board", "content", "expected"),
    [
        ("esp32s3", b"", "is empty"),
        ("esp32s3", b"\xe9garbage" * 10, "no image for Espressif ESP32-S3: "),
        (
            "esp32s3",
            made.application(made.C3),
            "an image for the ESP32-C3, but xiao_esp32s3 has Espressif ESP32-S3",
        ),
        ("esp32s3", made.application()[:100], "no image for Espressif ESP32-S3: End of file reading segment"),
        ("esp32s3", made.application()[:200] + b"?" + made.application()[201:], "its checksum is"),
        ("esp32s3", made.application(), "an application alone: where it goes is in the partition table"),
        ("we2", made.application(), "an image for the ESP32-S3, but grove_vision_ai_we2 has Himax HX6538"),
        ("we2", made.application()[:100], "an image for the ESP32-S3, but"),
        (
            "we2",
            virtual.build(boards.load("a1101"), "bench")[0][2],
            "an image for the HX6537-A, but",
        ),
        ("we2", WE2_IMAGE[:2000], "it has 2000 of 4448 bytes; get or build the file again"),
        ("we2", WE2_IMAGE[:-1] + b"?", "its SHA-256 does not match what is in it"),
        (
            "we2",
            b"# A text\n" * 1000,
            "no image for Himax HX6538 .WE2.: it does not begin as an image of the vendor",
        ),
        ("we2", b"\x1c\0\0\0TFL3" + bytes(100), "a TFLite model, not a firmware image"),
        (
            "we2",
            uf2file.build(b"image", 0x10000000, 0xEF32C892),
            "a UF2 file for the HX6537-A, and grove_vision_ai_we2 is flashed by xmodem",
        ),
        (
            "a1101",
            uf2file.build(b"image", 0x10000000, 0xE48BFF56),
            r"a UF2 file for the RP2040, but sensecap_a1101 has Himax HX6537-A \(WE1\) \(family 0xef32c892\)",
        ),
        (
            "a1101",
            uf2file.build(made.we1(), 0x30000000, 0xEF32C892),
            "goes to 0x10000000, not to 0x30000000",
        ),
    ],
)
def test_a_file_for_another_board_or_cut_short_is_one_clear_line(
    tmp_path: Path, board: str, content: bytes, expected: str
) -> None:
    (tmp_path / "image.bin").write_bytes(content)
    with pytest.raises(HarnessError, match=expected) as error:
        add([tmp_path / "image.bin"], board, "bench")
    assert "\n" not in str(error.value)
    assert not manifest.added()


def test_a_missing_file_and_an_unknown_protocol_are_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"nothere\.bin: cannot be read"):
        add([tmp_path / "nothere.bin"], "we2", "bench")
    with pytest.raises(HarnessError, match="did you mean 'bench'"):
        add([tmp_path / "nothere.bin"], "we2", "benhc")


def test_a_container_s_damage_is_found() -> None:
    sound = container.build("HX6538", "bench", "1", b"program" * 100)
    assert container.read(sound).sha256 == container.read(sound).stored_sha256
    for at in range(60):
        damaged = bytearray(sound)
        damaged[at] ^= 1
        with pytest.raises(NotAContainer):
            container.read(bytes(damaged))
    flipped = container.read(sound[:-1] + b"?")
    assert flipped.sha256 != flipped.stored_sha256


def test_the_commands_list_verify_and_add(tmp_path: Path) -> None:
    run = CliRunner()
    (tmp_path / "app.bin").write_bytes(made.merged_esp())
    added = run.invoke(command, ["add", str(tmp_path / "app.bin"), "-b", "esp32s3", "-p", "bench"])
    assert added.exit_code == 0, added.output
    assert "runs on hardware" in added.output
    listed = json.loads(run.invoke(command, ["list", "--json"]).output)
    assert {(image["board"], image["runs_on"]) for image in listed} >= {("xiao_esp32s3", "hardware")}
    verified = run.invoke(command, ["verify"])
    assert verified.exit_code == 0
    assert verified.output.count(": ok") == len(listed)
    next(manifest.cache_directory().glob("*.bin")).write_bytes(b"changed")
    damaged = run.invoke(command, ["verify"])
    assert damaged.exit_code == 1
    [line] = [line for line in damaged.output.splitlines() if not line.endswith(": ok")]
    assert line == (
        f"bench unknown for xiao_esp32s3: app.bin: 7 bytes, the manifest says {len(made.merged_esp())}; "
        "add the image again"
    )
    removed = run.invoke(command, ["remove", "-b", "esp32s3", "-p", "bench", "--json"])
    assert [image["parts"][0]["name"] for image in json.loads(removed.output)] == ["app.bin"]
