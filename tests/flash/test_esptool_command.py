"""esptool as a command, as it was installed, against the virtual ESP32 boards."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import boards
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.process import BoardProcess
from harness.runner.reach import Reach
from harness.wire.protocol import connect
from tests.flash.rig import ESP

pytestmark = pytest.mark.interop

AT = 0x400000
DATA = random.Random(5).randbytes(20_000) + b"compressible " * 1000
RFC2217 = "rfc2217://127.0.0.1:0"
IDENTITY = (
    "ESP32-S3 (QFN56) (revision v0.2)",
    "Embedded PSRAM 8MB",
    "MAC:                02:76:69:72:74:",
)


def esptool(url: str, *arguments: str, lines: bool = True, after: str = "no-reset") -> str:
    """Run esptool and return what it printed; without lines the loader has been entered already."""
    resets = [] if lines else ["--before", "no-reset", "--after", after]
    done = subprocess.run(
        [sys.executable, "-m", "esptool", "--port", url, *resets, *arguments],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Bench:
    """A virtual board with `DATA` in its flash, or blank, and a directory for files."""

    def __init__(self, directory: Path, *, filled: bool, listen: str | None = None) -> None:
        self.directory = directory
        self.file = directory / "data.bin"
        directory.mkdir(exist_ok=True)
        self.file.write_bytes(DATA)
        if filled:
            BoardFlash(ESP, directory).program(AT, DATA)
        self.process = BoardProcess(str(ESP.path), ["--flash", str(directory), "--boot"], listen=listen)
        self.lines = listen is not None

    def run(self, *arguments: str) -> str:
        return esptool(self.process.url, *arguments, lines=self.lines)

    def flash(self) -> bytes:
        return BoardFlash(ESP, self.directory).read(AT, len(DATA))


def write(bench: Bench, *options: str) -> None:
    assert "Hash of data verified." in bench.run(*options, "write-flash", hex(AT), str(bench.file))
    assert bench.flash() == DATA


def read(bench: Bench, *options: str) -> None:
    # The ROM reads 64 bytes a command.
    size = 1000 if "--no-stub" in options else len(DATA)
    back = bench.directory / "back.bin"
    bench.run(*options, "read-flash", hex(AT), str(size), str(back))
    assert back.read_bytes() == DATA[:size]


def verify(bench: Bench, *options: str) -> None:
    out = bench.run(*options, "verify-flash", hex(AT), str(bench.file))
    assert "Verification successful" in out


def erase(bench: Bench, *options: str) -> None:
    bench.run(*options, "erase-region", hex(AT), "0x4000")
    assert bench.flash() == b"\xff" * 0x4000 + DATA[0x4000:]


def identify(bench: Bench, *options: str) -> None:
    out = bench.run(*options, "flash-id")
    assert "Detected flash size: 8MB" in out
    for line in IDENTITY:
        assert line in out


STEPS = [(write, False), (read, True), (verify, True), (erase, True), (identify, False)]


@pytest.fixture(scope="module")
def over_the_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """esptool reading the MAC address over RFC 2217: started first and looked at last, as it takes 7 s.

    Each of its commands takes 0.2 s there, the one after the watchdog has been switched on, too.
    """
    bench = Bench(tmp_path_factory.mktemp("network"), filled=False, listen=RFC2217)
    reset = ["--after", "watchdog-reset"]
    command = [sys.executable, "-m", "esptool", "--no-stub", "--port", bench.process.url, *reset, "read-mac"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        yield running
    bench.process.stop()


@pytest.mark.parametrize("options", [(), ("--no-stub",)], ids=["stub", "no stub"])
@pytest.mark.parametrize(("step", "filled"), STEPS, ids=[step.__name__ for step, _ in STEPS])
def test_a_board_whose_boot_button_is_held_answers_the_command(
    tmp_path: Path,
    over_the_network: subprocess.Popen[str],
    step: object,
    filled: bool,
    options: tuple[str, ...],
) -> None:
    bench = Bench(tmp_path / "board", filled=filled)
    assert callable(step)
    step(bench, *options)
    bench.process.stop()


def test_the_command_resets_the_board_into_its_loader_over_rfc2217(
    over_the_network: subprocess.Popen[str],
) -> None:
    out, _ = over_the_network.communicate(timeout=60)
    assert over_the_network.returncode == 0, out
    for line in (*IDENTITY, "Hard resetting with a watchdog..."):
        assert line in out


@pytest.mark.parametrize("listen", ["pty", "socket://127.0.0.1:0"])
@pytest.mark.parametrize("name", ["xiao_esp32s3", "xiao_esp32c3"])
@pytest.mark.parametrize("options", [(), ("--no-stub",)], ids=["stub", "no stub"])
def test_the_command_s_watchdog_resets_the_board_into_its_firmware(
    tmp_path: Path, listen: str, name: str, options: tuple[str, ...]
) -> None:
    board = boards.load(name)
    arguments = ["--flash", str(tmp_path), "--firmware", "bench", "--boot"]
    with BoardProcess(name, arguments, listen=listen) as process:
        out = esptool(process.url, *options, "read-mac", lines=False, after="watchdog-reset")
        assert "Hard resetting with a watchdog..." in out
        with connect("bench", Reach(board, "", process.url).open()) as session:
            assert session.identify().board == board.id


@pytest.mark.soak
def test_the_command_does_everything_over_rfc2217(tmp_path: Path) -> None:
    """Each step on a board of its own at the same time: pyserial's client spends most of it waiting."""

    def run(number: int, options: tuple[str, ...]) -> None:
        step, filled = STEPS[number]
        bench = Bench(tmp_path / f"{number}{len(options)}", filled=filled, listen=RFC2217)
        try:
            step(bench, *options)
        finally:
            bench.process.stop()

    every = [(n, o) for n in range(len(STEPS)) for o in ((), ("--no-stub",))]
    with ThreadPoolExecutor(len(every)) as pool:
        list(pool.map(lambda job: run(*job), every))


@pytest.mark.parametrize(
    ("name", "chip"),
    [
        ("xiao_esp32c3", "ESP32-C3 (QFN32) (revision v0.4)"),
        ("xiao_esp32c6", "ESP32-C6FH4 (QFN32) (revision v0.1)"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--no-stub",)], ids=["stub", "no stub"])
def test_another_chip_of_the_family_is_recognised_and_written(
    tmp_path: Path, name: str, chip: str, options: tuple[str, ...]
) -> None:
    board = boards.load(name)
    (tmp_path / "data.bin").write_bytes(DATA)
    at = board.flash.model_region.offset
    process = BoardProcess(name, ["--flash", str(tmp_path / "board"), "--boot"])
    out = esptool(process.url, *options, "write-flash", hex(at), str(tmp_path / "data.bin"), lines=False)
    process.stop()
    assert chip in out
    assert "02:76:69:72:74:" in out
    assert "Hash of data verified." in out
    assert BoardFlash(board, tmp_path / "board").read(at, len(DATA)) == DATA
