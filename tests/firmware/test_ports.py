"""The ports to boards that cannot be built here: compiled against declarations of what they call."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import boards
from tests.firmware.builds import FIRMWARE, require

pytestmark = pytest.mark.interop

ESP32S3 = FIRMWARE / "ports/xiao_esp32s3"
DECLARATIONS = Path(__file__).parent / "declarations"
WARNINGS = (
    *("-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wstrict-prototypes"),
    *("-Wmissing-prototypes", "-Wundef", "-Wwrite-strings"),
)


def compiles(source: str, declarations: str, *options: str) -> None:
    require("arm-none-eabi-gcc")
    done = subprocess.run(
        [
            *("arm-none-eabi-gcc", "-std=c11", "-fsyntax-only", *WARNINGS, "-mcpu=cortex-m55", "-mthumb"),
            *("-mfloat-abi=hard", f"-I{FIRMWARE / 'core'}", f"-I{DECLARATIONS / declarations}", *options),
            str(FIRMWARE / "ports" / source),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", ["CONFIG_BENCH_LINE_USB", "CONFIG_BENCH_LINE_UART"])
@pytest.mark.parametrize("arena", ["CONFIG_BENCH_ARENA_PSRAM", "CONFIG_BENCH_ARENA_INTERNAL"])
def test_the_port_to_the_xiao_esp32s3(line: str, arena: str) -> None:
    compiles("xiao_esp32s3/main/port_xiao_esp32s3.c", "esp_idf", f"-D{line}", f"-D{arena}")


def test_the_port_to_the_grove_vision_ai_v2() -> None:
    compiles("grove_vision_ai_we2/port_grove_vision_ai_we2.c", "we2")


def test_each_port_calls_itself_as_the_board_profile_does() -> None:
    for port in ("xiao_esp32s3", "grove_vision_ai_we2"):
        [source] = (FIRMWARE / "ports" / port).rglob("port_*.c")
        assert f'.board = "{boards.load(port).id}"' in source.read_text(encoding="utf-8")
    for port in ("posix", "mps3_an547"):
        profile = boards.load(str(FIRMWARE / "ports" / port / "board.toml"))
        source = FIRMWARE / "ports" / port / f"port_{port}.c"
        assert f'.board = "{profile.id}"' in source.read_text(encoding="utf-8")


def test_the_esp32s3_projects_partitions_are_the_regions_of_the_board_profile() -> None:
    lines = (ESP32S3 / "partitions.csv").read_text(encoding="utf-8").splitlines()
    rows = [[word.strip() for word in line.split(",")] for line in lines if not line.startswith("#")]
    partitions = {
        name: (int(offset, 0), int(size.removesuffix("K")) << 10) for name, _, _, offset, size in rows
    }
    regions = {
        region.name: (region.offset, region.size_bytes)
        for region in boards.load("xiao_esp32s3").flash.regions
    }
    # The two in front of the partitions are not in the table: the boot loader, and the table itself.
    assert [regions.pop(name)[0] for name in ("bootloader", "partition_table")] == [0x0, 0x8000]
    assert partitions == regions
    assert all(
        offset % 0x10000 == 0 for name, kind, _, at, _ in rows if kind == "app" for offset in [int(at, 0)]
    )


def test_the_esp32s3_project_is_set_up_as_the_board_profile_says() -> None:
    profile = boards.load("xiao_esp32s3")
    lines = (ESP32S3 / "sdkconfig.defaults").read_text(encoding="utf-8").splitlines()
    chosen = {name for name, _, value in (line.partition("=") for line in lines) if value == "y"}
    menu = (ESP32S3 / "main/Kconfig.projbuild").read_text(encoding="utf-8")
    memory = {memory.name: memory.size_bytes for memory in profile.memories}
    assert profile.estimate is not None
    assert profile.estimate.cache_bytes is not None
    assert f"CONFIG_ESP_DEFAULT_CPU_FREQ_MHZ_{profile.clock_hz // 1_000_000}" in chosen
    assert f"CONFIG_ESPTOOLPY_FLASHSIZE_{memory['flash'] >> 20}MB" in chosen
    # What the published times are with, which the profile's estimates are fitted to.
    assert {f"CONFIG_ESP32S3_DATA_CACHE_{profile.estimate.cache_bytes >> 10}KB", "CONFIG_SPIRAM"} <= chosen
    assert profile.arena.memory == "psram"
    assert "default BENCH_ARENA_PSRAM\n" in menu
    assert f"default {profile.arena.size_bytes >> 10} if BENCH_ARENA_PSRAM\n" in menu
