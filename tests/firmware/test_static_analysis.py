"""clang-tidy and cppcheck have nothing to say of the firmware's code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.firmware.builds import FIRMWARE, require

pytestmark = [pytest.mark.interop, pytest.mark.lint]


def sources(*patterns: str) -> list[str]:
    found = [str(path) for pattern in patterns for path in sorted(FIRMWARE.glob(pattern))]
    assert found
    return found


def test_cppcheck_finds_nothing() -> None:
    require("cppcheck")
    done = subprocess.run(
        [
            *("cppcheck", "--quiet", "--std=c11", "--error-exitcode=1"),
            "--enable=warning,style,performance,portability",
            f"--suppressions-list={FIRMWARE / 'cppcheck-suppressions.txt'}",
            f"-I{FIRMWARE / 'core'}",
            *sources("core/*.c", "engine_selftest/*.c", "ports/**/*.c", "tests/*.c"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_clang_tidy_finds_nothing(checked: Path) -> None:
    require("clang-tidy")
    files = sources("core/*.c", "engine_selftest/*.c", "ports/posix/*.c", "tests/simulated*.c")
    done = subprocess.run(["clang-tidy", "--quiet", "-p", checked, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


CROSS = (
    *("--target=arm-none-eabi", "-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard", "-std=c11"),
    *("-isystem", "/usr/lib/arm-none-eabi/include", f"-I{FIRMWARE / 'core'}", f"-I{FIRMWARE / 'tests'}"),
)


def declared(vendor: str) -> tuple[str, str]:
    return "-isystem", str(Path(__file__).parent / "declarations" / vendor)


@pytest.mark.parametrize(
    ("pattern", "options"),
    [
        ("ports/mps3_an547/*.c", ()),
        ("ports/grove_vision_ai_we2/*.c", declared("we2")),
        ("ports/xiao_esp32s3/main/*.c", (*declared("esp_idf"), "-DCONFIG_BENCH_LINE_UART")),
        ("ports/xiao_esp32s3/main/*.c", (*declared("esp_idf"), "-DCONFIG_BENCH_ARENA_PSRAM")),
        ("tests/fuzz_*.c", ()),
    ],
    ids=["mps3_an547", "grove_vision_ai_we2", "xiao_esp32s3-uart", "xiao_esp32s3-usb", "fuzz"],
)
def test_clang_tidy_finds_nothing_in_what_the_host_build_has_not(
    pattern: str, options: tuple[str, ...]
) -> None:
    require("clang-tidy", "arm-none-eabi-gcc")
    done = subprocess.run(
        ["clang-tidy", "--quiet", *sources(pattern), "--", *CROSS, *options], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
