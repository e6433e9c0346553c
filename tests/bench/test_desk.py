"""The desk as it is: what a person reads about a board that is attached and not in order.

Each board here is at the other end of a real pseudo-terminal or socket, and `harness` is run as a process.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from harness import boards
from harness.chips import console
from harness.cli import ports
from harness.emulator.process import BoardProcess
from harness.runner import attached
from harness.runner.greet import greet
from harness.runner.reach import Reach
from harness.wire import holders
from harness.wire.greeting import legible
from harness.wire.patience import Patience
from harness.wire.port import PortInUse, open_port
from harness.wire.session import NoAnswer
from harness.wire.speeds import SPEEDS
from tests.wire.test_greeting import LOOPS

grp, termios, tty = (pytest.importorskip(name) for name in ("grp", "termios", "tty"))  # no Windows

MODEL = "cifar10_mbv2_035_32_int8"


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, timeout=150
    )


@contextlib.contextmanager
def on_a_pty(behave: Callable[[int, bytes], None]) -> Iterator[str]:
    """Yield a terminal's name; `behave(descriptor, received)` is called every 0.1 s, and when bytes come."""
    master, slave = os.openpty()
    tty.setraw(slave)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            ready, _, _ = select.select([master], [], [], 0.1)
            behave(master, os.read(master, 4096) if ready else b"")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join()
        os.close(master)
        os.close(slave)


class Looping:
    """A board that prints the same boot every half second, whatever it is told."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._due = 0.0
        self.received = b""

    def __call__(self, descriptor: int, received: bytes) -> None:
        self.received += received
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + 0.5
            os.write(descriptor, self._text)


@pytest.mark.parametrize("cause", LOOPS)
def test_a_board_in_a_boot_loop_is_told_by_what_its_console_says(cause: str) -> None:
    text, words = LOOPS[cause]
    with on_a_pty(Looping(text)) as port:
        board = boards.load("grove_vision_ai_we2" if "WE2" in cause else "xiao_esp32s3")
        patience = Patience(trouble=console.trouble)
        if cause.startswith("supply"):
            with pytest.raises(NoAnswer) as caught:
                greet(Reach(board, port, port), "bench", patience)
            told = caught.value
        else:
            told = greet(Reach(board, port, port), "bench", patience)  # type: ignore[assignment]
    assert f"no board that speaks the bench protocol at {port}" in str(told)
    assert f"; {words}" in str(told)


def test_a_board_whose_supply_breaks_down_is_told_and_not_flashed() -> None:
    board = Looping(LOOPS["supply"][0])
    with on_a_pty(board) as port:
        done = harness("bench", MODEL, "-b", "xiao_esp32s3", "--port", port)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "its supply breaks down and it starts again ('E BOD: Brownout detector was triggered'): use "
        "another, shorter cable, another USB port or a hub with a supply of its own, and take other devices "
        "off its pins"
    )
    assert b"\xc0\x00\x08" not in board.received, "esptool's SYNC"


def test_a_board_whose_firmware_crashes_over_and_over_is_told_so_before_it_is_flashed() -> None:
    with on_a_pty(Looping(LOOPS["crash"][0])) as port:
        done = harness("bench", MODEL, "-b", "xiao_esp32s3", "--port", port)
    assert done.returncode == 1
    assert "its firmware crashes and starts again ('Guru Meditation Error: Core  0 panic'ed" in done.stderr
    assert "nor can it be flashed" in done.stderr


# ---- line speeds


def as_read_at(data: bytes, sent: int, read: int) -> bytes:
    """Return what a UART reads at one speed of bytes that were sent at another, 8N1, one behind the other."""
    bits = [bit for byte in data for bit in (0, *(byte >> n & 1 for n in range(8)), 1)]
    samples = len(bits) * read // sent

    def level(position: int, part: float = 0.5) -> int:
        at = int((position + part) * sent / read)
        return bits[at] if at < len(bits) else 1

    out, at = bytearray(), 0
    while at < samples:
        if level(at):
            at += 1
            continue
        out.append(sum(level(at + 1 + n) << n for n in range(8)))
        at += 10
    return bytes(out)


class AtSpeed:
    """A firmware behind a UART of one speed: it reads and is read at the speed that the host has set."""

    def __init__(self, baud: int, answers: bytes) -> None:
        self._baud = baud
        self._answers = answers

    def __call__(self, descriptor: int, received: bytes) -> None:
        if received:
            code = termios.tcgetattr(descriptor)[5]
            host = next(speed for speed in SPEEDS if getattr(termios, f"B{speed}", None) == code)
            os.write(
                descriptor,
                as_read_at(self._answers, self._baud, host) if host != self._baud else self._answers,
            )


def test_a_wrong_speed_makes_noise_of_text_as_a_uart_does() -> None:
    text = b"m-ready\r\n" * 4
    assert as_read_at(text, 115200, 115200) == text
    for read in (921600, 57600, 9600):
        assert not legible(as_read_at(text, 115200, read))


@pytest.mark.parametrize("board", ["xiao_esp32s3", "grove_vision_ai_we2"])
def test_a_line_that_is_legible_at_another_speed_is_told_with_that_speed(board: str) -> None:
    with on_a_pty(AtSpeed(115200, b"Hello from another world\r\n")) as port:
        done = harness("bench", MODEL, "-b", board, "--port", port)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        f"at 921600 baud at {port}; at 115200 baud the line is legible ('Hello from another world'): use "
        "--baud 115200"
    )


def test_the_speed_that_was_asked_for_is_the_one_that_is_used() -> None:
    with on_a_pty(AtSpeed(57600, b"m-ready\r\n")) as port:
        done = harness("bench", MODEL, "-b", "xiao_esp32s3", "--port", port, "--baud", "57600", "-p", "bench")
    assert "it speaks MLPerf Tiny's text: use --protocol mlperf-tiny" in done.stderr


def test_what_the_ports_say_is_shown_at_the_speed_that_was_asked_for_and_at_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def chatty(descriptor: int, received: bytes) -> None:
        AtSpeed(115200, b"I (24) boot: ESP-IDF v5.1\r\n")(descriptor, received or b" ")

    with on_a_pty(chatty) as first, on_a_pty(lambda *_: None) as second:
        found = [
            SimpleNamespace(device=name, vid=0x303A, pid=0x1001, serial_number=None, description="a port")
            for name in (first, second)
        ]
        monkeypatch.setattr(attached, "_comports", lambda: found)
        right = CliRunner().invoke(ports.command, ["--baud", "115200"]).output
        wrong = CliRunner().invoke(ports.command, ["--baud", "921600"]).output
    assert f"{first}: at 115200 baud: I (24) boot: ESP-IDF v5.1\n{second}: nothing\n" in right
    assert f"{first}: nothing legible at 921600 baud; at 115200 baud: I (24) boot: ESP-IDF v5.1\n" in wrong


@pytest.mark.parametrize("board", ["xiao_esp32s3", "grove_vision_ai_we2"])
def test_a_board_is_flashed_at_the_speed_that_was_asked_for(board: str) -> None:
    with BoardProcess(board, ["--firmware", "bench"], listen="pty") as process:
        done = harness("flash", "-b", board, "--port", process.url, "--baud", "460800", "-m", MODEL)
    assert done.returncode == 0, done.stderr


def test_a_speed_means_nothing_to_a_drive() -> None:
    done = harness("flash", "-b", "grove_vision_ai", "--port", "emulated", "--baud", "115200")
    assert done.returncode == 2
    assert "--baud has no meaning for grove_vision_ai, which is flashed by uf2" in done.stderr


# ---- who has the port, and who may have it

AS_NOBODY = """
import grp, os, pwd, sys
import harness.wire.port, harness.wire.holders, harness.wire.unflushed, serial
os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    harness.wire.port.open_port(sys.argv[1])
except harness.wire.port.PortError as error:
    print(error)
"""
"""What somebody reads who is not the user of these tests; all is imported that may be unreadable later."""


def read_by_nobody(port: str) -> str:
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, port], capture_output=True, text=True, timeout=60)
    assert not done.stderr
    return done.stdout.strip()


root_only = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="becomes another user, which takes root"
)


@root_only
def test_another_user_s_program_that_locks_the_port_is_named_with_its_user() -> None:
    with on_a_pty(lambda *_: None) as port:
        os.chmod(port, 0o666)
        with open_port(port):
            told = read_by_nobody(port)
    pid = os.getpid()
    assert told.startswith(f"port {port} is in use by ")
    assert told.endswith(f" (process {pid}, of root); close it and try again")


@root_only
def test_a_port_that_the_user_may_not_open_is_told_with_what_lets_him() -> None:
    with on_a_pty(lambda *_: None) as port:
        os.chmod(port, 0o600)
        os.chown(port, 0, 0)
        assert read_by_nobody(port) == (
            f"no permission to open {port}: it is root's alone; install the rule that `harness ports --udev` "
            "prints"
        )
        os.chown(port, 0, 20)
        told = read_by_nobody(port)
    name = grp.getgrgid(20).gr_name
    assert told == (
        f"no permission to open {port}: it belongs to the group '{name}'; join it (sudo usermod -aG {name} "
        "$USER) and log in again, or install the rule that `harness ports --udev` prints"
    )


@contextlib.contextmanager
def program(name: str, script: str, *arguments: str) -> Iterator[int]:
    """Run a program whose name is what the kernel shows, and yield its process id once it is ready."""
    rename = f"open('/proc/self/comm', 'w').write({name!r})"
    code = f"import sys, time; {rename}\n{script}\nprint('ready', flush=True)\ntime.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


HOLD = "import os, fcntl; fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX)"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("name", "what"),
    [
        (
            "ModemManager",
            "it tries every new port for a modem: wait a few seconds, or keep it off with the rule that "
            "`harness ports --udev` prints",
        ),
        ("ser2net", "use the port that it serves (rfc2217://HOST:PORT), or stop it"),
        ("picocom", "close it and try again"),
    ],
)
def test_a_program_that_holds_the_port_is_named_with_what_to_do_about_it(name: str, what: str) -> None:
    with (
        on_a_pty(lambda *_: None) as port,
        program(name, HOLD, port) as pid,
        pytest.raises(PortInUse) as told,
    ):
        open_port(port)
    assert str(told.value) == f"port {port} is in use by {name} (process {pid}); {what}"


@root_only
def test_modem_manager_is_suspected_of_what_cannot_be_seen() -> None:
    """It asks the kernel for the port alone (TIOCEXCL), which shows nowhere, and is root's."""
    exclusive = "import fcntl, os, termios; fcntl.ioctl(os.open(sys.argv[1], os.O_RDWR), termios.TIOCEXCL)"
    with on_a_pty(lambda *_: None) as port, program("ModemManager", exclusive, port) as pid:
        os.chmod(port, 0o666)
        told = read_by_nobody(port)
    assert told == (
        f"port {port} is in use by a program of another user, probably ModemManager (process {pid}, of "
        "root); it tries every new port for a modem: wait a few seconds, or keep it off with the rule that "
        "`harness ports --udev` prints"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_lock_file_of_an_older_program_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(holders, "_LOCK_FILES", tmp_path)
    with on_a_pty(lambda *_: None) as port, program("minicom", "") as pid:
        (tmp_path / f"LCK..{Path(port).name}").write_text(f"{pid:10d} minicom root\n")
        assert (pid, "minicom") in [(holder.pid, holder.name) for holder in holders.holders(port)]
    assert not holders.holders(port), "the program has ended"


def test_the_rules_for_udev_have_every_usb_id_of_every_board() -> None:
    printed = harness("ports", "--udev").stdout.splitlines()
    rules = [line for line in printed if not line.startswith("#")]
    ids = {usb.id.lower() for profile in boards.all_profiles() for usb in profile.usb}
    assert len(rules) == len(ids)
    for usb_id in ids:
        vendor, product = usb_id.split(":")
        [rule] = [line for line in rules if vendor in line and product in line]
        assert rule.startswith(
            f'SUBSYSTEM=="tty", ATTRS{{idVendor}}=="{vendor}", ATTRS{{idProduct}}=="{product}", MODE="0660", '
        )
        assert 'TAG+="uaccess", ENV{ID_MM_DEVICE_IGNORE}="1", ENV{ID_MM_PORT_IGNORE}="1"' in rule
