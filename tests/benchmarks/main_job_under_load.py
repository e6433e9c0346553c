"""The main job on a computer that has no time for it: `python -m tests.benchmarks.main_job_under_load`.

Runs `harness bench` with no arguments again and again, several at once, beside a busy loop on every core, and
counts those that exit with 0 and record the outputs that the desktop runtime computes for the same model and
input. `--nice 19` gives the emulated boards what is left over.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.models import reference, resolve, tensors
from harness.results import store
from harness.runner.plan import DEFAULT_BOARDS, DEFAULT_MODEL, Settings


@dataclass(frozen=True)
class Outcome:
    """One `harness bench`: its exit code, how long it took, and what is wrong with it, if anything."""

    code: int
    seconds: float
    wrong: str | None


def spin() -> None:
    """Keep one core busy until the process is ended."""
    while True:
        pass


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Run a busy loop for each core."""
    loops = [multiprocessing.Process(target=spin, daemon=True) for _ in range(os.cpu_count() or 1)]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()


def expected() -> str:
    """Return the SHA-256 of what the desktop runtime with reference kernels computes for the main job."""
    model = resolve.resolve(DEFAULT_MODEL)
    (output,) = reference.run(model.data, tensors.load(Settings().inputs, model))
    return hashlib.sha256(output.tobytes()).hexdigest()


def slow_down(process: subprocess.Popen[str], nice: int) -> None:
    """Give every emulated board of a bench a lower priority, as soon as it is there."""
    seen: set[int] = set()
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                if child.pid not in seen and "emulate" in child.cmdline():
                    child.nice(nice)
                    seen.add(child.pid)
        time.sleep(0.01)


def bench(directory: Path, right: str, nice: int) -> Outcome:
    """Run the main job once, in a directory of its own."""
    directory.mkdir()
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "bench"],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if nice:
        threading.Thread(target=slow_down, args=(process, nice), daemon=True).start()
    _, said = process.communicate()
    seconds = time.monotonic() - started
    records, damaged = store.read_all(directory / "results")
    wrong = [f"{record.board.id} differs" for record in records if record.outputs.sha256 != [right]]
    missing = set(DEFAULT_BOARDS) - {record.board.id for record in records}
    wrong += [f"no record of {board}" for board in sorted(missing)] + [str(each) for each in damaged]
    if process.returncode:
        wrong.append(said.strip())
    return Outcome(process.returncode, seconds, "; ".join(wrong) or None)


def main() -> int:
    """Run it and print what came of it; the exit code is 1 if any run failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--nice", type=int, default=0, help="of the emulated boards")
    parser.add_argument("--idle", action="store_true", help="without the busy loops")
    options = parser.parse_args()
    right = expected()
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(options.at_once) as pool:
        os.environ["HARNESS_CACHE_DIR"] = str(Path(place) / "cache")
        with contextlib.nullcontext() if options.idle else busy():
            jobs = [
                pool.submit(bench, Path(place) / f"run-{number}", right, options.nice)
                for number in range(options.runs)
            ]
            outcomes = []
            for number, job in enumerate(jobs, 1):
                outcome = job.result()
                outcomes.append(outcome)
                print(
                    f"{number:3}: exit {outcome.code}, {outcome.seconds:.1f} s {outcome.wrong or ''}",
                    flush=True,
                )
    seconds = sorted(outcome.seconds for outcome in outcomes)
    zeros = sum(outcome.code == 0 for outcome in outcomes)
    right_ones = sum(outcome.wrong is None for outcome in outcomes)
    print(
        f"{zeros} of {len(outcomes)} exit codes 0, {right_ones} with the right outputs; "
        f"{statistics.median(seconds):.1f} s (median; {seconds[0]:.1f} to {seconds[-1]:.1f})"
    )
    return 0 if zeros == right_ones == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
