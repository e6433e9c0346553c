"""How long an update of large cards and of a zoo takes: `python -m tests.benchmarks.cards_speed`.

CPU time of this process, which other programs on the machine hardly change.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness.cards import update, updating
from harness.cards.rules import Rules
from tests.cards import zoo_making
from tests.cards.making import benched, link


def card(rows: int) -> str:
    """Return a card with a row each for that many models and one for the model that is benched."""
    lines = [
        f"| net {i} | {i % 90 + 10}<sup>(1)</sup> | {link(hashlib.sha1(str(i).encode()).hexdigest())} |"
        for i in range(rows)
    ]
    lines.insert(rows // 2, f"| ours | 582<sup>(1)</sup> | {link()} |")
    return "\n".join(
        ["| Model | Inference(ms) | Link |", "|-|-|-|", *lines, "", "- ***1:** xiao_esp32s3.*\n"]
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    seconds(lambda: update(card(10), [benched(500)]))
    for rows in (1_000, 10_000, 50_000):
        text = card(rows)
        print(f"a card of {rows + 1:,} rows: {seconds(lambda t=text: update(t, [benched(500)])):.2f} s")
    for models in (17, 170):
        with tempfile.TemporaryDirectory() as place:
            names = [f"net{i}" for i in range(models)]
            zoo_making.write(Path(place), *(zoo_making.usual(name) for name in names))
            records = [benched(600, sha1=zoo_making.digest(name), file=f"{name}.tflite") for name in names]
            made: list[updating.Update] = []
            took = seconds(
                lambda p=place, r=records, m=made: m.append(updating.prepare([Path(p)], r, Rules()))
            )
            print(f"a zoo of {len(made[0].cards)} files and {models} records: {took:.2f} s")


if __name__ == "__main__":
    main()
