"""The ports to boards that cannot be built here: compiled against declarations of what they call."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import boards
from tests.firmware.builds import FIRMWARE, require

pytestmark = pytest.mark.interop

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


def test_the_esp32s3_project_keeps_models_where_the_board_profile_has_them() -> None:
    region = boards.load("xiao_esp32s3").flash.model_region
    partitions = (FIRMWARE / "ports/xiao_esp32s3/partitions.csv").read_text(encoding="utf-8")
    [row] = [line.split(",") for line in partitions.splitlines() if line.startswith("models")]
    assert (int(row[3], 0), int(row[4], 0)) == (region.offset, region.size_bytes)
