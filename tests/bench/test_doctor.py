"""`harness doctor` on virtual boards, well and with each trouble: the sentence that a person reads.

Boards are behind a pseudo-terminal, as an attached one is behind its port; the walk does not know better.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.emulator.process import BoardProcess
from harness.errors import HarnessError
from harness.runner import doctor
from harness.runner.doctor import STEPS, StepResult, driver_of, examine
from harness.runner.plan import DEFAULT_MODEL
from tests.results.running import harness
from tests.test_package import CHECKOUT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals there")

XIAO = "xiao_esp32s3"


@contextmanager
def attached(*options: str, board: str = XIAO, model: str | None = DEFAULT_MODEL) -> Iterator[str]:
    """Yield the port of a board that holds its firmware and a model."""
    holds = ["--model", model] if model else []
    with BoardProcess(board, [*holds, *options]) as process:
        yield process.url


def walk(port: str, board: str | None = XIAO, **more: object) -> dict[str, StepResult]:
    return {finding.step: finding for finding in examine(board, port, **more)}  # type: ignore[arg-type]


def failed(found: dict[str, StepResult]) -> dict[str, str]:
    return {step: finding.text for step, finding in found.items() if finding.outcome == "failed"}


def test_a_board_that_is_well_is_walked_through_to_a_number() -> None:
    with attached() as port:
        found = walk(port)
    assert list(found) == [step.name for step in STEPS]
    assert not failed(found)
    assert found["cable"].text == f"{port} is no USB port"
    assert found["port is free"].text == f"nobody else has {port} open, as far as you may see"
    assert found["boot loader"].text.startswith("ESP32-S3")
    assert found["boot loader"].text.endswith("(the board was reset; its flash was not touched)")
    assert "build" in found["firmware"].text
    assert "written now" not in found["firmware"].text
    assert found["protocol"].text.startswith("bench, which gives tensors")
    assert found["tensors"].text.startswith("100 tensors of 3,072 bytes arrived whole")
    # A virtual board's time is never a measured one.
    assert found["invoke"].text.startswith(f"{DEFAULT_MODEL}: ")
    assert found["invoke"].text.endswith(" ms (estimated)")


@pytest.mark.parametrize(
    ("board", "loader"),
    [
        ("grove_vision_ai", "its boot loader is a drive, and only flashing it or its button gets"),
        ("sensecap_a1101", "its boot loader is a drive"),
        ("grove_vision_ai_we2", "its boot loader is entered by a button, which has to be pressed by hand"),
    ],
)
def test_a_boot_loader_that_needs_a_button_is_left_alone(board: str, loader: str) -> None:
    found = walk("emulated", board)
    assert found["boot loader"].outcome == "not possible"
    assert found["boot loader"].text.startswith(loader)
    assert not failed(found)
    assert found["invoke"].outcome == "ok"


def test_without_a_board_it_is_known_by_what_its_firmware_says() -> None:
    with attached(model=None) as port:
        found = walk(port, board=None)
    assert "which is the one for xiao_esp32s3" in found["firmware"].text
    assert found["invoke"].outcome == "not possible"
    assert found["invoke"].text == (
        f"{DEFAULT_MODEL} is not in the board's flash; `harness doctor --board xiao_esp32s3 --flash` writes "
        "it"
    )


def test_a_board_that_does_not_say_which_it_is_has_to_be_named() -> None:
    with attached("--trouble", "silent") as port:
        found = walk(port, board=None)
    assert failed(found) == {
        "cable": f"which board is at {port}? Its firmware does not say: name it with --board"
    }


def test_flash_writes_what_is_missing() -> None:
    with attached("--firmware", "none", model=None) as port:
        before = walk(port)
        assert "`harness doctor --board xiao_esp32s3 --flash`" in failed(before)["firmware"]
        after = walk(port, flash=True)
    assert not failed(after)
    assert (
        f"written now: boot loader, partition table, application, {DEFAULT_MODEL}" in after["firmware"].text
    )


def test_no_board_attached_is_said_plainly(tmp_path: Path) -> None:
    done = harness("doctor", "--board", XIAO, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("cable        failed        no xiao_esp32s3 (USB id 303A:1001")
    assert "is attached: plug it in with a cable that carries data, not one for charging" in done.stdout
    assert "without a board, --port emulated walks through an emulated one" in done.stdout


def test_a_port_that_is_not_there() -> None:
    found = walk("/dev/ttyNOSUCH0")
    assert failed(found)["cable"].startswith("no port /dev/ttyNOSUCH0: plug the board in with a cable that")
    assert found["invoke"].text == "no firmware answers"


def test_a_port_that_another_program_has_open() -> None:
    with attached() as port:
        code = (
            f"import time; f = open({port!r}, 'rb+', buffering=0); print('open', flush=True); time.sleep(99)"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"open\n"
            findings = examine(XIAO, port)
            said = next(finding for finding in findings if finding.step == "port is free")
            other.kill()
    assert said.outcome == "failed"
    assert f"(process {other.pid}) has {port} open: close that, and start again" in said.text


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can become another user")
def test_a_port_that_the_user_may_not_open() -> None:
    with attached() as port:
        os.chmod(port, 0o600)
        findings = examine(XIAO, port)
        next(finding for finding in findings if finding.step == "driver")
        os.seteuid(65534)
        try:
            said = next(findings)
        finally:
            os.seteuid(0)
    assert said.step == "permission"
    assert said.outcome == "failed"
    assert said.text.startswith(f"no permission to open {port}: ")


def test_a_silent_board() -> None:
    with attached("--trouble", "silent") as port:
        found = walk(port)
    assert found["boot loader"].outcome == "ok"
    assert "no board that speaks the bench protocol" in failed(found)["firmware"]
    assert found["clock"].text == "no firmware answers"


def test_a_board_that_boots_again_and_again() -> None:
    with attached("--trouble", "boot-loop") as port:
        found = walk(port)
    assert list(failed(found)) == ["firmware"]
    assert (
        "its supply breaks down and it starts again ('Brownout detector was triggered')"
        in (failed(found)["firmware"])
    )


def test_firmware_of_another_version() -> None:
    with attached("--trouble", "version=0.9+virtual") as port:
        found = walk(port)
    assert list(failed(found)) == ["firmware"]
    assert failed(found)["firmware"].startswith("harness virtual firmware 0.9+virtual (build ")
    assert failed(found)["firmware"].endswith("write that with `harness flash --board xiao_esp32s3`")
    assert found["invoke"].outcome == "ok"


def test_firmware_that_speaks_another_protocol_than_asked() -> None:
    with attached("--firmware", "mlperf-tiny") as port:
        found = walk(port, protocol="sscma")
    assert list(failed(found)) == ["firmware"]
    assert "it speaks MLPerf Tiny's text: use --protocol mlperf-tiny" in failed(found)["firmware"]


def test_the_protocol_that_answers_is_taken_and_what_it_lacks_is_said() -> None:
    with attached("--firmware", "mlperf-tiny") as port:
        found = walk(port)
    assert found["protocol"].text == (
        "mlperf-tiny, which does not give clock, layers, memory, outputs, tensors; firmware that speaks "
        "bench may"
    )
    assert found["clock"].text == "mlperf-tiny has no clock that can be asked"
    assert found["tensors"].outcome == "not possible"


def test_a_clock_that_runs_fast() -> None:
    with attached("--trouble", "clock=1.05") as port:
        found = walk(port)
    assert list(failed(found)) == ["clock"]
    assert failed(found)["clock"].startswith(
        "the board's clock runs 5.0 % too fast, and so is every time that"
    )


def test_a_line_that_spoils_bytes() -> None:
    """Of 3,072 bytes in a tensor, one is changed on the way: about each tensor is sent again once."""
    with attached("--faults", "flip=1/3000", board="grove_vision_ai", model=DEFAULT_MODEL) as port:
        found = walk(port, "grove_vision_ai")
    assert list(failed(found)) == ["tensors"]
    said = "parts were sent again: the line loses or spoils bytes; take a shorter cable, no hub"
    assert said in failed(found)["tensors"]
    assert found["invoke"].outcome == "ok"


def test_an_invoke_that_fails() -> None:
    with attached("--trouble", "invoke") as port:
        found = walk(port)
    assert failed(found) == {
        "invoke": "the model failed to run on the board: node 3 (CONV_2D) failed to invoke"
    }


def test_a_board_of_another_name() -> None:
    with attached("--trouble", "name=grove_vision_ai_we2") as port:
        found = walk(port)
    assert "calls itself 'grove_vision_ai_we2'" in failed(found)["firmware"]
    assert "--board" in failed(found)["firmware"]


def test_the_driver_is_the_one_that_linux_names(tmp_path: Path) -> None:
    driver = tmp_path / "drivers" / "cdc_acm"
    driver.mkdir(parents=True)
    device = tmp_path / "ttyACM0" / "device"
    device.mkdir(parents=True)
    (device / "driver").symlink_to(driver)
    assert driver_of("ttyACM0", tmp_path) == "cdc_acm"
    assert driver_of("ttyACM1", tmp_path) is None


def test_a_device_without_a_port_is_seen_on_the_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Linux lists it: a directory for a device, its ids in files, in lower-case hex."""
    device = tmp_path / "1-1"
    device.mkdir()
    (device / "idVendor").write_text("303a\n")
    (device / "idProduct").write_text("1001\n")
    monkeypatch.setattr(doctor, "_USB", tmp_path)
    [found] = list(examine(XIAO))
    assert found.outcome == "failed"
    assert found.text.startswith("303A:1001 is plugged in, but has no serial port: its driver is not loaded")


def test_a_time_has_the_decimals_that_its_clock_gives_it() -> None:
    """The vendor's firmware counts whole milliseconds."""
    with attached("--firmware", "sscma", board="grove_vision_ai") as port:
        found = walk(port, "grove_vision_ai")
    assert not failed(found)
    assert re.search(r"not proven to be one of ours: \d+ ms \(estimated\)$", found["invoke"].text)


def test_json_and_the_exit_code(tmp_path: Path) -> None:
    with attached("--trouble", "invoke") as port:
        done = harness("doctor", "--board", XIAO, "--port", port, "--json", cwd=tmp_path)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [item["step"] for item in found] == [step.name for step in doctor.STEPS]
    assert {item["outcome"] for item in found} == {"ok", "failed", "not possible"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("silnt", "--trouble: unknown trouble 'silnt'; did you mean 'silent'?"),
        ("clock", "--trouble: 'clock' should be written clock=..."),
        ("silent=1", "--trouble: 'silent=1' should be written silent"),
        ("clock=fast", "--trouble: 'clock=fast': a clock runs 0.1 to 10 times as fast as it should"),
    ],
)
def test_a_trouble_that_there_is_not(spec: str, message: str) -> None:
    from harness.emulator.troubles import parse_troubles

    with pytest.raises(HarnessError) as raised:
        parse_troubles(spec)
    assert str(raised.value) == message


def test_the_readme_shows_what_is_printed(tmp_path: Path) -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    words, shown = re.findall(r"\$ \.venv/bin/harness (doctor [^\n]*)\n(.*?)\n```", readme, re.DOTALL)[0]
    done = harness(*words.split(), cwd=tmp_path)
    assert done.returncode == 0
    printed = done.stdout
    step_and_outcome = [line[:27].rstrip() for line in printed.splitlines()]
    assert [line[:27].rstrip() for line in shown.splitlines()] == step_and_outcome
    assert shown.splitlines()[-1] == printed.splitlines()[-1]
