"""The desk as it is: what a person reads about a board that is attached and not in order.

Each board here is at the other end of a real pseudo-terminal or socket, and `harness` is run as a process.
"""

from __future__ import annotations

import contextlib
import grp
import os
import select
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import boards
from harness.wire import holders
from harness.wire.port import PortInUse, open_port
from tests.wire.test_greeting import LOOPS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a POSIX thing")

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
