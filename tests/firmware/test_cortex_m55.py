"""What the firmware takes of a Cortex-M55: code, RAM, and instructions around an invoke."""

from __future__ import annotations

import math
import re
import subprocess
import time
from pathlib import Path

import pytest

from harness.models import tflite
from harness.wire.session import RunInterrupted
from tests.firmware.builds import FIRMWARE, require
from tests.firmware.devices import QemuDevice
from tests.firmware.selftest import asking_to

pytestmark = pytest.mark.interop

MOST_CODE_BYTES = 12 * 1024 + 1536
"""12 KiB, and what MLPerf Tiny's benchmarks take: quantising, the reconstruction error, lengths."""
MOST_RAM_BYTES = 6 * 1024
MOST_INSTRUCTIONS = 100
MOST_BETWEEN_OPERATORS = 100
NANOSECONDS_AN_INSTRUCTION = 1 << 10


def core_code(build: Path) -> int:
    """Return bytes of code and constants in the core's library; it must have no data of its own."""
    table = subprocess.run(
        ["arm-none-eabi-size", "-t", str(build / "libbench_core.a")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    code, data, zeroed = map(int, table.splitlines()[-1].split()[:3])
    assert (data, zeroed) == (0, 0)
    return code


def core_ram(build: Path) -> int:
    """Return bytes of the one structure that holds the core's state, line buffers and samples included."""
    symbols = subprocess.run(
        ["arm-none-eabi-nm", "-S", str(build / "ports/mps3_an547/bench_firmware.elf")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(r"^\w+ (\w+) b bench$", symbols, re.MULTILINE)
    assert found
    return int(found.group(1), 16)


def test_the_core_is_small(cortex_m55: Path) -> None:
    code, ram = core_code(cortex_m55), core_ram(cortex_m55)
    assert code <= MOST_CODE_BYTES
    assert ram <= MOST_RAM_BYTES
    written = (FIRMWARE / "README.md").read_text(encoding="utf-8")
    row = re.search(r"^\| core alone.*\| ([\d ]+) \| ([\d ]+) \|$", written, re.MULTILINE)
    assert row, "the table of sizes in firmware/README.md has no row of the core"
    said = [int(figure.replace(" ", "")) for figure in row.groups()]
    # Another version of the compiler gives other figures, but not far from these.
    assert [code, ram] == pytest.approx(said, rel=0.05)


def test_a_sample_holds_fewer_than_100_instructions_that_are_not_the_invoke(
    cortex_m55: Path, two_inputs: tflite.Model
) -> None:
    """QEMU counts: with -icount each instruction takes 2^10 ns of the emulated clock, 32.768 of its ticks.

    The least of some runs counts: in any one a byte of the host's may arrive, and its interrupt counts, too.
    """
    require("qemu-system-arm")
    with (
        QemuDevice(cortex_m55, two_inputs, "-icount", "shift=10") as device,
        device.session() as session,
    ):
        tick_ns = 1e9 / session.identify().tick_hz
        session.select(device.address)
        session.load(0, asking_to("n").ljust(device.input_bytes[0], b"\0"))
        around = math.inf
        for _ in range(8):
            [sample] = session.run(1, 1, profile=True).samples
            [(_, inside)] = session.layers() or ()
            around = min(around, (sample - inside) * tick_ns / NANOSECONDS_AN_INSTRUCTION)
    print(f"{around:.1f} instructions around an invoke")
    assert 10 < around < MOST_INSTRUCTIONS


def test_a_sample_holds_fewer_than_100_instructions_more_for_each_further_operator(
    cortex_m55: Path, two_inputs: tflite.Model
) -> None:
    """For the question whether to look at the line, and the selftest engine's own loop."""
    require("qemu-system-arm")
    operators = 1001
    with (
        QemuDevice(cortex_m55, two_inputs, "-icount", "shift=10") as device,
        device.session() as session,
    ):
        tick_ns = 1e9 / session.identify().tick_hz
        session.select(device.address)
        samples = []
        for count in (1, operators):
            session.load(0, asking_to("n", 0, count).ljust(device.input_bytes[0], b"\0"))
            samples.append(min(session.run(1, 5).samples))
    further = (samples[1] - samples[0]) * tick_ns / NANOSECONDS_AN_INSTRUCTION / (operators - 1)
    print(f"{further:.1f} instructions for each further operator")
    assert 10 < further < MOST_BETWEEN_OPERATORS


def test_a_watchdog_resets_a_cortex_m55_that_hangs(cortex_m55: Path, two_inputs: tflite.Model) -> None:
    """With -icount the watchdog's 30 s of the emulated clock go by in a third of a second."""
    require("qemu-system-arm")
    with (
        QemuDevice(cortex_m55, two_inputs, "-icount", "shift=10") as device,
        device.session() as session,
    ):
        session.select(device.address)
        session.load(0, asking_to("h").ljust(device.input_bytes[0], b"\0"))
        with pytest.raises(RunInterrupted, match="resets whenever the model runs"):
            session.run(0, 1)
        assert {incident.kind for incident in session.incidents} == {"reset"}


@pytest.mark.soak
def test_a_cortex_m55_with_nothing_to_do_stays_as_it_is(cortex_m55: Path, two_inputs: tflite.Model) -> None:
    """For longer than the watchdog waits."""
    require("qemu-system-arm")
    with QemuDevice(cortex_m55, two_inputs) as device, device.session() as session:
        session.select(device.address)
        time.sleep(35)
        assert session.run(0, 3).complete
        assert session.incidents == []
