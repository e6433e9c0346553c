"""How fast boards are flashed, as a share of what the line can carry, and lrzsz's `sx` on the same line.

Run from the checkout: python -m tests.benchmarks.flash [ROUNDS]

The line is a virtual one at 921600 baud (92160 bytes a second) with a turn-round of 1 ms, half of it each
way. Rivals take turns, each on a board of its own, and their medians are compared. All of it runs in real
time: a busy computer makes every figure worse.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import serial

from harness.boards import Profile
from harness.emulator.process import BoardProcess
from harness.flash.method import Region, Target, enter
from harness.models import bundled
from tests.flash.lrzsz import lead_to_receiver
from tests.flash.rig import ESP, WE2, running

BAUD, TURN_ROUND_MS = 921600, 1.0
LINE = BAUD / 10
"""Bytes a second that the line can carry."""
MODEL = "person_mbv2_035_96_int8"


@contextmanager
def paced(board: Profile) -> Iterator[tuple[BoardProcess, Target]]:
    """Yield a blank virtual board on the line."""
    with tempfile.TemporaryDirectory() as directory:
        options = ("--baud", str(BAUD), "--latency", str(TURN_ROUND_MS / 2))
        with running(board, Path(directory), *options) as both:
            yield both


def flash(board: Profile, data: bytes, **options: object) -> float:
    """Return the bytes a second at which the project's flasher writes `data` as a model."""
    with paced(board) as (_, target), enter(Target(**{**vars(target), "options": options})) as loader:
        region = Region("model", board.flash.model_region.offset, data, "model")
        [outcome] = loader.write([region], lambda *_: None)
        return outcome.bytes / outcome.seconds


def sx(data: bytes, *options: str) -> float:
    """Return the bytes a second at which `sx` sends `data` to the same boot loader."""
    with paced(WE2) as (process, target), tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        assert target.port
        with serial.Serial(target.port, BAUD, timeout=5) as port:
            lead_to_receiver(process, port)
        # Opened anew: pyserial's descriptor does not block, which sx takes for time-outs.
        with open(target.port, "r+b", buffering=0) as terminal:
            command = ["sx", "-vv", *options, file.name]
            done = subprocess.run(
                command, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, check=True, text=True
            )
    # It waits a while before and after; what it says itself is the transfer alone.
    said = done.stderr.replace("\r", "\n").split("BPS:")
    return float(said[-1].split()[0])


def show(name: str, rates: list[float]) -> float:
    """Print the median of rates, in bytes a second, as a share of the line; return it."""
    median = statistics.median(rates)
    spread = f"{min(rates) / LINE:.1%} to {max(rates) / LINE:.1%}, n={len(rates)}"
    print(f"  {name:<58} {median / 1000:7.1f} kB/s  {median / LINE:7.1%} of the line  ({spread})", flush=True)
    return median


def in_turn(rounds: int, rivals: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Run rivals alternately, and show the medians."""
    rates: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, rival in rivals.items():
            rates[name].append(rival())
    return {name: show(name, found) for name, found in rates.items()}


def main(rounds: int) -> None:
    """Run all benchmarks."""
    model = bundled.build(MODEL)
    print(f"line: {BAUD} baud = {LINE / 1000:.1f} kB/s, {TURN_ROUND_MS:g} ms turn-round")
    print(f"model: {MODEL}, {len(model)} bytes, {len(zlib.compress(model, 9))} compressed")
    for block, option in ((1024, ["-k"]), (128, [])):
        wire_ms = (block + 5 + 1) / LINE * 1e3 + TURN_ROUND_MS
        best = block / wire_ms * 1e3 / LINE
        print(f"\nXMODEM, {block}-byte blocks; the protocol's own limit on this line is {best:.1%}")
        rivals = {"harness": lambda block=block: flash(WE2, model, block=str(block))}
        if shutil.which("sx"):
            rivals["sx (lrzsz)"] = lambda option=option: sx(model, *option)
        medians = in_turn(rounds, rivals)
        if len(medians) == 2:
            print(f"  ratio {medians['harness'] / medians['sx (lrzsz)']:.3f}")
    print("\nesptool's stub, through its Python API")
    in_turn(
        rounds,
        {
            "this model, compressed": lambda: flash(ESP, model),
            "this model, not compressed": lambda: flash(ESP, model, compress=False),
        },
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
