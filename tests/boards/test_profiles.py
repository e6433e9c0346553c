"""The profiles that ship, and how a profile is found."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness import assets, boards
from harness.boards import UnknownBoard
from harness.boards.facts import facts
from harness.boards.profile import Profile
from harness.boards.table import ProfileTable
from harness.errors import HarnessError

BOARDS = [
    "grove_vision_ai",
    "grove_vision_ai_we2",
    "raspberry_pi_pico",
    "sensecap_a1101",
    "xiao_esp32c3",
    "xiao_esp32c6",
    "xiao_esp32s3",
]


def test_these_boards_ship():
    assert boards.ids() == BOARDS
    assert [profile.id for profile in boards.all_profiles()] == BOARDS


def test_a_shipped_profile_is_in_the_file_of_its_id():
    assert [profile.path.stem for profile in boards.all_profiles()] == BOARDS


def test_no_two_boards_share_an_id_or_an_alias():
    names = [name for profile in boards.all_profiles() for name in (profile.id, *profile.aliases)]
    assert len(names) == len(set(names))


def test_a_board_is_found_by_its_alias():
    assert boards.load("we2") is boards.load("grove_vision_ai_we2")


def test_a_profile_of_ones_own_is_found_by_its_path(example, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(example)
    profile = boards.load(path)
    assert (profile.id, profile.path) == ("my_board", path)
    assert boards.load(str(path)) == profile


def test_an_existing_file_of_another_name_is_a_profile_too(example, tmp_path, monkeypatch):
    (tmp_path / "my_board").write_text(example)
    monkeypatch.chdir(tmp_path)
    assert boards.load("my_board").name == "My Board"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("xiao_esp33s3", "'xiao_esp32s3'"),
        ("xiao", "'xiao_esp32c3', 'xiao_esp32c6' or 'xiao_esp32s3'"),
        ("Grove", "'grove_vision_ai' or 'grove_vision_ai_we2'"),
        ("rasp", "'raspberry_pi_pico'"),
    ],
)
def test_an_unknown_board_is_told_those_that_begin_so_or_the_nearest(name, meant):
    with pytest.raises(UnknownBoard, match=rf"unknown board '{name}'; did you mean {meant}\? \("):
        boards.load(name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(HarnessError, match="No such file or directory"):
        boards.load(tmp_path / "none.toml")


def test_the_digest_is_of_the_files_bytes():
    for profile in boards.all_profiles():
        assert profile.sha256 == hashlib.sha256(profile.path.read_bytes()).hexdigest()


def test_a_profile_does_not_change():
    profile = boards.load("we2")
    with pytest.raises(ValidationError, match="frozen"):
        profile.name = "x"
    with pytest.raises(ValidationError, match="frozen"):
        profile.flash.regions[0].size_bytes = 1


@pytest.mark.parametrize(
    ("board", "chip", "clock_hz", "model_format", "method", "usb"),
    [
        (
            "xiao_esp32s3",
            "ESP32-S3",
            240_000_000,
            "int8",
            "esptool",
            {
                "any": {(0x303A, 0x1001)},
                "running": {(0x303A, 0x4001), (0x2886, 0x0056), (0x2886, 0x8056)},
            },
        ),
        (
            "grove_vision_ai",
            "HX6537-A",
            400_000_000,
            "int8",
            "uf2",
            {"running": {(0x2886, 0x8060)}, "boot_loader": {(0x2886, 0x0060)}},
        ),
        (
            "sensecap_a1101",
            "HX6537-A",
            400_000_000,
            "int8",
            "uf2",
            {"running": {(0x2886, 0x8061)}, "boot_loader": {(0x2886, 0x0061)}},
        ),
        ("we2", "HX6538", 400_000_000, "vela", "xmodem", {"any": {(0x1A86, 0x55D2), (0x1A86, 0x55D3)}}),
    ],
)
def test_a_board_is_what_its_vendor_says(board, chip, clock_hz, model_format, method, usb):
    profile = boards.load(board)
    assert chip in profile.chip.name
    assert profile.clock_hz == clock_hz
    assert profile.model_format == model_format
    assert profile.flash.method == method
    seen: dict[str, set[tuple[int, int]]] = {}
    for entry in profile.usb:
        seen.setdefault(entry.state, set()).add((entry.vendor_id, entry.product_id))
    assert seen == usb


@pytest.mark.parametrize(
    ("board", "memory", "size"),
    [
        ("xiao_esp32s3", "psram", 1024 * 1024),
        ("grove_vision_ai", "sram", 600 * 1024),
        ("sensecap_a1101", "sram", 600 * 1024),
        ("we2", "sram", 1135736),
    ],
)
def test_the_arena_is_where_and_as_large_as_the_vendors_firmware_has_it(board, memory, size):
    profile = boards.load(board)
    assert (profile.arena.memory, profile.arena.size_bytes) == (memory, size)
    assert profile.memory(memory).size_bytes >= size


@pytest.mark.parametrize(
    ("board", "image", "models"),
    [
        ("xiao_esp32s3", 0, {"models": (0x400000, 4 << 20)}),
        ("we2", 0, {"extra_models": (0x200000, 2 << 20), "models": (0x400000, 12 << 20)}),
        (
            "grove_vision_ai",
            0x10000000,
            {f"slot{n + 1}": (0x30000000 + n * 0x100000, 1 << 20) for n in range(4)},
        ),
        (
            "sensecap_a1101",
            0x10000000,
            {f"slot{n + 1}": (0x30000000 + n * 0x100000, 1 << 20) for n in range(4)},
        ),
    ],
)
def test_the_flash_map_has_the_vendors_addresses(board, image, models):
    flash = boards.load(board).flash
    assert flash.image_offset == image
    found = {r.name: (r.offset, r.size_bytes) for r in flash.regions if "model" in r.holds}
    assert found == models
    assert flash.model_region.name in models


def test_the_esp32s3_map_is_what_esp_idf_makes_of_the_vendors_partition_table():
    """The table gives sizes only: data follows data, and an application starts on a multiple of 64 KiB."""
    regions = {r.name: r for r in boards.load("xiao_esp32s3").flash.regions}
    at = regions["partition_table"].end
    for name, kib, align in (
        ("nvs", 192, 0x1000),
        ("otadata", 8, 0x1000),
        ("phy_init", 4, 0x1000),
        ("factory", 3648, 0x10000),
        ("db", 192, 0x1000),
        ("models", 4096, 0x1000),
    ):
        at = (at + align - 1) // align * align
        assert (regions[name].offset, regions[name].size_bytes) == (at, kib * 1024)
        at = regions[name].end


def test_the_we2_flash_is_seen_by_the_core_at_its_mapped_address():
    profile = boards.load("we2")
    assert profile.memory("flash").mapped_at == 0x3A000000
    assert profile.memory("flash").size_bytes == 16 << 20


def test_uf2_settings_of_the_two_himax_we1_boards():
    for board, label in (("grove_vision_ai", "GROVEAI"), ("sensecap_a1101", "VISIONAI")):
        uf2 = boards.load(board).flash.uf2
        assert uf2 is not None
        assert (uf2.drive_labels[0], uf2.family_id, uf2.touch_baud) == (label, 0xEF32C892, 1200)


def tables(table: ProfileTable):
    yield table
    for _, inner in table.tables():
        yield from tables(inner)


@pytest.mark.parametrize("board", BOARDS)
def test_every_fact_is_listed_once_with_its_source(board):
    profile = boards.load(board)
    listed = facts(profile)
    assert (
        len(listed)
        == len({fact.key for fact in listed})
        == sum(len(list(t.facts())) for t in tables(profile))
    )
    assert all(fact.source and fact.value for fact in listed)


def test_facts_are_written_with_their_units():
    written = {fact.key: fact.value for fact in facts(boards.load("we2"))}
    assert written["chip.clock"] == "400 MHz"
    assert written["arena.size"] == "1135736 B"
    assert written["memory[2].mapped_at"] == "0x3a000000"
    assert written["flash.xmodem.window"] == "100 ms"
    assert written["serial.baud"] == "921600 Bd"
    assert written["flash.region[1].holds"] == "reserved"
    assert written["vela.system.OffChipFlash.clock_scale"] == "0.015625"


def test_vela_settings_are_the_sections_of_its_configuration_file():
    vela = boards.load("we2").vela
    assert vela is not None
    assert vela.accelerator == "ethos-u55-64"
    system, mode = vela.settings().items()
    assert system[0] == "System_Config.My_Sys_Cfg"
    assert {key: float(value) if value[0].isdigit() else value for key, value in system[1].items()} == {
        "core_clock": 400e6,
        "axi0_port": "Sram",
        "axi1_port": "OffChipFlash",
        "Sram_clock_scale": 1.0,
        "Sram_burst_length": 32,
        "Sram_read_latency": 16,
        "Sram_write_latency": 16,
        "OffChipFlash_clock_scale": 0.015625,
        "OffChipFlash_burst_length": 32,
        "OffChipFlash_read_latency": 64,
        "OffChipFlash_write_latency": 64,
    }
    assert mode == (
        "Memory_Mode.My_Mem_Mode_Parent",
        {"const_mem_area": "Axi1", "arena_mem_area": "Axi0", "cache_mem_area": "Axi0"},
    )


@pytest.mark.interop
def test_vela_takes_the_settings_and_finds_the_boards_clock(shared, tmp_path):
    vela = boards.load("we2").vela
    assert vela is not None
    ini = tmp_path / "we2.ini"
    sections = vela.settings()
    ini.write_text(
        "".join(f"[{s}]\n" + "".join(f"{k}={v}\n" for k, v in kv.items()) for s, kv in sections.items())
    )
    command = [
        sys.executable,
        "-c",
        "import sys; from ethosu.vela.vela import main; sys.exit(main(sys.argv[1:]))",
        *("--accelerator-config", vela.accelerator),
        *("--config", str(ini)),
        *("--system-config", vela.system_config),
        *("--memory-mode", vela.memory_mode),
        *("--output-dir", str(tmp_path)),
        str(shared / "models" / "person_detect.tflite"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(r"Accelerator clock +400 MHz", run.stdout)
    assert re.search(r"Accelerator configuration +Ethos_U55_64", run.stdout)
    assert (tmp_path / "person_detect_vela.tflite").stat().st_size > 0


@pytest.mark.parametrize("board", BOARDS)
def test_the_estimate_is_a_plain_mapping_with_a_default_for_every_operator(board):
    mapping = boards.load(board).estimate.mapping()
    wanted = {"cycles_per_mac", "cycles_per_element", "cycles_per_operator", "fixed_cycles"}
    assert wanted <= set(mapping)
    for key in ("cycles_per_mac", "cycles_per_element"):
        assert type(mapping[key]) is dict
        assert "default" in mapping[key]
        assert "source" not in mapping[key]
        assert all(type(value) is float for value in mapping[key].values())


def schema_keys(model: type[ProfileTable]) -> set[str]:
    from harness.boards.problems import models_in

    keys = set()
    for name, field in model.model_fields.items():
        keys.add(field.alias or name)
        for inner in models_in(field.annotation):
            keys |= schema_keys(inner)
    return keys


def test_every_key_is_explained_where_a_user_looks():
    readme = (assets.directory("boards") / "README.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"[A-Za-z0-9_]+", " ".join(re.findall(r"`([^`\n]+)`", readme))))
    assert schema_keys(Profile) <= explained


def test_the_example_in_the_readme_is_a_valid_profile(example, tmp_path):
    path = tmp_path / "my_board.toml"
    path.write_text(example)
    assert boards.load(path).model_format == "vela"


def test_the_harness_help_does_not_load_the_profiles():
    code = (
        "import sys; import harness.cli as c\n"
        "try: c.cli(['--help'])\n"
        "except SystemExit: pass\n"
        "bad = {'pydantic', 'rich', 'ethosu', 'harness.boards'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, cwd=Path(__file__).parents[2]
    )
