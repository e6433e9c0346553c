"""The manifest pins every image; what is added is kept, and what is damaged is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import boards
from harness.cli.firmware import command
from harness.errors import HarnessError
from harness.firmware import container, espimage, manifest, virtual
from harness.firmware.adding import add
from harness.firmware.container import NotAContainer
from harness.flash.method import Region
from harness.flash.uf2 import to_uf2


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


def app(project: str = "somebody-s", chip: int = espimage.CHIP_ID) -> bytes:
    descriptor = espimage.descriptor(project, "7", bytes(32), "v5.1", "date", "time")
    return espimage.build([espimage.Segment(0x3C000020, descriptor)], 0x40374000, chip)


def test_an_added_image_takes_precedence_and_is_verified(tmp_path: Path) -> None:
    path = tmp_path / "app.bin"
    path.write_bytes(app())
    image = add(path, "esp32s3", "bench", version="7", build="abc")
    assert (image.board, image.runs_on, image.parts[0].offset) == ("xiao_esp32s3", "hardware", 0x40000)
    found = manifest.find("xiao_esp32s3", "bench", "hardware")
    assert found == image
    assert manifest.contents(image, boards.load("xiao_esp32s3"))[0][1] == app()
    assert manifest.find("xiao_esp32s3", "bench", "virtual") in manifest.shipped()
    kept = manifest.cache_directory() / (image.file or "")
    kept.write_bytes(app()[:-1] + b"\0")
    assert dict(manifest.verify())[image.label] is not None
    kept.unlink()
    with pytest.raises(HarnessError, match="add the image again"):
        manifest.contents(image, boards.load("xiao_esp32s3"))


def test_a_second_image_for_the_same_board_and_protocol_replaces_the_first(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / "image").write_bytes(version.encode() * 5000)
        add(tmp_path / "image", "we2", "sscma", version=version)
    assert [image.version for image in manifest.added()] == ["2"]


def test_where_an_image_goes_is_seen_from_what_it_is(tmp_path: Path) -> None:
    board = boards.load("xiao_esp32s3")
    merged = bytearray(b"\xff" * 0x40000)
    for _, offset, data in virtual.build(board, "sscma"):
        merged[offset : offset + len(data)] = data
    (tmp_path / "merged.bin").write_bytes(merged)
    assert add(tmp_path / "merged.bin", "esp32s3", "sscma").parts[0].offset == 0
    a1101 = boards.load("a1101")
    image = virtual.build(a1101, "bench")[0][2]
    (tmp_path / "image.uf2").write_bytes(to_uf2(a1101, Region("x", 0x10000000, image, "firmware")))
    added = add(tmp_path / "image.uf2", "a1101", "bench")
    assert (added.parts[0].offset, added.runs_on) == (0x10000000, "virtual")
    assert manifest.contents(added, a1101)[0][1] == image


@pytest.mark.parametrize(
    ("board", "content", "expected"),
    [
        ("esp32s3", b"", "is empty"),
        ("esp32s3", b"\xe9garbage" * 10, "is no image for Espressif ESP32-S3"),
        ("esp32s3", app(chip=5), "is an image for the ESP32-C3, and xiao_esp32s3 has the ESP32-S3"),
        ("esp32s3", app()[:100], "is no image for Espressif ESP32-S3"),
        ("we2", app(), "looks like an image for an ESP32"),
        ("we2", virtual.build(boards.load("a1101"), "bench")[0][2], "is an image for the HX6537-A"),
        (
            "we2",
            virtual.build(boards.load("we2"), "bench")[0][2][:2000],
            "is damaged: it has 2000 of 4448 bytes",
        ),
    ],
)
def test_a_file_for_another_board_or_cut_short_is_one_clear_line(
    tmp_path: Path, board: str, content: bytes, expected: str
) -> None:
    (tmp_path / "image.bin").write_bytes(content)
    with pytest.raises(HarnessError, match=expected) as error:
        add(tmp_path / "image.bin", board, "bench")
    assert "\n" not in str(error.value)
    assert not manifest.added()


def test_a_missing_file_and_an_unknown_protocol_are_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"nothere\.bin: cannot be read"):
        add(tmp_path / "nothere.bin", "we2", "bench")
    with pytest.raises(HarnessError, match="did you mean 'bench'"):
        add(tmp_path / "nothere.bin", "we2", "benhc")


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
    (tmp_path / "app.bin").write_bytes(app())
    added = run.invoke(command, ["add", str(tmp_path / "app.bin"), "-b", "esp32s3", "-p", "bench"])
    assert added.exit_code == 0, added.output
    assert "runs on hardware" in added.output
    listed = json.loads(run.invoke(command, ["list", "--json"]).output)
    assert {(image["board"], image["runs_on"]) for image in listed} >= {("xiao_esp32s3", "hardware")}
    verified = run.invoke(command, ["verify"])
    assert verified.exit_code == 0
    assert verified.output.count(": ok") == len(listed)
    next(manifest.cache_directory().glob("*.bin")).write_bytes(b"changed")
    assert run.invoke(command, ["verify"]).exit_code == 1
