"""`harness flash`, `harness uf2` and `harness ports`, as a person types them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner
from uf2utils.file import UF2File

import harness
from harness import boards
from harness.boards import Profile
from harness.chips import uf2file
from harness.cli import flash, ports, uf2
from harness.emulator.board import load_models
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.process import BoardProcess
from harness.errors import HarnessError
from harness.firmware import virtual
from harness.flash import drives, xmodem
from harness.flash import uf2 as flash_uf2
from harness.models import bundled, resolve
from harness.runner import api, attached, placing
from harness.runner.attached import Attached
from harness.runner.deploy import deploy
from harness.runner.reach import Reach
from harness.wire.holders import holders
from tests.firmware import made
from tests.flash.rig import A1101, ESP, WE1, WE2, running

FIRST, SECOND = "cifar10_mbv2_035_32_int8", "mnist_mbv2_035_32_int8"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, timeout=60
    )


def refusal(command: click.Command, *arguments: str) -> str:
    """Run a command in this process and return the one line that it is refused with."""
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, HarnessError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_models_are_placed_one_behind_the_other_each_at_a_block(tmp_path: Path) -> None:
    with running(ESP, tmp_path) as (process, _):
        arguments = ["flash", "-b", ESP.id, "--port", process.url, "-m", FIRST, "-m", SECOND]
        first = run(*arguments)
        second = run(*arguments, "--json")
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    lines = first.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"found: {ESP.id}: ESP32-S3 (QFN56) (revision v0.2), flash: 8 MiB, ")
    assert lines[1].startswith(f"flashed: {ESP.id}: {FIRST}, 40,336 bytes at 0x400000 in ")
    assert "verified: MD5, by the chip" in lines[1]
    assert " at 0x40a000 in " in lines[2]
    again = json.loads(second.stdout)
    assert lines[0] == f"found: {ESP.id}: {again.pop('loader')}"
    assert again == {
        "board": ESP.id,
        "written": [],
        "kept": [{"what": name, "known_by": "MD5, by the chip"} for name in (FIRST, SECOND)],
    }
    cells = BoardFlash(ESP, tmp_path)
    assert cells.read(0x400000, 40336) == bundled.build(FIRST)
    assert cells.read(0x40A000, 40032) == bundled.build(SECOND)


def test_an_address_is_taken_and_a_file_of_firmware(tmp_path: Path) -> None:
    image = tmp_path / "mine.bin"
    image.write_bytes(virtual.build(WE2, "sscma")[0][2])
    # A board without firmware has no answer to a request for a reset, and no button here but its own.
    with running(WE2, tmp_path / "board", "--firmware", "bench") as (process, _):
        done = run(
            *(
                "flash",
                "-b",
                "we2",
                "--port",
                process.url,
                "--firmware",
                str(image),
                "-m",
                f"{FIRST}@0xB7B000",
            ),
            *("--block", "128"),
        )
    assert done.returncode == 0, done.stderr
    assert f"mine.bin, {image.stat().st_size:,} bytes at 0x0 in " in done.stdout
    assert " at 0xb7b000 in " in done.stdout
    assert BoardFlash(WE2, tmp_path / "board").read(0, 4448) == image.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-b", "we2", "--port", "/dev/x", "-m", f"{FIRST}@0x1000"], "not within a region for models"),
        (["-b", "we2", "--port", "/dev/x", "-m", f"{FIRST}@here"], "'here' is no address"),
        (["-b", "we2", "--port", "/dev/x", "--firmware", "bensh"], "did you mean 'bench'?"),
        (
            ["-b", "esp32s3", "--port", "/dev/x", "-m", f"{FIRST}@0x400000", "-m", f"{SECOND}@0x401000"],
            "overlap",
        ),
        (["-b", "esp32s3", "--port", "/dev/nope", "-m", FIRST], "no port /dev/nope"),
        (
            ["-b", "esp32s3", "-m", FIRST],
            "no xiao_esp32s3 is attached (USB id 303A:1001, 303A:4001, 2886:0056, 2886:8056)",
        ),
        (["-b", "we2", "--port", "/dev/x", "-m", f"{FIRST}@-1"], "'-1' is no address"),
        (["-b", "we2", "--port", "/dev/x", "-m", f"{FIRST}@"], "'' is no address"),
        (["-b", "we2", "--port", "/dev/x", "--firmware", "none"], "nothing to flash"),
        (["-b", "a1101", "--port", "/dev/x", *["-m", FIRST] * 5], "no room for its 40336 bytes behind the"),
    ],
)
def test_what_cannot_be_flashed_is_one_line(arguments: list[str], expected: str) -> None:
    assert expected in refusal(flash.command, *arguments)


def test_the_process_ends_with_that_line_and_status_2() -> None:
    done = run("flash", "-b", "esp32s3", "--port", "/dev/nope", "-m", FIRST)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("harness: error: no port /dev/nope")
    assert len(done.stderr.splitlines()) == 1


def test_a_uf2_file_for_copying_by_hand(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(bundled.build(FIRST))
    done = run("uf2", str(tmp_path / "net.tflite"), "-b", "a1101", "--slot", "2")
    assert done.returncode == 0, done.stderr
    assert "model at 0x30100000, 158 blocks" in done.stdout
    parsed = UF2File(str(tmp_path / "net.uf2"))
    assert parsed[0].header.address == 0x30100000
    content = b"".join(bytes(block.payload) for block in parsed)
    assert content[:40336] == uf2file.swap_words(bundled.build(FIRST))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["net.tflite", "-b", "we2"], "takes no UF2 files (it is flashed by xmodem)"),
        (["net.tflite", "-b", "a1101", "--slot", "5"], "has 4 model slots; there is no slot 5"),
        (["image.bin", "-b", "a1101", "--slot", "1"], "only models go into slots"),
        (["nothere.tflite", "-b", "a1101"], "nothere.tflite: no such file"),
        (["bench", "-b", "a1101"], "bench: cannot be read: No such file"),
        (["compiled", "-b", "a1101"], "compiled by Vela for ethos-u55-64, and sensecap_a1101 has no NPU"),
        (["net.tflite", "-b", "a1101", "--output", "net.tflite"], "net.tflite: is the file to convert"),
        (
            ["net.tflite", "-b", "a1101", "--output", "nothere/x.uf2"],
            "nothere/x.uf2: cannot be written",
        ),
    ],
)
def test_a_uf2_file_that_cannot_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.tflite").write_bytes(bundled.build(FIRST))
    Path("image.bin").write_bytes(b"image")
    Path("compiled").write_bytes(deploy(resolve.resolve(FIRST), WE2).file.data)
    assert expected in refusal(uf2.command, *arguments)
    assert not list(tmp_path.glob("*.uf2"))
    assert Path("net.tflite").read_bytes() == bundled.build(FIRST)


@pytest.mark.parametrize("name", ["NET.TFLITE", "net"])
def test_a_model_is_one_by_what_is_in_it_whatever_its_file_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bundled.build(FIRST))
    file = placing.uf2(tmp_path / name, "a1101")
    assert (file.use, file.address) == ("model", 0x30000000)


def test_each_model_has_a_block_or_a_slot_of_its_own(tmp_path: Path) -> None:
    odd = tmp_path / "at@home"
    odd.mkdir()
    (odd / "net.tflite").write_bytes(bundled.build(FIRST))

    def places(board: Profile, *names: str) -> list[int]:
        return [file.address for file in placing.place_models(board, names)]

    assert places(ESP, FIRST, str(odd / "net.tflite"), SECOND) == [0x400000, 0x40A000, 0x414000]
    assert places(ESP, f"{odd / 'net.tflite'}@0x500000", SECOND) == [0x500000, 0x50A000]
    assert places(A1101, FIRST, SECOND) == [0x30000000, 0x30100000]
    assert places(A1101, f"{FIRST}@0x30100000", SECOND) == [0x30100000, 0x30200000]
    flash = BoardFlash(A1101)
    load_models(A1101, flash, [FIRST, SECOND])
    assert flash.read_by_core(0x30100000, 40032) == bundled.build(SECOND)
    with pytest.raises(HarnessError, match="no room left"):
        load_models(A1101, flash, [FIRST] * 5)


def port(
    device: str, usb: str | None, serial_number: str | None = None, location: str | None = None
) -> SimpleNamespace:
    """A port as pyserial lists it."""
    vid, pid = (int(part, 16) for part in usb.split(":")) if usb else (None, None)
    return SimpleNamespace(
        device=device,
        vid=vid,
        pid=pid,
        serial_number=serial_number,
        description="a port",
        location=location,
    )


def attach(monkeypatch: pytest.MonkeyPatch, *ports: SimpleNamespace) -> None:
    monkeypatch.setattr(attached, "_comports", lambda: list(ports))


def test_ports_are_listed_with_the_boards_that_their_ids_stand_for(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch, port("/dev/ttyS0", None), port("/dev/ttyACM0", "303A:1001", "34:85"))
    first, second = attached.everything()
    assert (first.where, first.boards, first.serial_number) == (
        "/dev/ttyACM0",
        ("xiao_esp32c3", "xiao_esp32c6", ESP.id),
        "34:85",
    )
    assert (second.where, second.boards) == ("/dev/ttyS0", ())


def test_the_one_attached_board_that_fits_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch, port("/dev/ttyACM0", "303A:1001"), port("/dev/ttyUSB0", "1A86:55D3"))
    assert attached.choose_port("auto", ESP) == "/dev/ttyACM0"
    assert attached.choose_port(None, WE2) == "/dev/ttyUSB0"
    assert attached.choose_port(None, WE1) == "emulated"
    assert attached.choose_port("/dev/ttyX", ESP) == "/dev/ttyX"
    with pytest.raises(HarnessError, match=r"no grove_vision_ai is attached .*2886:8060"):
        attached.choose_port("auto", WE1)


def test_a_board_whose_firmware_drives_the_usb_port_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    for usb in ("303A:4001", "2886:0056", "2886:8056"):
        attach(monkeypatch, port("/dev/ttyACM0", usb))
        assert attached.choose_port(None, ESP) == "/dev/ttyACM0"


def test_no_emulated_board_takes_the_place_of_what_may_be_the_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """TinyUSB with CDC and mass storage: nobody's id, by the vendor of the board's chip."""
    attach(monkeypatch, port("/dev/ttyACM0", "303A:4003"))
    may_be = (
        "/dev/ttyACM0 (303A:4003, a port) may be the xiao_esp32s3, under a USB id that its firmware gives it"
    )
    with pytest.raises(HarnessError) as caught:
        attached.choose_port(None, ESP)
    assert str(caught.value) == (
        f"{may_be}: name it with --port, or take an emulated board with --port emulated"
    )
    with pytest.raises(HarnessError) as caught:
        attached.choose_port("auto", ESP)
    assert str(caught.value).endswith(f"; {may_be}: if so, name it with --port")
    assert attached.choose_port("emulated", ESP) == "emulated"
    assert attached.choose_port("/dev/ttyACM0", ESP) == "/dev/ttyACM0"
    assert attached.choose_port(None, WE2) == "emulated", "another maker's chip"
    listed = " ".join(CliRunner().invoke(ports.command).output.split())
    assert "perhaps xiao_esp32c3 or xiao_esp32c6 or xiao_esp32s3" in listed


def test_another_board_of_the_same_maker_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch, port("/dev/ttyACM0", "2886:8061"))
    assert attached.choose_port(None, WE1) == "emulated"


def test_a_board_of_one_s_own_profile_is_found_by_its_usb_id(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    usb = '[[usb]]\nid = "1234:5678"\nstate = "any"\nmeans = "it"\nsource = "lsusb"\n'
    own.write_text(f'extends = "xiao_esp32s3"\nid = "own"\nsource = "me"\n{usb}')
    attach(monkeypatch, port("/dev/ttyACM0", "1234:5678"))
    assert attached.choose_port(None, boards.load(own)) == "/dev/ttyACM0"


SOCKET = {"serial_number": "34:85", "location": "1-1.2:1.0"}


@pytest.mark.parametrize(
    ("now", "where"),
    [
        ([("/dev/ttyACM1", "303A:1001", "34:85", "1-1.2:1.0")], "/dev/ttyACM1"),
        ([("/dev/ttyACM1", "303A:1001", "34:85", "1-4")], "/dev/ttyACM1"),
        ([("/dev/ttyACM1", "2886:0060", None, "1-1.2")], "/dev/ttyACM1"),
        ([("/dev/ttyACM1", "2886:0060", "34:86", "1-1.2:1.0")], "/dev/ttyACM1"),
        ([("/dev/ttyACM1", "303A:1001", "34:86", "1-1.2:1.0")], None),
        (
            [
                ("/dev/ttyACM0", "303A:1001", "77:77", "1-1.3:1.0"),
                ("/dev/ttyACM1", "303A:1001", "34:85", "1-1.2:1.0"),
            ],
            "/dev/ttyACM1",
        ),
        (
            [
                ("/dev/ttyACM1", "303A:1001", "34:85", "1-1.2:1.2"),
                ("/dev/ttyACM2", "303A:1001", "34:85", "1-1.2:1.0"),
            ],
            "/dev/ttyACM2",
        ),
        ([("/dev/ttyACM1", "303A:1001", "77:77", "1-1.3:1.0"), ("/dev/ttyS0", None, None, None)], None),
    ],
    ids=[
        "renamed",
        "moved to another socket",
        "a boot loader without a number",
        "a boot loader with another number",
        "another board in its socket",
        "another board took the name",
        "two ports of one device",
        "not there",
    ],
)
def test_a_device_is_found_again_by_serial_number_and_socket(
    monkeypatch: pytest.MonkeyPatch,
    now: list[tuple[str, str | None, str | None, str | None]],
    where: str | None,
) -> None:
    attach(monkeypatch, port("/dev/ttyACM0", "303A:1001", **SOCKET))
    known = attached.device("/dev/ttyACM0")
    assert known is not None
    attach(monkeypatch, *(port(*one) for one in now))
    assert attached.port_of(known) == where


def test_a_device_is_known_by_a_link_to_its_port_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ttyACM0").touch()
    (tmp_path / "by-id").symlink_to(tmp_path / "ttyACM0")
    attach(monkeypatch, port(str(tmp_path / "ttyACM0"), "303A:1001", "34:85"))
    known = attached.device(str(tmp_path / "by-id"))
    assert known is not None
    assert known.serial_number == "34:85"


def test_a_port_of_the_same_bridge_s_maker_may_be_the_board(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch, port("/dev/ttyUSB0", "1A86:7523"))
    with pytest.raises(HarnessError, match=r"may be the grove_vision_ai_we2, under the USB id of its bridge"):
        attached.choose_port(None, WE2)


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a POSIX thing")
def test_a_port_that_comes_back_under_another_name_is_opened_under_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminals = [os.openpty(), os.openpty()]
    first, second = (os.ttyname(slave) for _, slave in terminals)
    attach(monkeypatch, port(first, "303A:1001", **SOCKET))
    with Reach(ESP, first, first, device=attached.device(first)).open() as opened:  # type: ignore[attr-defined]
        attach(monkeypatch, port(second, "303A:1001", **SOCKET))
        opened.reopen()
        assert opened.url == second
        os.write(terminals[1][0], b"here")
        assert opened.read(10, 1.0) == b"here"
    for ends in terminals:
        for end in ends:
            os.close(end)


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a POSIX thing")
def test_a_board_that_leaves_its_port_for_the_boot_loader_is_flashed_where_it_comes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Firmware with TinyUSB: a reset takes its port away, and the ROM's has another id, number and name."""
    import tty

    master, slave = os.openpty()
    tty.setraw(slave)
    tinyusb = os.ttyname(slave)
    os.close(slave)
    gone = threading.Event()

    def firmware() -> None:
        """Say nothing, and go with the first word to the boot loader."""
        heard = b""
        while b"\xc0\x00\x08" not in heard:  # SYNC, as esptool sends it
            try:
                heard += os.read(master, 4096)
            except OSError:  # nobody has it open
                time.sleep(0.01)
        gone.set()
        os.close(master)

    thread = threading.Thread(target=firmware, daemon=True)
    thread.start()
    with BoardProcess(str(ESP.path), ["--firmware", "none"], listen="pty") as process:

        def comports() -> list[SimpleNamespace]:
            if gone.is_set():
                return [port(process.url, "303A:1001", "34:85", "1-1.2")]
            return [port(tinyusb, "303A:4001", "123456", "1-1.2:1.0")]

        monkeypatch.setattr(attached, "_comports", comports)
        result = harness.bench([FIRST], [ESP.id], port="auto", invokes=1, out=tmp_path / "out")
    thread.join()
    assert not result.failures
    assert [outcome.did for outcome in result.flashed[0].outcomes] == ["written"] * 4


def test_several_that_fit_ask_for_a_choice_and_show_their_serial_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attach(monkeypatch, port("/dev/ttyACM0", "303A:1001", "AA"), port("/dev/ttyACM1", "303A:1001", "BB"))
    with pytest.raises(HarnessError, match=r"ttyACM0 \(serial number AA\), .*BB\); choose one with --port"):
        attached.choose_port(None, ESP)


def test_a_drive_beside_another_board_s_port_asks_for_a_choice(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = cache / "drives" / "x-1" / "GROVEAI"
    drive.mkdir(parents=True)
    (drive / "INFO_UF2.TXT").write_text("Model: A board\n")
    attach(monkeypatch, port("/dev/ttyACM0", "2886:8060"))
    with pytest.raises(HarnessError, match=r"several boards fit .*GROVEAI, .*ttyACM0; .* --port or --drive"):
        attached.choose_port("auto", WE1)
    assert attached.choose_port("auto", WE1, drive) == f"drive:{drive}"
    assert attached.choose_port("/dev/ttyACM0", WE1, drive) == "/dev/ttyACM0"
    attach(monkeypatch, port("/dev/ttyACM0", "2886:0060"))
    assert attached.choose_port("auto", WE1) == "/dev/ttyACM0", "the boot loader's own port"


def test_a_drive_that_was_named_is_taken_wherever_it_is_mounted(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    attach(monkeypatch)
    (tmp_path / "image.bin").write_bytes(made.we1())
    expected = uf2file.build(made.we1(), 0x10000000, 0xEF32C892)
    drive = tmp_path / "mnt"
    drive.mkdir()
    (drive / "INFO_UF2.TXT").write_text("Model: Grove Vision AI\n")
    copied: list[bytes] = []

    def board() -> None:
        """Take the file and let the drive go away, as a boot loader does."""
        file = drive / "firmware.uf2"
        while not file.exists() or file.stat().st_size < len(expected):
            time.sleep(0.01)
        copied.append((drive / "firmware.uf2").read_bytes())
        (drive / "INFO_UF2.TXT").unlink()

    thread = threading.Thread(target=board)
    thread.start()
    done = api.flash_board("we1", firmware=str(tmp_path / "image.bin"), drive=drive)
    thread.join()
    assert [outcome.file for outcome in done.outcomes] == ["image.bin"]
    assert copied == [expected]


def test_a_drive_that_nobody_has_mounted_is_listed_and_how_to_mount_it_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    attach(monkeypatch)
    monkeypatch.setattr(drives, "_BY_LABEL", tmp_path)
    monkeypatch.setattr(flash_uf2, "APPEAR_S", 0.2)
    (tmp_path / "GROVEAI").touch()
    how = f"mount -b {tmp_path / 'GROVEAI'}"
    [found] = attached.everything()
    assert (found.where, found.boards, found.state) == (str(tmp_path / "GROVEAI"), (WE1.id,), "boot_loader")
    assert how in found.description
    assert how in refusal(flash.command, "-b", "we1", "-m", FIRST)


def test_a_drive_is_known_by_its_file_system_s_label_not_by_where_it_is_mounted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As a desktop mounts the second of two."""
    (tmp_path / "device").touch()
    (tmp_path / "by-label").mkdir()
    (tmp_path / "by-label" / "GROVEAI").symlink_to(tmp_path / "device")
    monkeypatch.setattr(drives, "_BY_LABEL", tmp_path / "by-label")
    (tmp_path / "GROVE AI1").mkdir()
    (tmp_path / "GROVE AI1" / "INFO_UF2.TXT").write_text("Model: A board\n")
    escaped = str(tmp_path / "GROVE AI1").replace(" ", r"\040")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"proc /proc proc rw 0 0\n{tmp_path / 'device'} {escaped} vfat rw,nosuid 0 0\n")
    monkeypatch.setattr(drives, "_MOUNTS", mounts)
    [drive] = drives.find()
    assert (drive.path, drive.label) == (tmp_path / "GROVE AI1", "GROVEAI")
    assert drives.unmounted(["GROVEAI"]) is None
    assert not drive.gone
    (tmp_path / "device").unlink()
    assert drive.gone, "unplugged, and still mounted"


def test_a_drive_that_was_named_is_not_another_board_s(tmp_path: Path) -> None:
    drive = tmp_path / "GROVEAI"
    drive.mkdir()
    (drive / "INFO_UF2.TXT").write_text("Model: Grove Vision AI\n")
    expected = f"{drive}: the drive of grove_vision_ai, not of sensecap_a1101"
    assert expected in refusal(flash.command, "-b", "a1101", "--drive", str(drive), "-m", FIRST)


@pytest.mark.parametrize(("board", "label"), [(WE1, "GROVEAI"), (A1101, "VISIONAI")])
def test_a_boot_loader_s_drive_is_found_without_a_port(
    cache: Path, monkeypatch: pytest.MonkeyPatch, board: Profile, label: str
) -> None:
    attach(monkeypatch)
    drive = cache / "drives" / "x-1" / label
    drive.mkdir(parents=True)
    (drive / "INFO_UF2.TXT").write_text("Model: A board\nBoard-ID: 42\n")
    [found] = attached.everything()
    assert found == Attached(str(drive), "drive", (board.id,), "boot_loader", None, "42", "A board")
    assert attached.choose_port("auto", board) == f"drive:{drive}"


def test_a_board_left_in_its_boot_loader_is_flashed_and_benched(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with BoardProcess(str(WE1.path), ["--boot", "--firmware", "none"]) as process:

        def comports() -> list[SimpleNamespace]:
            """The port comes when the drive goes, as on the real board."""
            shown = list((cache / "drives").glob("*/GROVEAI"))
            return [] if shown else [port(process.url, "2886:8060")]

        while not list((cache / "drives").glob("*/GROVEAI")):  # it comes after the port's name is printed
            time.sleep(0.01)
        monkeypatch.setattr(attached, "_comports", comports)
        result = harness.bench([FIRST], [WE1.id], port="auto", invokes=1, out=tmp_path / "out")
    assert not result.failures
    assert result.records[0].invoke.origin == "estimated"
    assert [outcome.file for outcome in result.flashed[0].outcomes] == ["firmware", FIRST]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")
@pytest.mark.parametrize("lock", [True, False], ids=["locked", "not locked"])
@pytest.mark.parametrize("board", [ESP, WE2], ids=lambda board: board.id)
def test_another_program_at_the_port_is_named(
    monkeypatch: pytest.MonkeyPatch, board: Profile, lock: bool
) -> None:
    monkeypatch.setattr(xmodem, "BUTTON_WAIT_S", 0.5)
    master, slave = os.openpty()
    name = os.ttyname(slave)
    hold = f"import serial, sys; s = serial.Serial({name!r}, exclusive={lock}); print(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        try:
            os.close(slave)
            assert other.stdout
            other.stdout.readline()
            said = refusal(flash.command, "-b", board.id, "--port", name, "-m", FIRST)
        finally:
            other.kill()
    os.close(master)
    wanted = (
        r"is in use by \S+ \(process {}\); close it" if lock else r"; \S+ \(process {}\) has it open, too"
    )
    assert re.search(wanted.format(other.pid), said), said


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")
def test_who_holds_a_port_is_shown() -> None:
    master, slave = os.openpty()
    try:
        pids = [holder.pid for holder in holders(os.ttyname(slave))]
        assert pids == [os.getpid()]
    finally:
        os.close(master)
        os.close(slave)


def test_the_command_lists_ports_as_text_and_json() -> None:
    done = run("ports", "--json")
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), list)
    assert run("ports").returncode == 0
